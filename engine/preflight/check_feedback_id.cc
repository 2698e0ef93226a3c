#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "engine/preflight/rules.h"
#include "engine/preflight/text.h"

namespace volley::engine::preflight {
namespace {

constexpr std::string_view kField = "feedback-id";
constexpr size_t kPartsMax = 4;  // a:b:c:SenderId
constexpr size_t kSenderBytesMin = 5, kSenderBytesMax = 15;
constexpr size_t kSamplesToTellUnique = 3;  // two may be of two variants

std::string_view SenderId(std::string_view value) { return Trim(Split(value, ':').back()); }

// What is wrong with one copy's field; empty: nothing.
std::string Judge(const SampleFacts& sample) {
  const auto values = sample.Values(kField);
  if (values.empty()) return "";
  if (values.size() > 1) return fmt::format("Feedback-ID is there {} times", values.size());
  const std::string& value = values[0];
  const auto parts = Split(value, ':');
  if (parts.size() > kPartsMax) {
    return fmt::format("Feedback-ID {} has {} parts; {} are read", Shown(value), parts.size(),
                       kPartsMax);
  }
  const size_t bytes = SenderId(value).size();
  if (bytes < kSenderBytesMin || bytes > kSenderBytesMax) {
    return fmt::format("the SenderId at the end of Feedback-ID {} has {} characters", Shown(value),
                       bytes);
  }
  std::set<std::string_view> seen;
  for (const std::string_view part : parts) {
    if (Trim(part).empty() || seen.insert(Trim(part)).second) continue;
    return fmt::format("Feedback-ID {} has the same identifier twice", Shown(value));
  }
  return "";
}

// What is wrong with all of them together.
std::string JudgeTogether(const std::vector<SampleFacts>& samples) {
  std::set<std::string> values, senders;
  size_t count = 0;
  for (const SampleFacts& sample : samples) {
    const std::string value = sample.Value(kField);
    if (value.empty()) continue;
    ++count;
    values.insert(value);
    senders.insert(std::string(SenderId(value)));
  }
  if (senders.size() > 1) return "the SenderId of Feedback-ID is not the same in all copies";
  if (count >= kSamplesToTellUnique && values.size() == count) {
    return "Feedback-ID is another one in every copy";
  }
  return "";
}

}  // namespace

void CheckFeedbackId(const CampaignFacts& facts, Report* report) {
  const auto checks = {Check::kFeedbackIdMalformed, Check::kFeedbackIdNotSigned};
  const bool any = std::any_of(facts.samples.begin(), facts.samples.end(),
                               [](const SampleFacts& s) { return !s.Value(kField).empty(); });
  if (!any) return SkipAll(checks, "there is no Feedback-ID", report);
  for (const Check check : checks) report->Passed(check);
  std::string found = JudgeTogether(facts.samples);
  bool is_signed = true, all_covered = true;
  for (const SampleFacts& sample : facts.samples) {
    if (const std::string one = Judge(sample); !one.empty()) found = one;
    is_signed = is_signed && !sample.signatures.empty();
    all_covered = all_covered && (sample.Value(kField).empty() || sample.IsSigned(kField));
  }
  if (!found.empty()) {
    report->Found(Check::kFeedbackIdMalformed, Severity::kWarning, found,
                  "use campaign:customer:type:SenderId, the same for everybody in the campaign");
  }
  if (!is_signed) {
    report->Skip(Check::kFeedbackIdNotSigned, "volley does not sign: see dkim-not-signed");
  } else if (!all_covered) {
    report->Found(Check::kFeedbackIdNotSigned, Severity::kWarning,
                  "no DKIM signature covers Feedback-ID",
                  "let h= of the DKIM-Signature name Feedback-ID");
  }
}

}  // namespace volley::engine::preflight
