// Setting up a ring the way volley wants it, finding out whether that can be done here, and saying
// why not in words that tell an operator what to do.
#ifndef VOLLEY_IO_REACTOR_URING_SETUP_H_
#define VOLLEY_IO_REACTOR_URING_SETUP_H_

#include <cstdint>
#include <optional>
#include <string>

#include "io/reactor/uring_shim.h"

namespace volley::io {

enum class UringStep { kSetup, kOperations, kBufferRing };

struct UringFailure {
  UringStep step;
  int error;  // errno, positive
};

// 0 or a positive errno. On success the caller owes io_uring_queue_exit().
int SetUpRing(io_uring* ring, uint32_t submission_entries, uint32_t completion_entries);

// Sets up a small ring and a small buffer ring, asks for every operation, and takes all down again.
std::optional<UringFailure> TryUring();

// One line: what is missing and what to do about it.
std::string ExplainUringFailure(const UringFailure& failure);

}  // namespace volley::io

#endif  // VOLLEY_IO_REACTOR_URING_SETUP_H_
