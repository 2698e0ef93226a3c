#include <openssl/ssl.h>
#include <stdlib.h>

#include <memory>
#include <string>
#include <thread>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "pipeline/credentials/http_client.h"
#include "tests/io/tls/certificates.h"
#include "tests/pipeline/credentials/loopback_http_server.h"
#include "tests/pipeline/credentials/secret_files.h"

namespace volley::pipeline {
namespace {

using engine::Secret;
using ::testing::HasSubstr;
using ::testing::Not;
using volley::testing::HttpAnswer;
using volley::testing::LoopbackHttpServer;
using enum absl::StatusCode;

constexpr std::string_view kForm = "grant_type=refresh_token&refresh_token=hunter2";

LoopbackHttpServer::Handler Always(std::string answer) {
  return [answer = std::move(answer)](const std::string&) { return answer; };
}

absl::StatusOr<HttpReply> Post(const std::string& url, const CurlOptions& options = {},
                               const StopSignal* stop = nullptr) {
  return MakeCurlClient(options)->PostForm(url, Secret::Concat({kForm}), stop);
}

CurlOptions Within(absl::Duration total) {
  CurlOptions options;
  options.total_timeout = total;
  return options;
}

TEST(CurlClient, PostsAFormAndReadsTheAnswer) {
  const LoopbackHttpServer server(Always(HttpAnswer(200, R"({"access_token":"t"})")));
  const auto reply = Post(server.url());
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_EQ(reply->status, 200);
  EXPECT_EQ(reply->body.reveal(), R"({"access_token":"t"})");
  ASSERT_EQ(server.requests().size(), 1u);
  const std::string request = server.requests()[0];
  EXPECT_THAT(request, ::testing::StartsWith("POST /token HTTP/1.1\r\n"));
  EXPECT_THAT(request, HasSubstr("\r\nContent-Type: application/x-www-form-urlencoded\r\n"));
  EXPECT_THAT(request, HasSubstr("\r\nAccept: application/json\r\n"));
  EXPECT_THAT(request, Not(HasSubstr("Authorization")));
  EXPECT_THAT(request, Not(HasSubstr("Expect")));
  EXPECT_THAT(request, ::testing::EndsWith("\r\n\r\n" + std::string(kForm)));
}

TEST(CurlClient, AnyStatusIsAReply) {
  for (const int status : {400, 401, 404, 429, 500, 503}) {
    const LoopbackHttpServer server(Always(HttpAnswer(status, "x")));
    const auto reply = Post(server.url());
    ASSERT_TRUE(reply.ok()) << reply.status();
    EXPECT_EQ(reply->status, status);
    EXPECT_EQ(reply->body.reveal(), "x");
  }
}

TEST(CurlClient, FollowsNoRedirect) {
  const LoopbackHttpServer other(Always(HttpAnswer(200, "stolen")));
  const LoopbackHttpServer server(Always(HttpAnswer(307, "", "Location: " + other.url() + "\r\n")));
  const auto reply = Post(server.url());
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_EQ(reply->status, 307);
  EXPECT_TRUE(other.requests().empty());
}

TEST(CurlClient, BoundsTheAnswer) {
  const std::string fits(HttpReply::kBodyBytesMax, 'x');
  const LoopbackHttpServer good(Always(HttpAnswer(200, fits)));
  const auto reply = Post(good.url());
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_EQ(reply->body.size(), fits.size());
  const LoopbackHttpServer bad(Always(HttpAnswer(200, fits + "x")));
  EXPECT_REFUSED(Post(bad.url()), kUnavailable, "more than 65536 bytes");
  // Without a length, and without an end.
  const LoopbackHttpServer endless(
      Always("HTTP/1.1 200 x\r\n\r\n" + std::string(4 * 1024 * 1024, 'x')));
  EXPECT_REFUSED(Post(endless.url()), kUnavailable, "more than 65536 bytes");
}

TEST(CurlClient, EndlessHeadersAreNoAnswer) {
  std::string answer = "HTTP/1.1 200 x\r\n";
  answer += "X: " + std::string(2 * 1024 * 1024, 'x');
  const LoopbackHttpServer server(Always(answer));
  EXPECT_REFUSED(Post(server.url()), kUnavailable, "no answer");
}

TEST(CurlClient, HalfAnAnswerIsNone) {
  for (const char* half :
       {"", "HTTP/1.1 200 x\r\nContent-Length: 100\r\n\r\n{\"access_token\":\"hunter2",
        "\x16\x03\x01hunter2", "HTTP/1.1 "}) {
    const LoopbackHttpServer server(Always(half));
    EXPECT_REFUSED(Post(server.url()), kUnavailable, "no answer");
  }
}

TEST(CurlClient, ThatGetsNoAnswerGivesUpInTime) {
  const LoopbackHttpServer server([](const std::string&) { return std::nullopt; });
  const absl::Time start = absl::Now();
  EXPECT_REFUSED(Post(server.url(), Within(absl::Milliseconds(200))), kUnavailable,
                 "no answer within 200ms");
  EXPECT_LT(absl::Now() - start, absl::Seconds(10));
}

TEST(CurlClient, EndsWhenStopped) {
  const LoopbackHttpServer server([](const std::string&) { return std::nullopt; });
  StopSignal stop;
  std::thread stopper([&] {
    absl::SleepFor(absl::Milliseconds(100));
    stop.Stop();
  });
  const absl::Time start = absl::Now();
  EXPECT_EQ(Post(server.url(), {}, &stop).status().code(), kCancelled);
  EXPECT_LT(absl::Now() - start, absl::Seconds(10));
  stopper.join();
}

TEST(CurlClient, NamesAClosedPort) {
  std::string url;
  {
    const LoopbackHttpServer gone(Always(""));
    url = gone.url();
  }
  EXPECT_REFUSED(Post(url), kUnavailable, "no answer", "127.0.0.1");
}

// What goes over a loopback address in clear must not go to a proxy in clear.
TEST(CurlClient, AsksNoProxyForLoopback) {
  const LoopbackHttpServer proxy(Always(HttpAnswer(200, "from the proxy")));
  const LoopbackHttpServer server(Always(HttpAnswer(200, "from the server")));
  setenv("http_proxy", proxy.url("").c_str(), 1);
  setenv("all_proxy", proxy.url("").c_str(), 1);
  const auto reply = Post(server.url());
  unsetenv("http_proxy");
  unsetenv("all_proxy");
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_EQ(reply->body.reveal(), "from the server");
  EXPECT_TRUE(proxy.requests().empty());
}

// --- TLS ---

struct FreeCtx {
  void operator()(SSL_CTX* ctx) const { SSL_CTX_free(ctx); }
};
using CtxPtr = std::unique_ptr<SSL_CTX, FreeCtx>;

CtxPtr ServerTls(const io::TlsCertificateFiles& files) {
  CtxPtr ctx(SSL_CTX_new(TLS_server_method()));
  EXPECT_EQ(SSL_CTX_use_certificate_chain_file(ctx.get(), files.certificate_file.c_str()), 1);
  EXPECT_EQ(SSL_CTX_use_PrivateKey_file(ctx.get(), files.key_file.c_str(), SSL_FILETYPE_PEM), 1);
  return ctx;
}

io::CertificateSpec Localhost() {
  io::CertificateSpec spec;
  spec.common_name = "127.0.0.1";
  spec.names = "IP:127.0.0.1";
  return spec;
}

TEST(CurlClient, SpeaksTlsWithWhomItCanTrust) {
  io::TestPki pki;
  const CtxPtr tls = ServerTls(pki.Leaf(Localhost()));
  const LoopbackHttpServer server(Always(HttpAnswer(200, "trusted")), tls.get());
  CurlOptions options;
  options.ca_file = pki.ca_file();
  const auto reply = Post(server.url(), options);
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_EQ(reply->body.reveal(), "trusted");
}

TEST(CurlClient, SendsNothingToWhomItCannotTrust) {
  io::TestPki pki;
  CurlOptions options;
  options.ca_file = pki.ca_file();
  io::CertificateSpec expired = Localhost(), foreign = Localhost();
  expired.until_s = -10;
  foreign.names = "DNS:login.example";
  for (const io::TlsCertificateFiles& files :
       {pki.SelfSigned(Localhost()), pki.Foreign(Localhost()), pki.Leaf(expired),
        pki.Leaf(foreign)}) {
    const CtxPtr tls = ServerTls(files);
    const LoopbackHttpServer server(Always(HttpAnswer(200, "hunter2")), tls.get());
    EXPECT_REFUSED(Post(server.url(), options), kUnavailable, "cannot be trusted");
    EXPECT_TRUE(server.requests().empty());
  }
}

TEST(CurlClient, WantsTls12) {
  io::TestPki pki;
  const CtxPtr tls = ServerTls(pki.Leaf(Localhost()));
  SSL_CTX_set_security_level(tls.get(), 0);
  SSL_CTX_set_min_proto_version(tls.get(), TLS1_VERSION);
  SSL_CTX_set_max_proto_version(tls.get(), TLS1_1_VERSION);
  const LoopbackHttpServer server(Always(HttpAnswer(200, "hunter2")), tls.get());
  CurlOptions options;
  options.ca_file = pki.ca_file();
  EXPECT_REFUSED(Post(server.url(), options), kUnavailable, "no answer");
  EXPECT_TRUE(server.requests().empty());
}

// --- CheckTokenUrl ---

TEST(CheckTokenUrl, WantsTlsOrALoopbackAddress) {
  for (const char* good :
       {"https://oauth2.googleapis.com/token",
        "https://login.microsoftonline.com/common/oauth2/v2.0/token",
        "https://login.example:8443/t?tenant=1", "http://127.0.0.1:8080/token", "http://127.1.2.3/",
        "http://[::1]:80/token", "http://localhost/token", "HTTPS://login.example/"}) {
    EXPECT_TRUE(CheckTokenUrl(good, "token_url").ok()) << good;
  }
  for (const char* clear :
       {"http://login.example/token", "http://10.0.0.1/", "http://127.0.0.1.example/",
        "http://localhost.example/", "http://[::2]/", "http://0.0.0.0/"}) {
    EXPECT_REFUSED(CheckTokenUrl(clear, "token_url"), kInvalidArgument, "unencrypted", "https://");
  }
}

TEST(CheckTokenUrl, RefusesWhatIsNoUrlForIt) {
  for (const char* bad :
       {"", "login.example", "ftp://login.example/", "file:///etc/passwd", "https://",
        "https://login.example/ x", "https://login.example/\r\nHost: x",
        "https://login.example/#token", "javascript:alert(1)"}) {
    EXPECT_REFUSED(CheckTokenUrl(bad, "token_url"), kInvalidArgument, "token_url");
  }
  EXPECT_REFUSED(CheckTokenUrl("https://me:hunter2@login.example/", "token_url"), kInvalidArgument,
                 "has a login in it");
}

}  // namespace
}  // namespace volley::pipeline
