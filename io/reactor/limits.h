// Every bound of io/reactor, each with its reason. All are per reactor unless said otherwise.
#ifndef VOLLEY_IO_REACTOR_LIMITS_H_
#define VOLLEY_IO_REACTOR_LIMITS_H_

#include <cstddef>
#include <cstdint>

#include "absl/time/time.h"

namespace volley::io {

// --- io_uring ------------------------------------------------------------------------------------

// Submissions between two enters. A turn submits at most about two for each completion of its
// batch; more than this (a burst of connects) costs an extra enter, nothing else. 256 KiB.
inline constexpr uint32_t kSubmissionQueueEntries = 4096;

// Completions the kernel can post before it has to keep them on its overflow list, which also ends
// multishot operations. One for each provided buffer plus the sends and connects of 10,000 streams.
// 16384 x 16 B = 256 KiB.
inline constexpr uint32_t kCompletionQueueEntries = 16384;

// Completions taken out before handlers run. The copy keeps the kernel's queue short while handlers
// submit; 1024 x 16 B stays in the first-level cache, and timers wait for no more than this.
inline constexpr uint32_t kCompletionBatch = 1024;

// Received bytes wait in these between completion and handler. 2 KiB holds the replies of a whole
// pipelined SMTP transaction (RFC 5321 §4.5.3.1.5: a reply line has at most 512); 4096 of them let
// that many streams speak in one turn: 8 MiB of address space, touched only as far as it is used.
inline constexpr uint32_t kReceiveBuffers = 4096;
inline constexpr uint32_t kReceiveBufferBytes = 2048;

// The kernel's own bounds for a provided-buffer ring (io_uring_register_buf_ring(3)).
inline constexpr uint32_t kReceiveBuffersMax = 32768;
inline constexpr uint32_t kReceiveBufferBytesMax = 1 << 20;

// One send operation's length is an int in the completion; longer pieces go in several operations.
inline constexpr size_t kSendOperationBytesMax = size_t{1} << 30;

// --- epoll ---------------------------------------------------------------------------------------

// Events of one epoll_wait: enough to pay for the call, small enough to keep timers on time.
inline constexpr int kEpollBatch = 512;

// The one buffer all streams are read into: a receive is copied out of the kernel once, to here.
inline constexpr size_t kEpollReceiveBytes = 64 * 1024;

// Reads of one stream a turn, so that a fast peer does not starve the others (256 KiB a turn).
inline constexpr int kEpollReadsPerTurn = 4;

// Accepts of one listener a turn, for the same reason.
inline constexpr int kEpollAcceptsPerTurn = 64;

// --- all backends --------------------------------------------------------------------------------

// Pending connections; the kernel cuts it to net.core.somaxconn (4096 since Linux 5.4).
inline constexpr int kListenBacklog = 4096;

// How long accepting rests after the descriptors were used up: long enough that a full process does
// not spin, short enough that a peer's connect (30 s) does not notice.
inline constexpr absl::Duration kAcceptRetryDelay = absl::Milliseconds(100);

// Records come in chunks so that they never move (the kernel and timers point at them).
inline constexpr uint32_t kSlotsPerChunk = 256;

// The destructor waits for the kernel to give back every operation; cancelled ones come at once.
// One that does not is a kernel fault: stop rather than free memory that the kernel may still read.
inline constexpr absl::Duration kDestructionDrainMax = absl::Seconds(10);

// --- simulator -----------------------------------------------------------------------------------

// What the pretended kernel takes of a Send before the peer has received it (Linux starts with
// 16 KiB to 4 MiB, net.ipv4.tcp_wmem): small enough that a large message is taken in many steps.
inline constexpr size_t kSimSocketBufferBytes = 256 * 1024;

// Bytes that come in one OnData, as a provided buffer would bound them.
inline constexpr size_t kSimDeliveryBytes = 16 * 1024;

// Pieces that the split fault cuts a delivery into, at most.
inline constexpr int kSimSplitPiecesMax = 5;

}  // namespace volley::io

#endif  // VOLLEY_IO_REACTOR_LIMITS_H_
