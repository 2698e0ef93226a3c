// Generation: a counter that all processes on one state directory share, in a small memory-mapped
// file (suppression.generation). Every writer moves it after its commit, so that a sender learns
// with one load, and without a system call, that the suppression list may have changed.
//
// It is a hint, and the truth is in SQLite: a lost or new file costs up to a second (suppression.h
// looks at the database itself that often), never a mistake. That it was ever moved also shows that
// a database which is now empty was not always so (store.cc).
//
// Format: 8 bytes magic "volleyGN", 8 bytes counter, native byte order. Threading: any; also across
// processes (the counter is lock-free). The file must not be cut while it is mapped.
#ifndef VOLLEY_PIPELINE_STORE_GENERATION_H_
#define VOLLEY_PIPELINE_STORE_GENERATION_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace volley::pipeline {

class Generation {
 public:
  // Makes the file (0600) where it is missing. FailedPrecondition: it is something else.
  static absl::StatusOr<std::shared_ptr<Generation>> Open(const std::string& state_dir);
  // Has anybody written the list of this state directory? False also when the file cannot be read.
  static bool HasMoved(const std::string& state_dir);
  ~Generation();
  Generation(const Generation&) = delete;
  Generation& operator=(const Generation&) = delete;

  // Acquire and release: who sees a new value sees the commit before it.
  uint64_t Now() const { return counter_->load(std::memory_order_acquire); }
  void Advance() { counter_->fetch_add(1, std::memory_order_release); }

 private:
  static_assert(std::atomic<uint64_t>::is_always_lock_free);
  static_assert(sizeof(std::atomic<uint64_t>) == sizeof(uint64_t));
  Generation(void* mapped, std::atomic<uint64_t>* counter) : mapped_(mapped), counter_(counter) {}

  void* const mapped_;
  std::atomic<uint64_t>* const counter_;  // in the mapping
};

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_STORE_GENERATION_H_
