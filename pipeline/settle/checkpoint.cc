#include "pipeline/settle/checkpoint.h"

#include <signal.h>

namespace volley::pipeline {

Checkpoint::Checkpoint(Ledger* ledger, absl::Duration every) : ledger_(ledger), every_(every) {
  // Signals are the main thread's.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &before);
  thread_ = std::thread([this] { Run(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

Checkpoint::~Checkpoint() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

absl::Status Checkpoint::status() const {
  const std::lock_guard lock(mutex_);
  return status_;
}

void Checkpoint::Run() {
  std::unique_lock lock(mutex_);
  while (status_.ok()) {
    wake_.wait_for(lock, absl::ToChronoNanoseconds(every_), [this] { return stop_; });
    if (stop_) return;
    lock.unlock();
    absl::Status status = ledger_->Sync();
    lock.lock();
    status_ = std::move(status);
  }
}

}  // namespace volley::pipeline
