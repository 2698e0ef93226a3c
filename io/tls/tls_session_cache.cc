#include "io/tls/tls_session_cache.h"

#include <ctime>
#include <utility>

namespace volley::io {
namespace {

bool IsTls13(const SSL_SESSION* session) {
  return SSL_SESSION_get_protocol_version(session) >= TLS1_3_VERSION;
}

// OpenSSL dates sessions and certificates by the wall clock, so this reads it too.
bool IsUsable(const SSL_SESSION* session) {
  if (SSL_SESSION_is_resumable(session) == 0) return false;
  const long end = SSL_SESSION_get_time(session) + SSL_SESSION_get_timeout(session);
  if (std::time(nullptr) >= end) return false;
  // Resuming does not look at the certificate again, and one may expire meanwhile.
  X509* certificate = SSL_SESSION_get0_peer(const_cast<SSL_SESSION*>(session));
  return certificate == nullptr || X509_cmp_current_time(X509_get0_notAfter(certificate)) > 0;
}

size_t TicketBytes(const SSL_SESSION* session) {
  const unsigned char* ticket = nullptr;
  size_t bytes = 0;
  SSL_SESSION_get0_ticket(session, &ticket, &bytes);
  return bytes;
}

}  // namespace

void TlsSessionCache::Keep(const std::string& key, SslSessionPtr session) {
  if (TicketBytes(session.get()) > kTlsTicketBytesMax) return;
  const auto [found, is_new] = by_key_.try_emplace(key);
  if (is_new) {
    destinations_.push_front({key, {}});
    found->second = destinations_.begin();
  } else {
    destinations_.splice(destinations_.begin(), destinations_, found->second);
  }
  std::deque<SslSessionPtr>& sessions = found->second->sessions;
  if (!IsTls13(session.get())) {
    size_ -= sessions.size();
    sessions.clear();
  }
  sessions.push_back(std::move(session));
  ++size_;
  if (sessions.size() > per_key_max_) DropOldest(found->second);
  if (size_ > sessions_max_) DropOldest(std::prev(destinations_.end()));
}

SslSessionPtr TlsSessionCache::Take(const std::string& key) {
  const auto found = by_key_.find(key);
  if (found == by_key_.end()) return nullptr;
  const Destinations::iterator destination = found->second;
  std::deque<SslSessionPtr>& sessions = destination->sessions;
  while (!sessions.empty() && !IsUsable(sessions.back().get())) {
    sessions.pop_back();
    --size_;
  }
  SslSessionPtr session;
  if (!sessions.empty()) {
    destinations_.splice(destinations_.begin(), destinations_, destination);
    session = TakeNewest(sessions);
  }
  if (sessions.empty()) Erase(destination);
  return session;
}

SslSessionPtr TlsSessionCache::TakeNewest(std::deque<SslSessionPtr>& sessions) {
  if (!IsTls13(sessions.back().get())) {
    SSL_SESSION_up_ref(sessions.back().get());
    return SslSessionPtr(sessions.back().get());
  }
  SslSessionPtr session = std::move(sessions.back());
  sessions.pop_back();
  --size_;
  return session;
}

void TlsSessionCache::Forget(const std::string& key) {
  const auto found = by_key_.find(key);
  if (found != by_key_.end()) Erase(found->second);
}

void TlsSessionCache::DropOldest(Destinations::iterator destination) {
  destination->sessions.pop_front();
  --size_;
  if (destination->sessions.empty()) Erase(destination);
}

void TlsSessionCache::Erase(Destinations::iterator destination) {
  size_ -= destination->sessions.size();
  by_key_.erase(destination->key);
  destinations_.erase(destination);
}

}  // namespace volley::io
