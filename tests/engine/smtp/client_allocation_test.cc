// The client machine allocates nothing for a transaction once it is warm. Counted by replacing the
// global operator new of this test program.
#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <new>
#include <string>
#include <string_view>

#include "engine/smtp/client.h"
#include "gtest/gtest.h"

namespace {
std::atomic<size_t> allocations{0};
}  // namespace

// Not inlined, or the compiler sees a free() of what came from operator new.
[[gnu::noinline]] void* operator new(size_t bytes) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  if (void* memory = std::malloc(bytes)) return memory;
  std::abort();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, size_t) noexcept { std::free(memory); }

namespace volley::engine::smtp {
namespace {

class Ignore : public ClientObserver {
 public:
  void OnVerdict(const Verdict&) override { ++verdicts; }
  void OnTransactionEnd(uint64_t) override {}
  int verdicts = 0;
};

class SmtpClientAllocation : public testing::TestWithParam<std::string_view> {};

void Send(Client* client) {
  iovec out[8];
  while (client->has_output()) {
    client->TakeOutput(out);
    client->OnOutputSent();
  }
}

TEST_P(SmtpClientAllocation, IsNoneForAWarmTransaction) {
  ClientOptions options;
  options.helo_name = "client.example";
  Ignore observer;
  Client client(&options, &observer);
  client.Receive(std::string_view("220 hi\r\n"));
  Send(&client);
  client.Receive(GetParam());
  const bool pipelined = client.capabilities().pipelining;
  char content[] = ".dots\r\n.too\r\n";
  const iovec piece{content, sizeof(content) - 1};
  const std::string_view to[] = {"first-recipient@mx.example", "second-recipient@mx.example"};
  size_t before = 0;
  for (int round = 0; round < 20; ++round) {
    if (round == 10) before = allocations.load();
    Transaction transaction;
    transaction.reverse_path = "a-rather-long-sender-address@client.example";
    transaction.recipients = to;
    transaction.content = {&piece, 1};
    transaction.content_bytes = piece.iov_len;
    ASSERT_TRUE(client.wants_transaction());
    client.Add(transaction);
    Send(&client);
    constexpr std::string_view kReplies[] = {
        "250 reset\r\n", "250 a reply of some length to MAIL\r\n",
        "250-a reply of\r\n250 two lines\r\n", "550 5.1.1 a refusal that is a little longer\r\n"};
    for (const std::string_view reply : kReplies) {
      if (round == 0 && reply == kReplies[0]) continue;
      client.Receive(reply);
      if (!pipelined) Send(&client);
    }
    if (!client.capabilities().chunking) client.Receive(std::string_view("354 go\r\n"));
    Send(&client);
    client.Receive(std::string_view("250 2.0.0 queued as 4bX2kZ3wq9z7 with some more text\r\n"));
  }
  EXPECT_EQ(allocations.load(), before);
  EXPECT_EQ(observer.verdicts, 40);
}

std::string ModeName(const testing::TestParamInfo<std::string_view>& mode) {
  constexpr const char* kNames[] = {"Data", "Bdat", "Lockstep"};
  return kNames[mode.index];
}

INSTANTIATE_TEST_SUITE_P(Modes, SmtpClientAllocation,
                         testing::Values("250-x\r\n250 PIPELINING\r\n",
                                         "250-x\r\n250-PIPELINING\r\n250 CHUNKING\r\n",
                                         "250 x\r\n"),
                         ModeName);

}  // namespace
}  // namespace volley::engine::smtp
