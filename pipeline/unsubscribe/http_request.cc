#include "pipeline/unsubscribe/http_request.h"

#include <algorithm>
#include <utility>

namespace volley::pipeline {
namespace {

constexpr int kBadRequest = 400;
constexpr int kContentTooLarge = 413;
constexpr int kUriTooLong = 414;
constexpr int kHeadersTooLarge = 431;
constexpr int kNotImplemented = 501;
constexpr int kVersionNotSupported = 505;

constexpr size_t kMethodCharsMax = 16;
constexpr size_t kChunkLineBytesMax = 256;  // with chunk extensions, which nobody uses
constexpr std::string_view kWhite = " \t";

char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

std::string Lowered(std::string_view text) {
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(), Lower);
  return lower;
}

std::string_view Trim(std::string_view text) {
  const size_t begin = text.find_first_not_of(kWhite);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kWhite) - begin + 1);
}

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

// RFC 9110 §5.6.2.
bool IsTokenChar(char c) {
  return IsDigit(c) || (Lower(c) >= 'a' && Lower(c) <= 'z') ||
         (c != '\0' && std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos);
}

bool IsToken(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), IsTokenChar);
}

bool IsValueChar(char c) {
  return c == '\t' || (static_cast<unsigned char>(c) >= 0x20 && c != 0x7f);
}

std::string_view WithoutCr(std::string_view line) {
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

// The end of the head in `text` from `from` on: behind its empty line; npos: not there yet.
size_t FindHeadEnd(std::string_view text, size_t from) {
  for (size_t at = text.find('\n', from); at != std::string_view::npos;
       at = text.find('\n', at + 1)) {
    const std::string_view next = text.substr(at + 1, 2);
    if (next.starts_with('\n')) return at + 2;
    if (next == "\r\n") return at + 3;
  }
  return std::string_view::npos;
}

}  // namespace

void HttpRequestParser::Reset() { *this = HttpRequestParser(); }

HttpRequestParser::State HttpRequestParser::Refuse(int status) {
  if (state_ != State::kRefused) refusal_ = status;
  return state_ = State::kRefused;
}

bool HttpRequestParser::TakeContinue() {
  return state_ == State::kMore && head_done_ && std::exchange(expects_continue_, false);
}

HttpRequestParser::State HttpRequestParser::Receive(std::string_view bytes) {
  buffer_.append(bytes);
  if (!head_done_) {
    // RFC 9112 §2.2: an empty line in front of the request is ignored.
    if (searched_ == 0)
      buffer_.erase(0, std::min(buffer_.find_first_not_of("\r\n"), buffer_.size()));
    const size_t end = FindHeadEnd(buffer_, searched_);
    if (std::min(end, buffer_.size()) > kHeadBytesMax) return Refuse(kHeadersTooLarge);
    if (end == std::string::npos) {
      searched_ = buffer_.size() < 3 ? 0 : buffer_.size() - 3;
      return state_;
    }
    searched_ = end;
    if (!ReadHead()) return state_;
    buffer_.erase(0, end);
    head_done_ = true;
  }
  return chunked_ ? ReadChunks() : ReadBody();
}

// --- The head ---

bool HttpRequestParser::ReadHead() {
  std::string_view rest = std::string_view(buffer_).substr(0, searched_);
  for (size_t lines = 0; !rest.empty(); ++lines) {
    const size_t end = rest.find('\n');
    const std::string_view line = WithoutCr(rest.substr(0, end));
    rest.remove_prefix(end + 1);  // the head ends with '\n'
    if (line.empty()) break;
    if (lines > kHeaderLinesMax) return Refuse(kHeadersTooLarge), false;
    if (lines == 0 ? !ReadRequestLine(line) : !ReadHeaderLine(line)) return false;
  }
  return CheckHead();
}

bool HttpRequestParser::ReadRequestLine(std::string_view line) {
  const size_t first = line.find(' ');
  const size_t last = line.rfind(' ');
  if (first == std::string_view::npos || first == last) return Refuse(kBadRequest), false;
  request_.method = line.substr(0, first);
  request_.target = line.substr(first + 1, last - first - 1);
  const std::string_view version = line.substr(last + 1);
  const auto printable = [](char c) { return c > 0x20 && c < 0x7f; };
  if (!IsToken(request_.method) || request_.method.size() > kMethodCharsMax ||
      !std::all_of(request_.target.begin(), request_.target.end(), printable)) {
    return Refuse(kBadRequest), false;
  }
  if (request_.target.size() > kTargetBytesMax) return Refuse(kUriTooLong), false;
  if (!version.starts_with("HTTP/")) return Refuse(kBadRequest), false;
  http_1_0_ = version == "HTTP/1.0";
  if (version != "HTTP/1.1" && !http_1_0_) return Refuse(kVersionNotSupported), false;
  return true;
}

bool HttpRequestParser::ReadHeaderLine(std::string_view line) {
  const size_t colon = line.find(':');
  const std::string_view value = colon == std::string_view::npos ? "" : line.substr(colon + 1);
  if (colon == std::string_view::npos || !IsToken(line.substr(0, colon)) ||
      !std::all_of(value.begin(), value.end(), IsValueChar)) {
    return Refuse(kBadRequest), false;
  }
  return ReadKnownHeader(Lowered(line.substr(0, colon)), Trim(value));
}

bool HttpRequestParser::ReadKnownHeader(std::string_view lower_name, std::string_view value) {
  if (lower_name == "content-length") return ReadContentLength(value);
  if (lower_name == "host") {
    if (std::exchange(has_host_, true)) return Refuse(kBadRequest), false;
  } else if (lower_name == "transfer-encoding") {
    if (Lowered(value) != "chunked") return Refuse(kNotImplemented), false;
    if (std::exchange(chunked_, true)) return Refuse(kBadRequest), false;
  } else if (lower_name == "expect") {
    expects_continue_ = Lowered(value) == "100-continue";
  } else if (lower_name == "content-type") {
    request_.content_type = value;
  } else if (lower_name == "x-forwarded-for") {
    request_.forwarded_for = value;
  }
  return true;
}

bool HttpRequestParser::ReadContentLength(std::string_view value) {
  if (std::exchange(has_length_, true) || value.empty() ||
      !std::all_of(value.begin(), value.end(), IsDigit)) {
    return Refuse(kBadRequest), false;
  }
  for (const char c : value) {
    content_length_ = content_length_ * 10 + static_cast<size_t>(c - '0');
    if (content_length_ > kBodyBytesMax) return Refuse(kContentTooLarge), false;
  }
  return true;
}

bool HttpRequestParser::CheckHead() {
  if (!has_host_ && !http_1_0_) return Refuse(kBadRequest), false;  // RFC 9112 §3.2
  // RFC 9112 §6.1: HTTP/1.0 has no transfer codings, and with a length there are two ends.
  if (chunked_ && (has_length_ || http_1_0_)) return Refuse(kBadRequest), false;
  return true;
}

// --- The body ---

HttpRequestParser::State HttpRequestParser::ReadBody() {
  if (buffer_.size() < content_length_) return state_;
  request_.body = buffer_.substr(0, content_length_);
  return state_ = State::kDone;
}

// Takes what is complete from the front of the buffer (RFC 9112 §7.1).
HttpRequestParser::State HttpRequestParser::ReadChunks() {
  size_t at = 0;
  while (state_ == State::kMore) {
    const std::string_view rest = std::string_view(buffer_).substr(at);
    if (chunk_state_ == ChunkState::kData) {
      const size_t taken = std::min(chunk_left_, rest.size());
      request_.body.append(rest.substr(0, taken));
      at += taken;
      chunk_left_ -= taken;
      if (chunk_left_ > 0) break;
      chunk_state_ = ChunkState::kDataEnd;
      continue;
    }
    const size_t end = rest.find('\n');
    if (std::min(end, rest.size()) > kChunkLineBytesMax) return Refuse(kBadRequest);
    if (end == std::string_view::npos) break;
    at += end + 1;
    if (!ReadChunkLine(WithoutCr(rest.substr(0, end)))) return state_;
  }
  chunked_bytes_ += at;
  buffer_.erase(0, at);
  if (chunked_bytes_ > kChunkedBytesMax) return Refuse(kContentTooLarge);
  return state_;
}

bool HttpRequestParser::ReadChunkLine(std::string_view line) {
  if (chunk_state_ == ChunkState::kDataEnd) {
    if (!line.empty()) return Refuse(kBadRequest), false;
    chunk_state_ = ChunkState::kSize;
    return true;
  }
  if (chunk_state_ == ChunkState::kTrailer) {
    if (line.empty()) state_ = State::kDone;
    return true;  // trailers say nothing that we want to know
  }
  const std::string_view digits = Trim(line.substr(0, line.find(';')));
  if (digits.empty() || digits.size() > 8) return Refuse(kBadRequest), false;
  size_t size = 0;
  for (const char c : digits) {
    const char lower = Lower(c);
    const bool letter = lower >= 'a' && lower <= 'f';
    if (!IsDigit(c) && !letter) return Refuse(kBadRequest), false;
    size = size * 16 + static_cast<size_t>(letter ? lower - 'a' + 10 : c - '0');
  }
  if (size > kBodyBytesMax - request_.body.size()) return Refuse(kContentTooLarge), false;
  chunk_left_ = size;
  chunk_state_ = size == 0 ? ChunkState::kTrailer : ChunkState::kData;
  return true;
}

}  // namespace volley::pipeline
