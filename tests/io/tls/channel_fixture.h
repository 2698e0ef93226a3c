// The fixture of the channel tests: both ends are Channels of the tested reactor, on every backend.
#ifndef VOLLEY_TESTS_IO_TLS_CHANNEL_FIXTURE_H_
#define VOLLEY_TESTS_IO_TLS_CHANNEL_FIXTURE_H_

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "io/tls/channel.h"
#include "tests/io/reactor/conformance.h"
#include "tests/io/tls/certificates.h"

namespace volley::io {

// Writes down what it hears and checks the order that channel.h promises.
class ChannelRecorder : public ChannelHandler {
 public:
  void OnConnected() override {
    Heard("connected");
    EXPECT_EQ(events.size(), 1u);
    if (on_connected) on_connected();
  }
  void OnTlsReady(const TlsInfo& ready) override {
    Heard("ready");
    EXPECT_FALSE(info.has_value()) << "OnTlsReady twice";
    info = ready;
    if (on_ready) on_ready();
  }
  void OnData(std::span<const char> bytes) override {
    Heard("data");
    EXPECT_FALSE(bytes.empty());
    EXPECT_FALSE(peer_closed) << "OnData after OnPeerClosed";
    data.append(bytes.data(), bytes.size());
    if (on_data) on_data();
  }
  void OnSent() override {
    Heard("sent");
    ++sent;
    if (on_sent) on_sent();
  }
  void OnPeerClosed() override {
    Heard("peer_closed");
    EXPECT_FALSE(peer_closed) << "OnPeerClosed twice";
    peer_closed = true;
    if (on_peer_closed) on_peer_closed();
  }
  void OnClosed(const CloseInfo& told) override {
    Heard("closed");
    closed = told;
    if (on_closed) on_closed();
  }

  int sent = 0;
  bool peer_closed = false;
  std::string data;
  std::optional<TlsInfo> info;
  std::optional<CloseInfo> closed;
  std::vector<std::string> events;
  const bool* forbidden = nullptr;  // where it points to true, no callback may come
  std::function<void()> on_connected, on_ready, on_data, on_sent, on_peer_closed, on_closed;

 private:
  void Heard(std::string event) {
    EXPECT_FALSE(closed.has_value()) << event << " after OnClosed";
    EXPECT_FALSE(forbidden != nullptr && *forbidden) << event << " from inside a call";
    events.push_back(std::move(event));
  }
};

// One end of a connection.
struct End {
  explicit End(Reactor* reactor) : channel(reactor, &handler) {}
  bool over() const { return handler.closed.has_value(); }
  bool ready() const { return handler.info.has_value(); }
  TlsFailure failure() const {
    return channel.tls_error() == nullptr ? TlsFailure::kNone : channel.tls_error()->failure;
  }
  std::string why() const {
    return channel.tls_error() == nullptr ? "" : channel.tls_error()->message;
  }
  void Send(std::string_view bytes) {
    const iovec piece = Piece(bytes);
    channel.Send({&piece, 1});
  }
  ChannelRecorder handler;
  Channel channel;
};

// Sends back whatever comes, one Send at a time, and ends when the peer has.
class Echo {
 public:
  explicit Echo(End& end) : end_(end) {
    end.handler.on_data = [this] {
      waiting_ += std::exchange(end_.handler.data, "");
      Next();
    };
    end.handler.on_sent = [this] {
      busy_ = false;
      Next();
    };
    end.handler.on_peer_closed = [this] {
      ended_ = true;
      Next();
    };
  }

 private:
  void Next() {
    if (busy_) return;
    if (!waiting_.empty()) {
      sending_ = std::exchange(waiting_, "");
      busy_ = true;
      end_.Send(sending_);
    } else if (ended_) {
      end_.channel.Close();
    }
  }
  End& end_;
  std::string waiting_, sending_;
  bool busy_ = false, ended_ = false;
};

// Accepts channels; `on_accept` may start TLS on them.
class ChannelAcceptor : public ListenHandler {
 public:
  explicit ChannelAcceptor(Reactor* reactor) : reactor_(reactor) {}
  StreamHandler* OnAccept(StreamId id, const Endpoint&) override {
    ends.push_back(std::make_unique<End>(reactor_));
    End& end = *ends.back();
    end.channel.Adopt(id);
    if (on_accept) on_accept(end);
    return end.channel.stream_handler();
  }
  void OnAcceptPaused(const absl::Status&, bool) override {}
  std::vector<std::unique_ptr<End>> ends;
  std::function<void(End&)> on_accept;

 private:
  Reactor* const reactor_;
};

class ChannelTest : public Conformance {
 protected:
  static TestPki& pki() {
    static TestPki pki;
    return pki;
  }

  void TearDown() override { reactor_.reset(); }  // before channels and contexts: see channel.h

  TlsClientContext* Client(TlsClientOptions options = {}) {
    if (options.ca_file.empty()) options.ca_file = pki().ca_file();
    auto config = TlsClientConfig::Create(options);
    VOLLEY_CHECK(config.ok());
    clients_.push_back(std::make_unique<TlsClientContext>(*config));
    return clients_.back().get();
  }
  TlsServerContext* Server(TlsServerOptions options = {}) {
    if (options.certificate.certificate_file.empty()) options.certificate = pki().Leaf({});
    auto config = TlsServerConfig::Create(options);
    VOLLEY_CHECK(config.ok());
    servers_.push_back(std::make_unique<TlsServerContext>(*config));
    return servers_.back().get();
  }
  static TlsConnectOptions To(std::string name = "mx.example.com",
                              TlsVerify verify = TlsVerify::kRequired) {
    TlsConnectOptions options;
    options.server_name = std::move(name);
    options.verify = verify;
    return options;
  }

  End& NewEnd() {
    ends_.push_back(std::make_unique<End>(reactor_.get()));
    return *ends_.back();
  }
  // A listener whose channels speak TLS from the first byte.
  std::pair<ChannelAcceptor*, Endpoint> ListenTls(TlsServerContext* context,
                                                  TlsAcceptOptions options = {}) {
    auto [acceptor, endpoint] = ListenPlain();
    acceptor->on_accept = [context, options](End& end) {
      end.channel.StartTlsServer(context, options);
    };
    return {acceptor, endpoint};
  }
  std::pair<ChannelAcceptor*, Endpoint> ListenPlain() {
    acceptors_.push_back(std::make_unique<ChannelAcceptor>(reactor_.get()));
    ChannelAcceptor* acceptor = acceptors_.back().get();
    return {acceptor, Listen(acceptor).second};
  }

  struct TlsPair {
    End* client;
    End* server;
  };
  // Both ends, ready, or as far as they came.
  TlsPair MakeTlsPair(TlsClientContext* client_context, TlsServerContext* server_context,
                      const TlsConnectOptions& options = To()) {
    const auto [acceptor, endpoint] = ListenTls(server_context);
    End& client = NewEnd();
    client.channel.ConnectTls(endpoint, {}, client_context, options);
    EXPECT_TRUE(RunUntil([&, acceptor = acceptor] {
      if (client.over()) return acceptor->ends.empty() || acceptor->ends[0]->over();
      return client.ready() && !acceptor->ends.empty() &&
             (acceptor->ends[0]->ready() || acceptor->ends[0]->over());
    }));
    return {&client, acceptor->ends.empty() ? nullptr : acceptor->ends[0].get()};
  }
  TlsPair MakeTlsPair() { return MakeTlsPair(Client(), Server()); }

  // Contexts outlive channels: declared first.
  std::vector<std::unique_ptr<TlsClientContext>> clients_;
  std::vector<std::unique_ptr<TlsServerContext>> servers_;
  std::vector<std::unique_ptr<End>> ends_;
  std::vector<std::unique_ptr<ChannelAcceptor>> acceptors_;
};

class KernelChannelTest : public ChannelTest {};

}  // namespace volley::io

#endif  // VOLLEY_TESTS_IO_TLS_CHANNEL_FIXTURE_H_
