#include "engine/smtp/client_output.h"

#include <algorithm>

#include "engine/base/secret.h"
#include "engine/smtp/check.h"

namespace volley::engine::smtp {

ClientOutput::~ClientOutput() { WipeSecret(); }

void ClientOutput::Reset() {
  Drop();
  WipeSecret();  // also what was in flight when the session ended
  sending_.clear();
  sending_base_ = 0;
  sending_taken_ = 0;
  content_mark_ = 0;
  content_bytes_ = 0;
  content_bytes_before_ = 0;
  bytes_taken_ = 0;
  bytes_sent_ = 0;
  in_flight_ = false;
}

// Room is made first: growing while appending would leave half a secret in freed memory, and what
// is short enough to stand in the string object itself would be copied about by every swap.
void ClientOutput::AppendSecret(std::initializer_list<std::string_view> parts) {
  Require(secret_end_ <= queued_base(), "one secret at a time");
  size_t bytes = queued_.size();
  for (const std::string_view part : parts) bytes += part.size();
  queued_.reserve(std::max<size_t>(bytes, 64));
  for (const std::string_view part : parts) queued_.append(part);
  secret_end_ = text_end();
}

void ClientOutput::AppendContent(std::span<const iovec> pieces, bool stuff) {
  Require(!content_pending_, "one content at a time");
  stuffer_.Start(pieces, stuff);
  content_pending_ = !stuffer_.done();
  content_mark_ = text_end();
  content_bytes_before_ = content_bytes_;
}

size_t ClientOutput::Take(std::span<iovec> out) {
  Require(!in_flight_, "TakeOutput() before OnOutputSent()");
  size_t n = 0;
  bool buffer_given = false;
  while (n < out.size()) {
    if (content_pending_ && text_taken() == content_mark_) {
      n += TakeContent(out.subspan(n));
    } else if (sending_taken_ < sending_.size()) {
      n += TakeText(&out[n]) ? 1 : 0;
      buffer_given = true;
    } else if (!queued_.empty() && !buffer_given) {
      SwapBuffers();
    } else {
      break;
    }
  }
  in_flight_ = n > 0;
  return n;
}

size_t ClientOutput::TakeContent(std::span<iovec> out) {
  const size_t n = stuffer_.Next(out);
  uint64_t bytes = 0;
  for (size_t i = 0; i < n; ++i) bytes += out[i].iov_len;
  content_bytes_ += bytes;
  bytes_taken_ += bytes;
  content_pending_ = !stuffer_.done();
  return n;
}

// Text up to the content or to the end of the buffer.
bool ClientOutput::TakeText(iovec* out) {
  size_t end = sending_.size();
  if (content_pending_) end = std::min<uint64_t>(end, content_mark_ - sending_base_);
  out->iov_base = sending_.data() + sending_taken_;
  out->iov_len = end - sending_taken_;
  bytes_taken_ += out->iov_len;
  sending_taken_ = end;
  return out->iov_len > 0;
}

void ClientOutput::SwapBuffers() {
  sending_base_ += sending_.size();
  sending_taken_ = 0;
  if (secret_end_ != 0) Wipe(&sending_);  // it may hold the line before, answered before OnSent()
  sending_.clear();
  if (sending_.capacity() > kTextBytesKept) sending_.shrink_to_fit();
  std::swap(sending_, queued_);
}

void ClientOutput::DropTextFrom(uint64_t position) {
  Require(position >= text_taken() && position <= text_end(), "only untaken text can be dropped");
  if (position >= queued_base()) {
    queued_.resize(position - queued_base());
  } else {
    queued_.clear();
    sending_.resize(position - sending_base_);
  }
}

void ClientOutput::Drop() {
  content_pending_ = false;
  if (secret_end_ > queued_base()) Wipe(&queued_);
  queued_.clear();
  sending_.resize(sending_taken_);
}

// Text positions are counted in sending_.size(): only the bytes change.
void ClientOutput::WipeSecret() {
  if (secret_end_ == 0) return;
  if (secret_end_ > queued_base()) Wipe(&queued_);
  const size_t size = sending_.size();
  Wipe(&sending_);
  sending_.resize(size);
  secret_end_ = 0;
}

}  // namespace volley::engine::smtp
