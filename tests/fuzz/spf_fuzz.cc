// SPF from hostile zones: the input is lines "NAME TYPE DATA" after a first line with the sender.
// The evaluation ends within its bounds, asks for names that a DNS message can hold, and says the
// same twice.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "engine/preflight/dns_answers.h"
#include "engine/preflight/spf.h"
#include "engine/preflight/spf_record.h"
#include "engine/preflight/text.h"

namespace {

using namespace volley::engine::preflight;

void Require(bool condition) {
  if (!condition) std::abort();
}

DnsRecords Lookup(std::string_view zone, const DnsQuestion& question) {
  DnsRecords out;
  out.status = DnsRecords::Status::kNoSuchName;
  for (const std::string_view line : Split(zone, '\n')) {
    const auto words = Split(line, ' ');
    if (words.size() < 3 || ToLower(words[0]) != question.name) continue;
    if (words[1] != DnsTypeName(question.type)) continue;
    std::string_view data = line.substr(words[0].size() + words[1].size() + 2);
    out.status = data == "!" ? DnsRecords::Status::kFailed : DnsRecords::Status::kFound;
    if (question.type == DnsType::kA) data = data.substr(0, 4);
    if (question.type == DnsType::kAaaa) data = data.substr(0, 16);
    out.records.emplace_back(data);
  }
  return out;
}

void Evaluate(const SpfQuery& query, std::string_view zone) {
  DnsAnswers dns;
  SpfVerdict verdict;
  for (int round = 0;; ++round) {
    // Each round has an answer more on the way to the tenth lookup, or it is over.
    Require(round < 64);
    verdict = EvaluateSpf(query, "example.org", &dns);
    Require(verdict.lookups <= kSpfLookupsMax + 1);
    const auto open = dns.Open();
    if (open.empty()) break;
    Require(verdict.pending);
    for (const DnsQuestion& question : open) {
      Require(question.name.size() <= 253);
      dns.Put(question, Lookup(zone, question));
    }
  }
  Require(!verdict.pending);
  Require((verdict.fault != SpfFault::kNone) == (verdict.result == SpfResult::kPermError));
  const SpfVerdict again = EvaluateSpf(query, "example.org", &dns);
  Require(again.result == verdict.result && again.detail == verdict.detail);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  const size_t end = text.find('\n');
  const std::string sender = text.substr(0, end);
  const std::string zone = end == std::string::npos ? "" : text.substr(end + 1);
  for (const char* ip : {"", "5.6.7.8", "2a01:4f8::1"}) {
    Evaluate({IpAddress::Parse(ip), sender, "mail.example.org"}, zone);
  }
  if (IsSpfRecord(text)) {
    if (const auto record = ParseSpfRecord(text); record.ok()) {
      for (const SpfDirective& directive : record->directives) {
        const auto name =
            ExpandSpfMacros(directive.domain, {IpAddress::Parse("::1"), text, text, ""});
        Require(name.has_value() && name->size() <= 253);
      }
    }
  }
  return 0;
}
