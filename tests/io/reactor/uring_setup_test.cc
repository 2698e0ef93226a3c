// What an operator is told where io_uring cannot be had, and the fallback.
#include "io/reactor/uring_setup.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>

#include "io/reactor/reactor.h"

namespace volley::io {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

std::string Explain(int error, UringStep step = UringStep::kSetup) {
  return ExplainUringFailure({step, error});
}

TEST(UringSetup, EveryRefusalSaysWhatToDo) {
  EXPECT_THAT(Explain(EPERM), AllOf(HasSubstr("seccomp"), HasSubstr("kernel.io_uring_disabled"),
                                    HasSubstr("io_uring_setup"), HasSubstr("--io=epoll")));
  EXPECT_THAT(Explain(ENOSYS), HasSubstr("no io_uring"));
  EXPECT_THAT(Explain(ENOMEM), AllOf(HasSubstr("ulimit -l"), HasSubstr("LimitMEMLOCK")));
  EXPECT_THAT(Explain(EMFILE), HasSubstr("ulimit -n"));
  EXPECT_THAT(Explain(EINVAL), HasSubstr("Linux 6.1"));
  EXPECT_THAT(Explain(EINVAL, UringStep::kBufferRing), HasSubstr("buffer ring"));
  EXPECT_THAT(Explain(EOPNOTSUPP, UringStep::kOperations), HasSubstr("operations"));
  EXPECT_THAT(Explain(EIO), HasSubstr("Input/output error"));  // an errno nobody thought of
  for (const int error : {EPERM, ENOSYS, ENOMEM, EMFILE, EINVAL, EIO}) {
    EXPECT_THAT(Explain(error), Not(HasSubstr("\n"))) << "one line for the log";
  }
}

TEST(UringSetup, TheProbeAndTheReactorAgree) {
  const std::optional<std::string> reason = WhyNoUring();
  ReactorOptions options;
  options.backend = BackendChoice::kUring;
  const absl::StatusOr<CreatedReactor> asked = CreateReactor(options);
  EXPECT_EQ(asked.ok(), !reason.has_value()) << reason.value_or("");
  options.backend = BackendChoice::kAuto;
  const absl::StatusOr<CreatedReactor> automatic = CreateReactor(options);
  ASSERT_TRUE(automatic.ok()) << automatic.status();
  EXPECT_EQ(automatic->reactor->name(), reason ? "epoll" : "uring");
  EXPECT_EQ(automatic->fallback_reason.empty(), !reason.has_value());
  if (!asked.ok()) {
    EXPECT_EQ(asked.status().message(), *reason);
  }
}

TEST(UringSetup, AskingForEpollIsNoFallback) {
  ReactorOptions options;
  options.backend = BackendChoice::kEpoll;
  const absl::StatusOr<CreatedReactor> created = CreateReactor(options);
  ASSERT_TRUE(created.ok());
  EXPECT_EQ(created->reactor->name(), "epoll");
  EXPECT_TRUE(created->fallback_reason.empty());
}

TEST(UringSetup, OddBufferCountsAreRoundedAndBounded) {
  if (const std::optional<std::string> reason = WhyNoUring()) {
    GTEST_SKIP() << "SKIPPED: no io_uring here: " << *reason;
  }
  for (const uint32_t count : {1u, 3u, 1000u, 4'000'000'000u}) {
    ReactorOptions options;
    options.backend = BackendChoice::kUring;
    options.receive_buffers = count;
    options.receive_buffer_bytes = 512;
    const absl::StatusOr<CreatedReactor> created = CreateReactor(options);
    EXPECT_TRUE(created.ok()) << count << ": " << created.status();
  }
}

}  // namespace
}  // namespace volley::io
