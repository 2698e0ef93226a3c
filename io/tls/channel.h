// Channel: one stream of a reactor, plain or TLS, with one contract: that of Reactor's stream calls
// and StreamHandler (reactor.h). A plain channel costs one branch a call and nothing an event: the
// reactor calls the handler itself. TLS is switched on at connect (RFC 8314 §3.3) or in the middle
// of a conversation (STARTTLS, RFC 3207).
//
// What TLS changes in the contract:
//  - OnTlsReady comes once after each StartTls; Send and ShutdownWrite from there on.
//  - OnPeerClosed is the peer's close_notify. An end without one is never told as OnPeerClosed: it
//    is OnClosed(Unavailable) with TlsFailure::kTruncated, because anybody on the way can make one
//    (RFC 8446 §6.1). SMTP peers often leave it out after 221; by then we have called Close().
//  - CloseInfo::unsent_bytes counts plaintext: bytes given to Send that the peer certainly cannot
//    read, because their record was not wholly handed to the kernel. 0: all may have arrived.
//  - A TLS failure ends the channel: OnClosed with FailedPrecondition (certificate, version,
//  cipher,
//    plaintext peer, damaged bytes), Unavailable (the peer went away) or DeadlineExceeded
//    (handshake time-out); tls_error() has the reason.
//  - Close() sends close_notify first where it can be sent at once (kTlsCloseLinger bounds it).
//
// Threading: the reactor's thread. Callbacks never come from inside a call.
// LIFETIME: reactor and contexts outlive the channel's stream. A channel is destroyed after
//   OnClosed (also from inside it), or after its reactor, before its TLS context. It may be used
//   again for another stream from OnClosed on.
#ifndef VOLLEY_IO_TLS_CHANNEL_H_
#define VOLLEY_IO_TLS_CHANNEL_H_

#include <memory>
#include <span>
#include <string>

#include "io/reactor/reactor.h"
#include "io/tls/tls_context.h"
#include "io/tls/tls_info.h"

namespace volley::io {

class TlsStream;

class ChannelHandler : public StreamHandler {
 public:
  // The handshake is over and, where that was asked for, the peer is who it should be. Send may be
  // called. `info` is valid during the call only.
  virtual void OnTlsReady(const TlsInfo& info) { (void)info; }
};

class Channel {
 public:
  // LIFETIME: both outlive the channel's streams.
  Channel(Reactor* reactor, ChannelHandler* handler);
  ~Channel();
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;

  // As Reactor::Connect. REQUIRES: no stream, or OnClosed of the last one was called.
  void Connect(const Endpoint& peer, const ConnectOptions& options);
  // TLS from the first byte: OnConnected, then OnTlsReady.
  void ConnectTls(const Endpoint& peer, const ConnectOptions& options, TlsClientContext* context,
                  const TlsConnectOptions& tls);
  // Takes over an accepted stream; what ListenHandler::OnAccept returns is stream_handler().
  // OnConnected is not called. StartTlsServer may follow at once.
  void Adopt(StreamId id);
  StreamHandler* stream_handler() const;

  // From here on the stream is TLS; what was heard before it is not mixed in. The caller refuses
  // plaintext that came behind the STARTTLS reply in one OnData (RFC 3207 §4.2, CVE-2011-0411);
  // plaintext that comes later ends the handshake with kPlaintextPeer.
  // REQUIRES: not TLS yet; no Send in flight (a reply can be heard before the OnSent of the command
  //   it answers: wait for both). A stream that has ended meanwhile is no harm: OnClosed comes.
  void StartTls(TlsClientContext* context, const TlsConnectOptions& options);
  void StartTlsServer(TlsServerContext* context, const TlsAcceptOptions& options);

  // As the reactor's. REQUIRES for TLS: OnTlsReady was called.
  void Send(std::span<const iovec> pieces) {
    if (tls_ == nullptr) [[likely]] {
      reactor_->Send(id_, pieces);
    } else {
      SendTls(pieces);
    }
  }
  void ShutdownWrite();
  void Close();
  bool IsOpen() const;
  void SetHandler(ChannelHandler* handler);
  Endpoint LocalEndpoint() const { return reactor_->LocalEndpoint(id_); }
  StreamId id() const { return id_; }
  Reactor* reactor() const { return reactor_; }

  bool is_tls() const { return tls_ != nullptr; }  // StartTls was called on the present stream
  // Why TLS failed; nullptr: it did not. Kept until the next Connect or Adopt.
  const TlsError* tls_error() const { return error_.get(); }

 private:
  friend class TlsStream;

  void SendTls(std::span<const iovec> pieces);
  void Install(std::unique_ptr<TlsStream> tls);

  Reactor* const reactor_;
  ChannelHandler* handler_;
  StreamId id_;
  std::unique_ptr<TlsStream> tls_;  // null: plain
  std::unique_ptr<TlsError> error_;
};

}  // namespace volley::io

#endif  // VOLLEY_IO_TLS_CHANNEL_H_
