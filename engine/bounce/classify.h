// Classifier: what a server's refusal means: a category (category.h), and which rule says so.
//
// Rules (rules.toml has the form) are matched against the text by one automaton for all of them;
// the first in order whose other conditions hold decides. Where none does, the enhanced code
// decides (RFC 3463, RFC 7372, RFC 7505, IANA), then the code and the command it answered.
//
// Threading: immutable, any number of threads. Lifetime: the views in a Classification live as long
// as the classifier. Bounds: kTextBytesMax of a text are looked at. Errors: InvalidArgument that
// names file, line, rule and value. Bytes of the text may be anything.
#ifndef VOLLEY_ENGINE_BOUNCE_CLASSIFY_H_
#define VOLLEY_ENGINE_BOUNCE_CLASSIFY_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "engine/bounce/category.h"

namespace volley::engine::bounce {

// What the reply answers.
enum class Stage : uint8_t {
  kUnknown,
  kConnect,
  kEhlo,
  kStartTls,
  kAuth,
  kMail,
  kRcpt,
  kData,
  kBody,  // the final dot, or the last chunk
};
std::string_view StageName(Stage stage);
std::optional<Stage> StageByName(std::string_view name);

struct ReplyFacts {
  std::string_view provider = {};  // of the recipient; empty: not known
  Stage stage = Stage::kUnknown;
  uint16_t code = 0;               // 0: there was no reply
  std::string_view enhanced = {};  // "5.1.1"; empty: looked for in the text
  std::string_view text = {};      // lines joined by blanks
};

struct Classification {
  Category category = Category::kUnknown;
  // "unknown-user"; "enhanced:5.1.1" and "code:452" where no rule matched.
  std::string rule;
  std::optional<absl::Duration> retry_after;  // that the text asks for
};

struct RuleFile {
  std::string name;  // in errors
  std::string_view text;
};

class Classifier {
 public:
  static constexpr size_t kTextBytesMax = 2048;
  static constexpr size_t kRulesMax = 2000;
  static constexpr std::string_view kBuiltInName = "built-in rules";  // in errors and places

  // The rules of the first file go before those of the second, and so on.
  static absl::StatusOr<Classifier> Parse(std::span<const RuleFile> files);
  // The rules that volley brings.
  static const Classifier& BuiltIn();
  // A user's own rules before the built-in ones.
  static absl::StatusOr<Classifier> WithOwnRules(const RuleFile& own);

  ~Classifier();
  Classifier(Classifier&&) noexcept;
  Classifier& operator=(Classifier&&) noexcept;

  Classification Classify(const ReplyFacts& reply) const;
  int64_t version() const;  // of the last file
  size_t rules() const;

  // For checks of rules: a rule's examples ("550 5.1.1 no such user") by its id, in order.
  struct Example {
    std::string rule, reply, provider;
    Stage stage = Stage::kUnknown;
    std::string place;  // of the rule: "ours.toml:17"
  };
  std::vector<Example> Examples() const;

 private:
  struct Rules;
  explicit Classifier(std::unique_ptr<const Rules> rules);
  std::unique_ptr<const Rules> rules_;
};

// "try again in 5 minutes", "retry after 300 seconds", "greylisted for 60 seconds", "in 00:05:00".
std::optional<absl::Duration> RetryHint(std::string_view text);

// "550 5.1.1 no such user", also with the lines of a long reply ("550-5.1.1 no"), as facts. The
// views are into `reply`, of which the continuation marks are taken out.
ReplyFacts ParseReply(std::string* reply);

}  // namespace volley::engine::bounce

#endif  // VOLLEY_ENGINE_BOUNCE_CLASSIFY_H_
