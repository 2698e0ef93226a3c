// The body of a message: MIME structure, the encoding of each part, files.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "engine/message/base64.h"
#include "engine/message/content_facts.h"
#include "engine/message/html_text.h"
#include "engine/message/message_compiler.h"
#include "engine/message/mime.h"
#include "engine/message/part_file.h"
#include "engine/message/utf8.h"

namespace volley::engine::message {
namespace {

absl::Status Bad(const std::string& text) { return absl::InvalidArgumentError(text); }

// The id's left side: letters of the name, so that people recognise it, behind a number that makes
// it unique.
std::string ContentId(size_t number, std::string_view name, std::string_view key,
                      std::string_view domain) {
  constexpr size_t kMaxNameBytes = 40;
  std::string letters;
  for (const char c : name.substr(0, kMaxNameBytes)) {
    const bool alnum = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (alnum) letters.push_back(c);
  }
  return fmt::format("{}.{}.{}@{}", number, letters.empty() ? "part" : letters, key, domain);
}

bool IsBlank(std::string_view text) { return text.find_first_not_of(" \t\r\n") == text.npos; }

}  // namespace

absl::Status MessageCompiler::MakeTextFromHtml() {
  text_ = spec_.text;
  text_partials_ = spec_.partials;
  if (text_.has_value() || !spec_.html.has_value() || !spec_.text_from_html) {
    return absl::OkStatus();
  }
  // Its own mistakes are shown where the author made them.
  const absl::StatusOr<Template> html = Compile(spec_.html->name, spec_.html->text, spec_.partials);
  if (!html.ok()) return html.status();
  std::string text = HtmlToText(spec_.html->text);
  if (IsBlank(text)) return absl::OkStatus();
  text_ = {spec_.html->name + " as text", std::move(text)};
  if (spec_.partials) {
    text_partials_ = [this](std::string_view name) {
      std::optional<std::string> partial = spec_.partials(name);
      if (partial.has_value()) partial = HtmlToText(*partial);
      return partial;
    };
  }
  const absl::StatusOr<Template> made = Compile(text_->name, text_->text, text_partials_);
  if (made.ok()) return absl::OkStatus();
  return In("the text made of the html (a text template of its own mends it)", made.status());
}

absl::Status MessageCompiler::CheckFile(const char* what, const PartFile& file) const {
  if (absl::Status status = CheckPartFile(ViewOf(file)); !status.ok()) {
    return In(fmt::format("{} {}", what, Quoted(file.name)), status);
  }
  if (Base64LinesBytes(file.bytes.size()) <= spec_.message_bytes_max) return absl::OkStatus();
  return Bad(fmt::format("{} {} has {} bytes, {} as it is sent; a message may have {}", what,
                         Quoted(file.name), file.bytes.size(), Base64LinesBytes(file.bytes.size()),
                         spec_.message_bytes_max));
}

absl::Status MessageCompiler::NameInlineParts() {
  for (const PartFile& file : spec_.inline_parts) {
    if (absl::Status status = CheckFile("inline part", file); !status.ok()) return status;
    for (const CidTarget& other : inline_) {
      if (other.name == file.name) {
        return Bad(fmt::format("two inline parts are called {}", Quoted(file.name)));
      }
    }
    inline_.push_back(
        {file.name, ContentId(inline_.size() + 1, file.name, spec_.message_id_key, domain_)});
  }
  if (inline_.empty() || spec_.html.has_value()) return absl::OkStatus();
  return Bad(fmt::format("inline part {} needs an html template that shows it",
                         Quoted(inline_.front().name)));
}

absl::Status MessageCompiler::AddBody() {
  for (const PartFile& file : spec_.attachments) {
    if (absl::Status status = CheckFile("attachment", file); !status.ok()) return status;
  }
  if (absl::Status status = NameInlineParts(); !status.ok()) return status;
  if (absl::Status status = MakeTextFromHtml(); !status.ok()) return status;
  fixed_ += "MIME-Version: 1.0\r\n";
  const bool mixed = for_files_ || !spec_.attachments.empty();
  if (absl::Status s = mixed ? AddMixed() : AddAlternative(); !s.ok()) return s;
  if (multiparts_ > 0) fixed_ += "\r\n";
  return absl::OkStatus();
}

absl::Status MessageCompiler::AddMixed() {
  const std::string boundary = OpenMultipart("mixed");
  if (absl::Status status = AddAlternative(); !status.ok()) return status;
  for (const PartFile& file : spec_.attachments) {
    NextPart(boundary);
    AddFile(file, Disposition::kAttachment, "");
  }
  if (spec_.recipient_attachments) {
    program_->files_boundary = boundary;
    AddStep(StepKind::kFiles, 0);
  }
  CloseMultipart(boundary);
  return absl::OkStatus();
}

// RFC 2046 §5.1.4: the plainest first, and readers show the last they know. AMP stands before HTML
// all the same: there are readers that look at the first and the last part only.
absl::Status MessageCompiler::AddAlternative() {
  const bool parts[] = {text_.has_value(), spec_.amp.has_value(), spec_.html.has_value()};
  program_->facts.has_text = parts[0];
  program_->facts.has_amp = parts[1];
  program_->facts.has_html = parts[2];
  if (std::count(std::begin(parts), std::end(parts), true) == 1) {
    return parts[0] ? AddText(PartType::kPlain, *text_, text_partials_) : AddRelated();
  }
  const std::string boundary = OpenMultipart("alternative");
  bool first = true;
  auto next = [&] {
    if (!std::exchange(first, false)) NextPart(boundary);
  };
  if (text_.has_value()) {
    next();
    if (absl::Status s = AddText(PartType::kPlain, *text_, text_partials_); !s.ok()) return s;
  }
  if (spec_.amp.has_value()) {
    next();
    if (absl::Status s = AddText(PartType::kAmp, *spec_.amp, spec_.partials); !s.ok()) return s;
  }
  if (spec_.html.has_value()) {
    next();
    if (absl::Status s = AddRelated(); !s.ok()) return s;
  }
  CloseMultipart(boundary);
  return absl::OkStatus();
}

absl::Status MessageCompiler::AddRelated() {
  if (inline_.empty()) return AddHtml();
  // RFC 2387 §3.1: the type of the root.
  const std::string boundary = OpenMultipart("related; type=\"text/html\"");
  if (absl::Status status = AddHtml(); !status.ok()) return status;
  for (size_t i = 0; i < inline_.size(); ++i) {
    NextPart(boundary);
    AddFile(spec_.inline_parts[i], Disposition::kInline, "<" + inline_[i].content_id + ">");
  }
  CloseMultipart(boundary);
  return absl::OkStatus();
}

absl::Status MessageCompiler::AddHtml() {
  absl::StatusOr<Template> compiled = CompileHtml(*spec_.html, inline_);
  if (!compiled.ok()) return compiled.status();
  for (const CidTarget& target : inline_) {
    if (target.used) continue;
    return Bad(fmt::format("{}: inline part {} is shown nowhere: no cid:{} in it", spec_.html->name,
                           Quoted(target.name), target.name));
  }
  const std::string skeleton = Skeleton(*compiled);
  program_->facts.links = CountHtmlLinks(skeleton);
  program_->facts.images = CountImages(skeleton);
  for (std::string& literal : compiled->literals) literal = RewriteCids(literal, inline_);
  AddCompiled(PartType::kHtml, *std::move(compiled));
  return absl::OkStatus();
}

absl::StatusOr<Template> MessageCompiler::CompileHtml(const TemplateSource& source,
                                                      std::span<CidTarget> targets) {
  absl::Status cids = FindCids(source.name, source.text, targets);
  PartialLoader partials = nullptr;
  if (spec_.partials) {
    partials = [this, &cids, targets](std::string_view name) {
      std::optional<std::string> partial = spec_.partials(name);
      if (partial.has_value() && cids.ok()) cids = FindCids(name, *partial, targets);
      return partial;
    };
  }
  absl::StatusOr<Template> compiled = Compile(source.name, source.text, partials);
  if (compiled.ok() && !cids.ok()) return cids;
  return compiled;
}

absl::Status MessageCompiler::AddText(PartType type, const TemplateSource& source,
                                      const PartialLoader& partials) {
  // AMP stands outside the multipart/related and may not show its images.
  absl::StatusOr<Template> compiled = type == PartType::kAmp
                                          ? CompileHtml(source, {})
                                          : Compile(source.name, source.text, partials);
  if (!compiled.ok()) return compiled.status();
  if (type == PartType::kPlain && !spec_.html.has_value()) {
    program_->facts.links = CountTextLinks(Skeleton(*compiled));
  }
  AddCompiled(type, *std::move(compiled));
  return absl::OkStatus();
}

void MessageCompiler::AddCompiled(PartType type, Template compiled) {
  if (compiled.is_static()) {
    AddFixedText(type, WithCrlf(StaticText(compiled)));
  } else {
    AddVariableText(type, std::move(compiled));
  }
}

void MessageCompiler::AddFixedText(PartType type, std::string_view text) {
  const bool last = multiparts_ == 0;
  PartEncoding encoding = PartEncoding::kSevenBit;
  std::string encoded(text);
  if (!IsSevenBit(text)) {
    encoding = PartEncoding::kQuotedPrintable;
    encoded = EncodeQuotedPrintable(text);
    if (Base64LinesBytes(text.size()) < encoded.size()) {
      encoding = PartEncoding::kBase64;
      encoded.resize(Base64LinesBytes(text.size()));
      WriteBase64Lines(text, encoded.data());
    }
  }
  fixed_ += PartHeaders(type, encoding);
  EndPartHeaders();
  fixed_ += encoded;
  if (last && !encoded.empty() && !encoded.ends_with("\r\n")) fixed_ += "\r\n";
}

void MessageCompiler::AddVariableText(PartType type, Template compiled) {
  BodyPart part;
  part.escape = type == PartType::kPlain ? TextEscape::kNone : TextEscape::kHtml;
  part.last_in_message = multiparts_ == 0;
  size_t bytes = 0;
  size_t encoded_bytes = 0;
  for (const std::string& literal : compiled.literals) {
    part.quoted_printable.push_back(QpLiteral::Encode(literal));
    bytes += literal.size();
    encoded_bytes += part.quoted_printable.back().bytes.size();
  }
  if (Base64LinesBytes(bytes) < encoded_bytes) {
    part.encoding = PartEncoding::kBase64;
    part.quoted_printable.clear();
    for (const std::string& literal : compiled.literals) {
      part.base64.push_back(Base64Literal::Encode(literal));
    }
  }
  fixed_ += PartHeaders(type, part.encoding);
  EndPartHeaders();
  part.value = std::move(compiled);
  AddStep(StepKind::kText, program_->bodies.size());
  program_->bodies.push_back(std::move(part));
}

void MessageCompiler::AddFile(const PartFile& file, Disposition disposition,
                              std::string_view content_id) {
  AppendPartFileHeaders(ViewOf(file), disposition, content_id, &fixed_);
  EndPartHeaders();
  const size_t before = fixed_.size();
  fixed_.resize(before + Base64LinesBytes(file.bytes.size()));
  WriteBase64Lines(file.bytes, fixed_.data() + before);
}

std::string MessageCompiler::OpenMultipart(std::string_view subtype_and_parameters) {
  std::string boundary = MakeBoundary(spec_.boundary_seed, multiparts_++);
  fixed_ += fmt::format("Content-Type: multipart/{};\r\n boundary=\"{}\"\r\n",
                        subtype_and_parameters, boundary);
  EndPartHeaders();
  fixed_ += fmt::format("--{}\r\n", boundary);
  return boundary;
}

// RFC 2046 §5.1.1: the CRLF before a boundary belongs to the boundary.
void MessageCompiler::NextPart(std::string_view boundary) {
  fixed_ += fmt::format("\r\n--{}\r\n", boundary);
}

void MessageCompiler::CloseMultipart(std::string_view boundary) {
  fixed_ += fmt::format("\r\n--{}--", boundary);
}

// The outermost part's headers are the message's: behind them its body begins.
void MessageCompiler::EndPartHeaders() {
  if (!std::exchange(body_begun_, true)) AddStep(StepKind::kBeginBody, 0);
  fixed_ += "\r\n";
}

absl::Status MessageCompiler::Measure() {
  uint64_t bytes = 0;
  for (const std::string& fixed : program_->fixed) bytes += fixed.size();
  for (const BodyPart& part : program_->bodies) {
    for (const QpLiteral& literal : part.quoted_printable) bytes += literal.bytes.size();
    for (const Base64Literal& literal : part.base64) bytes += Base64LinesBytes(literal.text.size());
  }
  program_->facts.fixed_bytes = bytes;
  if (bytes <= spec_.message_bytes_max) return absl::OkStatus();
  return Bad(
      fmt::format("the message has at least {} bytes; at most {}", bytes, spec_.message_bytes_max));
}

}  // namespace volley::engine::message
