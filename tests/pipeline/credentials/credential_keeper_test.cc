#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <atomic>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "pipeline/credentials/credentials.h"
#include "tests/pipeline/credentials/fake_http_client.h"
#include "tests/pipeline/credentials/loopback_http_server.h"
#include "tests/pipeline/credentials/secret_files.h"

namespace volley::pipeline {
namespace {

using Renewal = CredentialKeeper::Renewal;
using ::testing::HasSubstr;
using ::testing::Not;
using volley::testing::Eventually;
using volley::testing::FakeHttpClient;
using volley::testing::HttpAnswer;
using volley::testing::LoopbackHttpServer;
using volley::testing::ReplyOf;
using volley::testing::SecretFolder;
using enum absl::StatusCode;

// Quick at everything, and does nothing by itself but look at files.
KeeperOptions Quick() {
  KeeperOptions options;
  options.file_interval = absl::Milliseconds(5);
  options.retry_min = absl::Milliseconds(5);
  options.retry_max = absl::Milliseconds(20);
  options.command_timeout = absl::Seconds(20);
  return options;
}

CredentialDefinition User() {
  CredentialDefinition definition;
  definition.user = "ann@example.com";
  return definition;
}

CredentialDefinition Refreshing(const SecretFolder& folder) {
  CredentialDefinition definition = User();
  definition.oauth2.token_url = "https://login.example/token";
  definition.oauth2.client_id = "client";
  definition.oauth2.refresh_token.file = folder.Put("refresh", "hunter2-refresh");
  return definition;
}

HttpReply Token(const std::string& token, int expires_in, const std::string& more = "") {
  return ReplyOf(
      200, fmt::format(R"({{"access_token":"{}","expires_in":{}{}}})", token, expires_in, more));
}

std::string PasswordOf(const CredentialKeeper& keeper) {
  return std::string(keeper.current()->credentials.password.reveal());
}
std::string TokenOf(const CredentialKeeper& keeper) {
  return std::string(keeper.current()->credentials.token.reveal());
}

// What a refusal comes to, once it has been looked at.
Renewal Refuse(CredentialKeeper* keeper, uint64_t version) {
  keeper->Refused(version);
  EXPECT_TRUE(Eventually([&] { return keeper->renewal(version) != Renewal::kPending; }));
  return keeper->renewal(version);
}

std::shared_ptr<CredentialKeeper> MustOpen(const CredentialDefinition& definition,
                                           const KeeperOptions& options = Quick()) {
  auto keeper = CredentialKeeper::Open(definition, options);
  EXPECT_TRUE(keeper.ok()) << keeper.status();
  return keeper.ok() ? *keeper : nullptr;
}

// --- Passwords ---

TEST(CredentialKeeper, GivesWhatWasRead) {
  const SecretFolder folder;
  CredentialDefinition definition = User();
  definition.authorization_id = "shop";
  definition.password.file = folder.Put("p", "hunter2\n");
  definition.token.command = "echo ya29.token";
  const auto keeper = MustOpen(definition);
  const auto snapshot = keeper->current();
  EXPECT_EQ(snapshot->credentials.user, "ann@example.com");
  EXPECT_EQ(snapshot->credentials.authorization_id, "shop");
  EXPECT_EQ(snapshot->credentials.password.reveal(), "hunter2");
  EXPECT_EQ(snapshot->credentials.token.reveal(), "ya29.token");
  EXPECT_EQ(snapshot->version, 1u);
  EXPECT_EQ(keeper->renewal_error(), "");
  EXPECT_EQ(keeper->renewal(1), Renewal::kUnchanged);
}

TEST(CredentialKeeper, DoesNotOpenWithASecretThatCannotBeRead) {
  const SecretFolder folder;
  CredentialDefinition definition = User();
  definition.password.file = folder.path("none");
  EXPECT_REFUSED(CredentialKeeper::Open(definition, Quick()), kNotFound,
                 "password: file " + folder.path("none"));
  definition.password = {};
  EXPECT_REFUSED(CredentialKeeper::Open(definition, Quick()), kInvalidArgument, "no password");
  definition.token.command = "exit 4";
  EXPECT_REFUSED(CredentialKeeper::Open(definition, Quick()), kFailedPrecondition, "token: command",
                 "exit code 4");
  definition.token.command = "printf 'hunter2 \\001'";
  EXPECT_EQ(CredentialKeeper::Open(definition, Quick()).status().code(), kInvalidArgument);
}

TEST(CredentialKeeper, TakesUpAChangedFile) {
  const SecretFolder folder;
  CredentialDefinition definition = User();
  definition.password.file = folder.Put("p", "first");
  const auto keeper = MustOpen(definition);
  const auto old = keeper->current();
  folder.Replace("p", "second");
  EXPECT_TRUE(Eventually([&] { return PasswordOf(*keeper) == "second"; }));
  EXPECT_EQ(keeper->current()->version, 2u);
  EXPECT_EQ(old->credentials.password.reveal(), "first");  // a session's own
  folder.Put("p", "third!");  // in place: the same inode, and the same size as before
  EXPECT_TRUE(Eventually([&] { return PasswordOf(*keeper) == "third!"; }));
}

// Two writings of the same size within one tick of the file system's clock.
TEST(CredentialKeeper, SeesAChangeThatLeavesTheStampAsItWas) {
  const SecretFolder folder;
  CredentialDefinition definition = User();
  definition.password.file = folder.Put("p", "first");
  struct stat before {};
  ASSERT_EQ(stat(definition.password.file.c_str(), &before), 0);
  const auto keeper = MustOpen(definition);
  folder.Put("p", "other");
  const timespec times[2] = {before.st_atim, before.st_mtim};
  ASSERT_EQ(utimensat(AT_FDCWD, definition.password.file.c_str(), times, 0), 0);
  EXPECT_TRUE(Eventually([&] { return PasswordOf(*keeper) == "other"; }));
}

TEST(CredentialKeeper, KeepsThePasswordWhileItsFileIsBadOrAway) {
  const SecretFolder folder;
  CredentialDefinition definition = User();
  definition.password.file = folder.Put("p", "first");
  const auto keeper = MustOpen(definition);
  folder.Replace("p", "");
  EXPECT_TRUE(Eventually([&] { return !keeper->renewal_error().empty(); }));
  EXPECT_THAT(keeper->renewal_error(), HasSubstr("is empty"));
  EXPECT_EQ(PasswordOf(*keeper), "first");
  std::filesystem::remove(folder.path("p"));
  EXPECT_EQ(Refuse(keeper.get(), 1), Renewal::kFailed);
  EXPECT_THAT(keeper->renewal_error(), HasSubstr("No such file"));
  EXPECT_EQ(PasswordOf(*keeper), "first");
  folder.Put("p", "second");
  EXPECT_TRUE(Eventually([&] { return PasswordOf(*keeper) == "second"; }));
  EXPECT_EQ(keeper->renewal_error(), "");
  EXPECT_EQ(keeper->renewal(1), Renewal::kRenewed);
}

TEST(CredentialKeeper, ReadsARefusedPasswordAgain) {
  const SecretFolder folder;
  CredentialDefinition definition = User();
  definition.password.file = folder.Put("p", "first");
  KeeperOptions slow = Quick();
  slow.file_interval = absl::Hours(1);
  const auto keeper = MustOpen(definition, slow);
  EXPECT_EQ(Refuse(keeper.get(), 1), Renewal::kUnchanged);
  EXPECT_EQ(keeper->current()->version, 1u);
  folder.Put("p", "second");
  keeper->Refused(1);  // was served: once a version
  EXPECT_EQ(keeper->renewal(1), Renewal::kUnchanged);
}

TEST(CredentialKeeper, FindsTheNewPasswordWhenTheOldIsRefused) {
  const SecretFolder folder;
  CredentialDefinition definition = User();
  definition.password.file = folder.Put("p", "first");
  KeeperOptions slow = Quick();
  slow.file_interval = absl::Hours(1);
  const auto keeper = MustOpen(definition, slow);
  folder.Put("p", "second");
  EXPECT_EQ(Refuse(keeper.get(), 1), Renewal::kRenewed);
  EXPECT_EQ(PasswordOf(*keeper), "second");
  EXPECT_EQ(keeper->current()->version, 2u);
  keeper->Refused(1);  // another session's, later: there is a newer one
  EXPECT_EQ(keeper->renewal(1), Renewal::kRenewed);
  EXPECT_EQ(keeper->renewal(2), Renewal::kUnchanged);
}

TEST(CredentialKeeper, RunsThePasswordCommandAgainWhenRefused) {
  const SecretFolder folder;
  folder.Put("p", "first");
  CredentialDefinition definition = User();
  definition.password.command = "echo x >> " + folder.path("runs") + "; cat " + folder.path("p");
  const auto keeper = MustOpen(definition);
  folder.Put("p", "second");
  absl::SleepFor(absl::Milliseconds(50));
  EXPECT_EQ(PasswordOf(*keeper), "first");  // not run for nothing
  EXPECT_EQ(Refuse(keeper.get(), 1), Renewal::kRenewed);
  EXPECT_EQ(PasswordOf(*keeper), "second");
  EXPECT_EQ(Refuse(keeper.get(), 2), Renewal::kUnchanged);
  EXPECT_EQ(folder.Read("runs"), "x\nx\nx\n");
}

TEST(CredentialKeeper, AVariableCannotChange) {
  ASSERT_EQ(setenv("VOLLEY_TEST_KEEPER", "hunter2", 1), 0);
  CredentialDefinition definition = User();
  definition.password.env = "VOLLEY_TEST_KEEPER";
  const auto one = MustOpen(definition);
  const auto two = MustOpen(definition);  // of another relay with the same flags
  EXPECT_EQ(PasswordOf(*two), "hunter2");
  one->Refused(1);
  EXPECT_EQ(one->renewal(1), Renewal::kUnchanged);
}

// --- Tokens from outside ---

TEST(CredentialKeeper, RunsTheTokenCommandBeforeTheTokenEnds) {
  const SecretFolder folder;
  CredentialDefinition definition = User();
  definition.token.command = "echo x >> " + folder.path("runs") +
                             R"(; echo "{\"access_token\":\"t$(wc -l < )" + folder.path("runs") +
                             R"()\",\"expires_in\":0.1}")";
  const auto keeper = MustOpen(definition);
  EXPECT_EQ(TokenOf(*keeper), "t1");
  EXPECT_TRUE(Eventually([&] { return TokenOf(*keeper) == "t3"; }));
}

TEST(CredentialKeeper, RunsTheTokenCommandAgainWhenItSaysNothingOfAnEnd) {
  const SecretFolder folder;
  CredentialDefinition definition = User();
  definition.token.command =
      "echo x >> " + folder.path("runs") + "; echo t$(wc -l < " + folder.path("runs") + ")";
  KeeperOptions options = Quick();
  options.renew_unknown_after = absl::Milliseconds(20);
  const auto keeper = MustOpen(definition, options);
  EXPECT_EQ(TokenOf(*keeper), "t1");
  EXPECT_TRUE(Eventually([&] { return TokenOf(*keeper) == "t2"; }));
}

TEST(CredentialKeeper, TakesUpAChangedTokenFile) {
  const SecretFolder folder;
  CredentialDefinition definition = User();
  definition.token.file = folder.Put("t", R"({"access_token":"t1","expires_in":1})");
  const auto keeper = MustOpen(definition);
  EXPECT_EQ(TokenOf(*keeper), "t1");
  folder.Replace("t", "t2\n");
  EXPECT_TRUE(Eventually([&] { return TokenOf(*keeper) == "t2"; }));
  EXPECT_EQ(Refuse(keeper.get(), 2), Renewal::kUnchanged);
}

// --- The refresh flow ---

TEST(CredentialKeeper, GetsTheFirstTokenWhenOpened) {
  const SecretFolder folder;
  KeeperOptions options = Quick();
  const auto http =
      std::make_shared<FakeHttpClient>([](int, const std::string&) { return Token("t1", 3600); });
  options.http = http;
  CredentialDefinition definition = Refreshing(folder);
  definition.oauth2.client_secret.file = folder.Put("client", "hunter2-client");
  const auto keeper = MustOpen(definition, options);
  EXPECT_EQ(TokenOf(*keeper), "t1");
  EXPECT_EQ(keeper->current()->version, 1u);
  EXPECT_THAT(http->forms(),
              ::testing::ElementsAre("grant_type=refresh_token&refresh_token=hunter2-refresh"
                                     "&client_id=client&client_secret=hunter2-client"));
}

TEST(CredentialKeeper, DoesNotOpenWhenTheEndpointSaysNo) {
  const SecretFolder folder;
  KeeperOptions options = Quick();
  options.http = std::make_shared<FakeHttpClient>([](int, const std::string&) {
    return ReplyOf(400, R"({"error":"invalid_grant","error_description":"revoked"})");
  });
  EXPECT_REFUSED(CredentialKeeper::Open(Refreshing(folder), options), kPermissionDenied,
                 "invalid_grant (revoked)", "make a new one");
}

TEST(CredentialKeeper, RenewsTheTokenBeforeItsEnd) {
  const SecretFolder folder;
  KeeperOptions options = Quick();
  // A life of one second, renewed 0.9 s before its end: no earlier than half of it.
  options.renew_before = absl::Milliseconds(900);
  const auto http = std::make_shared<FakeHttpClient>(
      [](int n, const std::string&) { return Token(fmt::format("t{}", n), n == 1 ? 1 : 3600); });
  options.http = http;
  const absl::Time start = absl::Now();
  const auto keeper = MustOpen(Refreshing(folder), options);
  EXPECT_TRUE(Eventually([&] { return TokenOf(*keeper) == "t2"; }));
  const absl::Duration after = absl::Now() - start;
  EXPECT_GE(after, absl::Milliseconds(500));
  absl::SleepFor(absl::Milliseconds(50));
  EXPECT_EQ(http->count(), 2u);  // the second lives for an hour
}

TEST(CredentialKeeper, ATokenAtItsEndIsNotRenewedWithoutAPause) {
  const SecretFolder folder;
  KeeperOptions options = Quick();
  options.retry_min = absl::Milliseconds(40);
  const auto http = std::make_shared<FakeHttpClient>(
      [](int n, const std::string&) { return Token(fmt::format("t{}", n), 0); });
  options.http = http;
  const absl::Time start = absl::Now();
  const auto keeper = MustOpen(Refreshing(folder), options);
  EXPECT_TRUE(Eventually([&] { return http->count() >= 3; }));
  EXPECT_GE(absl::Now() - start, absl::Milliseconds(80));
}

TEST(CredentialKeeper, TriesAFailedRenewalAgainAndKeepsTheOldToken) {
  const SecretFolder folder;
  KeeperOptions options = Quick();
  std::atomic<bool> up{true};
  const auto http =
      std::make_shared<FakeHttpClient>([&](int n, const std::string&) -> absl::StatusOr<HttpReply> {
        if (!up) return absl::UnavailableError("no answer: connection refused");
        return Token(fmt::format("t{}", n), n == 1 ? 0 : 3600);
      });
  options.http = http;
  options.retry_min = absl::Milliseconds(10);
  const auto keeper = MustOpen(Refreshing(folder), options);
  up = false;
  EXPECT_TRUE(Eventually([&] { return http->count() >= 4; }));
  const auto during = keeper->current();
  EXPECT_FALSE(during->credentials.token.empty());
  EXPECT_TRUE(Eventually([&] { return !keeper->renewal_error().empty(); }));
  EXPECT_THAT(keeper->renewal_error(), HasSubstr("connection refused"));
  up = true;
  EXPECT_TRUE(Eventually([&] { return keeper->renewal_error().empty(); }));
  EXPECT_GT(keeper->current()->version, during->version);
}

TEST(CredentialKeeper, RenewsARefusedTokenOnceAVersion) {
  const SecretFolder folder;
  KeeperOptions options = Quick();
  const auto http = std::make_shared<FakeHttpClient>(
      [](int n, const std::string&) { return Token(fmt::format("t{}", n), 3600); });
  options.http = http;
  const auto keeper = MustOpen(Refreshing(folder), options);
  std::vector<std::thread> sessions;
  for (int i = 0; i < 8; ++i) {
    sessions.emplace_back([&] { EXPECT_EQ(Refuse(keeper.get(), 1), Renewal::kRenewed); });
  }
  for (std::thread& session : sessions) session.join();
  EXPECT_EQ(http->count(), 2u);
  EXPECT_EQ(TokenOf(*keeper), "t2");
  EXPECT_EQ(Refuse(keeper.get(), 2), Renewal::kRenewed);
  EXPECT_EQ(TokenOf(*keeper), "t3");
}

TEST(CredentialKeeper, PausesBetweenRenewalsThatServersAskFor) {
  const SecretFolder folder;
  KeeperOptions options = Quick();
  options.retry_min = absl::Hours(1);
  options.http = std::make_shared<FakeHttpClient>(
      [](int n, const std::string&) { return Token(fmt::format("t{}", n), 7200); });
  const auto keeper = MustOpen(Refreshing(folder), options);
  EXPECT_EQ(Refuse(keeper.get(), 1), Renewal::kRenewed);
  keeper->Refused(2);
  absl::SleepFor(absl::Milliseconds(50));
  EXPECT_EQ(keeper->renewal(2), Renewal::kPending);
  EXPECT_EQ(TokenOf(*keeper), "t2");
}

TEST(CredentialKeeper, TheSameTokenAgainIsNoRenewal) {
  const SecretFolder folder;
  KeeperOptions options = Quick();
  options.http = std::make_shared<FakeHttpClient>(
      [](int, const std::string&) { return Token("cached", 3600); });
  const auto keeper = MustOpen(Refreshing(folder), options);
  EXPECT_EQ(Refuse(keeper.get(), 1), Renewal::kUnchanged);
  EXPECT_EQ(keeper->current()->version, 1u);
}

TEST(CredentialKeeper, ARenewalThatFailsAfterARefusalIsSaid) {
  const SecretFolder folder;
  KeeperOptions options = Quick();
  options.retry_min = absl::Hours(1);
  options.http = std::make_shared<FakeHttpClient>([](int n, const std::string&) {
    return n == 1
               ? Token("t1", 7200)
               : ReplyOf(400, R"({"error":"invalid_grant","error_description":"hunter2-refresh"})");
  });
  const auto keeper = MustOpen(Refreshing(folder), options);
  EXPECT_EQ(Refuse(keeper.get(), 1), Renewal::kFailed);
  EXPECT_THAT(keeper->renewal_error(), HasSubstr("token endpoint"));
  EXPECT_THAT(keeper->renewal_error(), Not(HasSubstr("hunter2")));
  EXPECT_EQ(TokenOf(*keeper), "t1");
}

TEST(CredentialKeeper, UsesARotatedRefreshToken) {
  const SecretFolder folder;
  KeeperOptions options = Quick();
  const auto http = std::make_shared<FakeHttpClient>([](int n, const std::string&) {
    return Token(fmt::format("t{}", n), 3600, n == 1 ? R"(,"refresh_token":"rotated")" : "");
  });
  options.http = http;
  const auto keeper = MustOpen(Refreshing(folder), options);
  EXPECT_EQ(Refuse(keeper.get(), 1), Renewal::kRenewed);
  EXPECT_EQ(Refuse(keeper.get(), 2), Renewal::kRenewed);
  const std::vector<std::string> forms = http->forms();
  ASSERT_EQ(forms.size(), 3u);
  EXPECT_THAT(forms[0], HasSubstr("refresh_token=hunter2-refresh&"));
  EXPECT_THAT(forms[1], HasSubstr("refresh_token=rotated&"));
  EXPECT_THAT(forms[2], HasSubstr("refresh_token=rotated&"));
  // A new one in the file is somebody's wish.
  folder.Replace("refresh", "from-the-file");
  EXPECT_TRUE(Eventually([&] { return http->count() == 4; }));
  EXPECT_THAT(http->forms()[3], HasSubstr("refresh_token=from-the-file&"));
}

TEST(CredentialKeeper, LooksForANewRefreshTokenWhenTheOldIsRevoked) {
  const SecretFolder folder;
  KeeperOptions options = Quick();
  const auto http = std::make_shared<FakeHttpClient>([](int n, const std::string& form) {
    const bool good = n == 1 || form.find("refresh_token=new&") != form.npos;
    return good ? Token(fmt::format("t{}", n), 3600) : ReplyOf(400, R"({"error":"invalid_grant"})");
  });
  options.http = http;
  CredentialDefinition definition = Refreshing(folder);
  definition.oauth2.refresh_token = {};
  definition.oauth2.refresh_token.command = "cat " + folder.path("refresh");
  const auto keeper = MustOpen(definition, options);
  folder.Replace("refresh", "new");
  EXPECT_EQ(Refuse(keeper.get(), 1), Renewal::kRenewed);
  EXPECT_EQ(TokenOf(*keeper), "t3");
}

TEST(CredentialKeeper, RefreshesOverARealConnection) {
  const SecretFolder folder;
  std::atomic<int> asked{0};
  const LoopbackHttpServer server([&](const std::string&) {
    return HttpAnswer(200,
                      fmt::format(R"({{"access_token":"t{}","token_type":"Bearer"}})", ++asked));
  });
  CredentialDefinition definition = Refreshing(folder);
  definition.oauth2.token_url = server.url();
  const auto keeper = MustOpen(definition);
  EXPECT_EQ(TokenOf(*keeper), "t1");
  EXPECT_EQ(Refuse(keeper.get(), 1), Renewal::kRenewed);
  EXPECT_EQ(TokenOf(*keeper), "t2");
}

// --- The end ---

TEST(CredentialKeeper, EndsWhileACommandHangs) {
  const SecretFolder folder;
  CredentialDefinition definition = User();
  definition.password.command = "if test -e " + folder.path("pid") + "; then echo $$ > " +
                                folder.path("second") + "; sleep 1000; fi; echo $$ > " +
                                folder.path("pid") + "; echo hunter2";
  auto keeper = MustOpen(definition);
  keeper->Refused(1);
  ASSERT_TRUE(Eventually([&] { return folder.Read("second").ends_with('\n'); }));
  EXPECT_EQ(keeper->renewal(1), Renewal::kPending);
  const absl::Time start = absl::Now();
  keeper.reset();
  EXPECT_LT(absl::Now() - start, absl::Seconds(5));
  EXPECT_NE(kill(std::stoi(folder.Read("second")), 0), 0);
}

TEST(CredentialKeeper, EndsWhileTheEndpointHangs) {
  const SecretFolder folder;
  std::atomic<int> asked{0};
  const LoopbackHttpServer server([&](const std::string&) -> std::optional<std::string> {
    if (++asked == 1) return HttpAnswer(200, R"({"access_token":"t1"})");
    return std::nullopt;
  });
  CredentialDefinition definition = Refreshing(folder);
  definition.oauth2.token_url = server.url();
  auto keeper = MustOpen(definition);
  keeper->Refused(1);
  ASSERT_TRUE(Eventually([&] { return asked == 2; }));
  const absl::Time start = absl::Now();
  keeper.reset();
  EXPECT_LT(absl::Now() - start, absl::Seconds(5));
}

TEST(CredentialKeeper, IsReadWhileItChanges) {
  const SecretFolder folder;
  CredentialDefinition definition = User();
  definition.password.file = folder.Put("p", "password-0");
  const auto keeper = MustOpen(definition);
  std::atomic<bool> stop{false};
  std::vector<std::thread> sessions;
  for (int i = 0; i < 3; ++i) {
    sessions.emplace_back([&] {
      uint64_t last = 0;
      while (!stop) {
        const auto snapshot = keeper->current();
        EXPECT_GE(snapshot->version, last);
        EXPECT_TRUE(snapshot->credentials.password.reveal().starts_with("password-"));
        last = snapshot->version;
        keeper->Refused(last);
        (void)keeper->renewal(last);
        (void)keeper->renewal_error();
      }
    });
  }
  for (int i = 1; i <= 10; ++i) {
    const std::string next = fmt::format("password-{}", i);
    folder.Replace("p", next);
    EXPECT_TRUE(Eventually([&] { return PasswordOf(*keeper) == next; }));
  }
  stop = true;
  for (std::thread& session : sessions) session.join();
}

}  // namespace
}  // namespace volley::pipeline
