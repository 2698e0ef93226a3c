#include "pipeline/unsubscribe/http_connection.h"

#include <sys/uio.h>

#include <string_view>
#include <utility>

namespace volley::pipeline {
namespace {

constexpr absl::Duration kReadMax = absl::Seconds(10);
constexpr absl::Duration kAnswerMax = absl::Seconds(10);
constexpr absl::Duration kLingerMax = absl::Seconds(2);
constexpr int kRequestTimeout = 408;

}  // namespace

HttpConnection::HttpConnection(io::Reactor* reactor, io::TlsServerContext* tls,
                               HttpServerShared* shared)
    : reactor_(*reactor), tls_(tls), shared_(*shared), channel_(reactor, this), deadline_(this) {}

io::StreamHandler* HttpConnection::Open(io::StreamId stream, const io::Endpoint& peer,
                                        std::string client) {
  channel_.Adopt(stream);
  state_ = State::kReading;
  parser_.Reset();
  peer_ = peer;
  client_ = std::move(client);
  sending_ = peer_closed_ = false;
  to_send_.clear();
  ready_ = tls_ == nullptr;
  SetDeadline(kReadMax);
  if (tls_ != nullptr) channel_.StartTlsServer(tls_, {.handshake_timeout = kReadMax});
  return channel_.stream_handler();
}

void HttpConnection::SetDeadline(absl::Duration from_now) {
  reactor_.SetTimer(&deadline_, reactor_.Now() + from_now);
}

void HttpConnection::OnTlsReady(const io::TlsInfo&) {
  ready_ = true;
  SendNext();
}

void HttpConnection::OnData(std::span<const char> bytes) {
  if (state_ != State::kReading) return;
  const auto parsed = parser_.Receive({bytes.data(), bytes.size()});
  if (parsed == HttpRequestParser::State::kDone) {
    Answer(shared_.OnRequest(parser_.request(), peer_));
  } else if (parsed == HttpRequestParser::State::kRefused) {
    Answer(shared_.OnRefused(parser_.refusal()));
  } else if (parser_.TakeContinue()) {
    to_send_ = "HTTP/1.1 100 Continue\r\n\r\n";
    SendNext();
  }
}

void HttpConnection::Answer(std::string_view bytes) {
  state_ = State::kAnswering;
  to_send_ += bytes;
  SetDeadline(kAnswerMax);
  SendNext();
}

void HttpConnection::SendNext() {
  if (sending_ || !ready_ || !open()) return;
  if (!to_send_.empty()) {
    sent_ = std::exchange(to_send_, {});
    const iovec piece{sent_.data(), sent_.size()};
    sending_ = true;
    channel_.Send({&piece, 1});
  } else if (state_ == State::kAnswering) {
    if (peer_closed_) return channel_.Close();
    state_ = State::kLingering;
    channel_.ShutdownWrite();
    SetDeadline(kLingerMax);
  }
}

void HttpConnection::OnSent() {
  sending_ = false;
  SendNext();
}

// A client may shut its end behind its request and still read the answer.
void HttpConnection::OnPeerClosed() {
  peer_closed_ = true;
  if (state_ != State::kAnswering) channel_.Close();
}

void HttpConnection::OnClosed(const io::CloseInfo&) {
  reactor_.CancelTimer(&deadline_);
  state_ = State::kClosed;
  shared_.OnConnectionClosed(this);
}

void HttpConnection::OnDeadline() {
  if (state_ == State::kReading && ready_) return Answer(shared_.OnRefused(kRequestTimeout));
  channel_.Close();
}

void HttpConnection::Dismiss() {
  if (state_ == State::kReading || state_ == State::kLingering) channel_.Close();
}

}  // namespace volley::pipeline
