#include "engine/preflight/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <utility>

namespace volley::engine::preflight {
namespace {

constexpr std::string_view kGmail =
    "Gmail, email sender guidelines: https://support.google.com/a/answer/81126";
constexpr std::string_view kGmailCodes =
    "Gmail, SMTP errors and codes: https://support.google.com/a/answer/3726730";
constexpr std::string_view kGmailFeedback =
    "Gmail, feedback loop: https://support.google.com/a/answer/6254652";
constexpr std::string_view kMicrosoft =
    "Microsoft, Outlook's new requirements for high-volume senders (2025-04-02): "
    "https://techcommunity.microsoft.com/blog/microsoftdefenderforoffice365blog/4399730";
constexpr std::string_view kRfc7208 =
    "RFC 7208 (SPF) §4.6.4: https://www.rfc-editor.org/rfc/rfc7208";
constexpr std::string_view kRfc6376 =
    "RFC 6376 (DKIM) §3.6.1: https://www.rfc-editor.org/rfc/rfc6376";
constexpr std::string_view kRfc7489 =
    "RFC 7489 (DMARC) §6.3, §6.6.3: https://www.rfc-editor.org/rfc/rfc7489";
constexpr std::string_view kRfc8058 =
    "RFC 8058 (one-click) §3.1: https://www.rfc-editor.org/rfc/rfc8058";
constexpr std::string_view kRfc5322 = "RFC 5322 §3.6: https://www.rfc-editor.org/rfc/rfc5322";

struct CheckText {
  std::string_view id, why, source;
};

// In the order of Check.
constexpr CheckText kTexts[] = {
    {"spf-missing",
     "Gmail wants SPF or DKIM from everybody, and both from senders of 5,000 messages a day "
     "(4.7.27, 5.7.27); Outlook.com rejects their mail unless SPF passes (550 5.7.515).",
     kGmail},
    {"spf-several-records",
     "With more than one SPF record the result is \"permerror\", which counts as no SPF at all.",
     "RFC 7208 (SPF) §4.5: https://www.rfc-editor.org/rfc/rfc7208"},
    {"spf-syntax",
     "One term that is wrong makes the whole record a \"permerror\", which counts as no SPF at "
     "all.",
     "RFC 7208 (SPF) §4.6: https://www.rfc-editor.org/rfc/rfc7208"},
    {"spf-too-many-lookups",
     "Receivers stop after 10 terms that need the DNS, and after 2 names without records; the "
     "result is a \"permerror\", which counts as no SPF at all.",
     kRfc7208},
    {"spf-not-authorised",
     "Outlook.com rejects bulk mail unless SPF passes for the address it comes from (550 5.7.515), "
     "and Gmail wants SPF and DKIM from bulk senders (5.7.27).",
     kMicrosoft},
    {"spf-allows-all",
     "The record lets every host on the Internet send as this domain: spammers will, and its "
     "reputation pays for it.",
     "RFC 7208 (SPF) §11.4 and M3AAWG best practices: https://www.rfc-editor.org/rfc/rfc7208"},
    {"dkim-not-signed",
     "Gmail wants DKIM from bulk senders (4.7.30, 5.7.30), Outlook.com rejects their mail without "
     "it (550 5.7.515), and Yahoo's complaint feedback goes by the signing domain.",
     kGmail},
    {"dkim-record-missing",
     "A signature whose key is not in the DNS cannot be verified and counts as none.", kRfc6376},
    {"dkim-record-mismatch",
     "Receivers verify with the key in the DNS; with another one every signature is broken.",
     kRfc6376},
    {"dkim-record-revoked",
     "An empty p= says that the key was withdrawn: every signature made with it fails.", kRfc6376},
    {"dkim-record-malformed", "A key record that receivers cannot read makes every signature fail.",
     kRfc6376},
    {"dkim-several-records",
     "With several records at one selector it is undefined which key a receiver takes, so some of "
     "the mail fails.",
     "RFC 6376 (DKIM) §3.6.2.2: https://www.rfc-editor.org/rfc/rfc6376"},
    {"dkim-testing-flag",
     "t=y asks receivers to treat signed mail like unsigned mail, and some do.", kRfc6376},
    {"dkim-key-short",
     "Gmail needs RSA keys of 1024 bits or more and recommends 2048; receivers must not verify "
     "with shorter ones than 1024 (RFC 8301).",
     kGmail},
    {"dmarc-missing",
     "Gmail, Yahoo and Outlook.com want a DMARC record of bulk senders; p=none is enough (Gmail: "
     "5.7.40, Outlook.com: 550 5.7.515).",
     kGmailCodes},
    {"dmarc-several-records",
     "With more than one DMARC record receivers act as if there were none.", kRfc7489},
    {"dmarc-syntax", "Receivers ignore a DMARC record that they cannot read.", kRfc7489},
    {"dmarc-not-aligned",
     "DMARC passes only if the domain in From is the one that DKIM signs for or the one bounces go "
     "to (Gmail: 4.7.32, 5.7.32); with p=quarantine or p=reject the mail is filed as spam or "
     "refused.",
     kGmailCodes},
    {"from-not-single",
     "Gmail wants one address in From; DMARC has no answer for several, and receivers refuse such "
     "mail.",
     kGmail},
    {"from-domain-public-provider",
     "Only the provider's own servers can send for its domain: DKIM and SPF can never align, and "
     "Gmail, Yahoo and others filter or refuse what claims to be theirs.",
     kGmail},
    {"from-domain-missing",
     "Receivers refuse mail from a domain that cannot be answered, and bounces cannot return.",
     "RFC 5321 §5.1 and RFC 7505: https://www.rfc-editor.org/rfc/rfc7505"},
    {"one-click-missing",
     "Gmail and Yahoo want one-click unsubscribing in marketing and subscribed mail of bulk "
     "senders.",
     kGmail},
    {"one-click-not-https",
     "One-click needs exactly one HTTPS URI in List-Unsubscribe; mailto alone does not satisfy "
     "Gmail.",
     kRfc8058},
    {"one-click-not-signed",
     "Receivers offer one-click only when a DKIM signature covers List-Unsubscribe and "
     "List-Unsubscribe-Post.",
     kRfc8058},
    {"body-link-missing",
     "Gmail wants a clearly visible unsubscribe link in the body too; people who find none press "
     "\"spam\".",
     kGmail},
    {"message-malformed", "Mail that is not formed as RFC 5322 says is refused.", kGmail},
    {"message-id-missing", "Gmail wants a valid Message-ID in every message.", kGmail},
    {"message-id-not-unique",
     "Messages that have the same Message-ID are taken for one: Gmail slows them down (4.7.28) and "
     "mailboxes show one of them.",
     kGmailCodes},
    {"duplicate-header",
     "These fields may be there once; Gmail refuses mail that has them twice, because readers and "
     "filters see different ones.",
     kGmail},
    {"date-missing", "Date is one of the two fields that every message must have.", kRfc5322},
    {"subject-fake-reply",
     "Gmail asks not to begin a subject with Re: or Fwd: unless the message is a reply or was "
     "forwarded.",
     kGmail},
    {"display-name-is-recipient",
     "Gmail takes the recipient's name or address in the sender's display name for deception.",
     kGmail},
    {"size-over-limit",
     "Gmail, Outlook.com and most others refuse messages over 25 MB, many less; Gmail shows no "
     "more than about 102 KB of HTML and clips the rest, often with the unsubscribe link.",
     "Gmail, attachment size limit: https://support.google.com/mail/answer/6584"},
    {"too-many-links",
     "Many links make a message look like spam, and each is looked up by filters.",
     "no provider publishes a number; a rule of thumb"},
    {"plain-text-missing",
     "HTML without a plain text part counts against a message, and some readers show only text.",
     "SpamAssassin, MIME_HTML_ONLY; RFC 2046 §5.1.4: https://www.rfc-editor.org/rfc/rfc2046"},
    {"feedback-id-malformed",
     "Gmail's feedback loop reads a:b:c:SenderId with a SenderId of 5 to 15 characters, one field "
     "a message and never unique to a message; otherwise it reports nothing.",
     kGmailFeedback},
    {"feedback-id-not-signed",
     "Gmail ignores a Feedback-ID that is not covered by the sender's DKIM signature.",
     kGmailFeedback},
    {"ptr-missing",
     "Every sending address needs a PTR record: Gmail rejects without (4.7.23, 5.7.25), and so do "
     "most others.",
     kGmail},
    {"ptr-not-forward-confirmed",
     "The name in the PTR record must lead back to the address: Gmail rejects otherwise (4.7.23, "
     "5.7.25).",
     kGmail},
    {"helo-not-matching",
     "A HELO name that is not the sending host's own is a sign of infected machines to many "
     "filters.",
     "RFC 5321 §4.1.1.1, §4.1.4: https://www.rfc-editor.org/rfc/rfc5321"},
    {"tls-off",
     "Without TLS everybody on the way can read and change the mail; Gmail wants TLS of all "
     "senders (4.7.29, 5.7.29).",
     kGmail},
    {"dns-unreachable",
     "What the DNS did not answer could not be checked; where it is the domain's own name service "
     "that fails, receivers see the same.",
     "RFC 7208 (SPF) §2.6.6, RFC 6376 (DKIM) §6.1.2: https://www.rfc-editor.org/rfc/rfc7208"},
};
static_assert(std::size(kTexts) == kCheckCount);

const CheckText& TextOf(Check check) { return kTexts[static_cast<size_t>(check)]; }

}  // namespace

std::string_view CheckId(Check check) { return TextOf(check).id; }
std::string_view CheckWhy(Check check) { return TextOf(check).why; }
std::string_view CheckSource(Check check) { return TextOf(check).source; }

std::vector<std::string> CheckIds() {
  std::vector<std::string> ids;
  for (const CheckText& text : kTexts) ids.emplace_back(text.id);
  return ids;
}

std::string_view SeverityName(Severity severity) {
  switch (severity) {
    case Severity::kNote:
      return "note";
    case Severity::kWarning:
      return "warning";
    case Severity::kError:
      return "error";
  }
  return "note";
}

void Report::Found(Check check, Severity severity, std::string found, std::string mend) {
  of(check).found = true;
  findings_.push_back({std::string(CheckId(check)), severity, std::move(found),
                       std::string(CheckWhy(check)), std::string(CheckSource(check)),
                       std::move(mend)});
}

void Report::Skip(Check check, std::string_view why) {
  if (of(check).skipped.empty()) of(check).skipped = std::string(why);
}

Outcome Report::Finish() && {
  Outcome out;
  out.findings = std::move(findings_);
  std::stable_sort(out.findings.begin(), out.findings.end(),
                   [](const Finding& a, const Finding& b) { return a.severity > b.severity; });
  for (size_t i = 0; i < kCheckCount; ++i) {
    const Entry& entry = entries_[i];
    const std::string id(CheckId(static_cast<Check>(i)));
    if (entry.found) continue;
    if (!entry.skipped.empty()) {
      out.skipped.push_back(fmt::format("{}: {}", id, entry.skipped));
    } else if (entry.made) {
      out.passed.push_back(id);
    }
  }
  return out;
}

}  // namespace volley::engine::preflight
