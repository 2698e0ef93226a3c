// Every bound of io/tls, each with its reason.
#ifndef VOLLEY_IO_TLS_LIMITS_H_
#define VOLLEY_IO_TLS_LIMITS_H_

#include <cstddef>
#include <cstdint>

#include "absl/time/time.h"

namespace volley::io {

// RFC 8446 §5.1: the most plaintext one record holds.
inline constexpr size_t kTlsRecordBytesMax = 16 * 1024;

// What a record adds: header 5, content type 1, tag 16 for TLS 1.3; explicit nonce 8 or, for CBC
// suites of TLS 1.2, IV 16, MAC 48 and padding up to 256 (RFC 5246 §6.2.3.2).
inline constexpr size_t kTlsRecordOverheadMax = 5 + 16 + 48 + 256;

// One output chunk holds the largest record, so that most sends are one piece.
inline constexpr size_t kTlsChunkBytes = kTlsRecordBytesMax + kTlsRecordOverheadMax;

// Ciphertext of user data that waits or is in flight for one stream: enough for a 10 Gbit/s path to
// be kept busy between two turns of the loop, little enough that many large sends at one time stay
// in megabytes.
inline constexpr size_t kTlsSendBytesMax = 128 * 1024;

// Records of user data among them. 128 KiB are 8 full ones; a server whose client asked for short
// ones (RFC 6066 §4) has more, and continues after OnSent.
inline constexpr size_t kTlsSendRecordsMax = 16;

// All ciphertext waiting, with handshake, tickets and alerts. A peer that makes us write more than
// that without reading is not one we talk to.
inline constexpr size_t kTlsOutputBytesMax = 2 * kTlsSendBytesMax;

// Free chunks a context keeps for the next send; more go back to the allocator (1 MiB).
inline constexpr size_t kTlsFreeChunksMax = 64;

// A certificate chain from the peer. OpenSSL's default is 100 KB; the largest honest chains have
// about 20 KB, and resumable sessions keep theirs.
inline constexpr long kTlsChainBytesMax = 64 * 1024;

// Tickets kept, of all destinations of a thread, and of one of them. All sessions to one relay may
// reconnect at the same moment, so that one may have as many as a thread has sessions to it. A
// session takes about 1.5 KB beside the chain, which those of one connection share.
inline constexpr size_t kTlsSessionsMax = 4096;
inline constexpr size_t kTlsSessionsPerKeyMax = 1024;

// RFC 8446 §4.6.1 allows tickets of 64 KB; real ones have 100 to 1,500 bytes.
inline constexpr size_t kTlsTicketBytesMax = 8 * 1024;

// How long Close() waits for close_notify or an alert to be taken by the kernel: it is taken at
// once unless the peer has stopped reading, and then nobody misses it.
inline constexpr absl::Duration kTlsCloseLinger = absl::Seconds(1);

// What is shown of what the peer chose.
inline constexpr size_t kTlsNamesShownMax = 32;
inline constexpr size_t kTlsTextShownMax = 256;
inline constexpr size_t kTlsBannerShownMax = 80;

// PEM files: the largest CA bundles have about 250 KB, keys a few.
inline constexpr size_t kTlsKeyFileBytesMax = 64 * 1024;

}  // namespace volley::io

#endif  // VOLLEY_IO_TLS_LIMITS_H_
