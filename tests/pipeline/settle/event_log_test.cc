#include "pipeline/settle/event_log.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zstd.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <random>
#include <sstream>

#include "engine/message/utf8.h"
#include "pipeline/settle/append_file.h"
#include "tests/pipeline/temp_dir.h"

namespace volley::pipeline {
namespace {

using engine::smtp::CommandKind;
using engine::smtp::EnhancedCode;
using engine::smtp::ReplyCode;
using ::testing::HasSubstr;
using volley::testing::TempDir;

OutcomeNote NoteOf(Outcome outcome, std::string_view text = "") {
  OutcomeNote note;
  note.outcome = outcome;
  note.unix_millis = 1'795'487'999'007;
  note.command = CommandKind::kContent;
  note.text_bytes = static_cast<uint8_t>(text.copy(note.text.data(), note.text.size()));
  return note;
}

std::unique_ptr<EventLog> OpenLog(const TempDir& dir,
                                  uint64_t bytes_max = EventLogOptions().bytes_max,
                                  bool compress = false) {
  auto log = EventLog::Open(dir.path(), "spring", {bytes_max, compress});
  EXPECT_TRUE(log.ok()) << log.status();
  return *std::move(log);
}

// Every line of the file must be an object.
std::vector<nlohmann::json> Lines(const TempDir& dir, std::string_view name = "events.jsonl") {
  const std::string text = dir.Read(name);
  EXPECT_TRUE(text.empty() || text.back() == '\n');
  std::istringstream in(text);
  std::vector<nlohmann::json> lines;
  for (std::string line; std::getline(in, line);) {
    lines.push_back(nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false));
    EXPECT_TRUE(lines.back().is_object()) << line;
  }
  return lines;
}

TEST(EventLog, ALineHasTheKeysInOrder) {
  TempDir dir;
  const auto log = OpenLog(dir);
  OutcomeNote note = NoteOf(Outcome::kDeferred, "try again later");
  note.index = 17;
  note.attempts = 2;
  note.millis = 350;
  note.code = ReplyCode(451);
  note.enhanced = EnhancedCode{4, 7, 1};
  note.due = 1'795'488'300;
  note.command = CommandKind::kRcpt;
  note.rule_bytes = static_cast<uint8_t>(
      std::string_view("greylisting-1").copy(note.rule.data(), note.rule.size()));
  log->Add(note, "ann@example.org", "mx.example.org", "greylisting");
  ASSERT_TRUE(log->Flush().ok());
  EXPECT_EQ(dir.Read("events.jsonl"),
            R"({"time":"2026-11-24T02:39:59.007Z","event":"deferred","campaign":"spring",)"
            R"("recipient":"ann@example.org","index":17,"attempt":2,"ms":350,)"
            R"("relay":"mx.example.org","stage":"RCPT","code":451,"enhanced":"4.7.1",)"
            R"("category":"greylisting","rule":"greylisting-1",)"
            R"("next_try":"2026-11-24T02:45:00Z","reply":"try again later"})"
            "\n");
}

TEST(EventLog, WhatIsNotKnownIsNotThere) {
  TempDir dir;
  const auto log = OpenLog(dir);
  log->Add(NoteOf(Outcome::kUncertain), "a@example.org", "", "");
  ASSERT_TRUE(log->Flush().ok());
  const auto lines = Lines(dir);
  ASSERT_EQ(lines.size(), 1u);
  for (const char* key : {"relay", "code", "enhanced", "category", "rule", "next_try"}) {
    EXPECT_FALSE(lines[0].contains(key)) << key;
  }
}

TEST(EventLog, NamesEventsAsMailServicesDo) {
  OutcomeNote expired = NoteOf(Outcome::kBounced);
  expired.expired = true;
  EXPECT_EQ(EventName(expired), "expired");
  EXPECT_EQ(EventName(NoteOf(Outcome::kBounced)), "bounced");
  EXPECT_EQ(EventName(NoteOf(Outcome::kDelivered)), "delivered");
  EXPECT_EQ(EventName(NoteOf(Outcome::kDeferred)), "deferred");
  EXPECT_EQ(EventName(NoteOf(Outcome::kUncertain)), "uncertain");
  for (const Outcome o : {Outcome::kUnrenderable, Outcome::kSuppressed, Outcome::kCancelled}) {
    EXPECT_EQ(EventName(NoteOf(o)), "dropped");
  }
}

TEST(EventLog, WhatWasNotSentHasTheStageCompose) {
  TempDir dir;
  const auto log = OpenLog(dir);
  log->Add(NoteOf(Outcome::kSuppressed, "unsubscribed"), "a@example.org", "", "");
  log->Add(NoteOf(Outcome::kUnrenderable, "no value"), "a@example.org", "", "");
  log->Add(NoteOf(Outcome::kDelivered, "ok"), "a@example.org", "", "");
  ASSERT_TRUE(log->Flush().ok());
  const auto lines = Lines(dir);
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_EQ(lines[0]["stage"], "compose");
  EXPECT_EQ(lines[1]["stage"], "compose");
  EXPECT_EQ(lines[2]["stage"], "end of data");
}

// --- Hostile text ---

TEST(EventLog, HostileTextComesBackAsItWas) {
  TempDir dir;
  const auto log = OpenLog(dir);
  std::vector<std::string> texts = {
      "\"quoted\" \\ back\\\\slash\\", "\"}\n{\"event\":\"delivered\"}",
      "tab\tcr\rlf\nnul" + std::string(1, '\0') + "del\x7f",
      "caf\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x93\xA7", "\xE2\x80\xA8 line"};
  std::string controls;
  for (char c = 0; c < 0x20; ++c) controls.push_back(c);
  texts.push_back(controls);
  for (const std::string& text : texts) {
    log->Add(NoteOf(Outcome::kBounced, text), text, text, "");
  }
  ASSERT_TRUE(log->Flush().ok());
  const auto lines = Lines(dir);
  ASSERT_EQ(lines.size(), texts.size());
  for (size_t i = 0; i < texts.size(); ++i) {
    EXPECT_EQ(lines[i]["reply"].get<std::string>(), texts[i]);
    EXPECT_EQ(lines[i]["recipient"].get<std::string>(), texts[i]);
    EXPECT_EQ(lines[i]["relay"].get<std::string>(), texts[i]);
  }
}

TEST(EventLog, BytesThatAreNoUtf8BecomeTheReplacementCharacter) {
  const std::string mark = "\xEF\xBF\xBD";
  for (const auto& [bytes, wanted] : std::vector<std::pair<std::string, std::string>>{
           {"a\xFFz", "a" + mark + "z"},
           {"\xC3", mark},
           {"\xC0\xAF", mark + mark},             // overlong
           {"\xED\xA0\x80", mark + mark + mark},  // a surrogate
           {"\xE2\x82", mark + mark}}) {
    std::string out;
    AppendJsonString(bytes, &out);
    const auto parsed = nlohmann::json::parse(out, nullptr, false);
    ASSERT_TRUE(parsed.is_string()) << out;
    EXPECT_EQ(parsed.get<std::string>(), wanted);
  }
}

TEST(EventLog, ACharacterCutInTheMiddleIsReplaced) {
  TempDir dir;
  const auto log = OpenLog(dir);
  // Two bytes of the last character are within the 220 that a note keeps.
  const std::string text = std::string(218, 'x') + "\xE2\x82\xAC and more";
  log->Add(NoteOf(Outcome::kBounced, text), "a@example.org", "", "");
  ASSERT_TRUE(log->Flush().ok());
  const auto lines = Lines(dir);
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_THAT(lines[0]["reply"].get<std::string>(), HasSubstr("xx\xEF\xBF\xBD"));
}

TEST(EventLog, AnyBytesMakeLinesThatParse) {
  TempDir dir;
  const auto log = OpenLog(dir);
  std::mt19937 random(3);
  constexpr int kLines = 3000;
  for (int i = 0; i < kLines; ++i) {
    std::string text(random() % 400, '\0');
    for (char& c : text) c = static_cast<char>(random());
    log->Add(NoteOf(static_cast<Outcome>(random() % kOutcomes), text), text, text, "");
  }
  ASSERT_TRUE(log->Flush().ok());
  EXPECT_EQ(Lines(dir).size(), size_t{kLines});
}

// --- The file ---

TEST(EventLog, IsTheOwnersAlone) {
  TempDir dir;
  OpenLog(dir);
  struct stat info {};
  ASSERT_EQ(stat(dir.path("events.jsonl").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
}

TEST(EventLog, GoesOnWithTheFileOfAnEarlierRun) {
  TempDir dir;
  for (int run = 0; run < 3; ++run) {
    const auto log = OpenLog(dir);
    log->Add(NoteOf(Outcome::kDelivered), "a@example.org", "", "");
  }
  EXPECT_EQ(Lines(dir).size(), 3u);
}

TEST(EventLog, CutsHalfALineThatAKillLeft) {
  TempDir dir;
  {
    const auto log = OpenLog(dir);
    for (int i = 0; i < 3; ++i) log->Add(NoteOf(Outcome::kDelivered), "a@example.org", "", "");
  }
  const std::string whole = dir.Read("events.jsonl");
  const size_t line = whole.size() / 3;
  for (size_t cut = 2 * line + 1; cut < whole.size(); cut += 7) {
    dir.Write("events.jsonl", whole.substr(0, cut));
    const auto log = OpenLog(dir);
    log->Add(NoteOf(Outcome::kBounced), "b@example.org", "", "");
    ASSERT_TRUE(log->Flush().ok());
    const auto lines = Lines(dir);
    ASSERT_EQ(lines.size(), 3u) << "cut at " << cut;
    EXPECT_EQ(lines[2]["event"], "bounced");
  }
}

TEST(EventLog, NeverThrowsAwayMoreThanALineCanBe) {
  TempDir dir;
  const std::string strange(kHalfLineMax + 10, 'x');
  dir.Write("events.jsonl", strange);
  const auto log = OpenLog(dir);
  log->Add(NoteOf(Outcome::kBounced), "b@example.org", "", "");
  ASSERT_TRUE(log->Flush().ok());
  EXPECT_TRUE(dir.Read("events.jsonl").starts_with(strange + "\n{"));
}

TEST(EventLog, MovesAFullFileAwayAndDeletesNone) {
  TempDir dir;
  constexpr int kLines = 20'000;
  {
    const auto log = OpenLog(dir, 300'000);
    for (uint32_t i = 0; i < kLines; ++i) {
      OutcomeNote note = NoteOf(Outcome::kDelivered, "2.0.0 ok");
      note.index = i;
      log->Add(note, "a@example.org", "mx", "");
    }
    ASSERT_TRUE(log->Flush().ok());
  }
  // The highest number is the oldest.
  int files = 0;
  while (std::filesystem::exists(dir.path("events." + std::to_string(files + 1) + ".jsonl")))
    ++files;
  EXPECT_GE(files, 5);
  uint32_t next = 0;
  for (int i = files; i >= 0; --i) {
    const auto name = i == 0 ? "events.jsonl" : "events." + std::to_string(i) + ".jsonl";
    for (const auto& line : Lines(dir, name)) ASSERT_EQ(line["index"], next++);
  }
  EXPECT_EQ(next, uint32_t{kLines});
}

TEST(EventLog, RefusesAFolderThatIsNotThere) {
  const auto log = EventLog::Open("/nonexistent", "c");
  ASSERT_FALSE(log.ok());
  EXPECT_THAT(std::string(log.status().message()), HasSubstr("/nonexistent/events.jsonl"));
}

// In a process of its own, as a limit cannot be lifted again.
TEST(EventLog, AFullDiskIsSaidAndLeavesWholeLinesOnly) {
  TempDir dir;
  const pid_t child = fork();
  if (child == 0) {
    signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{10'000, 10'000};
    setrlimit(RLIMIT_FSIZE, &limit);
    auto log = EventLog::Open(dir.path(), "spring");
    if (!log.ok()) _exit(1);
    for (int i = 0; i < 1000; ++i) {
      (*log)->Add(NoteOf(Outcome::kDelivered), "a@example.org", "", "");
    }
    const absl::Status first = (*log)->Flush();
    if (!absl::IsResourceExhausted(first)) _exit(2);
    if (std::string(first.message()).find("events.jsonl") == std::string::npos) _exit(3);
    // The first error stays, and nothing is written behind the hole.
    (*log)->Add(NoteOf(Outcome::kDelivered), "late@example.org", "", "");
    _exit((*log)->Flush() == first && (*log)->status() == first ? 0 : 4);
  }
  int status = 0;
  waitpid(child, &status, 0);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
  const auto lines = Lines(dir);
  EXPECT_GE(lines.size(), 50u);
  for (const auto& line : lines) EXPECT_EQ(line["recipient"], "a@example.org");
}

TEST(EventLog, TellsOfADeviceThatIsFull) {
  if (geteuid() == 0 && access("/dev/full", W_OK) != 0) GTEST_SKIP() << "SKIPPED: no /dev/full";
  TempDir dir;
  ASSERT_EQ(symlink("/dev/full", dir.path("events.jsonl").c_str()), 0);
  const auto log = OpenLog(dir);
  log->Add(NoteOf(Outcome::kDelivered), "a@example.org", "", "");
  const absl::Status status = log->Flush();
  EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
}

// The numbers of the recipients in all files, oldest first, whatever they are compressed as.
std::vector<uint32_t> IndexesOf(const TempDir& dir) {
  uint32_t oldest = 0;
  const auto name = [](uint32_t n) { return fmt::format("events.{}.jsonl", n); };
  const auto there = [&dir](const std::string& file) {
    return std::filesystem::exists(dir.path(file));
  };
  while (there(name(oldest + 1)) || there(name(oldest + 1) + ".zst")) ++oldest;
  std::vector<uint32_t> indexes;
  for (uint32_t n = oldest + 1; n-- > 0;) {
    const std::string file = n == 0 ? "events.jsonl" : name(n);
    std::string text;
    if (there(file)) {
      text = dir.Read(file);
    } else {
      const std::string packed = dir.Read(file + ".zst");
      text.resize(ZSTD_getFrameContentSize(packed.data(), packed.size()) == ZSTD_CONTENTSIZE_UNKNOWN
                      ? size_t{1} << 20
                      : 0);
      const size_t bytes = ZSTD_decompress(text.data(), text.size(), packed.data(), packed.size());
      EXPECT_FALSE(ZSTD_isError(bytes)) << ZSTD_getErrorName(bytes);
      text.resize(bytes);
    }
    std::istringstream in(text);
    for (std::string line; std::getline(in, line);) {
      indexes.push_back(nlohmann::json::parse(line).at("index"));
    }
  }
  return indexes;
}

std::vector<uint32_t> UpTo(uint32_t n) {
  std::vector<uint32_t> indexes(n);
  for (uint32_t i = 0; i < n; ++i) indexes[i] = i;
  return indexes;
}

void AddSome(EventLog* log, uint32_t from, uint32_t to) {
  OutcomeNote note = NoteOf(Outcome::kDelivered, std::string(200, 'x'));
  for (note.index = from; note.index < to; ++note.index) {
    log->Add(note, "ann@example.org", "relay", "");
    if (note.index % 10 == 0) {
      ASSERT_TRUE(log->Flush().ok()) << log->status();
    }
  }
  ASSERT_TRUE(log->Flush().ok()) << log->status();
}

TEST(EventLog, CompressesWhatWasMovedAndKeepsTheOrder) {
  TempDir dir;
  AddSome(OpenLog(dir, 10'000, /*compress=*/true).get(), 0, 1000);
  EXPECT_TRUE(std::filesystem::exists(dir.path("events.1.jsonl.zst")));
  EXPECT_FALSE(std::filesystem::exists(dir.path("events.1.jsonl")));
  EXPECT_EQ(IndexesOf(dir), UpTo(1000));
}

TEST(EventLog, GoesOnWithWhatAKillLeft) {
  TempDir dir;
  AddSome(OpenLog(dir, 10'000).get(), 0, 300);
  ASSERT_TRUE(std::filesystem::exists(dir.path("events.2.jsonl")));
  // Killed before the compressed copy had its name, and after that before the file was removed.
  dir.Write("events.1.jsonl.zst.part", "half of it");
  std::filesystem::copy_file(dir.path("events.2.jsonl"), dir.path("copy"));
  ASSERT_TRUE(CompressFile(dir.path("events.2.jsonl")).ok());
  std::filesystem::rename(dir.path("copy"), dir.path("events.2.jsonl"));
  AddSome(OpenLog(dir, 10'000, /*compress=*/true).get(), 300, 600);
  EXPECT_EQ(IndexesOf(dir), UpTo(600));
  for (const auto& entry : std::filesystem::directory_iterator(dir.path())) {
    const std::string name = entry.path().filename();
    EXPECT_TRUE(name == "events.jsonl" || name.ends_with(".zst")) << name;
  }
}

TEST(EventLog, WhatCannotBeCompressedStaysAsItIs) {
  TempDir dir;
  AddSome(OpenLog(dir, 10'000).get(), 0, 100);
  const std::string before = dir.Read("events.1.jsonl");
  std::filesystem::create_directory(dir.path("events.1.jsonl.zst.part"));
  EventCompressor compressor;
  compressor.Start({dir.path("events.1.jsonl")});
  while (compressor.busy()) usleep(1000);
  EXPECT_THAT(std::string(compressor.TakeWarning().message()),
              HasSubstr("events.1.jsonl.zst.part"));
  EXPECT_TRUE(compressor.TakeWarning().ok()) << "said twice";
  EXPECT_EQ(dir.Read("events.1.jsonl"), before);
}

}  // namespace
}  // namespace volley::pipeline
