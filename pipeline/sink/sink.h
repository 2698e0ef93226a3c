// Sink: an SMTP or LMTP server for tests and benchmarks. It takes all mail that keeps to the
// protocol and counts it, throws it away or keeps it (Maildir, JSON lines), and can pretend to be
// far away.
//
// Threading: one thread, that of the reactor, but for Stop(), which any thread and a signal handler
//   may call. Several sinks on several reactors share nothing.
// Lifetime: the reactor outlives the sink. Destroy the sink only when stopped() or when its reactor
//   will not run again; open connections are dropped then.
// Storing is done in the reactor's thread with blocking calls: a sink is no mail store, nothing is
// synced to disk. A message that could not be stored is refused with 451 4.3.0, never lost
// silently.
#ifndef VOLLEY_PIPELINE_SINK_SINK_H_
#define VOLLEY_PIPELINE_SINK_SINK_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "engine/smtp/server.h"
#include "io/net/endpoint.h"
#include "io/reactor/reactor.h"
#include "io/tls/tls_context.h"

namespace volley::pipeline {

struct SinkOptions {
  std::vector<io::Endpoint> endpoints;  // where to listen; port 0: the kernel picks one
  engine::smtp::ServerOptions server;   // protocol, extensions, size limit
  // TLS from the first byte (RFC 8314 §3.3); nullptr: in clear.
  std::shared_ptr<const io::TlsServerConfig> tls;
  std::string maildir;  // folder for the messages; empty: they are not kept
  std::string jsonl;    // file the envelopes are appended to; empty: none
  // Every flight of replies leaves this long after the bytes that caused it were read, in order, so
  // that a pipelined group costs it once: it stands for the round trip. The greeting leaves after
  // twice this: the TCP handshake would have taken the other one.
  absl::Duration reply_latency;
  absl::Duration idle_timeout = absl::Minutes(5);  // RFC 5321 §4.5.3.2.7
  absl::Duration stop_grace = absl::Seconds(10);   // for open transactions, after Stop()
  // Stop by itself after so many messages (transactions that are open then may still add some); the
  // peers get a second to say QUIT. 0: never.
  uint64_t messages_max = 0;
  absl::Duration run_for = absl::InfiniteDuration();  // stop by itself after so long
  // To answer otherwise than 250 (whose code 0 stands for): to a recipient; to an SMTP message at
  // its end, which is then neither kept nor counted. In the reactor's thread.
  std::function<engine::smtp::ServerReply(std::string_view forward_path)> on_rcpt;
  std::function<engine::smtp::ServerReply()> on_message;
  // Tells the wall clock for names and time stamps; replaced where runs must repeat exactly.
  std::function<absl::Time()> wall_clock = absl::Now;
  // One line for people: a message could not be stored, descriptors have run out. In the reactor's
  // thread; a cause is told once.
  std::function<void(const std::string&)> on_notice;
  // Called once, in the reactor's thread, when the last connection is gone after Stop().
  std::function<void()> on_stopped;
};

struct SinkCounters {
  uint64_t messages = 0;    // accepted
  uint64_t recipients = 0;  // of those
  uint64_t bytes = 0;       // of content of those
  uint64_t connections = 0;
  uint64_t peak_connections = 0;
  uint64_t protocol_errors = 0;  // see engine/smtp/server.h
};

class Sink {
 public:
  // Makes the folders, opens the file, listens. Errors name the path or address, and say what to
  // do.
  static absl::StatusOr<std::unique_ptr<Sink>> Create(io::Reactor* reactor, SinkOptions options);
  ~Sink();
  Sink(const Sink&) = delete;
  Sink& operator=(const Sink&) = delete;

  // With the ports the kernel picked.
  std::vector<io::Endpoint> endpoints() const;

  // Takes no new connection and no new transaction, lets open ones finish for up to `stop_grace`,
  // says 421 to everyone (RFC 5321 §3.8) and closes. A second call closes at once. Any thread,
  // async-signal-safe. REQUIRES: the reactor's wake handler calls OnWake(). LIFETIME: sink and
  // reactor live until it has returned, also where the loop ends because of it.
  void Stop();
  void OnWake();
  bool stopped() const;

  const SinkCounters& counters() const;
  // Not OK: the JSONL file could not be written; messages are refused since.
  absl::Status status() const;

 private:
  class Impl;
  explicit Sink(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_SINK_SINK_H_
