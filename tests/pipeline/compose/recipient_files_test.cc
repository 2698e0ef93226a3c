#include "pipeline/compose/recipient_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "tests/pipeline/credentials/secret_files.h"

namespace volley::pipeline {
namespace {

namespace fs = std::filesystem;
using volley::testing::TempDir;
using enum absl::StatusCode;

constexpr uint64_t kBytesMax = 64;

class RecipientFilesTest : public ::testing::Test {
 protected:
  RecipientFilesTest() {
    fs::create_directories(dir_.path("files/inner"));
    dir_.Write("secret.txt", "hunter2");
    dir_.Write("files/inner/deep.txt", "hunter2");
    dir_.Write("files/.hidden", "hunter2");
    dir_.Write("files/ann.pdf", "for Ann");
    files_ = *RecipientFiles::Open(dir_.path("files"), kBytesMax);
  }
  absl::StatusOr<bool> Read(std::string_view name) { return files_->Read(name, &bytes_); }

  const TempDir dir_;
  std::shared_ptr<const RecipientFiles> files_;
  std::string bytes_ = "left from before";
};

TEST_F(RecipientFilesTest, ReadsAFileOfTheFolder) {
  const auto read = Read("ann.pdf");
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_TRUE(*read);
  EXPECT_EQ(bytes_, "for Ann");
}

TEST_F(RecipientFilesTest, GivesNoneWhereNoneIsNamed) {
  const auto read = Read("");
  ASSERT_TRUE(read.ok());
  EXPECT_FALSE(*read);
  EXPECT_EQ(bytes_, "");
}

TEST_F(RecipientFilesTest, RefusesEveryNameThatLeadsElsewhere) {
  for (const std::string& name :
       {std::string("../secret.txt"), dir_.path("secret.txt"), dir_.path("files/ann.pdf"),
        std::string("inner/deep.txt"), std::string("./ann.pdf"), std::string("."),
        std::string(".."), std::string("/"), std::string("inner/../ann.pdf"),
        std::string("..\\secret.txt"), std::string(".hidden"), std::string("ann.pdf\0.txt", 12),
        std::string("ann.pdf\n"), std::string("ann.pdf\x7f"), std::string(256, 'a'),
        std::string(100'000, 'a')}) {
    EXPECT_REFUSED(Read(name), kInvalidArgument, dir_.path("files"), "not the name of a file");
    EXPECT_EQ(bytes_, "");
  }
}

TEST_F(RecipientFilesTest, FollowsNoSymbolicLink) {
  fs::create_symlink("../secret.txt", dir_.path("files/out"));
  fs::create_symlink("ann.pdf", dir_.path("files/in"));
  fs::create_symlink("nowhere", dir_.path("files/dangling"));
  for (const char* name : {"out", "in", "dangling"}) {
    EXPECT_REFUSED(Read(name), kInvalidArgument, name, "is a symbolic link");
  }
}

TEST_F(RecipientFilesTest, TakesPlainFilesOnlyAndWaitsForNobody) {
  ASSERT_EQ(mkfifo(dir_.path("files/pipe").c_str(), 0600), 0);
  EXPECT_REFUSED(Read("pipe"), kInvalidArgument, "pipe", "is no plain file");
  EXPECT_REFUSED(Read("inner"), kInvalidArgument, "inner", "is no plain file");
}

TEST_F(RecipientFilesTest, NamesAFileThatIsMissing) {
  EXPECT_REFUSED(Read("bob.pdf"), kInvalidArgument, "bob.pdf", dir_.path("files"), "No such file");
}

TEST_F(RecipientFilesTest, TakesAsManyBytesAsAllowedAndNotOneMore) {
  dir_.Write("files/full", std::string(kBytesMax, 'x'));
  ASSERT_TRUE(Read("full").ok());
  EXPECT_EQ(bytes_.size(), kBytesMax);
  dir_.Write("files/over", std::string(kBytesMax + 1, 'x'));
  EXPECT_REFUSED(Read("over"), kInvalidArgument, "over", "65 bytes", "at most 64");
  EXPECT_EQ(bytes_, "");
}

TEST_F(RecipientFilesTest, KeepsNothingBetweenReads) {
  ASSERT_TRUE(Read("ann.pdf").ok());
  dir_.Write("files/ann.pdf", "another one for Ann");
  ASSERT_TRUE(Read("ann.pdf").ok());
  EXPECT_EQ(bytes_, "another one for Ann");
  dir_.Write("files/ann.pdf", "");
  ASSERT_TRUE(Read("ann.pdf").ok());
  EXPECT_EQ(bytes_, "");
  fs::remove(dir_.path("files/ann.pdf"));
  EXPECT_REFUSED(Read("ann.pdf"), kInvalidArgument, "No such file");
}

// A file that somebody still writes: half of it must not be mailed. The kernel's files say that
// they have no bytes, and then have some.
TEST_F(RecipientFilesTest, RefusesAFileThatIsLongerThanItSaid) {
  const auto kernel = RecipientFiles::Open("/proc/self", 1 << 20);
  ASSERT_TRUE(kernel.ok());
  EXPECT_REFUSED((*kernel)->Read("status", &bytes_), kInvalidArgument, "status",
                 "changed while it was read");
}

TEST_F(RecipientFilesTest, StaysInTheFolderItOpenedWhenAnotherTakesItsName) {
  fs::rename(dir_.path("files"), dir_.path("moved"));
  fs::create_symlink(".", dir_.path("files"));
  EXPECT_FALSE(Read("secret.txt").ok());
  ASSERT_TRUE(Read("ann.pdf").ok());
  EXPECT_EQ(bytes_, "for Ann");
}

TEST_F(RecipientFilesTest, NamesAFolderThatIsNone) {
  EXPECT_REFUSED(RecipientFiles::Open(dir_.path("none"), kBytesMax), kNotFound, dir_.path("none"));
  EXPECT_REFUSED(RecipientFiles::Open(dir_.path("secret.txt"), kBytesMax), kNotFound,
                 dir_.path("secret.txt"));
}

}  // namespace
}  // namespace volley::pipeline
