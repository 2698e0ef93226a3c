#include "engine/sasl/mechanism.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace volley::engine::sasl {
namespace {

using Offer = std::vector<std::string>;

MechanismQuery Query(const Offer& offered) {
  return {.offered = offered,
          .has_password = true,
          .has_token = false,
          .tls = true,
          .allow_insecure = false,
          .only = std::nullopt};
}

TEST(Mechanism, NamesAndParsesAll) {
  for (const Mechanism mechanism : kMechanisms) {
    EXPECT_EQ(ParseMechanism(MechanismName(mechanism)), mechanism);
  }
  EXPECT_EQ(MechanismName(Mechanism::kScramSha256), "SCRAM-SHA-256");
  EXPECT_EQ(ParseMechanism("scram-sha-1"), Mechanism::kScramSha1);
  EXPECT_EQ(ParseMechanism("Plain"), Mechanism::kPlain);
  EXPECT_EQ(ParseMechanism("SCRAM-SHA-1-PLUS"), std::nullopt);
  EXPECT_EQ(ParseMechanism("PLAI"), std::nullopt);
  EXPECT_EQ(ParseMechanism(""), std::nullopt);
}

TEST(Mechanism, TheStrongestOfferedIsChosen) {
  Offer offer = {"LOGIN",       "PLAIN",         "GSSAPI",  "CRAM-MD5",
                 "SCRAM-SHA-1", "SCRAM-SHA-256", "XOAUTH2", "OAUTHBEARER"};
  for (const Mechanism expected : {Mechanism::kScramSha256, Mechanism::kScramSha1,
                                   Mechanism::kCramMd5, Mechanism::kPlain, Mechanism::kLogin}) {
    EXPECT_EQ(ChooseMechanism(Query(offer)).mechanism, expected);
    std::erase(offer, std::string(MechanismName(expected)));
  }
  EXPECT_EQ(ChooseMechanism(Query(offer)).mechanism, std::nullopt);
}

TEST(Mechanism, ATokenComesBeforeAPassword) {
  const Offer offer = {"SCRAM-SHA-256", "XOAUTH2", "OAUTHBEARER"};
  MechanismQuery query = Query(offer);
  query.has_token = true;
  EXPECT_EQ(ChooseMechanism(query).mechanism, Mechanism::kOauthBearer);
  const Offer google_only = {"SCRAM-SHA-256", "XOAUTH2"};
  query.offered = google_only;
  EXPECT_EQ(ChooseMechanism(query).mechanism, Mechanism::kXoauth2);
  const Offer no_token = {"PLAIN", "SCRAM-SHA-256"};
  query.offered = no_token;
  EXPECT_EQ(ChooseMechanism(query).mechanism, Mechanism::kScramSha256);
}

TEST(Mechanism, PlusVariantsAndUnknownOnesAreNotTaken) {
  const Offer offer = {"SCRAM-SHA-256-PLUS", "NTLM", "GSSAPI", "DIGEST-MD5"};
  const MechanismChoice choice = ChooseMechanism(Query(offer));
  EXPECT_EQ(choice.mechanism, std::nullopt);
  EXPECT_EQ(choice.failure, AuthFailure::kMechanismMissing);
  EXPECT_EQ(choice.why,
            "no login mechanism fits: offered: SCRAM-SHA-256-PLUS, NTLM, GSSAPI, DIGEST-MD5; we "
            "could: SCRAM-SHA-256, SCRAM-SHA-1, CRAM-MD5, PLAIN, LOGIN");
}

TEST(Mechanism, WithoutTlsOnlyWhatHidesThePassword) {
  const Offer offer = {"PLAIN", "LOGIN", "CRAM-MD5"};
  MechanismQuery query = Query(offer);
  query.tls = false;
  EXPECT_EQ(ChooseMechanism(query).mechanism, Mechanism::kCramMd5);
  const Offer clear_only = {"PLAIN", "LOGIN", "OAUTHBEARER"};
  query.offered = clear_only;
  const MechanismChoice choice = ChooseMechanism(query);
  EXPECT_EQ(choice.mechanism, std::nullopt);
  EXPECT_EQ(choice.failure, AuthFailure::kEncryptionRequired);
  EXPECT_THAT(choice.why,
              testing::HasSubstr("; PLAIN, LOGIN needs TLS (auth_insecure=true sends it in clear); "
                                 "OAUTHBEARER needs an OAuth2 token"));
  query.allow_insecure = true;
  EXPECT_EQ(ChooseMechanism(query).mechanism, Mechanism::kPlain);
}

TEST(Mechanism, ATokenIsNotSentInClearEither) {
  const Offer offer = {"OAUTHBEARER", "XOAUTH2"};
  MechanismQuery query = Query(offer);
  query.has_token = true;
  query.has_password = query.tls = false;
  EXPECT_EQ(ChooseMechanism(query).failure, AuthFailure::kEncryptionRequired);
}

TEST(Mechanism, AnOverrideIsTheOnlyChoice) {
  const Offer offer = {"SCRAM-SHA-256", "PLAIN"};
  MechanismQuery query = Query(offer);
  query.only = Mechanism::kPlain;
  EXPECT_EQ(ChooseMechanism(query).mechanism, Mechanism::kPlain);
  query.only = Mechanism::kLogin;
  MechanismChoice choice = ChooseMechanism(query);
  EXPECT_EQ(choice.mechanism, std::nullopt);
  EXPECT_EQ(choice.why,
            "no login mechanism fits: offered: SCRAM-SHA-256, PLAIN; we could: LOGIN (auth=LOGIN)");
  query.only = Mechanism::kPlain;
  query.tls = false;
  choice = ChooseMechanism(query);
  EXPECT_EQ(choice.mechanism, std::nullopt) << "an override is no leave to send it in clear";
  EXPECT_EQ(choice.failure, AuthFailure::kEncryptionRequired);
}

TEST(Mechanism, APasswordWhereOnlyTokensAreTakenIsSaid) {
  const Offer offer = {"XOAUTH2", "OAUTHBEARER"};
  const MechanismChoice choice = ChooseMechanism(Query(offer));
  EXPECT_EQ(choice.failure, AuthFailure::kOauthRequired);
  EXPECT_THAT(choice.why, testing::HasSubstr("OAUTHBEARER, XOAUTH2 needs an OAuth2 token"));
}

TEST(Mechanism, ATokenWhereOnlyPasswordsAreTakenIsSaid) {
  const Offer offer = {"PLAIN"};
  MechanismQuery query = Query(offer);
  query.has_password = false;
  query.has_token = true;
  const MechanismChoice choice = ChooseMechanism(query);
  EXPECT_EQ(choice.failure, AuthFailure::kMechanismMissing);
  EXPECT_THAT(choice.why, testing::HasSubstr("PLAIN needs a password"));
}

// The list comes from the server and goes to a terminal.
TEST(Mechanism, RepeatsOnlyMechanismNamesAndNotTooMany) {
  Offer offer(64, "X-ONE");
  offer[0] = "\x1b[31mRED";
  const std::string why = ChooseMechanism(Query(offer)).why;
  EXPECT_EQ(why.find('\x1b'), std::string::npos);
  EXPECT_THAT(why, testing::HasSubstr(", ...; we could"));
  EXPECT_LT(why.size(), 400U);
  EXPECT_THAT(ChooseMechanism(Query({})).why, testing::HasSubstr("offered: nothing"));
}

}  // namespace
}  // namespace volley::engine::sasl
