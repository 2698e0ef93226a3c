// Test helpers: a sink that runs in a thread of its own over real sockets, and a blocking client.
#ifndef VOLLEY_TESTS_PIPELINE_SINK_RUNNING_SINK_H_
#define VOLLEY_TESTS_PIPELINE_SINK_RUNNING_SINK_H_

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <future>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include "io/reactor/reactor.h"
#include "pipeline/sink/sink.h"

namespace volley::pipeline {

class RunningSink {
 public:
  RunningSink(io::BackendChoice backend, SinkOptions options) {
    std::promise<uint16_t> port;
    std::future<uint16_t> port_known = port.get_future();
    thread_ = std::thread([this, backend, &port, options = std::move(options)]() mutable {
      Run(backend, std::move(options), &port);
    });
    port_ = port_known.get();
  }
  ~RunningSink() {
    if (!thread_.joinable()) return;
    Stop();
    Join();
  }

  uint16_t port() const { return port_; }
  void Stop() { sink_->Stop(); }
  // Waits for the end. The sink's own: Stop() must have been called, or it must stop by itself.
  SinkCounters Join() {
    nobody_stops_.set_value();
    thread_.join();
    return counters_;
  }
  SinkCounters StopAndJoin() {
    Stop();
    return Join();
  }
  absl::Status status() const { return status_; }

 private:
  void Run(io::BackendChoice backend, SinkOptions options, std::promise<uint16_t>* port) {
    auto created = io::CreateReactor({.backend = backend});
    ASSERT_TRUE(created.ok()) << created.status();
    io::Reactor& reactor = *created->reactor;
    options.endpoints = {*io::Endpoint::Parse("127.0.0.1:0")};
    options.on_stopped = [&] { reactor.Stop(); };
    auto sink = Sink::Create(&reactor, std::move(options));
    ASSERT_TRUE(sink.ok()) << sink.status();
    sink_ = sink->get();
    reactor.SetWakeHandler([&] { sink_->OnWake(); });
    port->set_value(sink_->endpoints().at(0).port());
    reactor.Run();
    counters_ = sink_->counters();
    status_ = sink_->status();
    nobody_stops_.get_future().wait();  // sink and reactor outlive every call of Stop()
  }

  std::promise<void> nobody_stops_;
  std::thread thread_;
  Sink* sink_ = nullptr;
  uint16_t port_ = 0;
  SinkCounters counters_;
  absl::Status status_;
};

// One connection. Every wait is bounded: after 20 s it counts as the end.
class BlockingClient {
 public:
  explicit BlockingClient(uint16_t port) : fd_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected_ = connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0;
  }
  ~BlockingClient() { close(fd_); }
  BlockingClient(const BlockingClient&) = delete;
  BlockingClient& operator=(const BlockingClient&) = delete;

  bool connected() const { return connected_; }
  void Send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return;
      bytes.remove_prefix(static_cast<size_t>(sent));
    }
  }
  // The next whole reply: its last line without CRLF. Empty: the connection ended.
  std::string Reply() {
    for (;;) {
      const std::string line = Line();
      if (line.size() < 4 || line[3] == ' ') return line;
    }
  }
  // The codes of the next replies, "250 250 354".
  std::string Codes(int count) {
    std::string codes;
    for (int i = 0; i < count; ++i) codes += (i ? " " : "") + Reply().substr(0, 3);
    return codes;
  }
  std::string Ask(std::string_view bytes) {
    Send(bytes);
    return Reply();
  }
  // True when the peer has closed and nothing is left to read.
  bool AtEnd() { return buffer_.empty() && !Fill(); }
  void Greet(std::string_view hello = "EHLO client.example\r\n") {
    EXPECT_EQ(Reply().substr(0, 3), "220");
    EXPECT_EQ(Ask(hello).substr(0, 3), "250");
  }

 private:
  std::string Line() {
    size_t end;
    while ((end = buffer_.find("\r\n")) == std::string::npos) {
      if (!Fill()) return "";
    }
    std::string line = buffer_.substr(0, end);
    buffer_.erase(0, end + 2);
    return line;
  }
  bool Fill() {
    pollfd ready{fd_, POLLIN, 0};
    if (poll(&ready, 1, 20'000) <= 0) return false;
    char bytes[4096];
    const ssize_t got = recv(fd_, bytes, sizeof(bytes), 0);
    if (got <= 0) return false;
    buffer_.append(bytes, static_cast<size_t>(got));
    return true;
  }

  int fd_;
  bool connected_ = false;
  std::string buffer_;
};

}  // namespace volley::pipeline

#endif  // VOLLEY_TESTS_PIPELINE_SINK_RUNNING_SINK_H_
