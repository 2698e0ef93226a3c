#include "pipeline/sink/sink.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "pipeline/sink/sink_session.h"

namespace volley::pipeline {
namespace {

// A reader that follows the file sees a message no later than this.
constexpr absl::Duration kJournalFlushInterval = absl::Milliseconds(100);
// After the last wanted message the peers may end their sessions by themselves.
constexpr absl::Duration kQuitGrace = absl::Seconds(1);

class CallbackTimer : public io::Timer {
 public:
  explicit CallbackTimer(std::function<void()> call) : call_(std::move(call)) {}

 private:
  void OnTimer() override { call_(); }
  const std::function<void()> call_;
};

}  // namespace

class Sink::Impl : public SinkShared, private io::ListenHandler {
 public:
  Impl(io::Reactor* reactor_in, SinkOptions options_in)
      : SinkShared(reactor_in, std::move(options_in)) {}

  absl::Status Start();
  std::vector<io::Endpoint> endpoints() const;
  void Stop();
  void OnWake();
  bool stopped() const { return stopped_; }

 private:
  // io::ListenHandler
  io::StreamHandler* OnAccept(io::StreamId id, const io::Endpoint& peer) override;
  void OnAcceptPaused(const absl::Status& status, bool retrying) override;

  // SinkShared
  void OnSessionClosed(SinkSession* session) override;
  void OnMessage() override;
  void Release(const SinkFlight& flight) override;

  void BeginStop(absl::Duration quit_grace);
  void DismissAll();
  void CloseAll();
  void FinishIfDone();
  void FlushJournal();
  SinkSession* FreeSession();
  void ArmJournal();

  std::vector<io::ListenerId> listeners_;
  size_t listeners_open_ = 0;
  std::vector<std::unique_ptr<SinkSession>> sessions_;
  std::vector<SinkSession*> free_;
  size_t open_ = 0;
  std::atomic<uint32_t> stop_calls_{0};
  uint32_t stop_calls_seen_ = 0;
  bool stopping_ = false;
  bool stopped_ = false;
  bool accept_told_ = false;
  CallbackTimer journal_timer_{[this] { FlushJournal(); }};
  CallbackTimer dismiss_timer_{[this] { DismissAll(); }};
  CallbackTimer grace_timer_{[this] { CloseAll(); }};
  CallbackTimer run_timer_{[this] { BeginStop(absl::ZeroDuration()); }};
  CallbackTimer last_message_timer_{[this] { BeginStop(kQuitGrace); }};
};

// --- Starting ---

absl::Status Sink::Impl::Start() {
  if (!options.maildir.empty()) {
    auto opened = Maildir::Open(options.maildir, options.server.hostname);
    if (!opened.ok()) return opened.status();
    maildir = *std::move(opened);
  }
  if (!options.jsonl.empty()) {
    auto opened = EnvelopeJournal::Open(options.jsonl);
    if (!opened.ok()) return opened.status();
    journal = *std::move(opened);
  }
  for (const io::Endpoint& endpoint : options.endpoints) {
    auto listener = reactor.Listen(endpoint, this);
    if (!listener.ok()) return listener.status();
    listeners_.push_back(*listener);
    ++listeners_open_;
  }
  if (options.run_for < absl::InfiniteDuration()) {
    reactor.SetTimer(&run_timer_, reactor.Now() + options.run_for);
  }
  return absl::OkStatus();
}

std::vector<io::Endpoint> Sink::Impl::endpoints() const {
  std::vector<io::Endpoint> result;
  for (io::ListenerId id : listeners_) result.push_back(reactor.ListenEndpoint(id));
  return result;
}

// --- Connections ---

SinkSession* Sink::Impl::FreeSession() {
  if (free_.empty()) {
    const auto index = static_cast<uint32_t>(sessions_.size());
    sessions_.push_back(std::make_unique<SinkSession>(this, index));
    return sessions_.back().get();
  }
  SinkSession* session = free_.back();
  free_.pop_back();
  return session;
}

io::StreamHandler* Sink::Impl::OnAccept(io::StreamId id, const io::Endpoint& peer) {
  if (stopping_) return nullptr;
  accept_told_ = false;
  ++counters.connections;
  counters.peak_connections = std::max<uint64_t>(counters.peak_connections, ++open_);
  SinkSession* session = FreeSession();
  return session->Open(id, peer);
}

void Sink::Impl::OnAcceptPaused(const absl::Status& status, bool retrying) {
  if (retrying) {
    return Notice(fmt::format("not accepting connections: {}", std::string(status.message())),
                  &accept_told_);
  }
  --listeners_open_;
  FinishIfDone();
}

void Sink::Impl::OnSessionClosed(SinkSession* session) {
  --open_;
  free_.push_back(session);
  FinishIfDone();
}

void Sink::Impl::Release(const SinkFlight& flight) { sessions_[flight.session]->Release(flight); }

// --- Messages ---

void Sink::Impl::OnMessage() {
  ArmJournal();
  if (options.messages_max == 0 || counters.messages < options.messages_max || no_new_mail) return;
  // From a timer: we are deep inside the session that took the message.
  no_new_mail = true;
  reactor.SetTimer(&last_message_timer_, reactor.Now());
}

void Sink::Impl::ArmJournal() {
  if (!journal || journal_timer_.is_set()) return;
  reactor.SetTimer(&journal_timer_, reactor.Now() + kJournalFlushInterval);
}

void Sink::Impl::FlushJournal() {
  const absl::Status status = journal->Flush();
  if (!status.ok()) Notice(std::string(status.message()), &storage_told);
}

// --- Stopping ---

void Sink::Impl::Stop() {
  // Release: whoever stops from another thread has written before what the loop reads after.
  stop_calls_.fetch_add(1, std::memory_order_release);
  reactor.Wake();
}

void Sink::Impl::OnWake() {
  const uint32_t calls = stop_calls_.load(std::memory_order_acquire);
  if (calls == stop_calls_seen_) return;
  const bool again = calls > 1;
  stop_calls_seen_ = calls;
  BeginStop(absl::ZeroDuration());
  if (again) CloseAll();
}

void Sink::Impl::BeginStop(absl::Duration quit_grace) {
  no_new_mail = true;
  if (!stopping_) {
    stopping_ = true;
    for (io::ListenerId id : listeners_) reactor.CloseListener(id);
    reactor.SetTimer(&grace_timer_, reactor.Now() + options.stop_grace);
  }
  if (quit_grace > absl::ZeroDuration()) {
    reactor.SetTimer(&dismiss_timer_, reactor.Now() + quit_grace);
  } else {
    DismissAll();
  }
}

void Sink::Impl::DismissAll() {
  say_goodbye = true;
  for (auto& session : sessions_) session->Dismiss();
}

void Sink::Impl::CloseAll() {
  for (auto& session : sessions_) session->Close();
}

void Sink::Impl::FinishIfDone() {
  if (!stopping_ || stopped_ || open_ > 0 || listeners_open_ > 0) return;
  stopped_ = true;
  for (CallbackTimer* timer :
       {&journal_timer_, &dismiss_timer_, &grace_timer_, &run_timer_, &last_message_timer_}) {
    reactor.CancelTimer(timer);
  }
  if (journal) FlushJournal();
  if (options.on_stopped) options.on_stopped();
}

// --- Sink ---

absl::StatusOr<std::unique_ptr<Sink>> Sink::Create(io::Reactor* reactor, SinkOptions options) {
  auto impl = std::make_unique<Impl>(reactor, std::move(options));
  if (absl::Status status = impl->Start(); !status.ok()) return status;
  return std::unique_ptr<Sink>(new Sink(std::move(impl)));
}

Sink::Sink(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Sink::~Sink() = default;

std::vector<io::Endpoint> Sink::endpoints() const { return impl_->endpoints(); }
void Sink::Stop() { impl_->Stop(); }
void Sink::OnWake() { impl_->OnWake(); }
bool Sink::stopped() const { return impl_->stopped(); }
const SinkCounters& Sink::counters() const { return impl_->counters; }
absl::Status Sink::status() const {
  return impl_->journal ? impl_->journal->status() : absl::OkStatus();
}

}  // namespace volley::pipeline
