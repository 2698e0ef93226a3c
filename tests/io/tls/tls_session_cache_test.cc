#include "io/tls/tls_session_cache.h"

#include <gtest/gtest.h>

#include <ctime>
#include <string>

#include "io/base/check.h"
#include "io/tls/openssl_ptr.h"

namespace volley::io {
namespace {

SslSessionPtr MakeSession(int version = TLS1_3_VERSION, long age_s = 0) {
  SslSessionPtr session(SSL_SESSION_new());
  SSL_SESSION_set_protocol_version(session.get(), version);
  static unsigned char id = 0;
  ++id;
  SSL_SESSION_set1_id(session.get(), &id, 1);
  SSL_SESSION_set_time(session.get(), std::time(nullptr) - age_s);
  SSL_SESSION_set_timeout(session.get(), 7200);
  VOLLEY_CHECK(SSL_SESSION_is_resumable(session.get()) == 1);
  return session;
}

TEST(TlsSessionCache, ATicketIsUsedOnceNewestFirst) {
  TlsSessionCache cache;
  SslSessionPtr a = MakeSession(), b = MakeSession();
  const SSL_SESSION* const first = a.get();
  const SSL_SESSION* const second = b.get();
  cache.Keep("mx:25", std::move(a));
  cache.Keep("mx:25", std::move(b));
  EXPECT_EQ(cache.Take("other:25"), nullptr);
  EXPECT_EQ(cache.Take("mx:25").get(), second);
  EXPECT_EQ(cache.Take("mx:25").get(), first);
  EXPECT_EQ(cache.Take("mx:25"), nullptr);
  EXPECT_EQ(cache.size(), 0u);
}

TEST(TlsSessionCache, ATls12SessionStaysAndReplacesTheOneBefore) {
  TlsSessionCache cache;
  cache.Keep("mx:25", MakeSession(TLS1_2_VERSION));
  SslSessionPtr newer = MakeSession(TLS1_2_VERSION);
  const SSL_SESSION* const kept = newer.get();
  cache.Keep("mx:25", std::move(newer));
  EXPECT_EQ(cache.size(), 1u);
  EXPECT_EQ(cache.Take("mx:25").get(), kept);
  EXPECT_EQ(cache.Take("mx:25").get(), kept);
  EXPECT_EQ(cache.size(), 1u);
}

TEST(TlsSessionCache, OldOnesAreNotOffered) {
  TlsSessionCache cache;
  SslSessionPtr good = MakeSession();
  const SSL_SESSION* const kept = good.get();
  cache.Keep("mx:25", std::move(good));
  cache.Keep("mx:25", MakeSession(TLS1_3_VERSION, 7201));
  EXPECT_EQ(cache.Take("mx:25").get(), kept);
  cache.Keep("mx:25", MakeSession(TLS1_3_VERSION, 7201));
  EXPECT_EQ(cache.Take("mx:25"), nullptr);
  EXPECT_EQ(cache.size(), 0u);
}

TEST(TlsSessionCache, IsBoundedByKeyAndInAll) {
  TlsSessionCache cache(/*sessions_max=*/10, /*per_key_max=*/4);
  for (int i = 0; i < 6; ++i) cache.Keep("a", MakeSession());
  EXPECT_EQ(cache.size(), 4u);
  for (int i = 0; i < 4; ++i) cache.Keep("b", MakeSession());
  (void)cache.Take("a");  // used: "b" is now the one that waited longest
  for (int i = 0; i < 4; ++i) cache.Keep("c", MakeSession());
  EXPECT_EQ(cache.size(), 10u);
  int a = 0, b = 0, c = 0;
  while (cache.Take("a") != nullptr) ++a;
  while (cache.Take("b") != nullptr) ++b;
  while (cache.Take("c") != nullptr) ++c;
  EXPECT_EQ(a, 3);
  EXPECT_EQ(b, 3);
  EXPECT_EQ(c, 4);
  for (int i = 0; i < 100; ++i) cache.Keep("key" + std::to_string(i), MakeSession());
  EXPECT_EQ(cache.size(), 10u);
}

TEST(TlsSessionCache, ForgetsADestination) {
  TlsSessionCache cache;
  cache.Keep("a", MakeSession());
  cache.Keep("a", MakeSession());
  cache.Keep("b", MakeSession());
  cache.Forget("a");
  cache.Forget("never seen");
  EXPECT_EQ(cache.Take("a"), nullptr);
  EXPECT_EQ(cache.size(), 1u);
}

}  // namespace
}  // namespace volley::io
