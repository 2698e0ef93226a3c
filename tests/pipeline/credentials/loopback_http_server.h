// A web server on 127.0.0.1 for one test: its thread takes one connection after the other, reads
// one request and answers with bytes of the test's choice, as they are: also with half an answer,
// or none.
#ifndef VOLLEY_TESTS_PIPELINE_CREDENTIALS_LOOPBACK_HTTP_SERVER_H_
#define VOLLEY_TESTS_PIPELINE_CREDENTIALS_LOOPBACK_HTTP_SERVER_H_

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "fmt/format.h"
#include "gtest/gtest.h"
#include "pipeline/credentials/stop_signal.h"

namespace volley::testing {

inline std::string HttpAnswer(int status, std::string_view body, std::string_view headers = "") {
  return fmt::format(
      "HTTP/1.1 {} x\r\nContent-Type: application/json\r\nContent-Length: {}\r\n{}\r\n{}", status,
      body.size(), headers, body);
}

class LoopbackHttpServer {
 public:
  // nullopt: never answers, and keeps the connection.
  using Handler = std::function<std::optional<std::string>(const std::string& request)>;

  // `tls` null: in clear. LIFETIME: outlives the server.
  explicit LoopbackHttpServer(Handler handler, SSL_CTX* tls = nullptr)
      : handler_(std::move(handler)), tls_(tls) {
    listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    EXPECT_EQ(bind(listener_, generic, size), 0);
    EXPECT_EQ(listen(listener_, 16), 0);
    EXPECT_EQ(getsockname(listener_, generic, &size), 0);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { Run(); });
  }
  ~LoopbackHttpServer() {
    stop_.Stop();
    thread_.join();
    close(listener_);
  }
  LoopbackHttpServer(const LoopbackHttpServer&) = delete;
  LoopbackHttpServer& operator=(const LoopbackHttpServer&) = delete;

  std::string url(std::string_view path = "/token") const {
    return fmt::format("{}://127.0.0.1:{}{}", tls_ == nullptr ? "http" : "https", port_, path);
  }
  uint16_t port() const { return port_; }
  std::vector<std::string> requests() const {
    const std::lock_guard lock(mutex_);
    return requests_;
  }

 private:
  class Connection {
   public:
    Connection(int fd, SSL_CTX* tls) : fd_(fd), ssl_(tls == nullptr ? nullptr : SSL_new(tls)) {
      if (ssl_ != nullptr) SSL_set_fd(ssl_, fd_);
    }
    ~Connection() {
      if (ssl_ != nullptr) SSL_shutdown(ssl_);
      SSL_free(ssl_);
      close(fd_);
    }
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;

    bool Start() { return ssl_ == nullptr || SSL_accept(ssl_) == 1; }
    int fd() const { return fd_; }
    int Read(char* bytes, int size) {
      if (ssl_ != nullptr) return SSL_read(ssl_, bytes, size);
      return static_cast<int>(recv(fd_, bytes, static_cast<size_t>(size), 0));
    }
    void Write(std::string_view bytes) {
      while (!bytes.empty()) {
        const int n = ssl_ != nullptr
                          ? SSL_write(ssl_, bytes.data(), static_cast<int>(bytes.size()))
                          : static_cast<int>(send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL));
        if (n <= 0) return;  // the client has had enough
        bytes.remove_prefix(static_cast<size_t>(n));
      }
    }

   private:
    const int fd_;
    SSL* ssl_;
  };

  // False: stopped.
  bool WaitFor(int fd) {
    pollfd polled[2] = {{.fd = fd, .events = POLLIN, .revents = 0},
                        {.fd = stop_.fd(), .events = POLLIN, .revents = 0}};
    poll(polled, 2, -1);
    return !stop_.stopped();
  }

  void Run() {
    sigset_t sigpipe;  // OpenSSL writes to clients that are gone
    sigemptyset(&sigpipe);
    sigaddset(&sigpipe, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &sigpipe, nullptr);
    while (WaitFor(listener_)) {
      const int fd = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      if (fd < 0) continue;
      const timeval limit = {.tv_sec = 5, .tv_usec = 0};  // the server itself never hangs
      setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
      setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
      Connection connection(fd, tls_);
      if (connection.Start()) Serve(&connection);
    }
  }

  void Serve(Connection* connection) {
    const std::string request = ReadRequest(connection);
    if (request.empty()) return;
    {
      const std::lock_guard lock(mutex_);
      requests_.push_back(request);
    }
    if (const std::optional<std::string> answer = handler_(request)) {
      connection->Write(*answer);
    } else {
      WaitFor(-1);
    }
  }

  std::string ReadRequest(Connection* connection) {
    std::string request;
    char bytes[4096];
    while (!IsWhole(request)) {
      const int n = connection->Read(bytes, sizeof bytes);
      if (n <= 0) return {};
      request.append(bytes, static_cast<size_t>(n));
    }
    return request;
  }

  static bool IsWhole(const std::string& request) {
    const size_t end = request.find("\r\n\r\n");
    const size_t length = request.find("Content-Length: ");
    if (end == request.npos || length == request.npos) return false;
    return request.size() >= end + 4 + std::strtoul(request.c_str() + length + 16, nullptr, 10);
  }

  const Handler handler_;
  SSL_CTX* const tls_;
  pipeline::StopSignal stop_;
  int listener_ = -1;
  uint16_t port_ = 0;
  mutable std::mutex mutex_;
  std::vector<std::string> requests_;
  std::thread thread_;
};

}  // namespace volley::testing

#endif  // VOLLEY_TESTS_PIPELINE_CREDENTIALS_LOOPBACK_HTTP_SERVER_H_
