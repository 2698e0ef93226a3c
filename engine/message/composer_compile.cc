// MessageSpec to Program, the headers: checks everything that can be checked once, encodes
// everything that is the same for all copies. The body: composer_compile_body.cc.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>

#include "engine/message/address.h"
#include "engine/message/composer.h"
#include "engine/message/composer_program.h"
#include "engine/message/message_compiler.h"
#include "engine/message/utf8.h"

namespace volley::engine::message {
namespace {

absl::Status Bad(const std::string& text) { return absl::InvalidArgumentError(text); }

std::string Lower(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c | 0x20);
  }
  return lower;
}

// Fields that volley writes itself, that belong to the transport, or that would reveal or add
// recipients. Lower case; a name that ends in '-' stands for all that begin so.
constexpr std::array<std::string_view, 17> kOwnFields = {"date",
                                                         "from",
                                                         "to",
                                                         "reply-to",
                                                         "subject",
                                                         "message-id",
                                                         "cc",
                                                         "bcc",
                                                         "mime-version",
                                                         "content-",
                                                         "return-path",
                                                         "received",
                                                         "resent-",
                                                         "delivered-to",
                                                         "dkim-signature",
                                                         "arc-",
                                                         "authentication-results"};

bool IsOwnField(std::string_view lower) {
  return std::any_of(kOwnFields.begin(), kOwnFields.end(), [lower](std::string_view own) {
    return own.ends_with('-') ? lower.starts_with(own) : lower == own;
  });
}

// Fields with a grammar in which an encoded word would be taken literally.
FieldSyntax SyntaxOf(std::string_view lower) {
  constexpr std::array<std::string_view, 6> kStructured = {
      "sender", "references", "in-reply-to", "auto-submitted", "precedence", "feedback-id"};
  const bool structured =
      lower.starts_with("list-") ||
      std::find(kStructured.begin(), kStructured.end(), lower) != kStructured.end();
  return structured ? FieldSyntax::kStructured : FieldSyntax::kUnstructured;
}

}  // namespace

absl::Status In(std::string_view place, const absl::Status& status) {
  const std::string message(status.message().data(), status.message().size());
  return Bad(fmt::format("{}: {}", place, message));
}

std::string StaticText(const Template& compiled) {
  std::string text;
  for (const TemplateOp& op : compiled.bodies[0]) text += compiled.literals[op.arg];
  return text;
}

void MessageCompiler::FlushFixed() {
  if (fixed_.empty()) return;
  program_->steps.push_back({StepKind::kFixed, program_->fixed.size()});
  program_->fixed.push_back(std::exchange(fixed_, {}));
}

absl::Status MessageCompiler::CheckSpec() const {
  if (spec_.text || spec_.html) return absl::OkStatus();
  return Bad(spec_.amp ? "an AMP part needs a text or an html template beside it"
                       : "a message needs a text or an html template");
}

absl::Status MessageCompiler::Run() {
  if (absl::Status status = CheckSpec(); !status.ok()) return status;
  program_->column_count = columns_.size();
  if (absl::Status status = AddSender(); !status.ok()) return status;
  if (absl::Status status = AddTo(); !status.ok()) return status;
  AddStep(StepKind::kMessageId, 0);
  if (absl::Status s = AddField("Subject", spec_.subject, FieldSyntax::kUnstructured); !s.ok()) {
    return s;
  }
  if (absl::Status status = AddFurtherFields(); !status.ok()) return status;
  if (absl::Status status = AddBody(); !status.ok()) return status;
  FlushFixed();
  program_->message_bytes_max = spec_.message_bytes_max;
  return Measure();
}

absl::Status MessageCompiler::AddSender() {
  const absl::StatusOr<std::string> date = FormatDate(spec_.date, spec_.time_zone);
  if (!date.ok()) return date.status();
  fixed_ += "Date: " + *date + "\r\n";
  const absl::StatusOr<HeaderMailbox> from = ParseHeaderMailbox(spec_.from);
  if (!from.ok()) return In(fmt::format("from {}", Quoted(spec_.from)), from.status());
  program_->needs_smtputf8 = from->needs_smtputf8;
  absl::Status status = AppendMailboxField("From", from->display_name, from->address, &fixed_);
  if (!status.ok()) return In("from", status);
  if (!spec_.reply_to.empty()) {
    const absl::StatusOr<HeaderMailbox> reply = ParseHeaderMailbox(spec_.reply_to);
    if (!reply.ok()) return In(fmt::format("reply-to {}", Quoted(spec_.reply_to)), reply.status());
    program_->needs_smtputf8 = program_->needs_smtputf8 || reply->needs_smtputf8;
    status = AppendMailboxField("Reply-To", reply->display_name, reply->address, &fixed_);
    if (!status.ok()) return In("reply-to", status);
  }
  return SetMessageId(from->address);
}

absl::Status MessageCompiler::SetMessageId(std::string_view from_address) {
  constexpr size_t kMaxKeyBytes = 64;
  const std::string& key = spec_.message_id_key;
  const bool alnum = std::all_of(key.begin(), key.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
  });
  if (key.empty() || key.size() > kMaxKeyBytes || !alnum) {
    return Bad(
        fmt::format("the message id key {} must be 1 to 64 letters and digits", Quoted(key)));
  }
  domain_ = from_address.substr(from_address.rfind('@') + 1);
  if (!spec_.message_id_domain.empty()) {
    std::string address;
    const AddressOptions options{.require_dot = false, .trim_white_space = false};
    const auto info = AppendCanonicalAddress("x@" + spec_.message_id_domain, options, &address);
    if (!info.ok()) return In("message id domain", info.status());
    domain_ = address.substr(2);
  }
  program_->message_id_prefix = "Message-ID: <" + key + ".";
  program_->message_id_suffix = "@" + domain_ + ">\r\n";
  return absl::OkStatus();
}

absl::Status MessageCompiler::AddTo() {
  if (spec_.to_name.has_value()) {
    absl::StatusOr<Template> name = CompileHeader(*spec_.to_name);
    if (!name.ok()) return name.status();
    program_->to_name = *std::move(name);
  }
  AddStep(StepKind::kTo, 0);
  return absl::OkStatus();
}

absl::Status MessageCompiler::AddFurtherFields() {
  std::set<std::string> seen;
  for (const auto& [name, source] : spec_.headers) {
    if (!IsHeaderName(name)) {
      return Bad(fmt::format("{} is no header name: printable ASCII without ':', at most 64 bytes",
                             Quoted(name)));
    }
    const std::string lower = Lower(name);
    if (IsOwnField(lower)) {
      return Bad(
          fmt::format("the header {} may not be set by hand: volley writes it, or no message "
                      "to a list may have it",
                      name));
    }
    if (!seen.insert(lower).second) return Bad(fmt::format("the header {} is there twice", name));
    if (absl::Status s = AddField(name, source, SyntaxOf(lower)); !s.ok()) return s;
  }
  return absl::OkStatus();
}

absl::Status MessageCompiler::AddField(std::string_view name, const TemplateSource& source,
                                       FieldSyntax syntax) {
  absl::StatusOr<Template> value = CompileHeader(source);
  if (!value.ok()) return value.status();
  if (value->is_static()) {
    const std::string text = StaticText(*value);
    if (absl::Status status = AppendField(name, text, syntax, &fixed_); !status.ok()) {
      return In(source.name, status);
    }
    return absl::OkStatus();
  }
  AddStep(StepKind::kField, program_->fields.size());
  program_->fields.push_back({std::string(name), syntax, *std::move(value)});
  return absl::OkStatus();
}

absl::StatusOr<Template> MessageCompiler::CompileHeader(const TemplateSource& source) {
  std::string_view text = source.text;
  while (text.ends_with('\n') || text.ends_with('\r')) text.remove_suffix(1);  // a file's last line
  absl::StatusOr<Template> compiled = Compile(source.name, text, spec_.partials);
  if (!compiled.ok()) return compiled;
  std::vector<std::string_view> fixed(compiled->literals.begin(), compiled->literals.end());
  fixed.insert(fixed.end(), compiled->fallbacks.begin(), compiled->fallbacks.end());
  for (const std::string_view part : fixed) {
    if (FindForbiddenInHeader(part) == part.npos) continue;
    return Bad(fmt::format("{}: a line break or control character in {}; a header is one line",
                           source.name, Quoted(part)));
  }
  return compiled;
}

absl::StatusOr<Template> MessageCompiler::Compile(std::string_view name, std::string_view text,
                                                  const PartialLoader& partials) {
  const TemplateOptions options{.columns = columns_, .partials = partials};
  absl::StatusOr<Template> compiled = Template::Compile(name, text, options);
  if (compiled.ok()) NoteRequired(*compiled);
  return compiled;
}

void MessageCompiler::NoteRequired(const Template& compiled) {
  for (const Template::Required& required : compiled.required) {
    const auto same = [&required](const MessageTemplate::RequiredColumn& known) {
      return known.column == required.column;
    };
    if (std::any_of(program_->required.begin(), program_->required.end(), same)) continue;
    program_->required.push_back(
        {required.column, fmt::format("{{{{{}}}}} in {} line {}", columns_[required.column],
                                      compiled.sources[required.at.source], required.at.line)});
  }
}

absl::StatusOr<MessageTemplate> MessageTemplate::Compile(const MessageSpec& spec,
                                                         std::span<const std::string> columns) {
  auto program = std::make_unique<Program>();
  const bool always_mixed = !spec.attachments.empty();
  absl::Status status = MessageCompiler(spec, columns, false, program.get()).Run();
  if (status.ok() && spec.recipient_attachments && !always_mixed) {
    program->with_files = std::make_unique<Program>();
    status = MessageCompiler(spec, columns, true, program->with_files.get()).Run();
  }
  if (!status.ok()) return status;
  return MessageTemplate(std::move(program));
}

}  // namespace volley::engine::message
