// UnsubscribeServer: the endpoint of one-click unsubscribe URLs on the network, directly with TLS
// or in clear behind a proxy on the same machine.
//
// A request that is answered with 200 is committed and synced, and every campaign that runs on the
// same state directory knows before its next message (pipeline/store/suppression.h).
//
// Threading: one thread, that of the reactor, but for Stop(), which any thread and a signal handler
//   may call. The commit is a blocking call in that thread: some milliseconds each, which is more
//   than enough for the opt-outs of the biggest lists.
// Lifetime: the reactor outlives the server. Destroy the server when stopped(), or when its reactor
//   will not run again.
// Bounds: kConnectionsMax, kConnectionsPerClientMax, HttpRequestParser's, times in
//   http_connection.cc, RateLimit.
#ifndef VOLLEY_PIPELINE_UNSUBSCRIBE_UNSUBSCRIBE_SERVER_H_
#define VOLLEY_PIPELINE_UNSUBSCRIBE_UNSUBSCRIBE_SERVER_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "io/net/endpoint.h"
#include "io/reactor/reactor.h"
#include "io/tls/tls_context.h"
#include "pipeline/unsubscribe/endpoint.h"

namespace volley::pipeline {

struct UnsubscribeServerOptions {
  std::vector<io::Endpoint> listen;  // port 0: the kernel picks one
  std::string state_dir;
  std::string key_path;  // as LoadOrCreateUnsubscribeKey takes it; read again when it changes
  std::shared_ptr<const io::TlsServerConfig> tls;  // nullptr: in clear
  EndpointOptions endpoint;
  std::function<absl::Time()> wall_clock = absl::Now;
  // One line for people: a changed key file that cannot be used, accepting has stopped. In the
  // reactor's thread.
  std::function<void(const std::string&)> on_notice;
  std::function<void()> on_stopped;  // once, when the last connection is gone after Stop()
};

class UnsubscribeServer {
 public:
  static constexpr size_t kConnectionsMax = 1024;
  static constexpr size_t kConnectionsPerClientMax = 32;

  // Opens the store and the key file, listens. Errors name the path or address.
  static absl::StatusOr<std::unique_ptr<UnsubscribeServer>> Create(
      io::Reactor* reactor, UnsubscribeServerOptions options);
  ~UnsubscribeServer();
  UnsubscribeServer(const UnsubscribeServer&) = delete;
  UnsubscribeServer& operator=(const UnsubscribeServer&) = delete;

  std::vector<io::Endpoint> endpoints() const;  // with the ports the kernel picked
  // Answers in progress are finished, up to some seconds. Any thread, async-signal-safe. REQUIRES:
  // the reactor's wake handler calls OnWake().
  void Stop();
  void OnWake();
  bool stopped() const;
  const EndpointCounters& counters() const;

 private:
  class Impl;
  explicit UnsubscribeServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_UNSUBSCRIBE_UNSUBSCRIBE_SERVER_H_
