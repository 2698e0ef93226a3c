#include "engine/smtp/client_output.h"

#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace volley::engine::smtp {
namespace {

std::string Text(const std::vector<iovec>& pieces) {
  std::string bytes;
  for (const iovec& piece : pieces) {
    bytes.append(static_cast<const char*>(piece.iov_base), piece.iov_len);
  }
  return bytes;
}

std::vector<iovec> Take(ClientOutput* output, size_t pieces) {
  std::vector<iovec> out(pieces);
  out.resize(output->Take(out));
  return out;
}

class ClientOutputTest : public testing::Test {
 protected:
  std::string one_ = "a\r\n", two_ = ".b\r\n", three_ = "c\r\n";
  iovec content_[3] = {
      {one_.data(), one_.size()}, {two_.data(), two_.size()}, {three_.data(), three_.size()}};
  ClientOutput output_;
};

TEST_F(ClientOutputTest, GivesTextContentAndTextInOrder) {
  output_.text()->append("BDAT\r\n");
  output_.AppendContent(content_, true);
  output_.text()->append("RSET\r\n");
  EXPECT_EQ(output_.content_mark(), 6u);
  EXPECT_EQ(Text(Take(&output_, 64)), "BDAT\r\na\r\n..b\r\nc\r\nRSET\r\n");
  EXPECT_FALSE(output_.has_output());
  EXPECT_FALSE(output_.content_pending());
  EXPECT_EQ(output_.bytes_taken(), 23u);
  EXPECT_EQ(output_.content_end(), 6u + 11u);
  EXPECT_EQ(output_.BytePosition(6), 6u);
  EXPECT_EQ(output_.BytePosition(12), 23u);
}

TEST_F(ClientOutputTest, GoesOnWhereItStoppedWithOnePieceATime) {
  output_.text()->append("X\r\n");
  output_.AppendContent(content_, true);
  output_.text()->append(".\r\n");
  std::string all;
  for (int rounds = 0; output_.has_output(); ++rounds) {
    ASSERT_LT(rounds, 10);
    all += Text(Take(&output_, 1));
    output_.OnSent();
  }
  EXPECT_EQ(all, "X\r\na\r\n..b\r\nc\r\n.\r\n");
}

// What is being sent may still be read by the kernel.
TEST_F(ClientOutputTest, DoesNotMoveWhatIsBeingSent) {
  output_.text()->append("NOOP\r\n");
  const std::vector<iovec> taken = Take(&output_, 4);
  for (int i = 0; i < 1000; ++i) output_.text()->append("RCPT TO:<somebody@mx.example>\r\n");
  EXPECT_EQ(Text(taken), "NOOP\r\n");
  output_.OnSent();
  EXPECT_EQ(Text(Take(&output_, 4)).size(), 31000u);
}

TEST_F(ClientOutputTest, DoesNotMoveAHalfTakenBuffer) {
  output_.text()->append("BDAT\r\n");
  output_.AppendContent(content_, false);
  output_.text()->append("RSET\r\n");
  EXPECT_EQ(Text(Take(&output_, 2)), "BDAT\r\na\r\n");
  output_.text()->append("MAIL\r\n");
  output_.OnSent();
  const std::vector<iovec> rest = Take(&output_, 8);
  EXPECT_EQ(Text(rest), ".b\r\nc\r\nRSET\r\n");
  output_.text()->append(std::string(10000, 'x'));
  EXPECT_EQ(Text(rest), ".b\r\nc\r\nRSET\r\n");
  output_.OnSent();
  EXPECT_EQ(Text(Take(&output_, 8)), "MAIL\r\n" + std::string(10000, 'x'));
}

// The buffer in use holds nothing that was given in this round: the next one may follow at once.
TEST_F(ClientOutputTest, SendsTextBehindContentInOneRound) {
  output_.text()->append("BDAT\r\n");
  output_.AppendContent(content_, false);
  EXPECT_EQ(Text(Take(&output_, 1)), "BDAT\r\n");
  output_.text()->append("RSET\r\n");
  output_.OnSent();
  EXPECT_EQ(Text(Take(&output_, 8)), "a\r\n.b\r\nc\r\nRSET\r\n");
}

TEST_F(ClientOutputTest, KeepsItsPositionsOverSeveralContents) {
  for (uint64_t round = 0; round < 3; ++round) {
    const uint64_t before = output_.bytes_taken();
    output_.text()->append("12");
    output_.AppendContent(content_, false);
    output_.text()->append("345");
    EXPECT_EQ(output_.text_end(), 5 * (round + 1));
    Take(&output_, 64);
    output_.OnSent();
    EXPECT_EQ(output_.text_taken(), 5 * (round + 1));
    EXPECT_EQ(output_.bytes_taken(), before + 15);
    EXPECT_EQ(output_.content_end(), before + 12);
    EXPECT_EQ(output_.BytePosition(output_.text_end()), before + 15);
    EXPECT_EQ(output_.BytePosition(output_.text_end() - 3), before + 2);
  }
}

TEST_F(ClientOutputTest, DropsTextThatWasNotTakenFromEitherBuffer) {
  output_.text()->append("BDAT\r\n");
  output_.AppendContent(content_, false);
  output_.text()->append(".\r\nRSET\r\n");
  Take(&output_, 2);  // the buffer is in use, ".\r\nRSET" not taken
  output_.text()->append("MAIL\r\n");
  output_.DropTextFrom(9);
  EXPECT_EQ(output_.text_end(), 9u);
  output_.text()->append("QUIT\r\n");
  output_.OnSent();
  EXPECT_EQ(Text(Take(&output_, 8)), ".b\r\nc\r\n.\r\n");
  output_.OnSent();
  EXPECT_EQ(Text(Take(&output_, 8)), "QUIT\r\n");
  output_.text()->append("abcdef");
  output_.DropTextFrom(output_.text_end() - 4);
  output_.OnSent();
  EXPECT_EQ(Text(Take(&output_, 8)), "ab");
}

TEST_F(ClientOutputTest, HasNothingLeftAfterDrop) {
  output_.text()->append("BDAT\r\n");
  output_.AppendContent(content_, false);
  output_.text()->append("RSET\r\n");
  const std::vector<iovec> taken = Take(&output_, 2);
  output_.Drop();
  EXPECT_FALSE(output_.has_output());
  EXPECT_EQ(Text(taken), "BDAT\r\na\r\n");
  EXPECT_EQ(output_.bytes_taken(), 9u);
  output_.OnSent();
  output_.Reset();
  EXPECT_EQ(output_.bytes_taken(), 0u);
  EXPECT_EQ(output_.text_end(), 0u);
}

TEST_F(ClientOutputTest, DiesOnASecondTakeBeforeTheFirstWasSent) {
  output_.text()->append("a");
  Take(&output_, 1);
  output_.text()->append("b");
  EXPECT_DEATH(Take(&output_, 1), "before OnOutputSent");
}

// --- Secrets ---

std::string_view Memory(const std::vector<iovec>& taken) {
  return {static_cast<const char*>(taken[0].iov_base), taken[0].iov_len};
}

bool IsWiped(std::string_view memory) {
  return memory.find_first_not_of('\0') == std::string_view::npos;
}

TEST_F(ClientOutputTest, WipesASecretOnceItWasSent) {
  output_.AppendSecret({"AUTH PLAIN ", "AHVzZXIAcGVuY2ls", "\r\n"});
  const uint64_t end = output_.text_end();
  const std::vector<iovec> taken = Take(&output_, 4);
  EXPECT_EQ(Text(taken), "AUTH PLAIN AHVzZXIAcGVuY2ls\r\n");
  output_.OnSent();
  EXPECT_TRUE(IsWiped(Memory(taken)));
  EXPECT_EQ(output_.text_end(), end);  // positions stay
  EXPECT_EQ(output_.text_taken(), end);
  output_.text()->append("QUIT\r\n");
  EXPECT_EQ(Text(Take(&output_, 4)), "QUIT\r\n");
}

TEST_F(ClientOutputTest, LeavesPlainTextAlone) {
  output_.text()->append("EHLO client.example\r\n");
  const std::vector<iovec> taken = Take(&output_, 4);
  output_.OnSent();
  EXPECT_FALSE(IsWiped(Memory(taken)));
}

// The send of the line before may be reported after its reply was read.
TEST_F(ClientOutputTest, WipesASecretThatWasMadeWhileAnotherSendWasInFlight) {
  output_.text()->append("EHLO client.example\r\n");
  Take(&output_, 4);
  output_.AppendSecret({"dXNlcg==", "\r\n"});
  output_.OnSent();
  const std::vector<iovec> first = Take(&output_, 4);
  EXPECT_EQ(Text(first), "dXNlcg==\r\n");
  output_.AppendSecret({"cGVuY2ls", "\r\n"});
  EXPECT_EQ(Text(first), "dXNlcg==\r\n");  // still in flight
  output_.OnSent();
  const std::vector<iovec> second = Take(&output_, 4);
  EXPECT_EQ(Text(second), "cGVuY2ls\r\n");
  EXPECT_TRUE(IsWiped(Memory(first)));
  output_.OnSent();
  EXPECT_TRUE(IsWiped(Memory(second)));
}

TEST_F(ClientOutputTest, WipesASecretThatIsDroppedUnsent) {
  output_.text()->reserve(200);
  output_.AppendSecret({"AUTH PLAIN ", "AHVzZXIAcGVuY2ls", "\r\n"});
  const std::string_view memory(*output_.text());
  EXPECT_FALSE(IsWiped(memory));
  output_.Drop();
  EXPECT_TRUE(IsWiped(memory));  // the capacity is kept, so the memory is there
  EXPECT_FALSE(output_.has_output());
}

TEST_F(ClientOutputTest, WipesASecretInFlightWhenTheConnectionEnds) {
  output_.AppendSecret({"AUTH PLAIN ", "AHVzZXIAcGVuY2ls", "\r\n"});
  const std::vector<iovec> taken = Take(&output_, 4);
  output_.Drop();
  EXPECT_EQ(Text(taken), "AUTH PLAIN AHVzZXIAcGVuY2ls\r\n");  // the kernel may still read it
  output_.Reset();
  EXPECT_TRUE(IsWiped(Memory(taken)));
}

}  // namespace
}  // namespace volley::engine::smtp
