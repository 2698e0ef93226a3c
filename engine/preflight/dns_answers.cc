#include "engine/preflight/dns_answers.h"

#include "engine/preflight/text.h"

namespace volley::engine::preflight {

std::string_view DnsTypeName(DnsType type) {
  switch (type) {
    case DnsType::kTxt:
      return "TXT";
    case DnsType::kA:
      return "A";
    case DnsType::kAaaa:
      return "AAAA";
    case DnsType::kMx:
      return "MX";
    case DnsType::kPtr:
      return "PTR";
  }
  return "?";
}

DnsAnswers DnsAnswers::Offline(std::string reason) {
  DnsAnswers out;
  out.refused_ = {DnsRecords::Status::kFailed, {}, reason};
  out.offline_reason_ = std::move(reason);
  return out;
}

const DnsRecords& DnsAnswers::Ask(DnsType type, std::string_view name) {
  if (offline()) return refused_;
  DnsQuestion question{type, ToLower(name)};
  if (question.name.ends_with('.')) question.name.pop_back();
  const auto it = answers_.find(question);
  if (it != answers_.end()) return it->second;
  if (answers_.size() >= kQuestionsMax) {
    refused_ = {DnsRecords::Status::kFailed, {}, "too many questions"};
    overfull_ = true;
    return refused_;
  }
  return answers_[std::move(question)];
}

void DnsAnswers::Put(const DnsQuestion& question, DnsRecords records) {
  answers_[question] = std::move(records);
}

std::vector<DnsQuestion> DnsAnswers::Open() const {
  std::vector<DnsQuestion> open;
  for (const auto& [question, records] : answers_) {
    if (records.pending()) open.push_back(question);
  }
  return open;
}

std::vector<std::pair<DnsQuestion, std::string>> DnsAnswers::Failed() const {
  std::vector<std::pair<DnsQuestion, std::string>> failed;
  for (const auto& [question, records] : answers_) {
    if (records.failed()) failed.emplace_back(question, records.error);
  }
  if (overfull_) failed.emplace_back(DnsQuestion{DnsType::kTxt, "more"}, refused_.error);
  return failed;
}

}  // namespace volley::engine::preflight
