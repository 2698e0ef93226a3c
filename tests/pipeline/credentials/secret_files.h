// Files with secrets for tests, and the one question every error text is asked.
#ifndef VOLLEY_TESTS_PIPELINE_CREDENTIALS_SECRET_FILES_H_
#define VOLLEY_TESTS_PIPELINE_CREDENTIALS_SECRET_FILES_H_

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <initializer_list>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/pipeline/temp_dir.h"

namespace volley::testing {

inline constexpr std::string_view kSecret = "hunter2-is-no-password";

class SecretFolder : public TempDir {
 public:
  std::string Put(std::string_view name, std::string_view bytes, mode_t mode = 0600) const {
    const std::string file = Write(name, bytes);
    EXPECT_EQ(chmod(file.c_str(), mode), 0);
    return file;
  }
  // As careful writers do: a new file takes the old one's place.
  void Replace(std::string_view name, std::string_view bytes) const {
    const std::string next = Put("next", bytes);
    EXPECT_EQ(rename(next.c_str(), path(name).c_str()), 0);
  }
};

inline std::string WordsOf(const absl::Status& status) { return std::string(status.message()); }

// Until `condition` or for ten seconds: a slow machine is no failure.
template <typename Condition>
bool Eventually(Condition condition) {
  for (const absl::Time end = absl::Now() + absl::Seconds(10); absl::Now() < end;) {
    if (condition()) return true;
    absl::SleepFor(absl::Milliseconds(2));
  }
  return condition();
}

// The error has this code, all of these words, and no part of the secret.
#define EXPECT_REFUSED(result, want, ...)                                              \
  do {                                                                                 \
    const absl::Status status_ = ::volley::testing::StatusOf(result);                  \
    EXPECT_EQ(status_.code(), want) << status_;                                        \
    for (const std::string& word_ : std::initializer_list<std::string>{__VA_ARGS__}) { \
      EXPECT_THAT(::volley::testing::WordsOf(status_), ::testing::HasSubstr(word_));   \
    }                                                                                  \
    EXPECT_THAT(::volley::testing::WordsOf(status_),                                   \
                ::testing::Not(::testing::HasSubstr("hunter2")));                      \
  } while (false)

inline const absl::Status& StatusOf(const absl::Status& status) { return status; }
template <typename T>
const absl::Status& StatusOf(const absl::StatusOr<T>& result) {
  return result.status();
}

}  // namespace volley::testing

#endif  // VOLLEY_TESTS_PIPELINE_CREDENTIALS_SECRET_FILES_H_
