#include "engine/message/composer.h"

#include <fmt/format.h>

#include <charconv>

#include "engine/message/address.h"
#include "engine/message/composer_program.h"
#include "engine/message/utf8.h"

namespace volley::engine::message {
namespace {

absl::Status Bad(const std::string& text) { return absl::InvalidArgumentError(text); }

// Collects a header value as plain text; folding and encoded words come when it is whole.
class HeaderSink final : public TemplateSink {
 public:
  HeaderSink(const Template& value, FieldSyntax syntax, std::string* out)
      : value_(value), structured_(syntax == FieldSyntax::kStructured), out_(out) {}

  void Literal(uint32_t index) override { out_->append(value_.literals[index]); }
  std::string_view Value(std::string_view bytes, bool /*escape*/) override {
    // A line break here would let a row write headers of its own: it is refused, not repaired.
    if (FindForbiddenInHeader(bytes) != std::string_view::npos) {
      if (!IsUtf8(bytes)) return "is not valid UTF-8";
      return "has a line break or control character, which a header cannot hold";
    }
    if (structured_ && LeavesItsPlace(bytes)) {
      return "has \"<\", \">\" or white space, with which it would be more than the one address it "
             "stands for";
    }
    if (out_->size() + bytes.size() > kMaxHeaderValueBytes) return "makes the header too long";
    out_->append(bytes);
    return {};
  }
  uint64_t bytes() const override { return out_->size(); }

 private:
  // In "<https://example.org/{{id}}>" (RFC 2369 §2, RFC 5322 §3.4) a row must not end the address
  // and begin another one. What is the whole field is the list's own to fill.
  bool LeavesItsPlace(std::string_view bytes) const {
    if (value_.literals.empty()) return false;
    const size_t bracket = out_->find_last_of("<>");
    const bool inside = bracket != std::string::npos && (*out_)[bracket] == '<';
    return bytes.find_first_of(inside ? "<> \t" : "<>") != std::string_view::npos;
  }

  const Template& value_;
  const bool structured_;
  std::string* out_;
};

// Puts literals that are encoded already and values that the writer encodes into one part.
template <typename Writer, typename EncodedLiteral>
class TextSink final : public TemplateSink {
 public:
  TextSink(const std::vector<EncodedLiteral>& literals, TextEscape escape, MessageBuffer* out)
      : literals_(literals), escape_(escape), out_(out), writer_(out) {}

  void Literal(uint32_t index) override { writer_.Literal(literals_[index]); }
  std::string_view Value(std::string_view bytes, bool escape) override {
    if (bytes.find('\0') != std::string_view::npos) return "has a NUL byte";
    if (!IsUtf8(bytes)) return "is not valid UTF-8";
    writer_.Value(bytes, escape ? escape_ : TextEscape::kNone);
    return {};
  }
  uint64_t bytes() const override { return out_->bytes(); }
  void Finish(bool end_line) { writer_.Finish(end_line); }

 private:
  const std::vector<EncodedLiteral>& literals_;
  TextEscape escape_;
  MessageBuffer* out_;
  Writer writer_;
};

// Runs a program's steps for one recipient.
class Composer {
 public:
  Composer(const Recipient& recipient, ComposeBuffers* buffers)
      : recipient_(recipient), buffers_(buffers) {}

  absl::Status To(const std::optional<Template>& name) {
    buffers_->value.clear();
    if (name.has_value()) {
      absl::Status status = RenderValue(*name, FieldSyntax::kUnstructured);
      if (!status.ok()) return status;
    }
    buffers_->field.clear();
    return AddField(
        "To", AppendMailboxField("To", buffers_->value, recipient_.address, &buffers_->field));
  }

  absl::Status Field(const VariableField& field) {
    buffers_->value.clear();
    absl::Status status = RenderValue(field.value, field.syntax);
    if (!status.ok()) return status;
    buffers_->field.clear();
    return AddField(field.name,
                    AppendField(field.name, buffers_->value, field.syntax, &buffers_->field));
  }

  void MessageId(std::string_view prefix, std::string_view suffix) {
    std::array<char, 16> digits;
    const auto end =
        std::to_chars(digits.data(), digits.data() + digits.size(), recipient_.index, 36).ptr;
    buffers_->message.AppendCopy(prefix);
    buffers_->message.AppendCopy({digits.data(), static_cast<size_t>(end - digits.data())});
    buffers_->message.AppendCopy(suffix);
  }

  absl::Status Text(const BodyPart& part) {
    return part.encoding == PartEncoding::kBase64
               ? RenderText<Base64Writer>(part, part.base64)
               : RenderText<QpWriter>(part, part.quoted_printable);
  }

  // REQUIRES: the files are checked (CheckFiles).
  void Files(std::string_view boundary) {
    for (const PartFileView& file : recipient_.attachments) {
      std::string& head = buffers_->field;
      head.assign("\r\n--").append(boundary).append("\r\n");
      AppendPartFileHeaders(file, Disposition::kAttachment, "", &head);
      head.append("\r\n");
      MessageBuffer& message = buffers_->message;
      message.AppendCopy(head);
      const size_t bytes = Base64LinesBytes(file.bytes.size());
      WriteBase64Lines(file.bytes, message.Reserve(bytes));
      message.Commit(bytes);
    }
  }

 private:
  TemplateRow Row() const { return {.fields = recipient_.fields}; }

  template <typename Writer, typename Literal>
  absl::Status RenderText(const BodyPart& part, const std::vector<Literal>& literals) {
    TextSink<Writer, Literal> sink(literals, part.escape, &buffers_->message);
    absl::Status status = RenderTemplate(part.value, Row(), &buffers_->render, &sink);
    sink.Finish(part.last_in_message);
    return status;
  }

  absl::Status RenderValue(const Template& value, FieldSyntax syntax) {
    HeaderSink sink(value, syntax, &buffers_->value);
    return RenderTemplate(value, Row(), &buffers_->render, &sink);
  }

  absl::Status AddField(std::string_view name, const absl::Status& written) {
    if (!written.ok()) return In(name, written);
    buffers_->message.AppendCopy(buffers_->field);
    return written;
  }

  const Recipient& recipient_;
  ComposeBuffers* buffers_;
};

// The importer made it canonical; a caller that did not must not get a header of its own into ours.
absl::Status CheckRecipient(const Recipient& recipient, size_t columns, std::string* scratch,
                            bool* needs_smtputf8) {
  if (recipient.fields.size() != columns) {
    return Bad(fmt::format("a row of {} fields for a list of {} columns", recipient.fields.size(),
                           columns));
  }
  const AddressOptions options{
      .allow_literal = true, .require_dot = false, .trim_white_space = false};
  scratch->clear();
  const absl::StatusOr<AddressInfo> info =
      AppendCanonicalAddress(recipient.address, options, scratch);
  if (!info.ok())
    return In(fmt::format("the address {}", Quoted(recipient.address)), info.status());
  if (*scratch != recipient.address) {
    return Bad(fmt::format("the address {} is not in canonical form", Quoted(recipient.address)));
  }
  *needs_smtputf8 = info->needs_smtputf8;
  return absl::OkStatus();
}

// Before anything is encoded: a file too large must not cost its memory first.
absl::Status CheckFiles(std::span<const PartFileView> files, bool allowed, uint64_t bytes_max) {
  if (files.empty()) return absl::OkStatus();
  if (!allowed) return Bad("this message takes no files of a recipient's own");
  uint64_t bytes = 0;
  for (const PartFileView& file : files) {
    if (absl::Status status = CheckPartFile(file); !status.ok()) {
      return In(fmt::format("attachment {}", Quoted(file.name)), status);
    }
    bytes += Base64LinesBytes(file.bytes.size());
    if (bytes <= bytes_max) continue;
    return Bad(fmt::format("attachment {} of {} bytes makes the message larger than {} bytes",
                           Quoted(file.name), file.bytes.size(), bytes_max));
  }
  return absl::OkStatus();
}

}  // namespace

ComposedMessage::ComposedMessage() : state_(std::make_unique<State>()) {}
ComposedMessage::~ComposedMessage() = default;
ComposedMessage::ComposedMessage(ComposedMessage&&) noexcept = default;
ComposedMessage& ComposedMessage::operator=(ComposedMessage&&) noexcept = default;

void ComposedMessage::State::Clear() {
  buffers.message.Clear();
  prepended.clear();
  first_piece = end_piece = header_end = 1;
}

std::span<const iovec> ComposedMessage::pieces() const { return state_->Pieces(); }
std::span<const iovec> ComposedMessage::header() const {
  return state_->Pieces().first(state_->header_end - state_->first_piece);
}
std::span<const iovec> ComposedMessage::body() const {
  return state_->Pieces().subspan(state_->header_end - state_->first_piece);
}
uint64_t ComposedMessage::bytes() const {
  return state_->buffers.message.bytes() + state_->prepended.size();
}
bool ComposedMessage::needs_smtputf8() const { return state_->needs_smtputf8; }

void ComposedMessage::Prepend(std::string_view fields) {
  State& state = *state_;
  if (fields.empty()) return;
  state.prepended.insert(0, fields);
  state.iovecs[0] = {state.prepended.data(), state.prepended.size()};
  state.first_piece = 0;
}

// Parts are 7bit, quoted-printable or base64 and words beyond ASCII are encoded words, so only an
// address can bring bytes over 127.
bool ComposedMessage::eight_bit() const { return state_->needs_smtputf8; }

// By construction: a header line begins with a field name or white space, a quoted-printable line
// never with "." (QpWriter), base64 has none, and fixed text that has such a line is not sent as
// 7bit (IsSevenBit).
bool ComposedMessage::dot_free() const { return true; }

std::string ComposedMessage::ToString() const {
  std::string all;
  all.reserve(bytes());
  for (const iovec& piece : pieces()) {
    all.append(static_cast<const char*>(piece.iov_base), piece.iov_len);
  }
  return all;
}

MessageTemplate::MessageTemplate(std::unique_ptr<Program> program) : program_(std::move(program)) {}
MessageTemplate::MessageTemplate(MessageTemplate&&) noexcept = default;
MessageTemplate& MessageTemplate::operator=(MessageTemplate&&) noexcept = default;
MessageTemplate::~MessageTemplate() = default;

std::span<const MessageTemplate::RequiredColumn> MessageTemplate::required_columns() const {
  return program_->required;
}

const ContentFacts& MessageTemplate::facts() const { return program_->facts; }

bool MessageTemplate::body_is_shared() const {
  return program_->bodies.empty() && program_->with_files == nullptr &&
         program_->files_boundary.empty();
}

absl::Status MessageTemplate::Compose(const Recipient& recipient, ComposedMessage* out) const {
  ComposedMessage::State& state = *out->state_;
  state.Clear();
  const bool other = !recipient.attachments.empty() && program_->with_files != nullptr;
  const Program& program = other ? *program_->with_files : *program_;
  bool recipient_needs_smtputf8 = false;
  absl::Status status = CheckRecipient(recipient, program.column_count, &state.buffers.value,
                                       &recipient_needs_smtputf8);
  state.needs_smtputf8 = recipient_needs_smtputf8 || program.needs_smtputf8;
  if (status.ok()) {
    status = CheckFiles(recipient.attachments, !program.files_boundary.empty(),
                        program.message_bytes_max);
  }
  if (status.ok()) status = program.Run(recipient, &state.buffers);
  if (status.ok() && out->bytes() > program.message_bytes_max) {
    status = Bad(fmt::format("the message has {} bytes; at most {}", out->bytes(),
                             program.message_bytes_max));
  }
  if (!status.ok()) {
    state.Clear();
    return status;
  }
  const std::span<iovec, MessageBuffer::kMaxPieces> room =
      std::span(state.iovecs).subspan<1, MessageBuffer::kMaxPieces>();
  state.end_piece = 1 + state.buffers.message.Pieces(room).size();
  state.header_end = 1 + state.buffers.message.header_pieces();
  return status;
}

absl::Status MessageTemplate::Program::Run(const Recipient& recipient,
                                           ComposeBuffers* buffers) const {
  Composer composer(recipient, buffers);
  absl::Status status;
  for (size_t i = 0; i < steps.size() && status.ok(); ++i) {
    const ProgramStep& step = steps[i];
    switch (step.kind) {
      case StepKind::kFixed:
        buffers->message.AppendStable(fixed[step.index]);
        break;
      case StepKind::kTo:
        status = composer.To(to_name);
        break;
      case StepKind::kMessageId:
        composer.MessageId(message_id_prefix, message_id_suffix);
        break;
      case StepKind::kField:
        status = composer.Field(fields[step.index]);
        break;
      case StepKind::kBeginBody:
        buffers->message.BeginBody();
        break;
      case StepKind::kText:
        status = composer.Text(bodies[step.index]);
        break;
      case StepKind::kFiles:
        composer.Files(files_boundary);
        break;
    }
  }
  return status;
}

}  // namespace volley::engine::message
