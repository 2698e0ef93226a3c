#include "pipeline/credentials/secret_command.h"

#include <signal.h>
#include <sys/wait.h>

#include <cerrno>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/pipeline/credentials/secret_files.h"

namespace volley::pipeline {
namespace {

using engine::Secret;
using volley::testing::Eventually;
using volley::testing::kSecret;
using volley::testing::SecretFolder;
using enum absl::StatusCode;

SecretSource Source(const std::string& command) {
  SecretSource source;
  source.command = command;
  return source;
}

absl::StatusOr<Secret> Try(const std::string& command, absl::Duration timeout = absl::Seconds(20)) {
  return ReadSecretLine(Source(command), "password", {.timeout = timeout, .stop = nullptr});
}

std::string Line(const std::string& command) {
  const absl::StatusOr<Secret> secret = Try(command);
  return secret.ok() ? std::string(secret->reveal()) : secret.status().ToString();
}

bool IsAlive(const std::string& pid) { return !pid.empty() && kill(std::stoi(pid), 0) == 0; }

TEST(SecretCommand, GivesTheLineItPrints) {
  EXPECT_EQ(Line("echo hunter2-is-no-password"), kSecret);
  EXPECT_EQ(Line("printf 'a b\\r\\n'"), "a b");
  EXPECT_EQ(Line("echo one | tr o a; exit 0"), "ane");
}

TEST(SecretCommand, FailureNamesTheCommandAndNotItsOutput) {
  const SecretFolder folder;
  const std::string cat = "cat " + folder.Put("p", kSecret);
  EXPECT_REFUSED(Try(cat + "; exit 3"), kFailedPrecondition, "password: command \"cat ",
                 "exit code 3");
  EXPECT_REFUSED(Try(cat + "; kill -9 $$"), kFailedPrecondition, "signal 9", "Killed");
  EXPECT_REFUSED(Try(cat + "; echo; " + cat), kInvalidArgument, "several lines");
  EXPECT_REFUSED(Try("true"), kInvalidArgument, "command \"true\"", "is empty");
  EXPECT_REFUSED(Try("no-such-program-here 2>/dev/null"), kFailedPrecondition,
                 "no-such-program-here", "no such program");
  EXPECT_REFUSED(Try(folder.path("p") + " 2>/dev/null"), kFailedPrecondition, "exit code 126",
                 "executable");
}

TEST(SecretCommand, OutputIsBounded) {
  EXPECT_REFUSED(Try("yes hunt''er2"), kInvalidArgument, "more than 65536 bytes");
  EXPECT_REFUSED(Try("cat /dev/zero"), kInvalidArgument, "more than 65536 bytes");
}

TEST(SecretCommand, ThatHangsIsKilledWithAllThatItStarted) {
  const SecretFolder folder;
  const std::string command = "echo hunt''er2; sleep 1000 & echo $! > " + folder.path("child") +
                              "; echo $$ > " + folder.path("shell") + "; sleep 1000";
  const absl::Time start = absl::Now();
  EXPECT_REFUSED(Try(command, absl::Milliseconds(300)), kDeadlineExceeded, "300ms", "was killed");
  EXPECT_LT(absl::Now() - start, absl::Seconds(10));
  const std::string shell = folder.Read("shell"), child = folder.Read("child");
  ASSERT_FALSE(child.empty());  // else the test saw nothing
  EXPECT_FALSE(IsAlive(shell));
  // Nobody but init reaps it; until then it is a zombie.
  EXPECT_TRUE(Eventually([&] {
    std::ifstream stat("/proc/" + child.substr(0, child.find('\n')) + "/stat");
    std::string id, name, state;
    return !(stat >> id >> name >> state) || state == "Z";
  }));
}

TEST(SecretCommand, ThatIgnoresSignalsIsKilledToo) {
  EXPECT_REFUSED(Try("trap '' TERM INT HUP; while :; do sleep 0.05; done", absl::Milliseconds(200)),
                 kDeadlineExceeded, "was killed");
}

TEST(SecretCommand, EndsWhenStopped) {
  StopSignal stop;
  std::thread stopper([&] {
    absl::SleepFor(absl::Milliseconds(50));
    stop.Stop();
  });
  const absl::Time start = absl::Now();
  EXPECT_REFUSED(ReadSecretLine(Source("sleep 1000"), "password",
                                {.timeout = absl::Seconds(600), .stop = &stop}),
                 kCancelled, "sleep 1000");
  EXPECT_LT(absl::Now() - start, absl::Seconds(10));
  stopper.join();
}

// gpg-agent and the like, started by a command, keep its standard output open.
TEST(SecretCommand, IsNotWaitedForLongerThanItsShell) {
  const absl::Time start = absl::Now();
  EXPECT_EQ(Line("sleep 3 & echo hunter2-is-no-password"), kSecret);
  EXPECT_LT(absl::Now() - start, absl::Seconds(2.5));
}

TEST(SecretCommand, HasNoStandardInputAndNoDescriptorOfOurs) {
  EXPECT_EQ(Line("cat; echo end"), "end");
  const SecretFolder folder;
  const int leaked = open(folder.Put("p", kSecret).c_str(), O_RDONLY);  // without O_CLOEXEC
  ASSERT_GE(leaked, 3);
  EXPECT_EQ(Line(fmt::format("test -e /proc/self/fd/{} && echo leaked || echo closed", leaked)),
            "closed");
  close(leaked);
}

TEST(SecretCommand, HasNoSignalBlockedOrIgnored) {
  sigset_t blocked, before;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGTERM);
  sigaddset(&blocked, SIGUSR1);
  pthread_sigmask(SIG_BLOCK, &blocked, &before);
  struct sigaction ignore {};
  struct sigaction pipe_before {};
  ignore.sa_handler = SIG_IGN;
  sigaction(SIGPIPE, &ignore, &pipe_before);
  const std::string mask = Line("awk '/^SigBlk/ {b=$2} /^SigIgn/ {print b $2}' /proc/self/status");
  ASSERT_EQ(mask.size(), 32u) << mask;
  EXPECT_EQ(mask.substr(0, 16), "0000000000000000");
  // Signals 32 and 33 are the C library's own; it ignores them in what it spawns.
  EXPECT_EQ(std::stoull(mask.substr(16), nullptr, 16) & ~0x180000000ull, 0u) << mask;
  sigaction(SIGPIPE, &pipe_before, nullptr);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

TEST(SecretCommand, HasASessionOfItsOwn) {
  // Field 6 of stat is the session.
  EXPECT_NE(Line("cut -d' ' -f6 /proc/$$/stat"), std::to_string(getsid(0)));
}

TEST(SecretCommand, RunsInManyThreadsAtOnce) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([t] {
      for (int i = 0; i < 5; ++i) {
        EXPECT_EQ(Line(fmt::format("echo {}-{}", t, i)), fmt::format("{}-{}", t, i));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(SecretCommand, LeavesNoChildAndNoDescriptorBehind) {
  const auto descriptors = [] {
    return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {});
  };
  const auto before = descriptors();
  for (int i = 0; i < 3; ++i) {
    (void)Try("exit 1");
    (void)Try("sleep 100", absl::Milliseconds(10));
    EXPECT_EQ(Line("echo x"), "x");
  }
  EXPECT_EQ(descriptors(), before);
  EXPECT_EQ(waitpid(-1, nullptr, WNOHANG), -1);
  EXPECT_EQ(errno, ECHILD);
}

}  // namespace
}  // namespace volley::pipeline
