// DnsAnswers: what is known of the DNS so far. The rules are pure: they ask here, and a question
// that nobody has answered yet is noted and answered with kPending. The caller gets the answers
// (all open questions at one time), puts them in and runs the rules again, until nothing is open.
//
// Threading: one thread's. LIFETIME: a reference Ask returned is good until Put for the same
// question. Bounds: kQuestionsMax names in all; what goes beyond has failed.
#ifndef VOLLEY_ENGINE_PREFLIGHT_DNS_ANSWERS_H_
#define VOLLEY_ENGINE_PREFLIGHT_DNS_ANSWERS_H_

#include <compare>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace volley::engine::preflight {

enum class DnsType : uint8_t { kTxt, kA, kAaaa, kMx, kPtr };
std::string_view DnsTypeName(DnsType type);

struct DnsQuestion {
  DnsType type = DnsType::kTxt;
  std::string name;  // lower case, without a final dot; for kPtr the address itself as text
  auto operator<=>(const DnsQuestion&) const = default;
};

struct DnsRecords {
  enum class Status : uint8_t { kPending, kFound, kNoRecord, kNoSuchName, kFailed };
  Status status = Status::kPending;
  // kTxt: the strings of each, joined; kA, kAaaa: 4 or 16 bytes; kMx: host names, most preferred
  // first, empty for a null MX; kPtr: host names.
  std::vector<std::string> records;
  std::string error;  // where it failed, for people

  bool found() const { return status == Status::kFound; }
  bool failed() const { return status == Status::kFailed; }
  bool pending() const { return status == Status::kPending; }
  bool none() const { return status == Status::kNoRecord || status == Status::kNoSuchName; }
};

class DnsAnswers {
 public:
  static constexpr size_t kQuestionsMax = 300;

  DnsAnswers() = default;
  // Nothing is asked: every question fails with this reason.
  static DnsAnswers Offline(std::string reason);

  const DnsRecords& Ask(DnsType type, std::string_view name);
  void Put(const DnsQuestion& question, DnsRecords records);

  bool offline() const { return !offline_reason_.empty(); }
  std::vector<DnsQuestion> Open() const;
  std::vector<std::pair<DnsQuestion, std::string>> Failed() const;  // with the error

 private:
  std::map<DnsQuestion, DnsRecords> answers_;
  std::string offline_reason_;
  DnsRecords refused_;  // to every question that is not asked at all
  bool overfull_ = false;
};

}  // namespace volley::engine::preflight

#endif  // VOLLEY_ENGINE_PREFLIGHT_DNS_ANSWERS_H_
