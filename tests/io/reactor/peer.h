// The other end of a tested stream, under the test's control: a plain socket for the kernel
// backends (it can reset, stop reading, fill a backlog), a stream of the same simulator for sim.
#ifndef VOLLEY_TESTS_IO_REACTOR_PEER_H_
#define VOLLEY_TESTS_IO_REACTOR_PEER_H_

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <string>

#include "io/base/check.h"
#include "io/reactor/sim_reactor.h"
#include "tests/io/reactor/recorder.h"

namespace volley::io {

class Peer {
 public:
  virtual ~Peer() = default;
  virtual void Write(std::string_view bytes) = 0;
  // Takes up to `most` of what has arrived and adds it to received().
  virtual void ReadSome(size_t most) = 0;
  virtual const std::string& received() const = 0;
  virtual bool saw_end() const = 0;    // FIN
  virtual bool saw_reset() const = 0;  // RST
  virtual void ShutdownWrite() = 0;
  virtual void Close() = 0;
  virtual void Reset() = 0;  // RST instead of FIN
};

class PeerHost {
 public:
  virtual ~PeerHost() = default;
  virtual Endpoint endpoint() const = 0;
  virtual std::unique_ptr<Peer> TryAccept() = 0;  // nullptr: nobody has connected yet
};

class SocketPeer final : public Peer {
 public:
  explicit SocketPeer(int fd) : fd_(fd) {}
  ~SocketPeer() override { Close(); }

  // Small amounts only: it waits for room, and the reactor does not run meanwhile.
  void Write(std::string_view bytes) override {
    while (!bytes.empty()) {
      const ssize_t n = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      ASSERT_GT(n, 0) << strerror(errno);
      bytes.remove_prefix(static_cast<size_t>(n));
    }
  }
  void ReadSome(size_t most) override {
    const size_t before = received_.size();
    received_.resize(before + most);
    const ssize_t n = recv(fd_, received_.data() + before, most, MSG_DONTWAIT);
    received_.resize(before + static_cast<size_t>(std::max<ssize_t>(n, 0)));
    if (n == 0) end_ = true;
    if (n < 0 && (errno == ECONNRESET || errno == EPIPE)) reset_ = true;
  }
  const std::string& received() const override { return received_; }
  bool saw_end() const override { return end_; }
  bool saw_reset() const override { return reset_; }
  void ShutdownWrite() override { shutdown(fd_, SHUT_WR); }
  void Close() override {
    if (fd_ >= 0) close(fd_);
    fd_ = -1;
  }
  void Reset() override {
    const linger now{.l_onoff = 1, .l_linger = 0};
    setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    Close();
  }

 private:
  int fd_;
  std::string received_;
  bool end_ = false;
  bool reset_ = false;
};

class SocketPeerHost final : public PeerHost {
 public:
  explicit SocketPeerHost(int backlog = 64, int receive_buffer_bytes = 0) {
    fd_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (receive_buffer_bytes != 0) {
      setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer_bytes, sizeof(int));
    }
    const Endpoint any = *Endpoint::FromIp("127.0.0.1", 0);
    VOLLEY_CHECK(bind(fd_, any.address(), any.address_bytes()) == 0);
    VOLLEY_CHECK(listen(fd_, backlog) == 0);
    sockaddr_storage storage{};
    socklen_t bytes = sizeof(storage);
    getsockname(fd_, reinterpret_cast<sockaddr*>(&storage), &bytes);
    endpoint_ = Endpoint::FromSockaddr(reinterpret_cast<sockaddr*>(&storage), bytes);
  }
  ~SocketPeerHost() override { Close(); }

  Endpoint endpoint() const override { return endpoint_; }
  std::unique_ptr<Peer> TryAccept() override {
    const int fd = accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC);
    return fd < 0 ? nullptr : std::make_unique<SocketPeer>(fd);
  }
  void Close() {
    if (fd_ >= 0) close(fd_);
    fd_ = -1;
  }

 private:
  int fd_;
  Endpoint endpoint_;
};

// A plain client socket, connecting without waiting.
class SocketClient {
 public:
  SocketClient() : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {}
  explicit SocketClient(const Endpoint& to) : SocketClient() { Connect(to); }
  SocketClient(SocketClient&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  ~SocketClient() {
    if (fd_ >= 0) close(fd_);
  }
  void Connect(const Endpoint& to) { (void)connect(fd_, to.address(), to.address_bytes()); }
  bool IsConnected(int wait_ms) const {
    pollfd ready{fd_, POLLOUT, 0};
    return poll(&ready, 1, wait_ms) == 1 && !(ready.revents & (POLLERR | POLLHUP));
  }

 private:
  int fd_;
};

class SimPeer final : public Peer {
 public:
  SimPeer(SimReactor& reactor, AcceptingRecorder::Accepted stream)
      : reactor_(reactor), stream_(std::move(stream)) {}
  ~SimPeer() override {
    // The handler goes with us; the stream may live on until the simulator does.
    reactor_.SetHandler(stream_.id, &nobody_);
    reactor_.Close(stream_.id);
  }
  void Write(std::string_view bytes) override {
    written_.push_back(std::make_unique<std::string>(bytes));
    SendText(reactor_, stream_.id, *written_.back());
  }
  void ReadSome(size_t) override {}  // the simulator's streams always read
  const std::string& received() const override { return stream_.handler->data; }
  bool saw_end() const override { return stream_.handler->peer_closed; }
  bool saw_reset() const override {
    return stream_.handler->closed && stream_.handler->closed->sys_errno == ECONNRESET;
  }
  void ShutdownWrite() override { reactor_.ShutdownWrite(stream_.id); }
  void Close() override { reactor_.Close(stream_.id); }
  void Reset() override { reactor_.Reset(stream_.id); }

 private:
  class Nobody : public StreamHandler {
    void OnData(std::span<const char>) override {}
    void OnSent() override {}
    void OnPeerClosed() override {}
    void OnClosed(const CloseInfo&) override {}
  };
  static inline Nobody nobody_;

  SimReactor& reactor_;
  AcceptingRecorder::Accepted stream_;
  std::vector<std::unique_ptr<std::string>> written_;
};

class SimPeerHost final : public PeerHost {
 public:
  explicit SimPeerHost(SimReactor& reactor) : reactor_(reactor) {
    id_ = *reactor.Listen(*Endpoint::FromIp("127.0.0.1", 0), &listener_);
  }
  Endpoint endpoint() const override { return reactor_.ListenEndpoint(id_); }
  std::unique_ptr<Peer> TryAccept() override {
    if (listener_.streams.empty()) return nullptr;
    auto peer = std::make_unique<SimPeer>(reactor_, std::move(listener_.streams.front()));
    listener_.streams.erase(listener_.streams.begin());
    return peer;
  }

 private:
  SimReactor& reactor_;
  AcceptingRecorder listener_;
  ListenerId id_;
};

}  // namespace volley::io

#endif  // VOLLEY_TESTS_IO_REACTOR_PEER_H_
