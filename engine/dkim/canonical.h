// Canonicalisation of header fields and bodies (RFC 6376 §3.4) and the hash of a body.
//
// Only CRLF ends a line here; a CR or LF on its own is a byte like any other. White space is space
// and tab (WSP), nothing else.
//
// Threading: functions without state; a BodyHasher belongs to one thread. Nothing is allocated per
// body once a BodyHasher exists.
#ifndef VOLLEY_ENGINE_DKIM_CANONICAL_H_
#define VOLLEY_ENGINE_DKIM_CANONICAL_H_

#include <sys/uio.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "engine/dkim/sha256.h"

namespace volley::engine::dkim {

enum class Canonicalization : uint8_t { kSimple, kRelaxed };
std::string_view CanonicalizationName(Canonicalization canonicalization);  // as in the c= tag

// The hash of a canonical body (the bh= tag). May be kept and used for every message with the same
// body.
struct BodyHash {
  Canonicalization canonicalization = Canonicalization::kRelaxed;
  Sha256Digest digest{};
};

// Appends one field, without the line end after its last line. `name` is what stands before the
// colon (white space before the colon included, which relaxed drops), `value` all behind it, with
// its folding. §3.4.1, §3.4.2.
void AppendCanonicalField(Canonicalization canonicalization, std::string_view name,
                          std::string_view value, std::string* out);

// Canonicalises a body on its way into SHA-256. The body is everything behind the empty line that
// ends the header, not dot-stuffed.
class BodyHasher {
 public:
  explicit BodyHasher(Canonicalization canonicalization) : canonicalization_(canonicalization) {}
  BodyHasher(const BodyHasher&) = delete;
  BodyHasher& operator=(const BodyHasher&) = delete;

  // Any cut of a body into pieces gives the same hash.
  void Add(std::string_view bytes);
  // The hash of what was added; the next Add starts another body.
  BodyHash Finish();

  BodyHash Hash(std::span<const iovec> body);

 private:
  // Short pieces are collected to this before they are hashed: a call of OpenSSL costs as much as
  // hashing about a hundred bytes.
  static constexpr size_t kBufferBytes = 2048;

  void AddByte(char byte);
  void EndLine();
  void WriteDeferred();
  void Write(std::string_view bytes);
  void FlushBuffer();
  // Takes whole lines that stay as they are from the front of `bytes`; returns how many bytes.
  size_t AddPlainLines(std::string_view bytes);

  const Canonicalization canonicalization_;
  Sha256 hash_;
  std::array<char, kBufferBytes> buffer_;
  size_t buffered_ = 0;
  uint64_t deferred_line_ends_ = 0;  // empty lines at the end do not count, so each waits
  bool in_line_ = false;             // behind the first byte of a line
  bool deferred_cr_ = false;         // half a line end
  bool deferred_space_ = false;      // relaxed: white space seen, perhaps at the end of the line
  bool wrote_ = false;               // the body has a line that is not empty
};

}  // namespace volley::engine::dkim

#endif  // VOLLEY_ENGINE_DKIM_CANONICAL_H_
