// FakeDns: DnsAnswers filled from a table, for rules that are tested without a network.
#ifndef VOLLEY_TESTS_ENGINE_PREFLIGHT_FAKE_DNS_H_
#define VOLLEY_TESTS_ENGINE_PREFLIGHT_FAKE_DNS_H_

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/preflight/dns_answers.h"

namespace volley::engine::preflight {

class FakeDns {
 public:
  FakeDns& Txt(const std::string& name, const std::string& text) {
    return Add(DnsType::kTxt, name, text);
  }
  FakeDns& Mx(const std::string& name, const std::string& host) {
    return Add(DnsType::kMx, name, host);
  }
  FakeDns& Ptr(const std::string& ip, const std::string& name) {
    return Add(DnsType::kPtr, ip, name);
  }
  FakeDns& A(const std::string& name, const std::string& four_bytes) {
    return Add(DnsType::kA, name, four_bytes);
  }
  FakeDns& Aaaa(const std::string& name, const std::string& sixteen_bytes) {
    return Add(DnsType::kAaaa, name, sixteen_bytes);
  }
  FakeDns& Fails(DnsType type, const std::string& name) {
    zone_[{type, name}] = {DnsRecords::Status::kFailed, {}, "it is broken"};
    return *this;
  }

  // Answers every open question; false when there was none.
  bool Answer(DnsAnswers* answers) {
    const auto open = answers->Open();
    for (const DnsQuestion& question : open) {
      ++asked_;
      const auto it = zone_.find(question);
      const DnsRecords none{DnsRecords::Status::kNoSuchName, {}, "no such name"};
      answers->Put(question, it == zone_.end() ? none : it->second);
    }
    if (!open.empty()) ++rounds_;
    return !open.empty();
  }
  int rounds() const { return rounds_; }
  int asked() const { return asked_; }

 private:
  FakeDns& Add(DnsType type, const std::string& name, const std::string& record) {
    DnsRecords& records = zone_[{type, name}];
    records.status = DnsRecords::Status::kFound;
    records.records.push_back(record);
    return *this;
  }

  std::map<DnsQuestion, DnsRecords> zone_;
  int rounds_ = 0, asked_ = 0;
};

}  // namespace volley::engine::preflight

#endif  // VOLLEY_TESTS_ENGINE_PREFLIGHT_FAKE_DNS_H_
