// Checkpoint: a thread that syncs a ledger to the disk every few seconds, so that a machine that
// loses its power forgets no more than these.
//
// Threading: status() from any thread. Lifetime: the ledger outlives it; the destructor stops the
// thread, without a last sync.
#ifndef VOLLEY_PIPELINE_SETTLE_CHECKPOINT_H_
#define VOLLEY_PIPELINE_SETTLE_CHECKPOINT_H_

#include <condition_variable>
#include <mutex>
#include <thread>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "pipeline/settle/ledger.h"

namespace volley::pipeline {

inline constexpr absl::Duration kCheckpointEvery = absl::Seconds(5);

class Checkpoint {
 public:
  explicit Checkpoint(Ledger* ledger, absl::Duration every = kCheckpointEvery);
  ~Checkpoint();
  Checkpoint(const Checkpoint&) = delete;
  Checkpoint& operator=(const Checkpoint&) = delete;

  // The first sync that failed; none is tried after it.
  absl::Status status() const;

 private:
  void Run();

  Ledger* const ledger_;
  const absl::Duration every_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  bool stop_ = false;
  absl::Status status_;
  std::thread thread_;
};

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_SETTLE_CHECKPOINT_H_
