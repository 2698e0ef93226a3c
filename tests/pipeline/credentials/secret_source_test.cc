#include "pipeline/credentials/secret_source.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <string>
#include <thread>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "pipeline/credentials/secret_reader.h"
#include "tests/pipeline/credentials/secret_files.h"

namespace volley::pipeline {
namespace {

using engine::Secret;
using volley::testing::kSecret;
using volley::testing::SecretFolder;
using enum absl::StatusCode;

SecretSource File(const std::string& path) {
  return {.file = path, .env = {}, .command = {}, .credential = {}};
}
SecretSource Env(const std::string& name) {
  return {.file = {}, .env = name, .command = {}, .credential = {}};
}
SecretSource Credential(const std::string& name) {
  return {.file = {}, .env = {}, .command = {}, .credential = name};
}

std::string Read(const SecretSource& source) {
  const absl::StatusOr<Secret> secret = ReadSecret(source, "password");
  return secret.ok() ? std::string(secret->reveal()) : secret.status().ToString();
}

// --- Files ---

TEST(SecretFile, IsItsFirstLineWithoutTheLineEnd) {
  const SecretFolder folder;
  for (const char* end : {"", "\n", "\r\n", "\n\n", "\r\n\r\n\n", "\r"}) {
    EXPECT_EQ(Read(File(folder.Put("p", std::string(kSecret) + end))), kSecret);
  }
  EXPECT_EQ(Read(File(folder.Put("p", " with spaces\t \n"))), " with spaces\t ");
  EXPECT_EQ(Read(File(folder.Put("p", "\xef\xbb\xbfgr\xc3\xbc\xc3\x9f e\n"))),
            "gr\xc3\xbc\xc3\x9f e");
}

TEST(SecretFile, HasOneLineOnly) {
  const SecretFolder folder;
  const std::string two = std::string(kSecret) + "\n\nhunter2-again\n";
  EXPECT_REFUSED(ReadSecret(File(folder.Put("p", two)), "password"), kInvalidArgument,
                 "password: file " + folder.path("p"), "several lines");
  EXPECT_REFUSED(ReadSecret(File(folder.Put("p", "\n" + std::string(kSecret))), "password"),
                 kInvalidArgument, "several lines");
}

TEST(SecretFile, IsNeitherEmptyNorBinary) {
  const SecretFolder folder;
  for (const char* empty : {"", "\n", "\r\n\r\n"}) {
    EXPECT_REFUSED(ReadSecret(File(folder.Put("p", empty)), "password"), kInvalidArgument,
                   folder.path("p"), "is empty");
  }
  EXPECT_REFUSED(ReadSecret(File(folder.Put("p", std::string("hunter2\0x\n", 10))), "password"),
                 kInvalidArgument, "NUL", "UTF-8");
}

TEST(SecretFile, HasABound) {
  const SecretFolder folder;
  const std::string longest(Secret::kBytesMax, 'x');
  EXPECT_EQ(Read(File(folder.Put("p", longest + "\r\n"))), longest);
  EXPECT_REFUSED(ReadSecret(File(folder.Put("p", longest + "x")), "password"), kInvalidArgument,
                 "8193 bytes", "at most 8192");
  EXPECT_REFUSED(
      ReadSecret(File(folder.Put("p", std::string(kSourceBytesMax + 1, 'x'))), "password"),
      kInvalidArgument, "more than 65536 bytes");
}

TEST(SecretFile, ThatEndlesslyGivesBytesIsRefused) {
  EXPECT_REFUSED(ReadSecret(File("/dev/zero"), "password"), kInvalidArgument, "/dev/zero",
                 "not a regular file");
}

TEST(SecretFile, MustNotBeOpenToOthers) {
  const SecretFolder folder;
  struct Case {
    mode_t mode;
    bool refused;
  };
  for (const Case& c : {Case{0600, false}, Case{0400, false}, Case{0440, false}, Case{0640, false},
                        Case{0604, true}, Case{0644, true}, Case{0660, true}, Case{0602, true}}) {
    const std::string file = folder.Put("p", kSecret, c.mode);
    if (c.refused) {
      EXPECT_REFUSED(ReadSecret(File(file), "password"), kPermissionDenied, "chmod 600 " + file,
                     fmt::format("mode {:04o}", c.mode));
    } else {
      EXPECT_EQ(Read(File(file)), kSecret) << c.mode;
    }
  }
}

TEST(SecretFile, ThatIsMissingOrAFolderIsNamed) {
  const SecretFolder folder;
  EXPECT_REFUSED(ReadSecret(File(folder.path("none")), "password"), kNotFound,
                 "password: file " + folder.path("none"), "No such file");
  EXPECT_REFUSED(ReadSecret(File(folder.path("none/x")), "password"), kNotFound, "none/x");
  EXPECT_REFUSED(ReadSecret(File(folder.path()), "password"), kInvalidArgument, "is a folder");
}

TEST(SecretFile, ThatIsNotOursToReadIsNamed) {
  const SecretFolder folder;
  const std::string file = folder.Put("p", kSecret, 0);
  ASSERT_EQ(chmod(folder.path().c_str(), 0755), 0);
  const bool is_root = geteuid() == 0;  // who may read everything
  if (is_root) {
    ASSERT_EQ(seteuid(65534), 0);
  }
  EXPECT_REFUSED(ReadSecret(File(file), "password"), kPermissionDenied, file, "must belong to");
  if (is_root) {
    ASSERT_EQ(seteuid(0), 0);
  }
}

// --- Pipes ---

TEST(SecretPipe, WithANameIsReadUntilItsWriterIsDone) {
  const SecretFolder folder;
  const std::string fifo = folder.path("fifo");
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  for (int i = 0; i < 2; ++i) {  // each reading is a new one
    const std::string want = fmt::format("{}{}", kSecret, i);
    std::thread writer([&] {
      const int fd = open(fifo.c_str(), O_WRONLY | O_CLOEXEC);
      for (const char c : want) EXPECT_EQ(write(fd, &c, 1), 1);
      close(fd);
    });
    EXPECT_EQ(Read(File(fifo)), want);
    writer.join();
  }
}

TEST(SecretPipe, ThatNobodyWritesToEndsInTime) {
  const SecretFolder folder;
  const std::string fifo = folder.path("fifo");
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  EXPECT_REFUSED(
      ReadSecretLine(File(fifo), "password", {.timeout = absl::Milliseconds(30), .stop = nullptr}),
      kDeadlineExceeded, fifo, "nobody wrote");
  StopSignal stop;
  std::thread stopper([&] {
    absl::SleepFor(absl::Milliseconds(20));
    stop.Stop();
  });
  EXPECT_REFUSED(
      ReadSecretLine(File(fifo), "password", {.timeout = absl::Seconds(60), .stop = &stop}),
      kCancelled, fifo);
  stopper.join();
}

TEST(SecretPipe, WithoutANameIsRememberedForTheNextReader) {
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  ASSERT_EQ(write(ends[1], kSecret.data(), kSecret.size()), static_cast<ssize_t>(kSecret.size()));
  close(ends[1]);
  const std::string path = fmt::format("/dev/fd/{}", ends[0]);  // what a shell's <(...) gives
  EXPECT_EQ(Read(File(path)), kSecret);
  EXPECT_EQ(Read(File(path)), kSecret);
  close(ends[0]);
}

// --- Environment variables ---

TEST(SecretVariable, IsTakenOutOfTheEnvironmentAndRemembered) {
  // In memory of ours, so that it can be looked at after it was unset.
  static char variable[] = "VOLLEY_TEST_PASSWORD=hunter2-is-no-password";
  ASSERT_EQ(putenv(variable), 0);
  EXPECT_EQ(Read(Env("VOLLEY_TEST_PASSWORD")), kSecret);
  EXPECT_EQ(getenv("VOLLEY_TEST_PASSWORD"), nullptr);
  EXPECT_EQ(std::string_view(variable), "VOLLEY_TEST_PASSWORD=");
  for (size_t i = std::strlen(variable); i < sizeof variable; ++i) EXPECT_EQ(variable[i], '\0');
  EXPECT_EQ(Read(Env("VOLLEY_TEST_PASSWORD")), kSecret);  // a second relay
}

TEST(SecretVariable, IsNotInheritedByCommands) {
  ASSERT_EQ(setenv("VOLLEY_TEST_INHERITED", kSecret.data(), 1), 0);
  EXPECT_EQ(Read(Env("VOLLEY_TEST_INHERITED")), kSecret);
  SecretSource command;
  command.command = "echo \"[${VOLLEY_TEST_INHERITED-unset}]\"";
  EXPECT_EQ(Read(command), "[unset]");
}

TEST(SecretVariable, ThatIsSetAnewReplacesTheOld) {
  ASSERT_EQ(setenv("VOLLEY_TEST_TWICE", "first\n", 1), 0);
  EXPECT_EQ(Read(Env("VOLLEY_TEST_TWICE")), "first");
  ASSERT_EQ(setenv("VOLLEY_TEST_TWICE", "second", 1), 0);
  EXPECT_EQ(Read(Env("VOLLEY_TEST_TWICE")), "second");
}

TEST(SecretVariable, IsLeftAloneWhenOnlyItsNameBeginsAlike) {
  ASSERT_EQ(setenv("VOLLEY_TEST_A", "a", 1), 0);
  ASSERT_EQ(setenv("VOLLEY_TEST_AB", "ab", 1), 0);
  EXPECT_EQ(Read(Env("VOLLEY_TEST_A")), "a");
  EXPECT_STREQ(getenv("VOLLEY_TEST_AB"), "ab");
}

TEST(SecretVariable, MustBeSetAndNotEmpty) {
  EXPECT_REFUSED(ReadSecret(Env("VOLLEY_TEST_NONE"), "password"), kNotFound,
                 "environment variable VOLLEY_TEST_NONE is not set");
  ASSERT_EQ(setenv("VOLLEY_TEST_EMPTY", "", 1), 0);
  EXPECT_REFUSED(ReadSecret(Env("VOLLEY_TEST_EMPTY"), "password"), kInvalidArgument,
                 "VOLLEY_TEST_EMPTY is empty");
  ASSERT_EQ(setenv("VOLLEY_TEST_LONG", std::string(kSourceBytesMax + 1, 'x').c_str(), 1), 0);
  EXPECT_REFUSED(ReadSecret(Env("VOLLEY_TEST_LONG"), "password"), kInvalidArgument, "too long");
  EXPECT_EQ(getenv("VOLLEY_TEST_LONG"), nullptr);
}

// --- systemd credentials ---

class SystemdCredential : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(setenv("CREDENTIALS_DIRECTORY", folder_.path().c_str(), 1), 0);
  }
  void TearDown() override { unsetenv("CREDENTIALS_DIRECTORY"); }
  SecretFolder folder_;
};

TEST_F(SystemdCredential, IsReadWhateverItsMode) {
  folder_.Put("smtp", kSecret, 0444);
  EXPECT_EQ(Read(Credential("smtp")), kSecret);
}

TEST_F(SystemdCredential, ThatIsNotThereSaysWhatTheUnitNeeds) {
  EXPECT_REFUSED(ReadSecret(Credential("smtp"), "password"), kNotFound, "systemd credential smtp",
                 "LoadCredential=smtp:");
  unsetenv("CREDENTIALS_DIRECTORY");
  EXPECT_REFUSED(ReadSecret(Credential("smtp"), "password"), kNotFound, "CREDENTIALS_DIRECTORY",
                 "LoadCredential=");
}

TEST_F(SystemdCredential, StaysInItsFolder) {
  for (const char* name : {"../etc/passwd", "a/b", "/etc/passwd", "..", "."}) {
    EXPECT_REFUSED(ReadSecret(Credential(name), "password"), kInvalidArgument, "without '/'");
    EXPECT_REFUSED(CheckSecretSource(Credential(name), "password"), kInvalidArgument,
                   "password_credential");
  }
}

// --- CheckSecretSource, DescribeSource ---

TEST(CheckSecretSource, WantsOnePlace) {
  EXPECT_TRUE(CheckSecretSource({}, "password").ok());
  EXPECT_TRUE(CheckSecretSource(File("/x"), "password").ok());
  SecretSource two = File("/x");
  two.command = "pass";
  EXPECT_REFUSED(CheckSecretSource(two, "token"), kInvalidArgument, "token_file", "token_command",
                 "keep one");
  EXPECT_REFUSED(ReadSecret(two, "token"), kInvalidArgument, "token_file", "token_command");
}

TEST(CheckSecretSource, RefusesNamesThatTheSystemWouldReadOtherwise) {
  EXPECT_REFUSED(CheckSecretSource(File(std::string("/x\0y", 4)), "password"), kInvalidArgument,
                 "password_file \"/x?y\"", "NUL");
  EXPECT_REFUSED(CheckSecretSource(Env("A=B"), "password"), kInvalidArgument, "password_env",
                 "not the name");
}

TEST(DescribeSource, NamesThePlaceOnOnePrintableLine) {
  EXPECT_EQ(DescribeSource(File("/run/secrets/smtp")), "file /run/secrets/smtp");
  EXPECT_EQ(DescribeSource(Env("SMTP_PASSWORD")), "environment variable SMTP_PASSWORD");
  EXPECT_EQ(DescribeSource(Credential("smtp")), "systemd credential smtp");
  SecretSource command;
  command.command = "pass show\nmail" + std::string(500, 'x');
  const std::string words = DescribeSource(command);
  EXPECT_THAT(words, ::testing::StartsWith("command \"pass show?mailxxx"));
  EXPECT_LT(words.size(), 150u);
}

}  // namespace
}  // namespace volley::pipeline
