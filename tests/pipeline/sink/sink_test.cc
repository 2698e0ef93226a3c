// The sink over real sockets, on each backend.
#include "pipeline/sink/sink.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "tests/pipeline/sink/running_sink.h"
#include "tests/pipeline/temp_dir.h"

namespace volley::pipeline {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;
using volley::testing::TempDir;

constexpr std::string_view kEnvelope = "MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.org>\r\n";

std::vector<nlohmann::json> ReadLines(const std::string& text) {
  std::vector<nlohmann::json> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(nlohmann::json::parse(line));
  return lines;
}

// The contents of a folder's files.
std::multiset<std::string> ReadFolder(const std::string& path) {
  std::multiset<std::string> contents;
  for (const auto& entry : std::filesystem::directory_iterator(path)) {
    std::ifstream in(entry.path(), std::ios::binary);
    contents.emplace(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
  }
  return contents;
}

class SinkOverSockets : public ::testing::TestWithParam<io::BackendChoice> {
 protected:
  void SetUp() override {
    if (GetParam() != io::BackendChoice::kUring) return;
    if (const auto why_not = io::WhyNoUring()) GTEST_SKIP() << "SKIPPED: no io_uring: " << *why_not;
  }
  TempDir dir_;
};

std::string BackendName(const ::testing::TestParamInfo<io::BackendChoice>& info) {
  return info.param == io::BackendChoice::kUring ? "uring" : "epoll";
}
INSTANTIATE_TEST_SUITE_P(Backends, SinkOverSockets,
                         ::testing::Values(io::BackendChoice::kUring, io::BackendChoice::kEpoll),
                         BackendName);

// Ten messages on one connection: by DATA with the next transaction behind the dot, or by BDAT.
void SendTen(uint16_t port, int connection) {
  BlockingClient client(port);
  client.Greet();
  for (int i = 0; i < 10; ++i) {
    const std::string id = std::to_string(connection) + "." + std::to_string(i);
    const std::string envelope =
        "MAIL FROM:<s" + id + "@example.com>\r\nRCPT TO:<r" + id + "@example.org>\r\n";
    const std::string filler(static_cast<size_t>(i) * 3000 / 60 * 60, '.');
    std::string content = "Subject: " + id + "\r\n\r\n";
    for (size_t at = 0; at < filler.size(); at += 60) content += filler.substr(at, 60) + "\r\n";
    if (connection % 2 == 0) {
      std::string stuffed;
      for (size_t at = 0; at < content.size();) {
        const size_t end = content.find("\r\n", at) + 2;
        stuffed += (content[at] == '.' ? "." : "") + content.substr(at, end - at);
        at = end;
      }
      client.Send(envelope + "DATA\r\n");
      EXPECT_EQ(client.Codes(3), "250 250 354");
      EXPECT_THAT(client.Ask(stuffed + ".\r\n"), StartsWith("250"));
    } else {
      client.Send(envelope + "BDAT " + std::to_string(content.size()) + " LAST\r\n" + content);
      EXPECT_EQ(client.Codes(3), "250 250 250");
    }
  }
  EXPECT_THAT(client.Ask("QUIT\r\n"), StartsWith("221"));
  EXPECT_TRUE(client.AtEnd());
}

TEST_P(SinkOverSockets, KeepsTwoHundredMessagesOfTwentyConnectionsExactlyOnce) {
  SinkOptions options;
  options.maildir = dir_.path("mail/dir");
  options.jsonl = dir_.path("got.jsonl");
  RunningSink sink(GetParam(), options);
  std::vector<std::thread> clients;
  for (int i = 0; i < 20; ++i) clients.emplace_back([&, i] { SendTen(sink.port(), i); });
  for (std::thread& client : clients) client.join();
  const SinkCounters counters = sink.StopAndJoin();

  EXPECT_EQ(counters.messages, 200u);
  EXPECT_EQ(counters.recipients, 200u);
  EXPECT_EQ(counters.connections, 20u);
  EXPECT_LE(counters.peak_connections, 20u);
  EXPECT_EQ(counters.protocol_errors, 0u);
  std::map<std::string, int> seen;
  uint64_t bytes = 0;
  for (const std::string& content : ReadFolder(dir_.path("mail/dir/new"))) {
    bytes += content.size();
    ++seen[content.substr(9, content.find("\r\n") - 9)];
    EXPECT_THAT(content, ::testing::EndsWith("\r\n"));
  }
  EXPECT_EQ(seen.size(), 200u);
  for (const auto& [id, count] : seen) EXPECT_EQ(count, 1) << id;
  EXPECT_EQ(bytes, counters.bytes);
  EXPECT_TRUE(ReadFolder(dir_.path("mail/dir/tmp")).empty());

  std::set<std::string> recipients;
  uint64_t sizes = 0;
  for (const nlohmann::json& line : ReadLines(dir_.Read("got.jsonl"))) {
    EXPECT_EQ(line.size(), 6u);
    EXPECT_EQ(line["helo"], "client.example");
    EXPECT_THAT(line["peer"].get<std::string>(), StartsWith("127.0.0.1:"));
    ASSERT_EQ(line["rcpt_to"].size(), 1u);
    std::string to = line["rcpt_to"][0];
    EXPECT_TRUE(recipients.insert(to).second) << to << " twice";
    EXPECT_EQ(line["mail_from"], "s" + to.substr(1, to.find('@') - 1) + "@example.com");
    absl::Time time;
    EXPECT_TRUE(
        absl::ParseTime(absl::RFC3339_full, line["time"].get<std::string>(), &time, nullptr));
    sizes += line["size"].get<uint64_t>();
  }
  EXPECT_EQ(recipients.size(), 200u);
  EXPECT_EQ(sizes, counters.bytes);
}

TEST_P(SinkOverSockets, KeepsContentByteForByte) {
  SinkOptions options;
  options.maildir = dir_.path("m");
  RunningSink sink(GetParam(), options);
  std::string content;
  for (int i = 0; i < 3000; ++i) content += ".x\xc3\xa9" + std::string(i % 70, '\x01') + "\r\n";
  BlockingClient client(sink.port());
  client.Greet();
  client.Send(std::string(kEnvelope) + "BDAT 100001\r\n" + content.substr(0, 100'001) + "BDAT " +
              std::to_string(content.size() - 100'001) + " LAST\r\n" + content.substr(100'001));
  EXPECT_EQ(client.Codes(4), "250 250 250 250");
  client.Send(std::string(kEnvelope) + "BDAT 0 LAST\r\n");
  EXPECT_EQ(client.Codes(3), "250 250 250");
  sink.StopAndJoin();
  EXPECT_EQ(ReadFolder(dir_.path("m/new")), (std::multiset<std::string>{"", content}));
}

TEST_P(SinkOverSockets, LeavesNothingOfMessagesThatWereNotAccepted) {
  SinkOptions options;
  options.maildir = dir_.path("m");
  options.server.size_max = 100'000;
  RunningSink sink(GetParam(), options);
  {
    BlockingClient client(sink.port());
    client.Greet();
    client.Send(std::string(kEnvelope) + "DATA\r\n");
    EXPECT_EQ(client.Codes(3), "250 250 354");
    EXPECT_THAT(client.Ask("good\r\nbad\nline\r\n.\r\n"), StartsWith("550 5.6.11"));
    client.Send(std::string(kEnvelope) + "DATA\r\n");
    EXPECT_EQ(client.Codes(3), "250 250 354");
    std::string large;
    while (large.size() < 200'000) large += std::string(70, 'x') + "\r\n";
    EXPECT_THAT(client.Ask(large + ".\r\n"), StartsWith("552 5.3.4"));
    client.Send(std::string(kEnvelope) + "BDAT 3\r\nx\r\nRSET\r\n");
    EXPECT_EQ(client.Codes(4), "250 250 250 250");
    client.Send(std::string(kEnvelope) + "DATA\r\n");
    EXPECT_EQ(client.Codes(3), "250 250 354");
    client.Send("half a message\r\n");
  }  // hangs up
  const SinkCounters counters = sink.StopAndJoin();
  EXPECT_EQ(counters.messages, 0u);
  EXPECT_EQ(counters.protocol_errors, 1u);
  EXPECT_TRUE(ReadFolder(dir_.path("m/new")).empty());
  EXPECT_TRUE(ReadFolder(dir_.path("m/tmp")).empty());
}

TEST_P(SinkOverSockets, RefusesWhatItCannotStore) {
  SinkOptions options;
  options.maildir = dir_.path("m");
  std::vector<std::string> notices;
  options.on_notice = [&](const std::string& text) { notices.push_back(text); };
  RunningSink sink(GetParam(), options);
  BlockingClient client(sink.port());
  client.Greet();
  std::filesystem::remove_all(dir_.path("m/new"));  // root may write anywhere else
  for (int i = 0; i < 2; ++i) {
    client.Send(std::string(kEnvelope) + "DATA\r\n");
    EXPECT_EQ(client.Codes(3), "250 250 354");
    EXPECT_EQ(client.Ask("x\r\n.\r\n"), "451 4.3.0 cannot store the message");
  }
  const SinkCounters counters = sink.StopAndJoin();
  EXPECT_EQ(counters.messages, 0u);
  EXPECT_TRUE(ReadFolder(dir_.path("m/tmp")).empty());
  ASSERT_EQ(notices.size(), 1u);  // told once
  EXPECT_THAT(notices[0], HasSubstr(dir_.path("m")));
}

TEST_P(SinkOverSockets, TellsWhenItsJournalCannotBeWritten) {
  if (!std::filesystem::exists("/dev/full")) GTEST_SKIP() << "SKIPPED: no /dev/full here";
  SinkOptions options;
  options.jsonl = "/dev/full";
  RunningSink sink(GetParam(), options);
  BlockingClient client(sink.port());
  client.Greet();
  client.Send(std::string(kEnvelope) + "BDAT 0 LAST\r\n");
  EXPECT_EQ(client.Codes(3), "250 250 250");  // gathered, written a little later
  std::string reply;
  for (int i = 0; i < 200 && !reply.starts_with("451"); ++i) {
    client.Send("RSET\r\n" + std::string(kEnvelope) + "BDAT 0 LAST\r\n");
    client.Codes(3);
    reply = client.Reply();
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_THAT(reply, StartsWith("451 4.3.0"));
  sink.StopAndJoin();
  EXPECT_THAT(std::string(sink.status().message()), HasSubstr("/dev/full"));
}

TEST_P(SinkOverSockets, WritesItsJournalWhileItRuns) {
  SinkOptions options;
  options.jsonl = dir_.path("got.jsonl");
  RunningSink sink(GetParam(), options);
  BlockingClient client(sink.port());
  client.Greet();
  client.Send(std::string(kEnvelope) + "BDAT 0 LAST\r\n");
  client.Codes(3);
  for (int i = 0; i < 500 && dir_.Read("got.jsonl").empty(); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_EQ(ReadLines(dir_.Read("got.jsonl")).size(), 1u);
}

TEST_P(SinkOverSockets, HoldsRepliesBackButAGroupOnlyOnce) {
  constexpr absl::Duration kLatency = absl::Milliseconds(50);
  SinkOptions options;
  options.reply_latency = kLatency;
  RunningSink sink(GetParam(), options);
  BlockingClient client(sink.port());
  auto elapsed = [last = io::MonotonicNow()]() mutable {
    const io::MonoTime now = io::MonotonicNow();
    return now - std::exchange(last, now);
  };
  client.Reply();
  EXPECT_GE(elapsed(), 2 * kLatency);  // handshake and greeting
  client.Ask("EHLO client.example\r\n");
  EXPECT_GE(elapsed(), kLatency);
  client.Send(std::string(kEnvelope) + "DATA\r\n");
  EXPECT_EQ(client.Codes(3), "250 250 354");
  EXPECT_GE(elapsed(), kLatency);
  // Two flights on their way: the second does not wait for the first.
  const io::MonoTime start = io::MonotonicNow();
  client.Send("x\r\n.\r\n");
  std::this_thread::sleep_for(std::chrono::milliseconds(25));
  client.Send("RSET\r\n");
  const io::MonoTime second_sent = io::MonotonicNow();
  EXPECT_EQ(client.Codes(1), "250");
  EXPECT_GE(io::MonotonicNow() - start, kLatency);
  EXPECT_EQ(client.Codes(1), "250");
  EXPECT_GE(io::MonotonicNow() - second_sent, kLatency);
  EXPECT_EQ(sink.StopAndJoin().messages, 1u);
}

TEST_P(SinkOverSockets, LetsOpenTransactionsFinishWhenItStops) {
  RunningSink sink(GetParam(), {});
  BlockingClient idle(sink.port()), busy(sink.port());
  idle.Greet();
  busy.Greet();
  busy.Send(std::string(kEnvelope) + "DATA\r\n");
  EXPECT_EQ(busy.Codes(3), "250 250 354");
  sink.Stop();
  EXPECT_THAT(idle.Reply(), StartsWith("421 4.3.2 localhost shutting down"));
  EXPECT_TRUE(idle.AtEnd());
  BlockingClient late(sink.port());
  EXPECT_TRUE(!late.connected() || late.AtEnd());
  // No new transaction, but this one.
  busy.Send("x\r\n.\r\n" + std::string(kEnvelope) + "DATA\r\n");
  EXPECT_EQ(busy.Codes(2), "250 421");
  EXPECT_TRUE(busy.AtEnd());
  const SinkCounters counters = sink.Join();
  EXPECT_EQ(counters.messages, 1u);
  EXPECT_EQ(counters.connections, 2u);
}

TEST_P(SinkOverSockets, ClosesAfterTheGrace) {
  SinkOptions options;
  options.stop_grace = absl::Milliseconds(200);
  RunningSink sink(GetParam(), options);
  BlockingClient client(sink.port());
  client.Greet();
  client.Send(std::string(kEnvelope) + "DATA\r\n");
  EXPECT_EQ(client.Codes(3), "250 250 354");
  EXPECT_EQ(sink.StopAndJoin().messages, 0u);
  EXPECT_TRUE(client.AtEnd());
}

TEST_P(SinkOverSockets, ClosesAtOnceWhenStoppedTwice) {
  SinkOptions options;
  options.stop_grace = absl::Hours(1);
  RunningSink sink(GetParam(), options);
  BlockingClient client(sink.port());
  client.Greet();
  client.Send(std::string(kEnvelope));
  EXPECT_EQ(client.Codes(2), "250 250");
  sink.Stop();
  EXPECT_EQ(sink.StopAndJoin().messages, 0u);
  EXPECT_TRUE(client.AtEnd());
}

TEST_P(SinkOverSockets, StopsByItselfAfterItsMessages) {
  SinkOptions options;
  options.messages_max = 3;
  RunningSink sink(GetParam(), options);
  BlockingClient client(sink.port());
  client.Greet();
  for (int i = 0; i < 3; ++i) {
    client.Send(std::string(kEnvelope) + "BDAT 0 LAST\r\n");
    EXPECT_EQ(client.Codes(3), "250 250 250");
  }
  EXPECT_THAT(client.Ask("QUIT\r\n"), StartsWith("221"));  // there is time for it
  EXPECT_EQ(sink.Join().messages, 3u);
}

TEST_P(SinkOverSockets, StopsByItselfAfterItsTime) {
  SinkOptions options;
  options.run_for = absl::Milliseconds(50);
  RunningSink sink(GetParam(), options);
  EXPECT_EQ(sink.Join().connections, 0u);
}

TEST_P(SinkOverSockets, EndsIdleSessions) {  // RFC 5321 §4.5.3.2.7
  SinkOptions options;
  options.idle_timeout = absl::Milliseconds(100);
  RunningSink sink(GetParam(), options);
  BlockingClient client(sink.port());
  client.Greet();
  EXPECT_THAT(client.Reply(), StartsWith("421 4.4.2 localhost idle too long"));
  EXPECT_TRUE(client.AtEnd());
}

TEST_P(SinkOverSockets, LetsItsLastWordsBeReadByWhoStillSends) {
  RunningSink sink(GetParam(), {});
  BlockingClient client(sink.port());
  client.Reply();
  // Early input ends the session while more is on its way: a reset would destroy the 554.
  client.Send("EHLO client.example\r\n" + std::string(kEnvelope));
  for (int i = 0; i < 50; ++i) client.Send(std::string(10'000, 'x'));
  EXPECT_EQ(client.Codes(2), "250 554");
  EXPECT_TRUE(client.AtEnd());
  EXPECT_EQ(sink.StopAndJoin().protocol_errors, 1u);
}

TEST_P(SinkOverSockets, AnswersAPeerThatHalfCloses) {
  RunningSink sink(GetParam(), {});
  BlockingClient client(sink.port());
  client.Greet();
  client.Send(std::string(kEnvelope) + "BDAT 0 LAST\r\nQUIT\r\n");
  EXPECT_EQ(client.Codes(4), "250 250 250 221");
  EXPECT_TRUE(client.AtEnd());
  EXPECT_EQ(sink.StopAndJoin().messages, 1u);
}

TEST_P(SinkOverSockets, SpeaksLmtp) {
  SinkOptions options;
  options.server.protocol = engine::smtp::Protocol::kLmtp;
  options.maildir = dir_.path("m");
  options.jsonl = dir_.path("got.jsonl");
  RunningSink sink(GetParam(), options);
  BlockingClient client(sink.port());
  client.Greet("LHLO client.example\r\n");
  for (int i = 0; i < 2; ++i) {
    client.Send(std::string(kEnvelope) + "RCPT TO:<c@example.org>\r\nDATA\r\n");
    EXPECT_EQ(client.Codes(4), "250 250 250 354");
    client.Send("x\r\n.\r\n");
    EXPECT_EQ(client.Codes(2), "250 250");
  }
  const SinkCounters counters = sink.StopAndJoin();
  EXPECT_EQ(counters.messages, 2u);
  EXPECT_EQ(counters.recipients, 4u);
  EXPECT_EQ(ReadFolder(dir_.path("m/new")), (std::multiset<std::string>{"x\r\n", "x\r\n"}));
  EXPECT_EQ(ReadLines(dir_.Read("got.jsonl")).at(1)["rcpt_to"],
            nlohmann::json::parse(R"(["b@example.org","c@example.org"])"));
}

TEST_P(SinkOverSockets, SaysWhenItsAddressIsInUse) {
  RunningSink sink(GetParam(), {});
  auto created = io::CreateReactor({.backend = GetParam()});
  ASSERT_TRUE(created.ok());
  SinkOptions options;
  options.endpoints = {*io::Endpoint::FromIp("127.0.0.1", sink.port())};
  const auto second = Sink::Create(created->reactor.get(), options);
  EXPECT_TRUE(absl::IsAlreadyExists(second.status())) << second.status();
}

TEST(SinkTest, SaysWhichFolderItCannotMake) {
  auto created = io::CreateReactor({.backend = io::BackendChoice::kEpoll});
  ASSERT_TRUE(created.ok());
  TempDir dir;
  SinkOptions options;
  options.maildir = dir.Write("file", "x") + "/inbox";
  const auto sink = Sink::Create(created->reactor.get(), options);
  EXPECT_THAT(std::string(sink.status().message()), HasSubstr(options.maildir));
  options.maildir.clear();
  options.jsonl = dir.path("no/such/folder.jsonl");
  const auto other = Sink::Create(created->reactor.get(), options);
  EXPECT_THAT(std::string(other.status().message()), HasSubstr(options.jsonl));
}

}  // namespace
}  // namespace volley::pipeline
