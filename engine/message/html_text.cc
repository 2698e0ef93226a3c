#include "engine/message/html_text.h"

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "engine/message/html_text_flow.h"
#include "engine/message/utf8.h"

namespace volley::engine::message {
namespace {

bool IsSpace(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\f'; }
bool IsLetter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

char LowerByte(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; }

std::string Lower(std::string_view text) {
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(), LowerByte);
  return lower;
}

// `lower` is in lower case.
bool BeginsWith(std::string_view text, std::string_view lower) {
  return text.size() >= lower.size() &&
         std::equal(lower.begin(), lower.end(), text.begin(),
                    [](char a, char b) { return a == LowerByte(b); });
}

std::string_view Trim(std::string_view text) {
  while (!text.empty() && IsSpace(text.front())) text.remove_prefix(1);
  while (!text.empty() && IsSpace(text.back())) text.remove_suffix(1);
  return text;
}

template <size_t n>
bool IsOneOf(std::string_view name, const std::array<std::string_view, n>& names) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

constexpr std::array<std::string_view, 18> kParagraphs = {
    "p",  "h1", "h2",         "h3",  "h4",   "h5",       "h6",     "ul",      "ol",
    "dl", "hr", "blockquote", "pre", "form", "fieldset", "figure", "address", "menu"};
constexpr std::array<std::string_view, 22> kLines = {
    "div",   "section", "article", "header", "footer", "main",   "nav", "aside",
    "table", "tr",      "caption", "thead",  "tbody",  "tfoot",  "li",  "dt",
    "dd",    "body",    "html",    "center", "option", "details"};
// Elements whose content no reader shows as text.
constexpr std::array<std::string_view, 11> kDropped = {"script", "style",    "title",  "textarea",
                                                       "select", "iframe",   "object", "svg",
                                                       "math",   "template", "audio"};
constexpr std::array<std::string_view, 8> kVoid = {"img",  "br",   "hr",   "input",
                                                   "meta", "link", "area", "wbr"};

// A Mustache tag as it stands.
struct MustacheTag {
  std::string_view text;
  char sigil = 0;
  std::string_view content;  // behind the sigil, trimmed
  bool IsSection() const { return sigil == '#' || sigil == '^' || sigil == '/' || sigil == '='; }
};

// Finds tags, also behind a change of delimiters.
class MustacheReader {
 public:
  std::optional<MustacheTag> Read(std::string_view rest) {
    if (unclosed_ || !rest.starts_with(open_)) return std::nullopt;
    size_t at = open_.size();
    while (at < rest.size() && IsSpace(rest[at])) ++at;
    MustacheTag tag;
    std::string closing = close_;
    if (at < rest.size() && std::string_view("!#^/>&{=").find(rest[at]) != std::string_view::npos) {
      tag.sigil = rest[at++];
      if (tag.sigil == '{') closing.insert(0, "}");
      if (tag.sigil == '=') closing.insert(0, "=");
    }
    const size_t close = rest.find(closing, at);
    if (close == rest.npos) {
      unclosed_ = true;  // the template will not compile; do not look again for every "{{"
      return std::nullopt;
    }
    tag.content = Trim(rest.substr(at, close - at));
    tag.text = rest.substr(0, close + closing.size());
    if (tag.sigil == '=') SetDelimiters(tag.content);
    return tag;
  }

  std::string_view open() const { return open_; }

 private:
  void SetDelimiters(std::string_view content) {
    const size_t gap = content.find_first_of(" \t\r\n");
    if (content.empty() || gap == content.npos) return;
    open_ = content.substr(0, gap);
    close_ = Trim(content.substr(gap));
  }

  std::string open_ = "{{";
  std::string close_ = "}}";
  bool unclosed_ = false;
};

// The tags that sections need and that have no partner in `text`: they must stay when it goes.
std::vector<std::string_view> UnmatchedSections(std::string_view text, MustacheReader mustache) {
  std::vector<MustacheTag> open;
  std::vector<std::string_view> kept;
  for (size_t at = 0; at < text.size();) {
    const std::optional<MustacheTag> tag = mustache.Read(text.substr(at));
    if (!tag.has_value()) {
      ++at;
      continue;
    }
    at += tag->text.size();
    if (tag->sigil == '#' || tag->sigil == '^') {
      open.push_back(*tag);
    } else if (tag->sigil == '/' && !open.empty() && open.back().content == tag->content) {
      open.pop_back();
    } else if (tag->sigil == '/' || tag->sigil == '=') {
      kept.push_back(tag->text);
    }
  }
  for (const MustacheTag& tag : open) kept.push_back(tag.text);
  return kept;
}

// A start or end tag of HTML.
struct Element {
  std::string name;  // lower case
  bool end_tag = false;
  std::string_view attributes;  // raw
  size_t bytes = 0;             // of the whole tag
};

struct Attributes {
  std::string_view href, alt, style;
  bool hidden = false;
};

class HtmlReader {
 public:
  explicit HtmlReader(std::string_view html) : html_(html) {}

  std::string Run() {
    while (at_ < html_.size()) Step();
    CloseLink();
    if (html_.ends_with('\n')) flow_.Space();
    return flow_.Finish();
  }

 private:
  void Step();
  void Mustache(const MustacheTag& tag);
  void SeparateFromBrace();
  bool IsAlone(const MustacheTag& tag) const;
  void Markup();
  void Comment(std::string_view closing);
  Element ReadElement();
  Attributes ReadAttributes(std::string_view raw) const;
  void Start(const Element& element);
  void End(const Element& element);
  void List(int change);
  void DropUntilEnd(std::string_view name);
  void DropHead();
  void Hide(const Element& element);
  void Drop(size_t end);
  size_t FindTag(std::string_view beginning, size_t from) const;
  void OpenLink(std::string_view href);
  void CloseLink();
  void Text(std::string_view text);
  void Character(std::string_view character);
  void Literal(std::string_view bytes);
  std::string Plain(std::string_view text) const;

  std::string_view html_;
  size_t at_ = 0;
  MustacheReader mustache_;
  TextFlow flow_;
  char last_ = 0;  // last byte of literal text, to see a delimiter come together that was none
  size_t pre_ = 0;
  size_t list_depth_ = 0;
  bool head_unclosed_ = false;
  bool in_link_ = false;
  std::string href_;
  std::string link_text_;
};

void HtmlReader::Step() {
  const std::string_view rest = html_.substr(at_);
  if (const std::optional<MustacheTag> tag = mustache_.Read(rest)) return Mustache(*tag);
  const char c = rest.front();
  if (c == '<') return Markup();
  if (c == '&') {
    if (const std::optional<CharacterReference> reference = DecodeReference(rest)) {
      at_ += reference->bytes;
      return Character(reference->text);
    }
  }
  const size_t bytes = std::max<size_t>(DecodeUtf8(rest).bytes, 1);
  at_ += bytes;
  Character(rest.substr(0, bytes));
}

void HtmlReader::Mustache(const MustacheTag& tag) {
  const bool alone = tag.sigil == '>' && IsAlone(tag);
  at_ += tag.text.size();
  if (tag.sigil == '!') return;
  SeparateFromBrace();
  if (tag.IsSection()) return flow_.Section(tag.text);
  if (alone) return flow_.PartialLine(tag.text);
  flow_.Append(tag.text);
  if (in_link_) link_text_ += tag.text;
}

// "{" and a tag behind it would read as a tag of three braces.
void HtmlReader::SeparateFromBrace() {
  if (last_ != 0 && last_ == mustache_.open().front()) flow_.Append(" ");
  last_ = 0;
}

bool HtmlReader::IsAlone(const MustacheTag& tag) const {
  size_t before = at_;
  while (before > 0 && (html_[before - 1] == ' ' || html_[before - 1] == '\t')) --before;
  size_t after = at_ + tag.text.size();
  while (after < html_.size() && IsSpace(html_[after]) && html_[after] != '\n') ++after;
  return (before == 0 || html_[before - 1] == '\n') &&
         (after == html_.size() || html_[after] == '\n');
}

void HtmlReader::Markup() {
  const std::string_view rest = html_.substr(at_);
  if (rest.starts_with("<!--")) return Comment("-->");
  if (rest.starts_with("<!") || rest.starts_with("<?")) return Comment(">");
  const size_t name = rest.starts_with("</") ? 2 : 1;
  if (name >= rest.size() || !IsLetter(rest[name])) {
    ++at_;
    return Character("<");
  }
  const Element element = ReadElement();
  if (!element.end_tag) return Start(element);
  at_ += element.bytes;
  End(element);
}

void HtmlReader::Comment(std::string_view closing) {
  const size_t end = html_.find(closing, at_ + 2);
  Drop(end == html_.npos ? html_.size() : end + closing.size());
}

// Moves on to `end`. What is dropped shows nothing, but a section may begin or end in it.
void HtmlReader::Drop(size_t end) {
  for (const std::string_view tag : UnmatchedSections(html_.substr(at_, end - at_), mustache_)) {
    SeparateFromBrace();
    flow_.Section(tag);
  }
  at_ = end;
}

Element HtmlReader::ReadElement() {
  const std::string_view rest = html_.substr(at_);
  Element element;
  element.end_tag = rest[1] == '/';
  size_t at = element.end_tag ? 2 : 1;
  const size_t name = at;
  while (at < rest.size() && !IsSpace(rest[at]) && rest[at] != '/' && rest[at] != '>') ++at;
  element.name = Lower(rest.substr(name, at - name));
  const size_t attributes = at;
  char quote = 0;
  bool after_equals = false;
  for (; at < rest.size() && (quote != 0 || rest[at] != '>'); ++at) {
    if (const std::optional<MustacheTag> tag = mustache_.Read(rest.substr(at))) {
      at += tag->text.size() - 1;
      continue;
    }
    const char c = rest[at];
    if (quote != 0) {
      if (c == quote) quote = 0;
    } else if (after_equals && (c == '"' || c == '\'')) {
      quote = c;
    }
    if (!IsSpace(c)) after_equals = c == '=';
  }
  element.attributes = rest.substr(attributes, at - attributes);
  element.bytes = std::min(at + 1, rest.size());
  return element;
}

// The value at the front of `rest`, behind "=", which is taken off.
std::string_view TakeValue(std::string_view* rest, MustacheReader* mustache) {
  while (!rest->empty() && IsSpace(rest->front())) rest->remove_prefix(1);
  if (rest->empty()) return {};
  const char quote = rest->front();
  const bool quoted = quote == '"' || quote == '\'';
  if (quoted) rest->remove_prefix(1);
  size_t end = 0;
  while (end < rest->size() && (quoted ? (*rest)[end] != quote : !IsSpace((*rest)[end]))) {
    const std::optional<MustacheTag> tag = mustache->Read(rest->substr(end));
    end += tag.has_value() ? tag->text.size() : 1;
  }
  const std::string_view value = rest->substr(0, end);
  rest->remove_prefix(std::min(end + (quoted ? 1 : 0), rest->size()));
  return value;
}

Attributes HtmlReader::ReadAttributes(std::string_view raw) const {
  Attributes found;
  MustacheReader mustache = mustache_;
  while (!raw.empty()) {
    if (const std::optional<MustacheTag> tag = mustache.Read(raw)) {
      raw.remove_prefix(tag->text.size());
      continue;
    }
    size_t end = 0;
    while (end < raw.size() && !IsSpace(raw[end]) && raw[end] != '=' && raw[end] != '/' &&
           !raw.substr(end).starts_with(mustache.open())) {
      ++end;
    }
    const std::string_view name = raw.substr(0, end);
    raw.remove_prefix(std::max<size_t>(end, raw.substr(end).starts_with('=') ? 0 : 1));
    if (BeginsWith(name, "hidden") && name.size() == 6) found.hidden = true;
    std::string_view rest = raw;
    while (!rest.empty() && IsSpace(rest.front())) rest.remove_prefix(1);
    if (name.empty() || !rest.starts_with('=')) {
      if (name.empty() && raw.starts_with('=')) raw.remove_prefix(1);
      continue;
    }
    raw = rest.substr(1);
    const std::string_view value = TakeValue(&raw, &mustache);
    if (BeginsWith(name, "href") && name.size() == 4) found.href = value;
    if (BeginsWith(name, "alt") && name.size() == 3) found.alt = value;
    if (BeginsWith(name, "style") && name.size() == 5) found.style = value;
  }
  return found;
}

bool IsHidden(const Attributes& attributes) {
  std::string style;
  for (const char c : attributes.style) {
    if (!IsSpace(c)) style.push_back(LowerByte(c));
  }
  return attributes.hidden || style.find("display:none") != style.npos;
}

void HtmlReader::Start(const Element& element) {
  const std::string& name = element.name;
  if (name == "head" && !head_unclosed_) return DropHead();
  if (IsOneOf(name, kDropped)) return DropUntilEnd(name);
  const Attributes attributes = ReadAttributes(element.attributes);
  if (IsHidden(attributes)) {
    return IsOneOf(name, kVoid) ? Drop(at_ + element.bytes) : Hide(element);
  }
  Drop(at_ + element.bytes);
  if (name == "a") return OpenLink(attributes.href);
  if (name == "img" || name == "area") return Text(attributes.alt);
  if (name == "br") return flow_.LineEnd();
  if (name == "td" || name == "th") return flow_.Space(2);
  if (name == "ul" || name == "ol" || name == "menu") return List(1);
  if (IsOneOf(name, kParagraphs)) flow_.Break(2);
  if (IsOneOf(name, kLines)) flow_.Break(1);
  if (name == "pre") ++pre_;
  if (name == "li") flow_.Bullet();
  if (name == "hr") {
    Text("----------");
    flow_.Break(2);
  }
}

void HtmlReader::End(const Element& element) {
  const std::string& name = element.name;
  if (name == "a") return CloseLink();
  if (name == "ul" || name == "ol" || name == "menu") return List(-1);
  if (IsOneOf(name, kParagraphs)) flow_.Break(2);
  if (IsOneOf(name, kLines)) flow_.Break(1);
  if (name == "pre" && pre_ > 0) --pre_;
}

void HtmlReader::List(int change) {
  flow_.Break(list_depth_ > (change > 0 ? 0u : 1u) ? 1 : 2);
  if (change > 0) ++list_depth_;
  if (change < 0 && list_depth_ > 0) --list_depth_;
  flow_.set_indent(list_depth_);
}

// Where `beginning`, "</style", is in any case from `from` on; npos: nowhere.
size_t HtmlReader::FindTag(std::string_view beginning, size_t from) const {
  for (size_t at = html_.find('<', from); at != html_.npos; at = html_.find('<', at + 1)) {
    if (BeginsWith(html_.substr(at), beginning)) return at;
  }
  return html_.npos;
}

void HtmlReader::DropUntilEnd(std::string_view name) {
  const size_t end = FindTag("</" + std::string(name), at_);
  const size_t close = end == html_.npos ? end : html_.find('>', end);
  Drop(close == html_.npos ? html_.size() : close + 1);
}

// A head may end without its end tag, where the body begins; one that never ends is none.
void HtmlReader::DropHead() {
  size_t end = html_.find('<', at_ + 1);
  while (end != html_.npos && !BeginsWith(html_.substr(end), "</head") &&
         !BeginsWith(html_.substr(end), "<body")) {
    end = html_.find('<', end + 1);
  }
  head_unclosed_ = end == html_.npos;
  if (!head_unclosed_) Drop(end);
}

// Skips to the end of the element, counting those of the same name inside it.
void HtmlReader::Hide(const Element& element) {
  size_t depth = 0;
  const size_t begin = at_;
  do {
    const Element next = ReadElement();
    if (next.name == element.name) depth = next.end_tag ? depth - 1 : depth + 1;
    at_ += next.bytes;
    if (depth == 0) break;
    do {
      at_ = FindTag("<", at_);
      if (at_ == html_.npos) at_ = html_.size();
      const std::string_view rest = html_.substr(at_);
      const size_t name = rest.starts_with("</") ? 2 : 1;
      if (rest.empty() || (name < rest.size() && IsLetter(rest[name]))) break;
      ++at_;
    } while (true);
  } while (at_ < html_.size());
  Drop(std::exchange(at_, begin));
}

void HtmlReader::OpenLink(std::string_view href) {
  CloseLink();
  in_link_ = true;
  href_.clear();
  // A URL without the line breaks an editor put into it; sections must begin and end inside it.
  if (UnmatchedSections(href, mustache_).empty()) href_ = Plain(Trim(href));
  std::erase_if(href_, [](char c) { return c == '\r' || c == '\n' || c == '\t'; });
}

void HtmlReader::CloseLink() {
  if (!std::exchange(in_link_, false)) return;
  const std::string text = std::exchange(link_text_, {});
  std::string_view url = href_;
  const bool shown = BeginsWith(url, "http:") || BeginsWith(url, "https:") ||
                     BeginsWith(url, "mailto:") || BeginsWith(url, "tel:") ||
                     url.starts_with(mustache_.open());
  if (!shown || text == url) return;
  const size_t scheme = url.find(':');
  if (BeginsWith(url, "mailto:") || BeginsWith(url, "tel:")) url.remove_prefix(scheme + 1);
  std::string_view bare = url.starts_with(mustache_.open()) ? url : url.substr(url.find("//") + 1);
  while (bare.starts_with('/')) bare.remove_prefix(1);
  while (bare.ends_with('/')) bare.remove_suffix(1);
  if (text == url || text == bare || url.empty()) return;
  if (!text.empty()) flow_.Space();
  flow_.Append(text.empty() ? std::string(url) : "(" + std::string(url) + ")");
  last_ = 0;
}

// Text of an attribute, as if it stood in the page.
void HtmlReader::Text(std::string_view text) {
  MustacheReader mustache = mustache_;
  if (!UnmatchedSections(text, mustache).empty()) return;
  while (!text.empty()) {
    size_t bytes = std::max<size_t>(DecodeUtf8(text).bytes, 1);
    if (const std::optional<MustacheTag> tag = mustache.Read(text)) {
      bytes = tag->text.size();
      SeparateFromBrace();
      flow_.Append(tag->text);
      if (in_link_) link_text_ += tag->text;
    } else if (const std::optional<CharacterReference> r = DecodeReference(text)) {
      bytes = r->bytes;
      Character(r->text);
    } else {
      Character(text.substr(0, bytes));
    }
    text.remove_prefix(bytes);
  }
}

// A URL with its references decoded and its tags as they are.
std::string HtmlReader::Plain(std::string_view text) const {
  std::string out;
  MustacheReader mustache = mustache_;
  while (!text.empty()) {
    size_t bytes = 1;
    if (const std::optional<MustacheTag> tag = mustache.Read(text)) {
      bytes = tag->text.size();
      out += tag->text;
    } else if (const std::optional<CharacterReference> r = DecodeReference(text)) {
      bytes = r->bytes;
      // A brace could make a tag of what was none; in a URL it is better encoded anyway.
      out += r->text == "{" ? "%7B" : r->text;
    } else {
      out += text.front();
    }
    text.remove_prefix(bytes);
  }
  return out;
}

void HtmlReader::Character(std::string_view character) {
  // Zero width space, byte-order mark, soft hyphen and the joiner that fills hidden previews.
  for (const std::string_view nothing : {"\xE2\x80\x8B", "\xEF\xBB\xBF", "\xC2\xAD", "\xCD\x8F"}) {
    if (character == nothing) return;
  }
  const bool space = IsSpace(character.front()) || character == "\xC2\xA0";
  if (!space) return Literal(character);
  if (in_link_ && !link_text_.empty() && link_text_.back() != ' ') link_text_ += ' ';
  last_ = 0;
  if (pre_ == 0) return flow_.Space();
  if (character == "\n") {
    flow_.LineEnd();
  } else if (character != "\r") {
    flow_.Append(" ");
  }
}

void HtmlReader::Literal(std::string_view bytes) {
  // Two braces of the page's text, or of references, must not become the beginning of a tag.
  const std::string_view open = mustache_.open();
  if (!open.empty() && last_ != 0 && bytes.front() == open.back() &&
      (open.size() < 2 || last_ == open[open.size() - 2])) {
    flow_.Append(" ");
  }
  last_ = bytes.back();
  flow_.Append(bytes);
  if (in_link_) link_text_ += bytes;
}

}  // namespace

std::string HtmlToText(std::string_view html) { return HtmlReader(html).Run(); }

}  // namespace volley::engine::message
