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
  HeaderSink(const Template& value, std::string* out) : value_(value), out_(out) {}

  void Literal(uint32_t index) override { out_->append(value_.literals[index]); }
  std::string_view Value(std::string_view bytes, bool /*escape*/) override {
    // A line break here would let a row write headers of its own: it is refused, not repaired.
    if (FindForbiddenInHeader(bytes) != std::string_view::npos) {
      if (!IsUtf8(bytes)) return "is not valid UTF-8";
      return "has a line break or control character, which a header cannot hold";
    }
    if (out_->size() + bytes.size() > kMaxHeaderValueBytes) return "makes the header too long";
    out_->append(bytes);
    return {};
  }
  uint64_t bytes() const override { return out_->size(); }

 private:
  const Template& value_;
  std::string* out_;
};

// Puts literals that are encoded already and values that it encodes into one part.
class BodySink final : public TemplateSink {
 public:
  BodySink(const BodyPart& part, MessageBuffer* out) : part_(part), out_(out), writer_(out) {}

  void Literal(uint32_t index) override { writer_.Literal(part_.literals[index]); }
  std::string_view Value(std::string_view bytes, bool escape) override {
    if (bytes.find('\0') != std::string_view::npos) return "has a NUL byte";
    if (!IsUtf8(bytes)) return "is not valid UTF-8";
    writer_.Value(bytes, escape ? part_.escape : QpEscape::kNone);
    return {};
  }
  uint64_t bytes() const override { return out_->bytes(); }
  void EndLine() { writer_.EndLine(); }

 private:
  const BodyPart& part_;
  MessageBuffer* out_;
  QpWriter writer_;
};

// Runs a program's steps for one recipient.
class Composer {
 public:
  Composer(const Recipient& recipient, ComposeBuffers* buffers)
      : recipient_(recipient), buffers_(buffers) {}

  absl::Status To(const std::optional<Template>& name) {
    buffers_->value.clear();
    if (name.has_value()) {
      if (absl::Status status = RenderValue(*name); !status.ok()) return status;
    }
    buffers_->field.clear();
    return AddField(
        "To", AppendMailboxField("To", buffers_->value, recipient_.address, &buffers_->field));
  }

  absl::Status Field(const VariableField& field) {
    buffers_->value.clear();
    if (absl::Status status = RenderValue(field.value); !status.ok()) return status;
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

  absl::Status Body(const BodyPart& part) {
    BodySink sink(part, &buffers_->message);
    absl::Status status = RenderTemplate(part.value, Row(), &buffers_->render, &sink);
    if (part.last_in_message) sink.EndLine();
    return status;
  }

 private:
  TemplateRow Row() const { return {.fields = recipient_.fields}; }

  absl::Status RenderValue(const Template& value) {
    HeaderSink sink(value, &buffers_->value);
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

}  // namespace

ComposedMessage::ComposedMessage() : state_(std::make_unique<State>()) {}
ComposedMessage::~ComposedMessage() = default;
ComposedMessage::ComposedMessage(ComposedMessage&&) noexcept = default;
ComposedMessage& ComposedMessage::operator=(ComposedMessage&&) noexcept = default;

std::span<const iovec> ComposedMessage::pieces() const { return state_->pieces; }
uint64_t ComposedMessage::bytes() const { return state_->buffers.message.bytes(); }
bool ComposedMessage::needs_smtputf8() const { return state_->needs_smtputf8; }

// Parts are 7bit or quoted-printable and words beyond ASCII are encoded words, so only an address
// can bring bytes over 127.
bool ComposedMessage::eight_bit() const { return state_->needs_smtputf8; }

// By construction: a header line begins with a field name or white space, a quoted-printable line
// never with "." (QpWriter), and fixed text that has such a line is not sent as 7bit (EncodingFor).
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

absl::Status MessageTemplate::Compose(const Recipient& recipient, ComposedMessage* out) const {
  ComposedMessage::State& state = *out->state_;
  state.buffers.message.Clear();
  state.pieces = {};
  bool recipient_needs_smtputf8 = false;
  absl::Status status = CheckRecipient(recipient, program_->column_count, &state.buffers.value,
                                       &recipient_needs_smtputf8);
  state.needs_smtputf8 = recipient_needs_smtputf8 || program_->needs_smtputf8;
  if (status.ok()) status = program_->Run(recipient, &state.buffers);
  if (!status.ok()) {
    state.buffers.message.Clear();
    return status;
  }
  state.pieces = state.buffers.message.Pieces(&state.iovecs);
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
      case StepKind::kBody:
        status = composer.Body(bodies[step.index]);
        break;
    }
  }
  return status;
}

}  // namespace volley::engine::message
