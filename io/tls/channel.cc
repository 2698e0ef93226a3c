#include "io/tls/channel.h"

#include <utility>

#include "io/base/check.h"
#include "io/tls/tls_stream.h"

namespace volley::io {

Channel::Channel(Reactor* reactor, ChannelHandler* handler)
    : reactor_(reactor), handler_(handler) {}

Channel::~Channel() = default;

void Channel::Connect(const Endpoint& peer, const ConnectOptions& options) {
  VOLLEY_CHECK(tls_ == nullptr);
  error_.reset();
  id_ = reactor_->Connect(peer, options, handler_);
}

void Channel::ConnectTls(const Endpoint& peer, const ConnectOptions& options,
                         TlsClientContext* context, const TlsConnectOptions& tls) {
  VOLLEY_CHECK(tls_ == nullptr);
  error_.reset();
  tls_ = std::make_unique<TlsStream>(this, context, tls);
  id_ = reactor_->Connect(peer, options, tls_.get());
}

void Channel::Adopt(StreamId id) {
  VOLLEY_CHECK(tls_ == nullptr);
  error_.reset();
  id_ = id;
}

StreamHandler* Channel::stream_handler() const {
  if (tls_ != nullptr) return tls_.get();
  return handler_;
}

void Channel::StartTls(TlsClientContext* context, const TlsConnectOptions& options) {
  VOLLEY_CHECK(tls_ == nullptr);
  if (!reactor_->IsOpen(id_)) return;  // its OnClosed is on the way, to the handler itself
  Install(std::make_unique<TlsStream>(this, context, options));
}

void Channel::StartTlsServer(TlsServerContext* context, const TlsAcceptOptions& options) {
  VOLLEY_CHECK(tls_ == nullptr);
  if (!reactor_->IsOpen(id_)) return;
  Install(std::make_unique<TlsStream>(this, context, options));
}

void Channel::Install(std::unique_ptr<TlsStream> tls) {
  tls_ = std::move(tls);
  reactor_->SetHandler(id_, tls_.get());
  tls_->Begin();
}

void Channel::SendTls(std::span<const iovec> pieces) { tls_->Send(pieces); }

void Channel::ShutdownWrite() {
  if (tls_ == nullptr) return reactor_->ShutdownWrite(id_);
  tls_->ShutdownWrite();
}

void Channel::Close() {
  if (tls_ == nullptr) return reactor_->Close(id_);
  tls_->Close();
}

bool Channel::IsOpen() const {
  if (tls_ != nullptr && !tls_->IsOpen()) return false;
  return reactor_->IsOpen(id_);
}

void Channel::SetHandler(ChannelHandler* handler) {
  handler_ = handler;
  if (tls_ == nullptr) reactor_->SetHandler(id_, handler);
}

}  // namespace volley::io
