// Dialogues: conversations written down as text and played against a state machine. README.md has
// the format. This file reads them; a player (client_player.h) knows one machine.
//
// Threading: one thread. Errors: a message that begins with file:line.
#ifndef VOLLEY_TESTS_DIALOGUES_RUNNER_H_
#define VOLLEY_TESTS_DIALOGUES_RUNNER_H_

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace volley::dialogues {

enum class StepKind {
  kServer,     // S: or S~  bytes from the server
  kClient,     // C: or C~  bytes from the client
  kDirective,  // @         something the driver does
  kExpect,     // =         something that has to be so
};

struct Step {
  int line = 0;
  StepKind kind = StepKind::kExpect;
  std::string text;  // bytes of S and C, line end included; else the words
};

struct Dialogue {
  std::string path;
  std::vector<Step> steps;

  // "path:line: what"
  std::string At(const Step& step, std::string_view what) const;
};

absl::StatusOr<Dialogue> Load(const std::string& path);
absl::StatusOr<Dialogue> Parse(const std::string& path, std::string_view text);

// The *.smtp files of a folder whose names satisfy `wanted`, sorted.
std::vector<std::string> List(const std::string& folder,
                              const std::function<bool(std::string_view name)>& wanted);

// A line of words: the first is the verb, the others `flag` or `key=value`, a value in double
// quotes where it has spaces, with the escapes \r \n \t \0 \\ \" \xNN.
struct Words {
  std::string verb;
  std::vector<std::string> flags;
  std::map<std::string, std::string> values;

  bool Has(std::string_view flag) const;
  std::string Get(const std::string& key, std::string fallback = "") const;
};
absl::StatusOr<Words> SplitWords(std::string_view text);
absl::StatusOr<std::string> Unescape(std::string_view text);
// For messages: control characters as escapes, CRLF as such and a new line.
std::string Escape(std::string_view bytes);
std::vector<std::string> SplitAt(std::string_view text, char separator);

}  // namespace volley::dialogues

#endif  // VOLLEY_TESTS_DIALOGUES_RUNNER_H_
