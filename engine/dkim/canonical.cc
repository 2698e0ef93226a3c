#include "engine/dkim/canonical.h"

#include <cstring>

namespace volley::engine::dkim {
namespace {

constexpr std::string_view kLineEnd = "\r\n";

bool IsWhiteSpace(char c) { return c == ' ' || c == '\t'; }

char ToLower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; }

void AppendRelaxedName(std::string_view name, std::string* out) {
  while (!name.empty() && IsWhiteSpace(name.back())) name.remove_suffix(1);
  for (const char c : name) out->push_back(ToLower(c));
}

// Unfolding takes the CRLF out and leaves the white space behind it, which is then reduced like any
// other; so a CRLF is simply passed over.
void AppendRelaxedValue(std::string_view value, std::string* out) {
  bool space = false;
  const size_t begin = out->size();
  for (size_t i = 0; i < value.size(); ++i) {
    const char c = value[i];
    if (IsWhiteSpace(c)) {
      space = true;
    } else if (c == '\r' && i + 1 < value.size() && value[i + 1] == '\n') {
      ++i;
    } else {
      if (space && out->size() != begin) out->push_back(' ');
      space = false;
      out->push_back(c);
    }
  }
}

// Whether relaxed leaves the line as it is. Without early exit, so that the compiler vectorises it:
// nearly all lines are plain.
bool IsRelaxedAlready(std::string_view line) {
  if (IsWhiteSpace(line.back())) return false;
  uint8_t bad = 0;
  for (size_t i = 0; i + 1 < line.size(); ++i) {
    bad |= static_cast<uint8_t>(line[i] == '\t');
    bad |= static_cast<uint8_t>(line[i] == ' ') & static_cast<uint8_t>(line[i + 1] == ' ');
  }
  return bad == 0;
}

}  // namespace

std::string_view CanonicalizationName(Canonicalization canonicalization) {
  return canonicalization == Canonicalization::kSimple ? "simple" : "relaxed";
}

void AppendCanonicalField(Canonicalization canonicalization, std::string_view name,
                          std::string_view value, std::string* out) {
  if (canonicalization == Canonicalization::kSimple) {
    out->append(name).append(":").append(value);
    return;
  }
  AppendRelaxedName(name, out);
  out->push_back(':');
  AppendRelaxedValue(value, out);
}

void BodyHasher::FlushBuffer() {
  hash_.Add({buffer_.data(), buffered_});
  buffered_ = 0;
}

void BodyHasher::Write(std::string_view bytes) {
  if (bytes.size() > kBufferBytes - buffered_) FlushBuffer();
  if (bytes.size() > kBufferBytes) return hash_.Add(bytes);
  std::memcpy(buffer_.data() + buffered_, bytes.data(), bytes.size());
  buffered_ += bytes.size();
}

void BodyHasher::WriteDeferred() {
  wrote_ = true;
  for (; deferred_line_ends_ > 0; --deferred_line_ends_) Write(kLineEnd);
  if (deferred_space_) Write(" ");
  deferred_space_ = false;
}

void BodyHasher::EndLine() {
  deferred_cr_ = false;
  deferred_space_ = false;  // §3.4.4: white space at the end of a line is ignored
  in_line_ = false;
  ++deferred_line_ends_;
}

void BodyHasher::AddByte(char byte) {
  if (deferred_cr_) {
    if (byte == '\n') return EndLine();
    deferred_cr_ = false;
    WriteDeferred();
    Write("\r");
  }
  in_line_ = true;
  if (byte == '\r') {
    deferred_cr_ = true;
  } else if (canonicalization_ == Canonicalization::kRelaxed && IsWhiteSpace(byte)) {
    deferred_space_ = true;
  } else {
    WriteDeferred();
    Write({&byte, 1});
  }
}

size_t BodyHasher::AddPlainLines(std::string_view bytes) {
  // Lines behind each other are one run and reach the hash with one call.
  size_t run_end = 0;  // without the line end of its last line, which waits
  size_t line = 0;
  while (line < bytes.size()) {
    const void* const found = std::memchr(bytes.data() + line, '\r', bytes.size() - line);
    if (found == nullptr) break;
    const size_t end = static_cast<size_t>(static_cast<const char*>(found) - bytes.data());
    if (end == line || end + 1 == bytes.size() || bytes[end + 1] != '\n') break;
    if (canonicalization_ == Canonicalization::kRelaxed &&
        !IsRelaxedAlready(bytes.substr(line, end - line))) {
      break;
    }
    run_end = end;
    line = end + kLineEnd.size();
  }
  if (run_end == 0) return 0;
  WriteDeferred();
  Write(bytes.substr(0, run_end));
  deferred_line_ends_ = 1;
  return line;
}

void BodyHasher::Add(std::string_view bytes) {
  while (!bytes.empty()) {
    if (!in_line_) {
      bytes.remove_prefix(AddPlainLines(bytes));
      if (bytes.empty()) return;
    }
    do {  // one line that changes, or the part of one that this piece has
      AddByte(bytes.front());
      bytes.remove_prefix(1);
    } while (in_line_ && !bytes.empty());
  }
}

BodyHash BodyHasher::Finish() {
  if (deferred_cr_) {  // the body ends with a CR of its own
    WriteDeferred();
    Write("\r");
  }
  // §3.4.3 and §3.4.4: a last line without a line end gets one, and all empty ones together are
  // this one; of an empty body simple leaves a CRLF and relaxed nothing.
  if (wrote_ || canonicalization_ == Canonicalization::kSimple) Write(kLineEnd);
  FlushBuffer();
  const BodyHash result{canonicalization_, hash_.Finish()};
  hash_.Start();
  deferred_line_ends_ = 0;
  in_line_ = deferred_cr_ = deferred_space_ = wrote_ = false;
  return result;
}

BodyHash BodyHasher::Hash(std::span<const iovec> body) {
  for (const iovec& piece : body) Add({static_cast<const char*>(piece.iov_base), piece.iov_len});
  return Finish();
}

}  // namespace volley::engine::dkim
