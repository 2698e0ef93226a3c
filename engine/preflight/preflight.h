// The preflight's rules: what Gmail, Yahoo, Microsoft and the RFCs demand of a campaign, each a
// check with a stable id (report.h). Pure: facts in, findings out; the DNS comes as DnsAnswers.
//
// Threading: functions without state.
#ifndef VOLLEY_ENGINE_PREFLIGHT_PREFLIGHT_H_
#define VOLLEY_ENGINE_PREFLIGHT_PREFLIGHT_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "engine/preflight/dns_answers.h"
#include "engine/preflight/report.h"
#include "engine/preflight/sample.h"

namespace volley::engine::preflight {

// From this size on a campaign's sender is a bulk sender to Gmail and Outlook.com (5,000 a day).
inline constexpr uint64_t kBulkSenderRecipients = 5000;

struct DkimIdentity {
  std::string domain, selector;
  std::string public_key;  // as in p=
  std::string key_type;    // as in k=: "rsa", "ed25519"
  int bits = 0;
};

struct RelayAddress {
  std::string ip;
  bool loopback = false;
};

struct CampaignFacts {
  bool bulk = true;
  uint64_t recipients = 0;
  std::string from;          // canonical address
  std::string reverse_path;  // empty: null
  std::vector<DkimIdentity> dkim;
  std::vector<SampleFacts> samples;
  std::vector<std::string> sample_recipients;  // one for each sample, or none
  std::vector<std::string> sample_errors;      // of samples that could not be read
  std::string sample_failure;                  // a row of which no copy could be made, and why
  // Both empty: sent directly.
  std::vector<std::string> relay_names;  // host names, or addresses where they have none
  std::vector<RelayAddress> relay_addresses;
  bool relay_tls_off = false;
  std::vector<std::string> own_ips;
  std::string helo;
  size_t links = 0;
  bool has_text = false, has_html = false;
  bool without_unsubscribe = false;
};

// Every check is in the outcome once: found (as often as it was), passed or skipped. While
// `dns` has open questions the outcome is not final: answer them and run it again.
Outcome RunChecks(const CampaignFacts& facts, DnsAnswers* dns);

}  // namespace volley::engine::preflight

#endif  // VOLLEY_ENGINE_PREFLIGHT_PREFLIGHT_H_
