#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "engine/message/address.h"
#include "engine/preflight/rules.h"
#include "engine/preflight/text.h"

namespace volley::engine::preflight {
namespace {

constexpr size_t kMb = 1024 * 1024;
constexpr size_t kSizeErrorBytes = 25 * kMb;
constexpr size_t kSizeWarningBytes = 10 * kMb;
constexpr size_t kGmailClipBytes = 102 * 1024;
constexpr size_t kLinksMax = 100;
constexpr size_t kNameBytesMin = 3;  // a shorter one is in too many words

// RFC 5322 §3.6: at most once.
constexpr std::string_view kSingular[] = {
    "from",
    "sender",
    "reply-to",
    "to",
    "cc",
    "bcc",
    "date",
    "subject",
    "message-id",
    "in-reply-to",
    "references",
    "mime-version",
    "content-type",
    "content-transfer-encoding",
    "list-unsubscribe",
    "list-unsubscribe-post",
};

constexpr std::string_view kReplyPrefixes[] = {"re", "fw",   "fwd", "aw", "wg",
                                               "sv", "antw", "tr",  "rv", "enc"};

// The first sample that something is wrong with; `judge` says what, or nothing.
template <typename Judge>
void FirstOf(const std::vector<SampleFacts>& samples, Check check, Severity severity,
             std::string_view mend, Report* report, Judge judge) {
  report->Passed(check);
  for (const SampleFacts& sample : samples) {
    std::string found = judge(sample);
    if (found.empty()) continue;
    report->Found(check, severity, std::move(found), std::string(mend));
    return;
  }
}

std::string JudgeFrom(const SampleFacts& sample) {
  const std::string from = sample.Value("from");
  if (from.empty()) return "there is no From";
  if (message::ParseHeaderMailbox(from).ok()) return "";
  return fmt::format("From is {}", Shown(from));
}

std::string JudgeMessageId(const SampleFacts& sample) {
  const std::string id = sample.Value("message-id");
  if (id.empty()) return "there is no Message-ID";
  const size_t at = id.find('@');
  const bool valid = id.starts_with('<') && id.ends_with('>') && at != id.npos && at > 1 &&
                     at + 2 < id.size() && id.find_first_of(" \t") == id.npos;
  return valid ? "" : fmt::format("Message-ID is {}, not of the form <a@b>", Shown(id));
}

std::string JudgeDuplicates(const SampleFacts& sample) {
  for (const std::string_view name : kSingular) {
    const auto times = std::count_if(sample.fields.begin(), sample.fields.end(),
                                     [&](const SampleField& field) { return field.name == name; });
    if (times > 1) return fmt::format("the field {} is there {} times", name, times);
  }
  return "";
}

// "Re: ", "FWD:", "Re[2]:".
std::string JudgeSubject(const SampleFacts& sample) {
  if (!sample.Value("in-reply-to").empty() || !sample.Value("references").empty()) return "";
  const std::string subject = DecodeWords(sample.Value("subject"));
  const size_t colon = subject.find(':');
  if (colon == subject.npos) return "";
  std::string_view prefix = Trim(std::string_view(subject).substr(0, colon));
  if (prefix.ends_with(']')) prefix = prefix.substr(0, prefix.find('['));
  for (const std::string_view known : kReplyPrefixes) {
    if (!EqualsNoCase(prefix, known)) continue;
    return fmt::format("Subject is {}, and the message answers none", Shown(subject));
  }
  return "";
}

bool IsWordChar(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || static_cast<unsigned char>(c) >= 0x80;
}

// `word` in `text` on its own, not inside a longer word.
bool HasWord(std::string_view text, std::string_view word) {
  const std::string in = ToLower(text), what = ToLower(word);
  for (size_t at = in.find(what); at != in.npos; at = in.find(what, at + 1)) {
    const size_t end = at + what.size();
    if ((at == 0 || !IsWordChar(in[at - 1])) && (end == in.size() || !IsWordChar(in[end]))) {
      return true;
    }
  }
  return false;
}

std::string DisplayName(const SampleFacts& sample, std::string_view field) {
  const auto mailbox = message::ParseHeaderMailbox(sample.Value(field));
  return mailbox.ok() ? DecodeWords(mailbox->display_name) : "";
}

std::string JudgeDisplayName(const SampleFacts& sample, std::string_view recipient,
                             std::string_view from) {
  const std::string name = DisplayName(sample, "from");
  // Who tries it on himself is his own recipient.
  if (name.empty() || EqualsNoCase(recipient, from)) return "";
  if (!recipient.empty() && ContainsNoCase(name, recipient)) {
    return fmt::format("the display name of From, {}, has the recipient's address", Shown(name));
  }
  const std::string to = DisplayName(sample, "to");
  if (to.size() >= kNameBytesMin && HasWord(name, to)) {
    return fmt::format("the display name of From, {}, has the recipient's name", Shown(name));
  }
  return "";
}

void CheckDisplayNames(const CampaignFacts& facts, Report* report) {
  report->Passed(Check::kDisplayNameIsRecipient);
  for (size_t i = 0; i < facts.samples.size(); ++i) {
    const std::string_view recipient =
        i < facts.sample_recipients.size() ? std::string_view(facts.sample_recipients[i]) : "";
    std::string found = JudgeDisplayName(facts.samples[i], recipient, facts.from);
    if (found.empty()) continue;
    report->Found(Check::kDisplayNameIsRecipient, Severity::kWarning, std::move(found),
                  "let the display name of From say who sends, and nothing else");
    return;
  }
}

void CheckUnique(const std::vector<SampleFacts>& samples, Report* report) {
  if (samples.size() < 2) {
    return report->Skip(Check::kMessageIdNotUnique, "it takes two samples to compare");
  }
  report->Passed(Check::kMessageIdNotUnique);
  std::set<std::string> ids;
  for (const SampleFacts& sample : samples) {
    const std::string id = sample.Value("message-id");
    if (id.empty() || ids.insert(id).second) continue;
    return report->Found(Check::kMessageIdNotUnique, Severity::kError,
                         fmt::format("two copies have the Message-ID {}", Shown(id)),
                         "leave Message-ID to volley, or make it from something that only one "
                         "recipient has");
  }
}

void CheckSize(const std::vector<SampleFacts>& samples, Report* report) {
  report->Passed(Check::kSizeOverLimit);
  size_t bytes = 0, html_bytes = 0;
  for (const SampleFacts& sample : samples) {
    bytes = std::max(bytes, sample.bytes);
    html_bytes = std::max(html_bytes, sample.texts.html.size());
  }
  const auto mb = [](size_t n) { return static_cast<double>(n) / static_cast<double>(kMb); };
  if (bytes > kSizeWarningBytes) {
    report->Found(Check::kSizeOverLimit,
                  bytes > kSizeErrorBytes ? Severity::kError : Severity::kWarning,
                  fmt::format("a copy has {:.1f} MB with its attachments encoded", mb(bytes)),
                  "put large files on a web server and link to them");
  }
  if (html_bytes > kGmailClipBytes) {
    report->Found(Check::kSizeOverLimit, Severity::kWarning,
                  fmt::format("the HTML has {} KB; Gmail clips it at 102", html_bytes / 1024),
                  "shorten the HTML: style sheets and data: images are the usual reason");
  }
}

void CheckContent(const CampaignFacts& facts, Report* report) {
  report->Passed(Check::kTooManyLinks);
  if (facts.links > kLinksMax) {
    report->Found(Check::kTooManyLinks, Severity::kWarning,
                  fmt::format("the message has {} links", facts.links),
                  fmt::format("leave the most important ones, {} at most", kLinksMax));
  }
  report->Passed(Check::kPlainTextMissing);
  if (facts.has_html && !facts.has_text) {
    report->Found(Check::kPlainTextMissing, Severity::kWarning,
                  "the message has an HTML part and no plain text part",
                  "give a text template too, or let volley make the text from the HTML");
  }
}

void CheckReadable(const CampaignFacts& facts, Report* report) {
  report->Passed(Check::kMessageMalformed);
  if (facts.sample_errors.empty()) return;
  report->Found(Check::kMessageMalformed, Severity::kError, facts.sample_errors.front(),
                "look at the message with volley preview");
}

// Rows that make no message are left out of a campaign and do not stop it, so this is no error; but
// nothing was looked at, and to be silent would be to say that all is well.
void FoundNoSample(const CampaignFacts& facts, Report* report) {
  if (facts.sample_failure.empty()) {
    return report->Skip(Check::kMessageMalformed, "there is no sample to look at");
  }
  report->Found(Check::kMessageMalformed, Severity::kWarning,
                fmt::format("none of the copies looked at can be made; {}", facts.sample_failure),
                "volley send --dry-run says of how many recipients this is true");
}

}  // namespace

void CheckMessage(const CampaignFacts& facts, const Situation& situation, Report* report) {
  CheckContent(facts, report);
  if (facts.samples.empty() && facts.sample_errors.empty()) {
    FoundNoSample(facts, report);
  } else {
    CheckReadable(facts, report);
  }
  if (facts.samples.empty()) {
    return SkipAll({Check::kFromNotSingle, Check::kMessageIdMissing, Check::kMessageIdNotUnique,
                    Check::kDuplicateHeader, Check::kDateMissing, Check::kSubjectFakeReply,
                    Check::kDisplayNameIsRecipient, Check::kSizeOverLimit},
                   "there is no sample to look at", report);
  }
  const auto& samples = facts.samples;
  FirstOf(samples, Check::kFromNotSingle, Severity::kError, "put one address into From", report,
          JudgeFrom);
  FirstOf(samples, Check::kMessageIdMissing, situation.bulk_sender, "leave Message-ID to volley",
          report, JudgeMessageId);
  FirstOf(samples, Check::kDuplicateHeader, Severity::kError,
          "remove the second one from the campaign's headers", report, JudgeDuplicates);
  FirstOf(samples, Check::kDateMissing, Severity::kError, "leave Date to volley", report,
          [](const SampleFacts& sample) {
            return sample.Value("date").empty() ? "there is no Date" : "";
          });
  FirstOf(samples, Check::kSubjectFakeReply, Severity::kWarning,
          "begin the subject with what the message is about", report, JudgeSubject);
  CheckUnique(samples, report);
  CheckDisplayNames(facts, report);
  CheckSize(samples, report);
}

}  // namespace volley::engine::preflight
