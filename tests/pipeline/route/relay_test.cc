#include "pipeline/route/relay.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/pipeline/temp_dir.h"

namespace volley::pipeline {
namespace {

using engine::smtp::TlsPolicy;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using volley::testing::TempDir;

class ConfigureRelayTest : public ::testing::Test {
 protected:
  ConfigureRelayTest() {
    auto resolver = io::Resolver::Create({});
    EXPECT_TRUE(resolver.ok()) << resolver.status();
    resolver_ = *std::move(resolver);
  }

  RelayDefinition Via(const std::string& via) {
    RelayDefinition d;
    d.via = via;
    return d;
  }
  RelayDefinition WithPassword(const std::string& via) {
    RelayDefinition d = Via(via);
    d.credentials.user = "ann";
    d.credentials.password.file = dir_.Write("pw", "secret\n");
    chmod(d.credentials.password.file.c_str(), 0600);
    return d;
  }
  absl::StatusOr<Relay> Configure(const RelayDefinition& d) {
    return ConfigureRelay(d, resolver_.get());
  }
  std::string ErrorOf(const RelayDefinition& d) {
    return std::string(Configure(d).status().message());
  }

  TempDir dir_;
  std::unique_ptr<io::Resolver> resolver_;
};

TEST_F(ConfigureRelayTest, WithoutCredentialsTlsIsOpportunistic) {
  const auto relay = Configure(Via("smtp://mail.example.org"));
  ASSERT_TRUE(relay.ok()) << relay.status();
  EXPECT_EQ(relay->tls, TlsPolicy::kOpportunistic);
  EXPECT_EQ(relay->tls_options.verify, io::TlsVerify::kNone);
  EXPECT_EQ(relay->credentials, nullptr);
}

TEST_F(ConfigureRelayTest, WithCredentialsTlsIsRequiredAndVerified) {
  const auto relay = Configure(WithPassword("smtp://mail.example.org:587"));
  ASSERT_TRUE(relay.ok()) << relay.status();
  EXPECT_EQ(relay->tls, TlsPolicy::kRequired);
  EXPECT_EQ(relay->tls_options.verify, io::TlsVerify::kRequired);
  EXPECT_EQ(relay->tls_options.server_name, "mail.example.org");
  ASSERT_NE(relay->credentials, nullptr);
  EXPECT_EQ(relay->credentials->current()->credentials.password.reveal(), "secret");
}

TEST_F(ConfigureRelayTest, ImplicitTlsIsVerified) {
  const auto relay = Configure(Via("smtps://mail.example.org"));
  ASSERT_TRUE(relay.ok()) << relay.status();
  EXPECT_EQ(relay->tls, TlsPolicy::kImplicit);
  EXPECT_EQ(relay->tls_options.verify, io::TlsVerify::kRequired);
}

TEST_F(ConfigureRelayTest, APasswordIsNotGivenToWhomeverAnswers) {
  EXPECT_THAT(ErrorOf(WithPassword("smtp://h?tls=opportunistic")), HasSubstr("tls=required"));
  RelayDefinition d = WithPassword("smtp://h?tls=opportunistic");
  d.auth_insecure = true;
  EXPECT_TRUE(Configure(d).ok());
  const auto off = Configure(WithPassword("smtp://h?tls=off"));  // for SCRAM and CRAM-MD5
  ASSERT_TRUE(off.ok()) << off.status();
  EXPECT_FALSE(off->auth_insecure);
}

TEST_F(ConfigureRelayTest, AUserWithoutASecretIsAnError) {
  EXPECT_THAT(ErrorOf(Via("smtp://ann@mail.example.org")), HasSubstr("password"));
}

TEST_F(ConfigureRelayTest, ContradictionsAreErrors) {
  RelayDefinition d = WithPassword("smtp://bob@h");
  EXPECT_THAT(ErrorOf(d), HasSubstr("\"user\""));
  d = Via("smtp://h?weight=2");
  d.weight = 3;
  EXPECT_THAT(ErrorOf(d), HasSubstr("\"weight\""));
  d = Via("smtp://h?tls=off");
  d.ca_file = "ca.pem";
  EXPECT_THAT(ErrorOf(d), HasSubstr("TLS is off"));
}

TEST_F(ConfigureRelayTest, WrongSettingsAreNamed) {
  RelayDefinition d = Via("smtp://h");
  d.tls_min_version = "1.1";
  EXPECT_THAT(ErrorOf(d), HasSubstr("tls_min_version \"1.1\""));
  d = Via("smtp://h");
  d.ca_file = dir_.path("no-such.pem");
  EXPECT_THAT(ErrorOf(d), HasSubstr("no-such.pem"));
  d = Via("smtp://h");
  d.auth = "MD5";
  EXPECT_THAT(ErrorOf(d), HasSubstr("SCRAM-SHA-256"));
  d = Via("smtp://h");
  d.helo = "a\r\nb";
  EXPECT_FALSE(Configure(d).ok());
  d = Via("smtp://h");
  d.client_key = "key.pem";
  EXPECT_THAT(ErrorOf(d), HasSubstr("client_certificate"));
}

TEST_F(ConfigureRelayTest, APresetGivesUrlUserAndNote) {
  RelayDefinition d = WithPassword("sendgrid");
  d.credentials.user.clear();
  const auto relay = Configure(d);
  ASSERT_TRUE(relay.ok()) << relay.status();
  EXPECT_EQ(relay->name, "sendgrid");
  EXPECT_EQ(relay->url.host, "smtp.sendgrid.net");
  EXPECT_EQ(relay->credentials->current()->credentials.user, "apikey");
  EXPECT_THAT(relay->notes, Contains(HasSubstr("API key")));
}

TEST_F(ConfigureRelayTest, NumericAddressesResolveToThemselves) {
  auto relay = Configure(Via("smtp://127.0.0.1:2525"));
  ASSERT_TRUE(relay.ok()) << relay.status();
  ASSERT_TRUE(ResolveRelay(&*relay, resolver_.get()).ok());
  ASSERT_EQ(relay->endpoints.size(), 1u);
  EXPECT_EQ(relay->endpoints[0].ToString(), "127.0.0.1:2525");
}

TEST_F(ConfigureRelayTest, ANameThatDoesNotExistIsSaid) {
  auto relay = Configure(Via("smtp://mail.invalid"));  // RFC 6761 §6.4
  ASSERT_TRUE(relay.ok()) << relay.status();
  const absl::Status status = ResolveRelay(&*relay, resolver_.get());
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("mail.invalid"));
}

TEST_F(ConfigureRelayTest, AUnixSocketNeedsNoName) {
  auto relay = Configure(Via("lmtp+unix:///run/lmtp"));
  ASSERT_TRUE(relay.ok()) << relay.status();
  EXPECT_EQ(relay->tls, TlsPolicy::kOff);
  ASSERT_TRUE(ResolveRelay(&*relay, resolver_.get()).ok());
  EXPECT_EQ(relay->endpoints[0].family(), AF_UNIX);
}

TEST(ClientOptions, AreTheRelays) {
  Relay relay;
  relay.url.host = "mail.example.org";
  relay.url.port = 587;
  relay.helo = "me.example.org";
  relay.tls = TlsPolicy::kRequired;
  relay.auth = engine::sasl::Mechanism::kPlain;
  const auto options = MakeClientOptions(relay, {});
  EXPECT_EQ(options.helo_name, "me.example.org");
  EXPECT_EQ(options.tls, TlsPolicy::kRequired);
  EXPECT_EQ(options.auth_mechanism, engine::sasl::Mechanism::kPlain);
  EXPECT_EQ(options.server_name, "mail.example.org");
  EXPECT_EQ(options.server_port, 587);
}

TEST(HeloName, IsNeverAnInjection) {
  EXPECT_TRUE(CheckHeloName("mail.example.org").ok());
  EXPECT_TRUE(CheckHeloName("[192.0.2.1]").ok());
  EXPECT_FALSE(CheckHeloName("").ok());
  EXPECT_FALSE(CheckHeloName("a\r\nRCPT").ok());
  EXPECT_FALSE(CheckHeloName("a b").ok());
}

TEST(HeloName, DefaultIsAFullNameOrAnAddressLiteral) {
  const std::string name = DefaultHeloName(*io::Endpoint::Parse("127.0.0.1:25"));
  EXPECT_TRUE(CheckHeloName(name).ok());
  EXPECT_TRUE(name.find('.') != std::string::npos) << name;
}

}  // namespace
}  // namespace volley::pipeline
