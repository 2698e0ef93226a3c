// HttpConnection: one connection of the endpoint: bytes between the reactor and the parser, one
// request, one answer, and the end.
//
// States: reading -> answering -> lingering (our end is shut, what the peer still sends is thrown
// away, so that the kernel does not turn the answer into a reset) -> closed. One deadline bounds
// reading, TLS handshake included, whatever arrives how slowly; another one bounds the rest. The
// object is used again for the next connection. One thread, the reactor's.
#ifndef VOLLEY_PIPELINE_UNSUBSCRIBE_HTTP_CONNECTION_H_
#define VOLLEY_PIPELINE_UNSUBSCRIBE_HTTP_CONNECTION_H_

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "io/net/endpoint.h"
#include "io/reactor/reactor.h"
#include "io/tls/channel.h"
#include "pipeline/unsubscribe/http_request.h"

namespace volley::pipeline {

class HttpConnection;

// What all connections of a server share. LIFETIME: outlives them.
class HttpServerShared {
 public:
  virtual ~HttpServerShared() = default;
  // The bytes of the answer.
  virtual std::string OnRequest(const HttpRequest& request, const io::Endpoint& peer) = 0;
  virtual std::string OnRefused(int status) = 0;
  virtual void OnConnectionClosed(HttpConnection* connection) = 0;
};

class HttpConnection : private io::ChannelHandler {
 public:
  // `tls`: nullptr: in clear.
  HttpConnection(io::Reactor* reactor, io::TlsServerContext* tls, HttpServerShared* shared);

  // A new connection; what the reactor tells of it goes to the handler returned. `client` is only
  // kept. REQUIRES: the last one is closed.
  io::StreamHandler* Open(io::StreamId stream, const io::Endpoint& peer, std::string client);
  // The server stops: who has not asked yet is closed.
  void Dismiss();
  bool open() const { return state_ != State::kClosed; }
  const std::string& client() const { return client_; }

 private:
  enum class State : uint8_t { kClosed, kReading, kAnswering, kLingering };

  class Deadline : public io::Timer {
   public:
    explicit Deadline(HttpConnection* connection) : connection_(*connection) {}

   private:
    void OnTimer() override { connection_.OnDeadline(); }
    HttpConnection& connection_;
  };

  // io::ChannelHandler
  void OnTlsReady(const io::TlsInfo& info) override;
  void OnData(std::span<const char> bytes) override;
  void OnSent() override;
  void OnPeerClosed() override;
  void OnClosed(const io::CloseInfo& info) override;

  void OnDeadline();
  void Answer(std::string_view bytes);
  void SendNext();
  void SetDeadline(absl::Duration from_now);

  io::Reactor& reactor_;
  io::TlsServerContext* const tls_;
  HttpServerShared& shared_;
  io::Channel channel_;
  Deadline deadline_;
  HttpRequestParser parser_;
  State state_ = State::kClosed;
  io::Endpoint peer_;
  std::string client_;
  bool ready_ = false;  // to send: TLS is there
  bool sending_ = false;
  bool peer_closed_ = false;
  std::string sent_;     // in flight
  std::string to_send_;  // next
};

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_UNSUBSCRIBE_HTTP_CONNECTION_H_
