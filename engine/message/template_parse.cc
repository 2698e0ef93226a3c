// Text to operations: tags, standalone lines, partials.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "engine/message/template.h"
#include "engine/message/utf8.h"

namespace volley::engine::message {
namespace {

constexpr std::string_view kSpace = " \t\r\n";

std::string_view Trim(std::string_view text) {
  const size_t begin = text.find_first_not_of(kSpace);
  if (begin == text.npos) return {};
  return text.substr(begin, text.find_last_not_of(kSpace) - begin + 1);
}

// Every line of a partial gets the white space that stood before its tag (spec: partials,
// "Standalone Indentation").
std::string Indented(std::string_view text, std::string_view indent) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const size_t newline = text.find('\n', at);
    const size_t end = newline == text.npos ? text.size() : newline + 1;
    out.append(indent);
    out.append(text.substr(at, end - at));
    at = end;
  }
  return out;
}

// Partials still to be parsed; each (name, indentation) is one body.
struct PartialInstance {
  std::string name;
  std::string indent;
  uint32_t body;
  TemplatePosition used_at;
};

class Compiler {
 public:
  Compiler(const TemplateOptions& options, Template* out) : options_(options), out_(out) {}

  absl::Status Run(std::string_view name, std::string_view text);

  // The operation that includes the partial; the body is parsed later.
  TemplateOp Include(std::string_view name, std::string_view indent, TemplatePosition at);
  absl::Status Fail(const TemplatePosition& at, std::string_view what) const {
    return absl::InvalidArgumentError(fmt::format("{}: {}", out_->Where(at), what));
  }
  uint32_t AddName(std::string_view text);
  uint32_t AddLiteral(std::string text) {
    out_->literals.push_back(std::move(text));
    return static_cast<uint32_t>(out_->literals.size() - 1);
  }
  int32_t AddFallback(std::string_view text) {
    out_->fallbacks.emplace_back(text);
    return static_cast<int32_t>(out_->fallbacks.size() - 1);
  }

 private:
  absl::Status ParseInto(uint32_t body, std::string_view name, std::string_view text,
                         std::string_view indent);
  absl::Status ParsePartial(const PartialInstance& instance);

  const TemplateOptions& options_;
  Template* out_;
  std::vector<PartialInstance> pending_;
  absl::flat_hash_map<std::string, uint32_t> instances_;
};

struct Tag {
  char sigil = 0;            // 0: plain variable; '{' for the triple
  std::string_view content;  // trimmed, without sigil
  size_t begin = 0;          // of the opening delimiter
  size_t end = 0;            // after the closing delimiter
  TemplatePosition at;
};

// Parses one source into one body.
class Parser {
 public:
  Parser(Compiler* compiler, std::string_view text, uint32_t source, size_t indent_bytes)
      : compiler_(compiler), text_(text), indent_bytes_(indent_bytes) {
    at_.source = source;
  }

  absl::Status Run(std::vector<TemplateOp>* ops);

 private:
  struct OpenSection {
    size_t op;
    std::string_view name;
  };

  absl::Status ReadTag(size_t begin, Tag* tag);
  absl::Status CheckContent(const Tag& tag) const;
  absl::Status HandleTag(const Tag& tag, std::string_view indent);
  absl::Status SetDelimiters(const Tag& tag);
  absl::Status Unclosed(const Tag& tag, std::string_view closing) const;
  absl::Status Open(const Tag& tag);
  absl::Status Close(const Tag& tag);
  absl::Status Value(const Tag& tag);
  std::string_view TakeStandalone(const Tag& tag, size_t text_begin);
  TemplatePosition PositionOf(size_t offset);
  void Flush();

  Compiler* compiler_;
  std::string_view text_;
  size_t indent_bytes_;
  std::string open_ = "{{";
  std::string close_ = "}}";
  std::vector<TemplateOp>* ops_ = nullptr;
  std::vector<OpenSection> sections_;
  std::string static_text_;  // not yet an operation
  size_t next_ = 0;          // first byte not yet consumed
  TemplatePosition at_;      // of offset counted_
  size_t counted_ = 0;
};

TemplatePosition Parser::PositionOf(size_t offset) {
  for (; counted_ < offset; ++counted_) {
    if (text_[counted_] == '\n') {
      ++at_.line;
      at_.column = 1;
    } else if ((text_[counted_] & 0xC0) != 0x80) {
      ++at_.column;
    }
  }
  TemplatePosition shown = at_;
  if (shown.column > indent_bytes_) shown.column -= static_cast<uint32_t>(indent_bytes_);
  return shown;
}

void Parser::Flush() {
  if (static_text_.empty()) return;
  TemplateOp op;
  op.kind = OpKind::kLiteral;
  op.arg = compiler_->AddLiteral(std::exchange(static_text_, {}));
  ops_->push_back(op);
}

absl::Status Parser::Run(std::vector<TemplateOp>* ops) {
  ops_ = ops;
  while (true) {
    const size_t begin = text_.find(open_, next_);
    if (begin == text_.npos) break;
    Tag tag;
    if (absl::Status status = ReadTag(begin, &tag); !status.ok()) return status;
    const std::string_view indent = TakeStandalone(tag, next_);
    if (absl::Status status = HandleTag(tag, indent); !status.ok()) return status;
  }
  static_text_.append(text_.substr(next_));
  Flush();
  if (!sections_.empty()) {
    const OpenSection& open = sections_.back();
    return compiler_->Fail(
        (*ops_)[open.op].at,
        fmt::format("the section {0} is never closed: add {{{{/{0}}}}}", open.name));
  }
  return absl::OkStatus();
}

absl::Status Parser::ReadTag(size_t begin, Tag* tag) {
  tag->begin = begin;
  tag->at = PositionOf(begin);
  size_t at = begin + open_.size();
  while (at < text_.size() && kSpace.find(text_[at]) != kSpace.npos) ++at;
  std::string closing = close_;
  if (at < text_.size() && std::string_view("!#^/>&{=").find(text_[at]) != std::string_view::npos) {
    tag->sigil = text_[at++];
    if (tag->sigil == '{') closing.insert(0, "}");
    if (tag->sigil == '=') closing.insert(0, "=");
  }
  const size_t close = text_.find(closing, at);
  if (close == text_.npos) return Unclosed(*tag, closing);
  tag->content = Trim(text_.substr(at, close - at));
  tag->end = close + closing.size();
  return CheckContent(*tag);
}

absl::Status Parser::CheckContent(const Tag& tag) const {
  if (tag.sigil == '!' || tag.sigil == '=') return absl::OkStatus();
  if (tag.content.empty()) return compiler_->Fail(tag.at, "a tag without a name");
  // The closing delimiter that was found belongs to another tag.
  if (tag.content.find(open_) != tag.content.npos || tag.content.find('\n') != tag.content.npos) {
    return Unclosed(tag, close_);
  }
  return absl::OkStatus();
}

// Shows the tag as far as its line goes: people look for what they wrote.
absl::Status Parser::Unclosed(const Tag& tag, std::string_view closing) const {
  constexpr size_t kShownBytes = 40;
  const size_t line_end = std::min(text_.find_first_of("\r\n", tag.begin), text_.size());
  std::string_view shown = text_.substr(tag.begin, std::min(line_end - tag.begin, kShownBytes));
  shown = shown.substr(0, ValidUtf8Prefix(shown));  // the cut may be inside a character
  return compiler_->Fail(tag.at, fmt::format("no {} after \"{}\"", closing, shown));
}

// Moves the text before the tag to the static text. A tag that renders nothing and stands alone on
// its line takes the line with it; the white space before it is returned (a partial's indentation).
std::string_view Parser::TakeStandalone(const Tag& tag, size_t text_begin) {
  next_ = tag.end;
  size_t line = tag.begin;
  while (line > text_begin && (text_[line - 1] == ' ' || text_[line - 1] == '\t')) --line;
  size_t after = tag.end;
  while (after < text_.size() && (text_[after] == ' ' || text_[after] == '\t')) ++after;
  const bool eligible = std::string_view("!#^/>=").find(tag.sigil) != std::string_view::npos;
  const bool begins_line = line == 0 || text_[line - 1] == '\n';
  const bool crlf = text_.substr(after, 2) == "\r\n";
  const bool ends_line = after == text_.size() || text_[after] == '\n' || crlf;
  if (!eligible || tag.sigil == 0 || !begins_line || !ends_line) {
    static_text_.append(text_.substr(text_begin, tag.begin - text_begin));
    return {};
  }
  static_text_.append(text_.substr(text_begin, line - text_begin));
  next_ = after == text_.size() ? after : after + (crlf ? 2 : 1);
  return text_.substr(line, tag.begin - line);
}

absl::Status Parser::HandleTag(const Tag& tag, std::string_view indent) {
  switch (tag.sigil) {
    case '!':
      return absl::OkStatus();
    case '=':
      return SetDelimiters(tag);
    case '#':
    case '^':
      return Open(tag);
    case '/':
      return Close(tag);
    case '>':
      Flush();
      ops_->push_back(compiler_->Include(tag.content, indent, tag.at));
      return absl::OkStatus();
    default:
      return Value(tag);
  }
}

absl::Status Parser::SetDelimiters(const Tag& tag) {
  const size_t gap = tag.content.find_first_of(kSpace);
  const std::string_view open = tag.content.substr(0, gap);
  const std::string_view close = gap == tag.content.npos ? "" : Trim(tag.content.substr(gap));
  auto wrong = [](std::string_view d) {
    return d.empty() || d.find('=') != d.npos || d.find_first_of(kSpace) != d.npos;
  };
  if (wrong(open) || wrong(close)) {
    return compiler_->Fail(tag.at, "delimiters are set as {{=<% %>=}}: two words without '='");
  }
  open_ = open;
  close_ = close;
  return absl::OkStatus();
}

absl::Status Parser::Open(const Tag& tag) {
  if (sections_.size() == kMaxSectionDepth) {
    return compiler_->Fail(tag.at,
                           fmt::format("sections nested more than {} deep", kMaxSectionDepth));
  }
  Flush();
  sections_.push_back({ops_->size(), tag.content});
  TemplateOp op;
  op.kind = tag.sigil == '#' ? OpKind::kSection : OpKind::kInvertedSection;
  op.arg = compiler_->AddName(tag.content);
  op.at = tag.at;
  ops_->push_back(op);
  return absl::OkStatus();
}

absl::Status Parser::Close(const Tag& tag) {
  if (sections_.empty()) {
    return compiler_->Fail(tag.at, fmt::format("{{{{/{}}}}} closes nothing", tag.content));
  }
  const OpenSection open = sections_.back();
  TemplateOp& op = (*ops_)[open.op];
  if (open.name != tag.content) {
    return compiler_->Fail(tag.at,
                           fmt::format("{{{{/{}}}}} where {{{{/{}}}}} must come first: that "
                                       "section was opened in line {}",
                                       tag.content, open.name, op.at.line));
  }
  Flush();
  (*ops_)[open.op].end = static_cast<uint32_t>(ops_->size());
  sections_.pop_back();
  return absl::OkStatus();
}

absl::Status Parser::Value(const Tag& tag) {
  Flush();
  TemplateOp op;
  op.kind = OpKind::kValue;
  op.escape = tag.sigil == 0;
  op.at = tag.at;
  std::string_view name = tag.content;
  if (const size_t bar = name.find('|'); bar != name.npos) {
    op.fallback = compiler_->AddFallback(Trim(name.substr(bar + 1)));
    name = Trim(name.substr(0, bar));
    if (name.empty()) return compiler_->Fail(tag.at, "no name before '|'");
  }
  op.arg = compiler_->AddName(name);
  ops_->push_back(op);
  return absl::OkStatus();
}

uint32_t Compiler::AddName(std::string_view text) {
  TemplateName name;
  name.text = text;
  auto column_of = [this](std::string_view wanted) -> int32_t {
    for (size_t i = 0; i < options_.columns.size(); ++i) {
      if (options_.columns[i] == wanted) return static_cast<int32_t>(i);
    }
    return -1;
  };
  if (text != ".") {
    for (size_t at = 0; at <= text.size();) {
      const size_t dot = std::min(text.find('.', at), text.size());
      name.parts.emplace_back(Trim(text.substr(at, dot - at)));
      at = dot + 1;
    }
    name.column = column_of(name.parts[0]);
    // A list's column may have a dot in its own name. The specification does not know such names,
    // so this is where strict mode would otherwise refuse.
    if (const int32_t whole = column_of(text); options_.strict && name.column < 0 && whole >= 0) {
      name.parts.assign(1, std::string(text));
      name.column = whole;
    }
  }
  out_->names.push_back(std::move(name));
  return static_cast<uint32_t>(out_->names.size() - 1);
}

TemplateOp Compiler::Include(std::string_view name, std::string_view indent, TemplatePosition at) {
  TemplateOp op;
  op.at = at;
  const auto next = static_cast<uint32_t>(out_->bodies.size());
  std::string key = fmt::format("{}\n{}", name, indent);
  if (const auto known = instances_.find(key); known != instances_.end()) {
    op.kind = OpKind::kPartial;
    op.arg = known->second;
  } else if (next > kMaxPartialInstances) {
    op.kind = OpKind::kTooDeep;
  } else {
    op.kind = OpKind::kPartial;
    op.arg = next;
    instances_.emplace(std::move(key), next);
    out_->bodies.emplace_back();
    pending_.push_back({std::string(name), std::string(indent), next, at});
  }
  return op;
}

absl::Status Compiler::ParseInto(uint32_t body, std::string_view name, std::string_view text,
                                 std::string_view indent) {
  const auto source = static_cast<uint32_t>(out_->sources.size());
  out_->sources.emplace_back(name);
  if (text.substr(0, 3) == "\xEF\xBB\xBF") text.remove_prefix(3);  // a byte-order mark
  const TemplatePosition start{source, 1, 1};
  if (text.size() > kMaxTemplateBytes) return Fail(start, "the template is over 8 MiB");
  if (const size_t valid = ValidUtf8Prefix(text); valid != text.size()) {
    const auto lines = std::count(text.begin(), text.begin() + static_cast<ptrdiff_t>(valid), '\n');
    const TemplatePosition at{source, static_cast<uint32_t>(lines + 1), 1};
    return Fail(at, "this line is not UTF-8: save the template as UTF-8");
  }
  if (text.find('\0') != text.npos) return Fail(start, "the template has a NUL byte");
  const std::string indented = indent.empty() ? std::string() : Indented(text, indent);
  Parser parser(this, indent.empty() ? text : indented, source, indent.size());
  // Parsing adds bodies, which may move the vector: not straight into out_->bodies[body].
  std::vector<TemplateOp> ops;
  absl::Status status = parser.Run(&ops);
  out_->bodies[body] = std::move(ops);
  return status;
}

absl::Status Compiler::ParsePartial(const PartialInstance& instance) {
  std::optional<std::string> text;
  if (options_.partials) text = options_.partials(instance.name);
  if (!text.has_value()) {
    if (!options_.strict) return absl::OkStatus();
    return Fail(instance.used_at, fmt::format("there is no partial {}", Quoted(instance.name)));
  }
  return ParseInto(instance.body, instance.name, *text, instance.indent);
}

absl::Status Compiler::Run(std::string_view name, std::string_view text) {
  out_->bodies.emplace_back();
  if (absl::Status status = ParseInto(0, name, text, ""); !status.ok()) return status;
  while (!pending_.empty()) {
    const PartialInstance next = std::move(pending_.back());
    pending_.pop_back();
    if (absl::Status status = ParsePartial(next); !status.ok()) return status;
  }
  return options_.strict ? CheckNames(options_.columns, out_) : absl::OkStatus();
}

}  // namespace

absl::StatusOr<Template> Template::Compile(std::string_view source_name, std::string_view text,
                                           const TemplateOptions& options) {
  Template compiled;
  if (absl::Status s = Compiler(options, &compiled).Run(source_name, text); !s.ok()) return s;
  return compiled;
}

std::string Template::Where(const TemplatePosition& at) const {
  return fmt::format("{}:{}:{}", sources[at.source], at.line, at.column);
}

bool Template::is_static() const {
  for (const TemplateOp& op : bodies[0]) {
    if (op.kind != OpKind::kLiteral) return false;
  }
  return true;
}

}  // namespace volley::engine::message
