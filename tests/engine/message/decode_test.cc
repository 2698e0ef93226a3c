// The decoders of decode.h, and the tests that they find what they are there to find.
#include "tests/engine/message/decode.h"

#include <gtest/gtest.h>

namespace volley::engine::message {
namespace {

int Hex(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::string DropCase(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return lower;
}

// One encoded word at the front of `text`; its length, or 0.
size_t ReadEncodedWord(std::string_view text, Decoded* out) {
  if (text.substr(0, 2) != "=?") return 0;
  const size_t charset_end = text.find('?', 2);
  if (charset_end == text.npos || charset_end + 2 >= text.size()) return 0;
  const size_t end = text.find("?=", charset_end + 3);
  if (end == text.npos || text[charset_end + 2] != '?') return 0;
  if (end + 2 > 75 || DropCase(text.substr(2, charset_end - 2)) != "utf-8") out->ok = false;
  const std::string_view content = text.substr(charset_end + 3, end - charset_end - 3);
  const char kind = text[charset_end + 1];
  Decoded word;
  if (kind == 'B') {
    word = DecodeBase64(content);
  } else if (kind == 'Q') {
    std::string spaced(content);
    if (spaced.find_first_of(" \t?") != std::string::npos) word.ok = false;
    for (char& c : spaced) c = c == '_' ? ' ' : c;
    const bool was_ok = word.ok;
    // A trailing space is legal here though not in a quoted-printable line.
    word = DecodeQuotedPrintable(spaced + "|");
    word.ok = word.ok && was_ok;
    word.text.pop_back();
  } else {
    word.ok = false;
  }
  out->ok = out->ok && word.ok;
  out->text += word.text;
  return end + 2;
}

}  // namespace

Decoded DecodeQuotedPrintable(std::string_view encoded) {
  Decoded out;
  for (size_t i = 0; i < encoded.size();) {
    const char c = encoded[i];
    if (c == '=' && encoded.substr(i + 1, 2) == "\r\n") {
      i += 3;
    } else if (c == '=') {
      const int high = i + 2 < encoded.size() ? Hex(encoded[i + 1]) : -1;
      const int low = i + 2 < encoded.size() ? Hex(encoded[i + 2]) : -1;
      if (high < 0 || low < 0) return {out.text, false};
      out.text.push_back(static_cast<char>(high * 16 + low));
      i += 3;
    } else {
      const bool white = c == ' ' || c == '\t';
      const auto byte = static_cast<unsigned char>(c);
      if (byte > 126 || (byte < 32 && !white && c != '\r' && c != '\n')) out.ok = false;
      if (white && (encoded.substr(i + 1, 2) == "\r\n" || i + 1 == encoded.size())) out.ok = false;
      out.text.push_back(c);
      ++i;
    }
  }
  return out;
}

Decoded DecodeBase64(std::string_view encoded) {
  constexpr std::string_view kAlphabet =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  Decoded out;
  if (encoded.size() % 4 != 0) return {"", false};
  uint32_t bits = 0;
  int count = 0;
  while (!encoded.empty() && encoded.back() == '=') encoded.remove_suffix(1);
  for (const char c : encoded) {
    const size_t value = kAlphabet.find(c);
    if (value == kAlphabet.npos) return {out.text, false};
    bits = bits << 6 | static_cast<uint32_t>(value);
    count += 6;
    if (count >= 8) {
      count -= 8;
      out.text.push_back(static_cast<char>(bits >> count & 255));
    }
  }
  return out;
}

Decoded DecodeFieldBody(std::string_view body) {
  std::string flat;
  for (size_t i = 0; i < body.size(); ++i) {
    if (body.substr(i, 2) == "\r\n") {
      ++i;
    } else {
      flat.push_back(body[i]);
    }
  }
  Decoded out;
  std::string_view rest = flat;
  bool after_word = false;
  while (!rest.empty()) {
    const size_t word = rest.find_first_not_of(" \t");
    const std::string_view space = rest.substr(0, word);
    rest.remove_prefix(space.size());
    const size_t end = std::min(rest.find_first_of(" \t"), rest.size());
    Decoded encoded;
    const size_t taken = ReadEncodedWord(rest.substr(0, end), &encoded);
    const bool is_word = taken == end && end > 0;
    if (!(after_word && is_word)) out.text += space;
    if (is_word) {
      out.text += encoded.text;
      out.ok = out.ok && encoded.ok;
    } else {
      out.text += rest.substr(0, end);
    }
    after_word = is_word;
    rest.remove_prefix(end);
  }
  return out;
}

std::string ParsedMessage::Field(std::string_view name) const {
  for (const auto& [field, value] : fields) {
    if (field == name) return value;
  }
  return "";
}

ParsedMessage ParseMessage(std::string_view message) {
  ParsedMessage parsed;
  while (true) {
    const size_t end = message.find("\r\n");
    if (end == message.npos) return parsed.ok = false, parsed;
    const std::string_view line = message.substr(0, end);
    message.remove_prefix(end + 2);
    if (line.empty()) break;
    if (line.front() == ' ' || line.front() == '\t') {
      if (parsed.fields.empty()) return parsed.ok = false, parsed;
      parsed.fields.back().second.append("\r\n").append(line);
      continue;
    }
    const size_t colon = line.find(": ");
    if (colon == line.npos) return parsed.ok = false, parsed;
    parsed.fields.emplace_back(line.substr(0, colon), line.substr(colon + 2));
  }
  parsed.body = message;
  return parsed;
}

std::vector<ParsedMessage> SplitParts(std::string_view body, std::string_view boundary) {
  std::vector<ParsedMessage> parts;
  const std::string open = "--" + std::string(boundary) + "\r\n";
  const std::string next = "\r\n--" + std::string(boundary);
  if (!body.starts_with(open)) return parts;
  body.remove_prefix(open.size());
  while (true) {
    const size_t end = body.find(next);
    if (end == body.npos) return {};
    parts.push_back(ParseMessage(body.substr(0, end)));
    body.remove_prefix(end + next.size());
    if (body == "--\r\n") return parts;
    if (!body.starts_with("\r\n")) return {};
    body.remove_prefix(2);
  }
}

Decoded LeafText(const ParsedMessage& leaf) {
  const std::string encoding = leaf.Field("Content-Transfer-Encoding");
  if (encoding == "7bit") return {leaf.body, true};
  if (encoding == "quoted-printable") return DecodeQuotedPrintable(leaf.body);
  if (encoding == "base64") {
    std::string joined = leaf.body;
    for (size_t at = joined.find("\r\n"); at != joined.npos; at = joined.find("\r\n", at)) {
      joined.erase(at, 2);
    }
    return DecodeBase64(joined);
  }
  return {"", false};
}

std::string BrokenLineRule(std::string_view message) {
  size_t number = 0;
  if (!message.ends_with("\r\n")) return "the last line does not end in CRLF";
  bool header = true;
  while (!message.empty()) {
    const size_t end = message.find("\r\n");
    const std::string_view line = message.substr(0, end);
    message.remove_prefix(end + 2);
    const std::string where = " in line " + std::to_string(++number) + ": " + std::string(line);
    if (line.find_first_of("\r\n") != line.npos) return "a lone CR or LF" + where;
    if (line.find('\0') != line.npos) return "a NUL" + where;
    if (line.size() > 998) return "over 998 bytes" + where;
    if (!header && line.size() > 76) return "a body line over 76 bytes" + where;
    if (header && line.size() > 76 && line.find("=?utf-8") != line.npos) {
      return "an encoded word in a line over 76" + where;
    }
    if (line.starts_with(".")) return "a leading dot" + where;
    if (line.starts_with("From ")) return "a From line" + where;
    if (!line.empty() && line.find_first_not_of(" \t") == line.npos) return "only space" + where;
    if (line.empty()) header = false;
  }
  return "";
}

std::string Crlf(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\r') {
      out += "\r\n";
      if (i + 1 < text.size() && text[i + 1] == '\n') ++i;
    } else if (text[i] == '\n') {
      out += "\r\n";
    } else {
      out.push_back(text[i]);
    }
  }
  return out;
}

namespace {

TEST(Decoders, ReadWhatTheRfcsShow) {
  EXPECT_EQ(DecodeQuotedPrintable("a=3Db=\r\nc\r\n").text, "a=bc\r\n");
  EXPECT_EQ(DecodeBase64("SGVsbG8=").text, "Hello");
  EXPECT_EQ(DecodeFieldBody("=?utf-8?Q?a?= =?utf-8?Q?b?=").text, "ab");  // RFC 2047 §8
  EXPECT_EQ(DecodeFieldBody("=?utf-8?Q?a?= b").text, "a b");
  EXPECT_EQ(DecodeFieldBody("=?utf-8?Q?a?=\r\n =?utf-8?Q?_b?=").text, "a b");
}

TEST(Decoders, SayWhatIsMalformed) {
  EXPECT_FALSE(DecodeQuotedPrintable("a=3").ok);
  EXPECT_FALSE(DecodeQuotedPrintable("a=3d").ok);
  EXPECT_FALSE(DecodeQuotedPrintable("a \r\n").ok);
  EXPECT_FALSE(DecodeQuotedPrintable("\xC3\xA9").ok);
  EXPECT_FALSE(DecodeBase64("SGVsbG8").ok);
  EXPECT_FALSE(ParseMessage("A: b\n\n").ok);
}

TEST(Decoders, NameTheBrokenLineRule) {
  EXPECT_EQ(BrokenLineRule("A: b\r\n\r\ntext\r\n"), "");
  EXPECT_NE(BrokenLineRule("A: b\r\n\r\n.text\r\n"), "");
  EXPECT_NE(BrokenLineRule("A: b\r\n\r\nFrom x\r\n"), "");
  EXPECT_NE(BrokenLineRule("A: b\r\n\r\n" + std::string(77, 'x') + "\r\n"), "");
  EXPECT_NE(BrokenLineRule("A: b\r\n \r\n\r\n"), "");
  EXPECT_NE(BrokenLineRule("A: b\r\n\r\ntext"), "");
}

}  // namespace
}  // namespace volley::engine::message
