#include "pipeline/unsubscribe/unsubscribe_server.h"

#include <fmt/format.h>

#include <atomic>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "pipeline/credentials/secret_file.h"
#include "pipeline/store/unsubscribe_key.h"
#include "pipeline/unsubscribe/http_connection.h"

namespace volley::pipeline {
namespace {

constexpr absl::Duration kKeyLookInterval = absl::Seconds(1);
// Another process that imports a list holds the write lock; meanwhile nobody here is answered.
constexpr absl::Duration kStoreBusyMax = absl::Seconds(2);

std::string Words(const absl::Status& status) { return std::string(status.message()); }

}  // namespace

class UnsubscribeServer::Impl : private HttpServerShared, private io::ListenHandler {
 public:
  Impl(io::Reactor* reactor, UnsubscribeServerOptions options, Unsubscriber unsubscriber)
      : reactor_(*reactor),
        options_(std::move(options)),
        key_path_(UnsubscribeKeyPath(options_.state_dir, options_.key_path)),
        endpoint_(std::move(unsubscriber), options_.endpoint),
        tls_(options_.tls ? std::make_unique<io::TlsServerContext>(options_.tls) : nullptr),
        key_timer_(this) {}
  ~Impl() override { reactor_.CancelTimer(&key_timer_); }

  absl::Status Listen();
  std::vector<io::Endpoint> endpoints() const;
  void Stop();
  void OnWake();
  bool stopped() const { return stopped_; }
  const EndpointCounters& counters() const { return endpoint_.counters(); }

 private:
  class KeyTimer : public io::Timer {
   public:
    explicit KeyTimer(Impl* impl) : impl_(*impl) {}

   private:
    void OnTimer() override { impl_.LookAtKey(); }
    Impl& impl_;
  };

  // HttpServerShared
  std::string OnRequest(const HttpRequest& request, const io::Endpoint& peer) override {
    return endpoint_.Answer(request, peer, reactor_.Now());
  }
  std::string OnRefused(int status) override { return endpoint_.Refuse(status); }
  void OnConnectionClosed(HttpConnection* connection) override;

  // io::ListenHandler
  io::StreamHandler* OnAccept(io::StreamId id, const io::Endpoint& peer) override;
  void OnAcceptPaused(const absl::Status& status, bool retrying) override;

  void LookAtKey();
  void Notice(const std::string& text) const {
    if (options_.on_notice) options_.on_notice(text);
  }
  void FinishIfDone();

  io::Reactor& reactor_;
  const UnsubscribeServerOptions options_;
  const std::string key_path_;
  UnsubscribeEndpoint endpoint_;
  std::unique_ptr<io::TlsServerContext> tls_;
  FileStamp key_stamp_;
  KeyTimer key_timer_;
  std::vector<io::ListenerId> listeners_;
  size_t listeners_open_ = 0;
  std::vector<std::unique_ptr<HttpConnection>> connections_;
  std::vector<HttpConnection*> free_;
  size_t open_ = 0;
  absl::flat_hash_map<std::string, size_t> open_of_client_;
  std::atomic<bool> stop_{false};
  bool stopping_ = false, stopped_ = false;
};

absl::Status UnsubscribeServer::Impl::Listen() {
  for (const io::Endpoint& endpoint : options_.listen) {
    const auto listener = reactor_.Listen(endpoint, this);
    if (!listener.ok()) return listener.status();
    listeners_.push_back(*listener);
    ++listeners_open_;
  }
  key_stamp_ = StampOf(key_path_);
  reactor_.SetTimer(&key_timer_, reactor_.Now() + kKeyLookInterval);
  return absl::OkStatus();
}

std::vector<io::Endpoint> UnsubscribeServer::Impl::endpoints() const {
  std::vector<io::Endpoint> result;
  for (const io::ListenerId id : listeners_) result.push_back(reactor_.ListenEndpoint(id));
  return result;
}

// --- Connections ---

io::StreamHandler* UnsubscribeServer::Impl::OnAccept(io::StreamId id, const io::Endpoint& peer) {
  if (stopping_ || open_ >= kConnectionsMax) return nullptr;
  std::string client = endpoint_.ConnectionClient(peer);
  size_t& of_client = open_of_client_[client];
  if (!client.empty() && of_client >= kConnectionsPerClientMax) return nullptr;
  ++of_client;
  ++open_;
  if (free_.empty()) {
    HttpServerShared* shared = this;
    connections_.push_back(std::make_unique<HttpConnection>(&reactor_, tls_.get(), shared));
    free_.push_back(connections_.back().get());
  }
  HttpConnection* connection = free_.back();
  free_.pop_back();
  return connection->Open(id, peer, std::move(client));
}

void UnsubscribeServer::Impl::OnConnectionClosed(HttpConnection* connection) {
  const auto client = open_of_client_.find(connection->client());
  if (--client->second == 0) open_of_client_.erase(client);
  --open_;
  free_.push_back(connection);
  FinishIfDone();
}

void UnsubscribeServer::Impl::OnAcceptPaused(const absl::Status& status, bool retrying) {
  if (retrying) return Notice(fmt::format("not accepting connections: {}", Words(status)));
  --listeners_open_;
  FinishIfDone();
}

// --- The key file ---

// A changed file that cannot be used leaves the keys as they are: links that people have must not
// stop working because of a slip in an editor.
void UnsubscribeServer::Impl::LookAtKey() {
  reactor_.SetTimer(&key_timer_, reactor_.Now() + kKeyLookInterval);
  const FileStamp stamp = StampOf(key_path_);
  if (stamp == key_stamp_ && !MayChangeUnseen(stamp)) return;
  const bool changed = stamp != key_stamp_;
  key_stamp_ = stamp;
  auto keys = LoadUnsubscribeKey(key_path_);
  if (keys.ok()) return endpoint_.SetKeys(*std::move(keys));
  if (changed) Notice(fmt::format("{}; the keys from before stay in use", Words(keys.status())));
}

// --- Stopping ---

void UnsubscribeServer::Impl::Stop() {
  stop_.store(true, std::memory_order_release);
  reactor_.Wake();
}

void UnsubscribeServer::Impl::OnWake() {
  if (!stop_.load(std::memory_order_acquire) || stopping_) return;
  stopping_ = true;
  reactor_.CancelTimer(&key_timer_);
  for (const io::ListenerId id : listeners_) reactor_.CloseListener(id);
  for (const auto& connection : connections_) connection->Dismiss();
  FinishIfDone();
}

void UnsubscribeServer::Impl::FinishIfDone() {
  if (!stopping_ || stopped_ || open_ > 0 || listeners_open_ > 0) return;
  stopped_ = true;
  if (options_.on_stopped) options_.on_stopped();
}

// --- UnsubscribeServer ---

absl::StatusOr<std::unique_ptr<UnsubscribeServer>> UnsubscribeServer::Create(
    io::Reactor* reactor, UnsubscribeServerOptions options) {
  auto list = SuppressionList::Open(options.state_dir, {.busy_timeout = kStoreBusyMax});
  if (!list.ok()) return list.status();
  auto keys = LoadOrCreateUnsubscribeKey(options.state_dir, options.key_path);
  if (!keys.ok()) return keys.status();
  Unsubscriber unsubscriber(*std::move(list), *std::move(keys), options.wall_clock);
  auto impl = std::make_unique<Impl>(reactor, std::move(options), std::move(unsubscriber));
  if (absl::Status s = impl->Listen(); !s.ok()) return s;
  return std::unique_ptr<UnsubscribeServer>(new UnsubscribeServer(std::move(impl)));
}

UnsubscribeServer::UnsubscribeServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
UnsubscribeServer::~UnsubscribeServer() = default;

std::vector<io::Endpoint> UnsubscribeServer::endpoints() const { return impl_->endpoints(); }
void UnsubscribeServer::Stop() { impl_->Stop(); }
void UnsubscribeServer::OnWake() { impl_->OnWake(); }
bool UnsubscribeServer::stopped() const { return impl_->stopped(); }
const EndpointCounters& UnsubscribeServer::counters() const { return impl_->counters(); }

}  // namespace volley::pipeline
