// The only place that includes liburing. Written against Debian 12's liburing 2.3; names of newer
// kernel features that volley uses are defined here. <linux/io_uring.h> must never be included
// beside it: both define the same structures.
#ifndef VOLLEY_IO_REACTOR_URING_SHIM_H_
#define VOLLEY_IO_REACTOR_URING_SHIM_H_

#include <liburing.h>

#include <cstdint>

namespace volley::io {

// One thread submits and reaps, completions are worked off only when it enters the kernel for them
// (Linux 6.1): no interrupts of the running handlers, work is batched. SUBMIT_ALL: one bad
// submission does not hold up those behind it. CLAMP: a kernel with smaller maxima is fine.
inline constexpr uint32_t kRingSetupFlags = IORING_SETUP_SINGLE_ISSUER |
                                            IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SUBMIT_ALL |
                                            IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP;

inline constexpr uint16_t kReceiveBufferGroup = 1;

// The operations the reactor uses; the probe asks for each.
inline constexpr int kRingOperations[] = {
    IORING_OP_SEND,    IORING_OP_SENDMSG,      IORING_OP_RECV, IORING_OP_ACCEPT,
    IORING_OP_CONNECT, IORING_OP_ASYNC_CANCEL, IORING_OP_READ,
};

}  // namespace volley::io

#endif  // VOLLEY_IO_REACTOR_URING_SHIM_H_
