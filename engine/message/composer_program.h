// What a MessageTemplate is inside: the steps that write one message, in order. Built by
// composer_compile.cc, run by composer.cc; nobody else includes this.
#ifndef VOLLEY_ENGINE_MESSAGE_COMPOSER_PROGRAM_H_
#define VOLLEY_ENGINE_MESSAGE_COMPOSER_PROGRAM_H_

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/message/base64.h"
#include "engine/message/composer.h"
#include "engine/message/header.h"
#include "engine/message/message_buffer.h"
#include "engine/message/mime.h"
#include "engine/message/quoted_printable.h"
#include "engine/message/template.h"
#include "engine/message/template_render.h"
#include "engine/message/text_escape.h"

namespace volley::engine::message {

// A header field whose value has variables.
struct VariableField {
  std::string name;
  FieldSyntax syntax = FieldSyntax::kUnstructured;
  Template value;
};

// A text part with variables. Of the two lists of literals the one of its encoding is filled:
// literal i is value.literals[i], encoded.
struct BodyPart {
  Template value;
  PartEncoding encoding = PartEncoding::kQuotedPrintable;
  std::vector<QpLiteral> quoted_printable;
  std::vector<Base64Literal> base64;
  TextEscape escape = TextEscape::kNone;
  bool last_in_message = false;  // no boundary follows, so its last line must be ended
};

enum class StepKind : uint8_t { kFixed, kTo, kMessageId, kField, kBeginBody, kText, kFiles };
struct ProgramStep {
  StepKind kind;
  size_t index = 0;  // into fixed, fields or bodies
};

// What composing one message needs, reused over messages so that nothing is allocated for each.
struct ComposeBuffers {
  MessageBuffer message;
  RenderScratch render;
  std::string value;  // a header value before folding and encoding
  std::string field;  // the whole field, or the headers of a file
};

struct MessageTemplate::Program {
  // Writes one message behind what `buffers` has. Errors: as Compose.
  absl::Status Run(const Recipient& recipient, ComposeBuffers* buffers) const;

  std::vector<ProgramStep> steps;
  std::vector<std::string> fixed;
  std::vector<VariableField> fields;
  std::vector<BodyPart> bodies;
  std::optional<Template> to_name;
  std::string message_id_prefix;  // "Message-ID: <key."
  std::string message_id_suffix;  // "@domain>\r\n"
  size_t column_count = 0;
  bool needs_smtputf8 = false;  // for the sender's addresses
  std::vector<RequiredColumn> required;
  ContentFacts facts;
  uint64_t message_bytes_max = 0;
  std::string files_boundary;  // of the multipart a recipient's files go into; empty: none
  // The same message for a recipient that brings files, when it is no multipart/mixed without them.
  std::unique_ptr<Program> with_files;
};

struct ComposedMessage::State {
  // [0] is for what is prepended; the message's own pieces come behind it.
  std::span<const iovec> Pieces() const {
    return std::span<const iovec>(iovecs).subspan(first_piece, end_piece - first_piece);
  }
  void Clear();

  ComposeBuffers buffers;
  std::string prepended;
  std::array<iovec, MessageBuffer::kMaxPieces + 1> iovecs;
  size_t first_piece = 1;
  size_t end_piece = 1;
  size_t header_end = 1;
  bool needs_smtputf8 = false;
};

// The error with the place it belongs to in front: "subject: ...".
absl::Status In(std::string_view place, const absl::Status& status);

}  // namespace volley::engine::message

#endif  // VOLLEY_ENGINE_MESSAGE_COMPOSER_PROGRAM_H_
