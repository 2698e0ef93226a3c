#include "pipeline/preflight/preflight.h"

#include <fmt/format.h>

#include <algorithm>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string_view>
#include <utility>

#include "io/base/time.h"

namespace volley::pipeline {
namespace {

using engine::preflight::CampaignFacts;
using engine::preflight::DnsAnswers;
using engine::preflight::DnsQuestion;
using engine::preflight::DnsRecords;
using engine::preflight::Outcome;
using engine::preflight::Severity;
using QuestionType = engine::preflight::DnsType;

// An answer can lead to further questions (include: in SPF) no more often than the rules allow: 10
// lookups, each of two steps. What is open then has failed.
constexpr int kRoundsMax = 40;

// --- Facts ---

// "smtps://user@mail.example.org:465" -> "mail.example.org".
std::string HostOf(std::string_view name) {
  if (const size_t scheme = name.find("://"); scheme != name.npos) name.remove_prefix(scheme + 3);
  name = name.substr(0, name.find_first_of("/?"));
  if (const size_t at = name.rfind('@'); at != name.npos) name.remove_prefix(at + 1);
  if (name.starts_with('[')) return std::string(name.substr(1, name.find(']') - 1));
  const size_t colon = name.find(':');
  // Several colons: an IPv6 address without brackets.
  return std::string(name.find(':', colon + 1) == name.npos ? name.substr(0, colon) : name);
}

CampaignFacts ToFacts(const PreflightInput& input) {
  CampaignFacts facts;
  facts.bulk = input.bulk;
  facts.recipients = input.recipients;
  facts.from = input.from;
  facts.reverse_path = input.reverse_path;
  facts.dkim = input.dkim;
  for (size_t i = 0; i < input.samples.size(); ++i) {
    auto sample = engine::preflight::ReadSample(input.samples[i]);
    if (!sample.ok()) {
      facts.sample_errors.emplace_back(sample.status().message());
      continue;
    }
    facts.samples.push_back(*std::move(sample));
    facts.sample_recipients.push_back(
        i < input.sample_recipients.size() ? input.sample_recipients[i] : "");
  }
  facts.sample_failure = input.sample_failure;
  for (const std::string& name : input.relay_names) facts.relay_names.push_back(HostOf(name));
  for (const io::Endpoint& relay : input.relay_endpoints) {
    facts.relay_addresses.push_back({relay.ip(), relay.is_loopback()});
  }
  facts.relay_tls_off = input.relay_tls_off;
  facts.own_ips = input.own_ips;
  facts.helo = input.helo;
  facts.links = input.links;
  facts.has_text = input.has_text;
  facts.has_html = input.has_html;
  facts.without_unsubscribe = input.without_unsubscribe;
  return facts;
}

// --- The DNS ---

io::DnsType ToIo(QuestionType type) {
  switch (type) {
    case QuestionType::kTxt:
      return io::DnsType::kTxt;
    case QuestionType::kA:
      return io::DnsType::kA;
    case QuestionType::kAaaa:
      return io::DnsType::kAaaa;
    case QuestionType::kMx:
      return io::DnsType::kMx;
    case QuestionType::kPtr:
      return io::DnsType::kPtr;
  }
  return io::DnsType::kTxt;
}

std::vector<std::string> ReadRecords(QuestionType type, const io::DnsAnswer& answer) {
  std::vector<std::string> out;
  switch (type) {
    case QuestionType::kTxt:
      return io::ParseTxt(answer);
    case QuestionType::kPtr:
      return io::ParsePtr(answer);
    case QuestionType::kMx:
      for (io::MxRecord& record : io::ParseMx(answer)) out.push_back(std::move(record.exchange));
      return out;
    case QuestionType::kA:
    case QuestionType::kAaaa:
      return answer.records;
  }
  return out;
}

DnsRecords ToRecords(QuestionType type, const io::DnsAnswer& answer) {
  DnsRecords out;
  out.error = answer.error;
  switch (answer.status) {
    case io::DnsStatus::kOk:
      out.records = ReadRecords(type, answer);
      // Records that cannot be read are as good as none.
      out.status = out.records.empty() ? DnsRecords::Status::kNoRecord : DnsRecords::Status::kFound;
      break;
    case io::DnsStatus::kNoSuchName:
      out.status = DnsRecords::Status::kNoSuchName;
      break;
    case io::DnsStatus::kNoData:
      out.status = DnsRecords::Status::kNoRecord;
      break;
    case io::DnsStatus::kFailed:
    case io::DnsStatus::kTimeout:
    case io::DnsStatus::kCancelled:
      out.status = DnsRecords::Status::kFailed;
      break;
  }
  return out;
}

// Questions that are asked at one time. Shared with the resolver's callbacks, some of which may
// come when nobody waits any more.
class Round {
 public:
  explicit Round(size_t questions) : records_(questions), missing_(questions) {}

  void Take(size_t index, DnsRecords records) {
    const std::lock_guard lock(mutex_);
    records_[index] = std::move(records);
    if (--missing_ == 0) done_.notify_all();
  }

  std::vector<DnsRecords> Wait(io::MonoTime deadline) {
    std::unique_lock lock(mutex_);
    const auto left =
        absl::ToChronoNanoseconds(std::max(deadline - io::MonotonicNow(), absl::ZeroDuration()));
    done_.wait_for(lock, left, [this] { return missing_ == 0; });
    return records_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable done_;
  std::vector<DnsRecords> records_;  // under mutex_
  size_t missing_;                   // under mutex_
};

// The name that is asked for; empty: there is none.
std::string AskedName(const DnsQuestion& question) {
  if (question.type != QuestionType::kPtr) return question.name;
  const auto address = io::Endpoint::FromIp(question.name, 0);
  return address.ok() ? io::ReverseName(*address) : "";
}

void AskAll(const std::vector<DnsQuestion>& questions, io::MonoTime deadline,
            io::Resolver* resolver, DnsAnswers* answers) {
  const auto round = std::make_shared<Round>(questions.size());
  for (size_t i = 0; i < questions.size(); ++i) {
    const QuestionType type = questions[i].type;
    resolver->Lookup(
        AskedName(questions[i]), ToIo(type),
        [round, i, type](const io::DnsAnswer& answer) { round->Take(i, ToRecords(type, answer)); });
  }
  std::vector<DnsRecords> records = round->Wait(deadline);
  for (size_t i = 0; i < questions.size(); ++i) {
    if (records[i].pending()) records[i] = {DnsRecords::Status::kFailed, {}, "no answer in time"};
    answers->Put(questions[i], std::move(records[i]));
  }
}

Outcome RunOnline(const CampaignFacts& facts, io::Resolver* resolver) {
  DnsAnswers answers;
  const io::MonoTime deadline = io::MonotonicNow() + kPreflightDnsTimeout;
  for (int round = 1;; ++round) {
    Outcome outcome = RunChecks(facts, &answers);
    const std::vector<DnsQuestion> open = answers.Open();
    if (open.empty()) return outcome;
    if (round < kRoundsMax && io::MonotonicNow() < deadline) {
      AskAll(open, deadline, resolver, &answers);
      continue;
    }
    for (const DnsQuestion& question : open) {
      answers.Put(question, {DnsRecords::Status::kFailed, {}, "no answer in time"});
    }
  }
}

size_t Count(const std::vector<Finding>& findings, Severity severity) {
  return static_cast<size_t>(
      std::count_if(findings.begin(), findings.end(),
                    [&](const Finding& finding) { return finding.severity == severity; }));
}

}  // namespace

size_t PreflightResult::errors() const { return Count(findings, Severity::kError); }
size_t PreflightResult::warnings() const { return Count(findings, Severity::kWarning); }

PreflightResult RunPreflight(const PreflightInput& input, io::Resolver* resolver) {
  const CampaignFacts facts = ToFacts(input);
  Outcome outcome;
  if (input.ask_dns && resolver != nullptr) {
    outcome = RunOnline(facts, resolver);
  } else {
    DnsAnswers offline = DnsAnswers::Offline("the DNS was not asked");
    outcome = RunChecks(facts, &offline);
  }
  return {std::move(outcome.findings), std::move(outcome.passed), std::move(outcome.skipped)};
}

}  // namespace volley::pipeline
