#include "pipeline/credentials/credentials.h"

#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>

#include "fmt/format.h"
#include "io/base/check.h"
#include "io/base/time.h"
#include "pipeline/credentials/credential_loader.h"
#include "pipeline/credentials/stop_signal.h"

namespace volley::pipeline {

// The loader belongs to Open() first, and to the thread from its start on. What others see is
// behind the mutex: sessions take it once a connection, and nothing blocks while it is held.
class CredentialKeeper::Impl {
 public:
  Impl(CredentialDefinition definition, const KeeperOptions& options)
      : options_(options), loader_(std::move(definition), options, &stop_) {}
  ~Impl() {
    {
      const std::lock_guard lock(mutex_);
      stop_.Stop();
    }
    wake_.notify_all();
    if (thread_.joinable()) thread_.join();
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  absl::Status Start();
  std::shared_ptr<const Snapshot> current() const {
    const std::lock_guard lock(mutex_);
    return current_;
  }
  void Refused(uint64_t version);
  Renewal renewal(uint64_t version) const;
  std::string renewal_error() const {
    const std::lock_guard lock(mutex_);
    return std::string(error_.message());
  }

 private:
  absl::Status StartThread();
  void Run();
  CredentialLoader::Change Work(io::MonoTime now, bool refused);
  bool HasRefusal() const { return refused_ > answered_ && refused_ == current_->version; }
  io::MonoTime NextWork() const;
  void WaitUntil(io::MonoTime time, std::unique_lock<std::mutex>* lock);
  void Take(const CredentialLoader::Change& change, std::optional<uint64_t> refused);

  const KeeperOptions options_;
  StopSignal stop_;

  // The thread's alone.
  CredentialLoader loader_;
  io::MonoTime next_look_ = io::MonoTime::Infinite();
  io::MonoTime next_refusal_;  // not served before

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::shared_ptr<const Snapshot> current_;
  uint64_t refused_ = 0;   // newest version that a server refused
  uint64_t answered_ = 0;  // newest version of which a refusal was served, and with what result
  Renewal answer_ = Renewal::kUnchanged;
  absl::Status error_;

  std::thread thread_;  // none where nothing can change
};

absl::Status CredentialKeeper::Impl::Start() {
  if (absl::Status status = loader_.LoadAll(); !status.ok()) return status;
  current_ = std::make_shared<const Snapshot>(
      Snapshot{.credentials = loader_.MakeCredentials(), .version = 1});
  return loader_.IsConstant() ? absl::OkStatus() : StartThread();
}

absl::Status CredentialKeeper::Impl::StartThread() {
  if (loader_.HasFiles()) next_look_ = io::MonotonicNow() + options_.file_interval;
  // Signals are the main thread's.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &before);
  absl::Status status;
  try {
    thread_ = std::thread([this] { Run(); });
  } catch (const std::system_error& error) {
    status = absl::ResourceExhaustedError(
        fmt::format("no thread for keeping credentials fresh: {}", error.what()));
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return status;
}

void CredentialKeeper::Impl::Refused(uint64_t version) {
  {
    const std::lock_guard lock(mutex_);
    // Of an old version: there is a newer one to try already.
    if (version != current_->version || version <= answered_) return;
    refused_ = version;
    if (!thread_.joinable()) answered_ = version;  // with kUnchanged
  }
  wake_.notify_all();
}

CredentialKeeper::Renewal CredentialKeeper::Impl::renewal(uint64_t version) const {
  const std::lock_guard lock(mutex_);
  if (current_->version > version) return Renewal::kRenewed;
  if (answered_ == version) return answer_;
  return refused_ == version ? Renewal::kPending : Renewal::kUnchanged;
}

void CredentialKeeper::Impl::Run() {
  pthread_setname_np(pthread_self(), "credentials");
  std::unique_lock lock(mutex_);
  while (!stop_.stopped()) {
    const io::MonoTime now = io::MonotonicNow();
    if (const io::MonoTime next = NextWork(); next > now) {
      WaitUntil(next, &lock);
      continue;
    }
    std::optional<uint64_t> refused;
    if (HasRefusal() && next_refusal_ <= now) refused = refused_;
    lock.unlock();
    const CredentialLoader::Change change = Work(now, refused.has_value());
    Take(change, refused);
    lock.lock();
  }
}

io::MonoTime CredentialKeeper::Impl::NextWork() const {
  const io::MonoTime next = std::min(next_look_, loader_.next_renewal());
  return HasRefusal() ? std::min(next, next_refusal_) : next;
}

void CredentialKeeper::Impl::WaitUntil(io::MonoTime time, std::unique_lock<std::mutex>* lock) {
  constexpr absl::Duration kLongest =
      absl::Hours(1);  // wait_for adds to a time that is not checked
  const absl::Duration rest = std::min(time - io::MonotonicNow(), kLongest);
  wake_.wait_for(*lock, absl::ToChronoNanoseconds(rest));
}

// One thing at a time, what somebody waits for first.
CredentialLoader::Change CredentialKeeper::Impl::Work(io::MonoTime now, bool refused) {
  if (refused) {
    CredentialLoader::Change change = loader_.ReadAgain();
    next_refusal_ = io::MonotonicNow() + options_.retry_min;
    return change;
  }
  if (next_look_ <= now) {
    CredentialLoader::Change change = loader_.LookAtFiles();
    next_look_ = io::MonotonicNow() + options_.file_interval;
    return change;
  }
  return loader_.RenewToken();
}

void CredentialKeeper::Impl::Take(const CredentialLoader::Change& change,
                                  std::optional<uint64_t> refused) {
  std::shared_ptr<Snapshot> next;
  if (change.changed) {
    next = std::make_shared<Snapshot>(Snapshot{.credentials = loader_.MakeCredentials()});
  }
  const std::lock_guard lock(mutex_);
  if (next != nullptr) {
    next->version = current_->version + 1;
    current_ = std::move(next);
  }
  error_ = loader_.error();
  if (!refused) return;
  answered_ = *refused;
  answer_ = change.status.ok() ? Renewal::kUnchanged : Renewal::kFailed;
}

// --- CredentialKeeper ---

absl::StatusOr<std::shared_ptr<CredentialKeeper>> CredentialKeeper::Open(
    CredentialDefinition definition, const KeeperOptions& options) {
  if (absl::Status status = CheckCredentials(definition); !status.ok()) return status;
  auto impl = std::make_unique<Impl>(std::move(definition), options);
  if (absl::Status status = impl->Start(); !status.ok()) return status;
  return std::shared_ptr<CredentialKeeper>(new CredentialKeeper(std::move(impl)));
}

CredentialKeeper::CredentialKeeper(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
CredentialKeeper::~CredentialKeeper() = default;

std::shared_ptr<const CredentialKeeper::Snapshot> CredentialKeeper::current() const {
  return impl_->current();
}
void CredentialKeeper::Refused(uint64_t version) { impl_->Refused(version); }
CredentialKeeper::Renewal CredentialKeeper::renewal(uint64_t version) const {
  return impl_->renewal(version);
}
std::string CredentialKeeper::renewal_error() const { return impl_->renewal_error(); }

}  // namespace volley::pipeline
