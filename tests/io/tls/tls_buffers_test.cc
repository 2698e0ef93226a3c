#include "io/tls/tls_buffers.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/io/reactor/recorder.h"

namespace volley::io {
namespace {

std::string Take(TlsOutput& output) {
  std::array<iovec, TlsOutput::kPiecesMax> pieces;
  std::string bytes;
  for (const iovec& piece : output.Give(pieces)) {
    EXPECT_NE(piece.iov_len, 0u);
    bytes.append(static_cast<const char*>(piece.iov_base), piece.iov_len);
  }
  return bytes;
}

TEST(TlsOutput, GivesWhatWasAppendedInOrder) {
  TlsBuffers buffers;
  TlsOutput output(&buffers);
  std::string all;
  for (uint32_t i = 0; i < 50; ++i) {
    const std::string part = Pattern(1 + i * 100, i);
    ASSERT_TRUE(output.Append(part.data(), part.size()));
    all += part;
  }
  EXPECT_EQ(output.waiting(), all.size());
  EXPECT_EQ(Take(output), all);
  EXPECT_TRUE(output.in_flight());
  EXPECT_EQ(output.given(), all.size());
  output.Sent();
  EXPECT_FALSE(output.in_flight());
  EXPECT_EQ(buffers.chunks_out(), 0u);
}

TEST(TlsOutput, BytesInFlightStayWhereTheyAreWhileMoreAreAppended) {
  TlsBuffers buffers;
  TlsOutput output(&buffers);
  std::array<iovec, TlsOutput::kPiecesMax> pieces;
  ASSERT_TRUE(output.Append("first", 5));
  const iovec first = output.Give(pieces)[0];
  const std::string more = Pattern(40'000);
  ASSERT_TRUE(output.Append(more.data(), more.size()));
  EXPECT_EQ(std::string_view(static_cast<const char*>(first.iov_base), first.iov_len), "first");
  EXPECT_EQ(output.waiting(), more.size());
  output.Sent();
  EXPECT_EQ(Take(output), more);
  ASSERT_TRUE(output.Append("last", 4));
  output.Sent();
  EXPECT_EQ(Take(output), "last");
  output.Sent();
  EXPECT_EQ(buffers.chunks_out(), 0u);
  EXPECT_EQ(output.appended(), 5 + more.size() + 4);
}

TEST(TlsOutput, TakesNoMoreThanItsBound) {
  TlsBuffers buffers;
  TlsOutput output(&buffers);
  const std::string most(kTlsOutputBytesMax, 'x');
  ASSERT_TRUE(output.Append(most.data(), most.size() - 1));
  EXPECT_FALSE(output.Append("ab", 2));
  EXPECT_TRUE(output.Append("a", 1));
  EXPECT_EQ(Take(output).size(), most.size());
  EXPECT_FALSE(output.Append("a", 1)) << "what is in flight counts";
  output.Sent();
  EXPECT_TRUE(output.Append("a", 1));
  output.Clear();
  EXPECT_EQ(output.queued(), 0u);
  EXPECT_EQ(buffers.chunks_out(), 0u);
}

}  // namespace
}  // namespace volley::io
