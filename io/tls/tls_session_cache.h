// TlsSessionCache: TLS sessions to resume, by destination and policy.
//
// A TLS 1.3 ticket is used once (RFC 8446 Appendix C.4), so Take() removes it (TlsEngine gives it
// back where the server has none in its place); a TLS 1.2 session stays and replaces the one
// before. When it is full, the destination that was not used for the longest time loses its oldest
// session.
//
// Threading: one thread's. OpenSSL's own cache is off: it knows no destinations and has a lock.
#ifndef VOLLEY_IO_TLS_TLS_SESSION_CACHE_H_
#define VOLLEY_IO_TLS_TLS_SESSION_CACHE_H_

#include <cstddef>
#include <deque>
#include <list>
#include <string>
#include <string_view>

#include "absl/container/flat_hash_map.h"
#include "io/tls/limits.h"
#include "io/tls/openssl_ptr.h"
#include "io/tls/tls_context.h"

namespace volley::io {

class TlsSessionCache {
 public:
  explicit TlsSessionCache(size_t sessions_max = kTlsSessionsMax,
                           size_t per_key_max = kTlsSessionsPerKeyMax)
      : sessions_max_(sessions_max), per_key_max_(per_key_max) {}

  void Keep(const std::string& key, SslSessionPtr session);
  // The newest that can still be used; null: none.
  SslSessionPtr Take(const std::string& key);
  // A handshake that offered a session of `key` was refused, perhaps because of it: the next one is
  // a full one.
  void Forget(const std::string& key);

  size_t size() const { return size_; }
  TlsSessionStats& stats() {
    stats_.kept = size_;
    return stats_;
  }

 private:
  struct Destination {
    std::string key;
    std::deque<SslSessionPtr> sessions;  // newest at the back; never empty
  };
  using Destinations = std::list<Destination>;  // last used at the front

  SslSessionPtr TakeNewest(std::deque<SslSessionPtr>& sessions);
  void DropOldest(Destinations::iterator destination);
  void Erase(Destinations::iterator destination);

  const size_t sessions_max_;
  const size_t per_key_max_;
  Destinations destinations_;
  absl::flat_hash_map<std::string, Destinations::iterator> by_key_;
  size_t size_ = 0;
  TlsSessionStats stats_;
};

}  // namespace volley::io

#endif  // VOLLEY_IO_TLS_TLS_SESSION_CACHE_H_
