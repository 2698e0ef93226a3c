#include "engine/message/quoted_printable.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>

namespace volley::engine::message {
namespace {

// What a byte needs. kBreak: CR or LF. kEntity: an HTML special, plain in other text.
enum class Need : uint8_t { kPlain, kWhite, kBreak, kEntity, kHex };

constexpr std::array<Need, 256> MakeNeeds(bool html) {
  std::array<Need, 256> needs{};
  for (size_t c = 0; c < 256; ++c) {
    needs[c] = c > ' ' && c < 0x7F && c != '=' ? Need::kPlain : Need::kHex;
  }
  needs[' '] = needs['\t'] = Need::kWhite;
  needs['\r'] = needs['\n'] = Need::kBreak;
  if (html) {
    for (const char c : kHtmlSpecials) {
      needs[static_cast<unsigned char>(c)] = Need::kEntity;
    }
  }
  return needs;
}
constexpr std::array<Need, 256> kTextNeeds = MakeNeeds(false);
constexpr std::array<Need, 256> kHtmlNeeds = MakeNeeds(true);

// A piece that ends inside "From" may go on in the next piece, so that counts as well.
bool MayBeFromLine(std::string_view rest) {
  constexpr std::string_view kFrom = "From ";
  const size_t compared = std::min(rest.size(), kFrom.size());
  return rest.substr(0, compared) == kFrom.substr(0, compared);
}

// Writes the encoding of one piece behind `to`, which has room for the worst case.
class Encoder {
 public:
  Encoder(char* to, size_t column, const std::array<Need, 256>& needs)
      : to_(to), column_(column), needs_(needs) {}

  void Encode(std::string_view text) {
    while (!text.empty()) text.remove_prefix(Step(text));
  }

  char* to() const { return to_; }
  size_t column() const { return column_; }
  char white() const { return white_; }  // the last byte, not written, if it is a space or tab

 private:
  Need NeedOf(char c) const { return needs_[static_cast<unsigned char>(c)]; }

  // Encodes a run or one character from the front of `text`; how many bytes that was.
  size_t Step(std::string_view text) {
    const char c = text.front();
    switch (NeedOf(c)) {
      case Need::kPlain:
      case Need::kWhite:
        return Run(text);
      case Need::kBreak:
        HardBreak();
        return text.substr(0, 2) == "\r\n" ? 2 : 1;
      case Need::kEntity:
        Entity(c);
        return 1;
      case Need::kHex:
        break;
    }
    Hex(c);
    return 1;
  }

  // The fast path: copies plain characters to the end of the line or of the run.
  size_t Run(std::string_view text) {
    if (column_ == kQpMaxColumn) SoftBreak();
    const char first = text.front();
    if (column_ == 0 && (first == '.' || (first == 'F' && MayBeFromLine(text)))) {
      Hex(first);
      return 1;
    }
    const size_t room = std::min(kQpMaxColumn - column_, text.size());
    size_t run = 0;
    while (run < room && NeedOf(text[run]) <= Need::kWhite) ++run;
    // White space may not end a line, and at the end of a piece nobody knows yet whether it does.
    const bool ends_piece = run == text.size();
    const bool exposed = ends_piece || NeedOf(text[run]) == Need::kBreak;
    const bool keep_last = exposed && NeedOf(text[run - 1]) == Need::kWhite;
    const size_t plain = run - (keep_last ? 1 : 0);
    std::memcpy(to_, text.data(), plain);
    to_ += plain;
    column_ += plain;
    if (keep_last && ends_piece) white_ = text[plain];
    if (keep_last && !ends_piece) Hex(text[plain]);
    return run;
  }

  void Hex(char c) {
    constexpr char kDigits[] = "0123456789ABCDEF";
    if (column_ + 3 > kQpMaxColumn) SoftBreak();
    const auto byte = static_cast<unsigned char>(c);
    to_[0] = '=';
    to_[1] = kDigits[byte >> 4];
    to_[2] = kDigits[byte & 15];
    to_ += 3;
    column_ += 3;
  }

  void Entity(char c) {
    const std::string_view entity = HtmlEntity(c);
    if (column_ + entity.size() > kQpMaxColumn) SoftBreak();
    to_ = std::copy(entity.begin(), entity.end(), to_);
    column_ += entity.size();
  }

  void SoftBreak() {
    *to_++ = '=';
    HardBreak();
  }
  void HardBreak() {
    *to_++ = '\r';
    *to_++ = '\n';
    column_ = 0;
  }

  char* to_;
  size_t column_;
  char white_ = 0;
  const std::array<Need, 256>& needs_;
};

// An entity is at most 6 bytes, "=XX" and a CRLF fewer, and a line of at least 70 has 3 more.
constexpr size_t WorstCase(size_t bytes) { return bytes * 6 + bytes * 6 / 70 * 3 + 16; }

}  // namespace

QpLiteral QpLiteral::Encode(std::string_view text) {
  QpLiteral literal;
  literal.bytes.resize(WorstCase(text.size()));
  Encoder encoder(literal.bytes.data(), 0, kTextNeeds);
  encoder.Encode(text);
  literal.bytes.resize(static_cast<size_t>(encoder.to() - literal.bytes.data()));
  literal.bytes.shrink_to_fit();
  literal.end_column = encoder.column();
  literal.white = encoder.white();
  literal.empty = text.empty();
  literal.begins_with_break = text.starts_with('\r') || text.starts_with('\n');
  const size_t line_end = literal.bytes.find("\r\n");
  literal.has_break = line_end != std::string::npos;
  literal.first_line = literal.has_break ? line_end : literal.bytes.size();
  if (literal.has_break && line_end > 0 && literal.bytes[line_end - 1] == '=') --literal.first_line;
  return literal;
}

std::string EncodeQuotedPrintable(std::string_view text) {
  QpLiteral literal = QpLiteral::Encode(text);
  if (literal.white == 0) return std::move(literal.bytes);
  if (literal.end_column + 3 > kQpMaxColumn) literal.bytes += "=\r\n";
  return literal.bytes + (literal.white == ' ' ? "=20" : "=09");
}

void QpWriter::WriteWhite(bool hex) {
  const std::string_view white = !hex            ? std::string_view(&white_, 1)
                                 : white_ == ' ' ? "=20"
                                                 : "=09";
  if (column_ + white.size() > kQpMaxColumn) SoftBreak();
  out_->AppendCopy(white);
  column_ += white.size();
  white_ = 0;
}

void QpWriter::Value(std::string_view text, TextEscape escape) {
  if (text.empty()) return;
  if (white_ != 0) WriteWhite(text.front() == '\r' || text.front() == '\n');
  char* const begin = out_->Reserve(WorstCase(text.size()));
  Encoder encoder(begin, column_, escape == TextEscape::kHtml ? kHtmlNeeds : kTextNeeds);
  encoder.Encode(text);
  out_->Commit(static_cast<size_t>(encoder.to() - begin));
  column_ = encoder.column();
  white_ = encoder.white();
}

}  // namespace volley::engine::message
