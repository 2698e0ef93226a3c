// MessageTemplate: a campaign's message, compiled once; Compose() makes one recipient's copy.
//
// Everything that is the same for all copies is encoded at compile time (quoted-printable, header
// folding, escaping): at compose time a copy is those literals plus the recipient's values. Long
// literals are not even copied: the composed message points at them (ComposedMessage::pieces).
//
// Threading: a MessageTemplate is immutable after Compile, so any number of threads may compose
// from one; a ComposedMessage belongs to one thread. Nothing is allocated per message once a
// ComposedMessage is warm.
// Source: RFC 5322 (headers), 2045/2046 (MIME), 2047 (encoded words), 5321 §4.5.2 (dots).
#ifndef VOLLEY_ENGINE_MESSAGE_COMPOSER_H_
#define VOLLEY_ENGINE_MESSAGE_COMPOSER_H_

#include <sys/uio.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "engine/message/field.h"
#include "engine/message/part_file.h"
#include "engine/message/template.h"

namespace volley::engine::message {

struct Recipient {
  std::string_view address;           // canonical (address.h)
  uint64_t index = 0;                 // in the campaign; makes the Message-ID
  std::span<const FieldView> fields;  // one for each column, in order
  std::span<const PartFileView> attachments =
      {};  // its own; with MessageSpec::recipient_attachments
};

// A template file and its name for error messages ("welcome.html").
struct TemplateSource {
  std::string name;
  std::string text;
};

// The whole of a message as it travels: what most receivers take.
inline constexpr uint64_t kMessageBytesMaxDefault = 25 << 20;

// A section whose value is an empty text, as a list's empty cell is, does not render.
struct MessageSpec {
  std::string from;                       // "Ann Example <ann@example.org>"; exactly one mailbox
  std::string reply_to;                   // empty: none
  TemplateSource subject;                 // Mustache, one line
  std::optional<TemplateSource> to_name;  // Mustache: display name in To; none: the bare address
  std::optional<TemplateSource> text;     // at least one of text and html
  std::optional<TemplateSource> html;
  std::optional<TemplateSource> amp;  // AMP for Email; needs text or html beside it
  bool text_from_html = true;         // html without text: the text is made of it (html_text.h)
  // Images and the like. The HTML says src="cid:NAME"; the content id is made at compile time. A
  // part that nothing names is an error, and so is a cid: without a part.
  std::vector<PartFile> inline_parts;
  std::vector<PartFile> attachments;
  bool recipient_attachments = false;  // copies may bring files of their own
  uint64_t message_bytes_max = kMessageBytesMaxDefault;
  std::vector<std::pair<std::string, TemplateSource>> headers;  // further ones; values are Mustache
  std::string message_id_domain;                                // empty: the domain of From
  std::string message_id_key;  // unique per campaign: letters and digits
  absl::Time date;             // the Date header of every copy
  absl::TimeZone time_zone = absl::UTCTimeZone();
  uint64_t boundary_seed = 0;        // multipart boundaries derive from it
  PartialLoader partials = nullptr;  // texts of {{>name}}; none: partials are errors
};

// What a campaign's message is made of, as far as it is the same for all copies.
struct ContentFacts {
  bool has_text = false;  // given, or made of the HTML
  bool has_html = false;
  bool has_amp = false;
  size_t links = 0;          // in the HTML (of the text if there is none): http, https, a variable
  size_t images = 0;         // <img> in the HTML
  uint64_t fixed_bytes = 0;  // of the message, encoded; what variables bring comes on top
};

// A message ready to send. LIFETIME: pieces() point into this object and into the MessageTemplate
// it was composed from; both must outlive their use. Reuse it by composing again.
class ComposedMessage {
 public:
  ComposedMessage();
  ~ComposedMessage();
  ComposedMessage(ComposedMessage&&) noexcept;
  ComposedMessage& operator=(ComposedMessage&&) noexcept;

  std::span<const iovec> pieces() const;  // header and body
  std::span<const iovec> header() const;  // the fields, each with its CRLF
  std::span<const iovec> body() const;    // from the empty line (its CRLF) on
  uint64_t bytes() const;                 // sum over pieces
  bool eight_bit() const;                 // any byte over 127
  bool needs_smtputf8() const;            // an address in it has a local part beyond ASCII
  bool dot_free() const;                  // no line begins with "."
  std::string ToString() const;           // all pieces joined, for preview and tests

  // Puts whole header fields (DKIM-Signature) in front of what is there: they are part of pieces(),
  // header() and bytes() from now on, until the next Compose. They are copied. REQUIRES: ASCII,
  // CRLF at the end of every line, something composed.
  void Prepend(std::string_view fields);

 private:
  friend class MessageTemplate;
  struct State;
  std::unique_ptr<State> state_;
};

class MessageTemplate {
 public:
  // `columns`: the list's column names. Errors name template, line and column (text position), the
  // value, and what to do: unclosed tag, unknown variable (with the nearest column name), a
  // header that may not be set by hand (Date, Message-ID, From, MIME-Version, Content-*, Bcc,
  // Return-Path, ...) or is there twice, two From mailboxes, CR/LF in a fixed value, a file whose
  // name or type cannot be, images and cid: that do not match, more than message_bytes_max.
  static absl::StatusOr<MessageTemplate> Compile(const MessageSpec& spec,
                                                 std::span<const std::string> columns);
  MessageTemplate(MessageTemplate&&) noexcept;
  MessageTemplate& operator=(MessageTemplate&&) noexcept;
  ~MessageTemplate();

  // Columns that must not be empty in any row: used as a variable without a default
  // ({{name|friend}}) and outside every section. The importer rejects rows that lack one. Inside a
  // section it depends on the row whether they are used at all, so Compose decides there. Each with
  // a reason for people: "{{first_name}} in welcome.txt line 3".
  struct RequiredColumn {
    size_t column;
    std::string used_at;
  };
  std::span<const RequiredColumn> required_columns() const;

  const ContentFacts& facts() const;
  // Every copy has the same body() bytes, so whoever signs need hash them only once.
  bool body_is_shared() const;

  // InvalidArgument: CR, LF or another control character but tab in a value merged into a header;
  // "<" or ">" in one merged into a part of a structured header, as between "<" and ">"; a
  // NUL in one merged into a body (other controls are encoded, line ends become CRLF); invalid
  // UTF-8; an empty value without a default; JSON that is none; an address that is not canonical;
  // a recipient's file that may not be, or that makes the message larger than message_bytes_max.
  // The message names template position, column, the value (escaped) and the reason.
  // REQUIRES: recipient's bytes stay as they are during the call; nothing points at them after it.
  absl::Status Compose(const Recipient& recipient, ComposedMessage* out) const;

 private:
  friend class MessageCompiler;
  struct Program;
  explicit MessageTemplate(std::unique_ptr<Program> program);
  std::unique_ptr<Program> program_;
};

}  // namespace volley::engine::message

#endif  // VOLLEY_ENGINE_MESSAGE_COMPOSER_H_
