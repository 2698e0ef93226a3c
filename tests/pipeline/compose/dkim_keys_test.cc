#include "pipeline/compose/dkim_keys.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "tests/engine/dkim/test_keys.h"
#include "tests/pipeline/credentials/secret_files.h"

namespace volley::pipeline {
namespace {

using engine::dkim::kEd25519Pem;
using engine::dkim::KeyAlgorithm;
using engine::dkim::kRsaPem;
using engine::dkim::SigningKey;
using ::testing::Each;
using ::testing::HasSubstr;
using volley::testing::SecretFolder;
using enum absl::StatusCode;

constexpr std::string_view kBadPem =
    "-----BEGIN PRIVATE KEY-----\nhunter2x\n-----END PRIVATE KEY-----\n";

std::string NewEd25519() {
  return std::string((*SigningKey::Generate(KeyAlgorithm::kEd25519))->ToPem().reveal());
}

std::string PublicKeyOf(const std::string& path) { return (*LoadSigningKey(path))->public_key(); }

class DkimKeysTest : public ::testing::Test {
 protected:
  DkimKeysTest() { folder_.Put("rsa", kRsaPem), folder_.Put("ed", kEd25519Pem); }

  std::vector<DkimKeyFile> Both() const {
    return {{"example.com", "r", folder_.path("rsa")}, {"example.com", "e", folder_.path("ed")}};
  }
  std::shared_ptr<DkimKeys> LoadBoth() const {
    auto keys = DkimKeys::Load(Both());
    EXPECT_TRUE(keys.ok()) << keys.status();
    return *keys;
  }
  // As though the file had been there for long, so that only its stamp tells of a change.
  void Age(std::string_view name, time_t seconds) const {
    const timespec at[2] = {{time(nullptr) - seconds, 0}, {time(nullptr) - seconds, 0}};
    EXPECT_EQ(utimensat(AT_FDCWD, folder_.path(name).c_str(), at, 0), 0);
  }

  const SecretFolder folder_;
};

TEST_F(DkimKeysTest, LoadsAllEntriesInTheirOrder) {
  const auto keys = LoadBoth();
  const auto current = keys->current();
  ASSERT_EQ(current->size(), 2u);
  EXPECT_EQ((*current)[0].selector, "r");
  EXPECT_EQ((*current)[0].domain, "example.com");
  EXPECT_EQ((*current)[0].key->algorithm(), KeyAlgorithm::kRsa);
  EXPECT_EQ((*current)[1].key->algorithm(), KeyAlgorithm::kEd25519);
  EXPECT_EQ(keys->version(), 1u);
}

TEST_F(DkimKeysTest, RefusesAFileThatOthersCanRead) {
  EXPECT_REFUSED(LoadSigningKey(folder_.Put("open", kRsaPem, 0604)), kPermissionDenied,
                 folder_.path("open"), "chmod 600");
  EXPECT_REFUSED(LoadSigningKey(folder_.Put("open", kRsaPem, 0620)), kPermissionDenied,
                 "chmod 600");
  EXPECT_TRUE(LoadSigningKey(folder_.Put("open", kRsaPem, 0640)).ok());
}

TEST_F(DkimKeysTest, NamesTheFileInEveryError) {
  EXPECT_REFUSED(LoadSigningKey(folder_.path("none")), kNotFound, folder_.path("none"));
  EXPECT_REFUSED(LoadSigningKey(folder_.path()), kInvalidArgument, folder_.path());
  EXPECT_REFUSED(LoadSigningKey(folder_.Put("bad", kBadPem)), kInvalidArgument, folder_.path("bad"),
                 "damaged");
  EXPECT_REFUSED(LoadSigningKey(folder_.Put("bad", std::string(70000, 'x'))), kInvalidArgument,
                 folder_.path("bad"));
  EXPECT_REFUSED(DkimKeys::Load({{"example.com", "a b", folder_.path("rsa")}}), kInvalidArgument,
                 folder_.path("rsa"), "not a selector");
  EXPECT_REFUSED(DkimKeys::Load({{"localhost", "s", folder_.path("rsa")}}), kInvalidArgument,
                 folder_.path("rsa"), "not a domain");
}

TEST_F(DkimKeysTest, RefusesTwoKeysForOneRecordAndTooMany) {
  EXPECT_REFUSED(DkimKeys::Load({}), kInvalidArgument, "no DKIM key");
  EXPECT_REFUSED(DkimKeys::Load({{"example.com", "s", folder_.path("rsa")},
                                 {"Example.COM", "S", folder_.path("ed")}}),
                 kInvalidArgument, "s._domainkey.example.com", "selector of its own");
  std::vector<DkimKeyFile> many;
  for (size_t i = 0; i <= DkimKeys::kKeysMax; ++i) {
    many.push_back({"example.com", "s" + std::to_string(i), folder_.path("ed")});
  }
  EXPECT_REFUSED(DkimKeys::Load(many), kInvalidArgument, "at most");
}

TEST_F(DkimKeysTest, TakesANewKeyWithoutTouchingWhatIsInUse) {
  Age("rsa", 100);
  const auto keys = LoadBoth();
  const auto before = keys->current();
  const std::string old_key = (*before)[1].key->public_key();
  EXPECT_TRUE(keys->Reload().ok());
  EXPECT_EQ(keys->current(), before);
  folder_.Replace("ed", NewEd25519());
  EXPECT_TRUE(keys->Reload().ok());
  EXPECT_EQ(keys->version(), 2u);
  EXPECT_EQ((*keys->current())[1].key->public_key(), PublicKeyOf(folder_.path("ed")));
  EXPECT_NE((*keys->current())[1].key->public_key(), old_key);
  EXPECT_EQ((*before)[1].key->public_key(), old_key);
  EXPECT_EQ((*keys->current())[0].key, (*before)[0].key) << "the other file was read again";
}

TEST_F(DkimKeysTest, SeesASecondWritingThatLeavesTheSameStamp) {
  const auto keys = LoadBoth();  // the files are new: nothing can be told from their stamps
  const FileStamp stamp = StampOf(folder_.path("ed"));
  folder_.Put("ed", NewEd25519());  // in place: same inode, same size
  const timespec at[2] = {{0, UTIME_OMIT},
                          {stamp.mtime_ns / 1'000'000'000, stamp.mtime_ns % 1'000'000'000}};
  ASSERT_EQ(utimensat(AT_FDCWD, folder_.path("ed").c_str(), at, 0), 0);
  ASSERT_EQ(StampOf(folder_.path("ed")), stamp);
  EXPECT_TRUE(keys->Reload().ok());
  EXPECT_EQ(keys->version(), 2u);
}

TEST_F(DkimKeysTest, DoesNotCountATouchedFileAsANewKey) {
  Age("rsa", 100), Age("ed", 100);
  const auto keys = LoadBoth();
  Age("rsa", 50);
  EXPECT_TRUE(keys->Reload().ok());
  EXPECT_EQ(keys->version(), 1u);
}

TEST_F(DkimKeysTest, KeepsAllOldKeysWhileANewFileIsBadAndSaysSoEachTime) {
  Age("rsa", 100), Age("ed", 100);
  const auto keys = LoadBoth();
  const auto before = keys->current();
  folder_.Put("rsa", kBadPem);
  Age("rsa", 90);
  folder_.Put("ed", NewEd25519());  // good, but one of a pair
  Age("ed", 90);
  for (int i = 0; i < 3; ++i) {
    EXPECT_REFUSED(keys->Reload(), kInvalidArgument, folder_.path("rsa"));
    EXPECT_EQ(keys->current(), before);
  }
  EXPECT_EQ(chmod(folder_.path("rsa").c_str(), 0644), 0);  // no new stamp, not read again
  EXPECT_REFUSED(keys->Reload(), kInvalidArgument, folder_.path("rsa"));
  folder_.Replace("rsa", NewEd25519());  // the algorithm comes from the key
  EXPECT_TRUE(keys->Reload().ok());
  EXPECT_EQ(keys->version(), 2u);
  EXPECT_EQ((*keys->current())[0].key->public_key(), PublicKeyOf(folder_.path("rsa")));
  EXPECT_EQ((*keys->current())[1].key->public_key(), PublicKeyOf(folder_.path("ed")));
}

TEST_F(DkimKeysTest, KeepsTheKeyOfAFileThatIsGoneUntilItIsBack) {
  Age("rsa", 100), Age("ed", 100);
  const auto keys = LoadBoth();
  ASSERT_EQ(unlink(folder_.path("ed").c_str()), 0);
  EXPECT_REFUSED(keys->Reload(), kNotFound, folder_.path("ed"));
  EXPECT_REFUSED(keys->Reload(), kNotFound, folder_.path("ed"));
  EXPECT_EQ(keys->version(), 1u);
  folder_.Put("ed", kEd25519Pem);
  EXPECT_TRUE(keys->Reload().ok());
  EXPECT_EQ(keys->version(), 1u) << "the same key came back";
}

TEST_F(DkimKeysTest, IsReadByThreadsWhileItReloads) {
  const auto keys = LoadBoth();
  std::atomic<bool> stop = false;
  std::vector<std::string> wrong(2);
  std::vector<std::thread> readers;
  for (std::string& out : wrong) {
    readers.emplace_back([&keys, &stop, &out] {
      uint64_t seen = 0;
      while (!stop.load(std::memory_order_relaxed)) {
        const uint64_t version = keys->version();
        if (version < seen) out = "the version went back";
        seen = version;
        if (keys->current()->size() != 2) out = "a part of the keys";
      }
    });
  }
  for (int i = 0; i < 50; ++i) {
    folder_.Replace("ed", NewEd25519());
    EXPECT_TRUE(keys->Reload().ok());
  }
  stop = true;
  for (std::thread& reader : readers) reader.join();
  EXPECT_THAT(wrong, Each(""));
  EXPECT_EQ(keys->version(), 51u);
}

}  // namespace
}  // namespace volley::pipeline
