#include "tests/dialogues/runner.h"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "absl/status/status.h"
#include "fmt/format.h"

namespace volley::dialogues {
namespace {

// The line's bytes behind "S:", "C~" and the like. One space after the colon belongs to the format.
absl::StatusOr<std::string> LineBytes(std::string_view line) {
  const bool raw = line[1] == '~';
  line.remove_prefix(2);
  if (line.starts_with(' ')) line.remove_prefix(1);
  if (raw) return Unescape(line);
  return std::string(line) + "\r\n";
}

absl::StatusOr<Step> ParseStep(std::string_view line, int number) {
  Step step;
  step.line = number;
  const bool bytes = line.size() > 1 && (line[1] == ':' || line[1] == '~');
  if (bytes && (line[0] == 'S' || line[0] == 'C')) {
    step.kind = line[0] == 'S' ? StepKind::kServer : StepKind::kClient;
    absl::StatusOr<std::string> text = LineBytes(line);
    if (!text.ok()) return text.status();
    step.text = *std::move(text);
    return step;
  }
  if (line[0] != '@' && line[0] != '=') {
    return absl::InvalidArgumentError("a line begins with S: S~ C: C~ @ = or #");
  }
  step.kind = line[0] == '@' ? StepKind::kDirective : StepKind::kExpect;
  line.remove_prefix(1);
  line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
  step.text = line;
  return step;
}

// Appends the character an escape at text[*i] == '\\' stands for; leaves *i at its last character.
bool TakeEscape(std::string_view text, size_t* i, std::string* out) {
  if (++*i >= text.size()) return false;
  switch (text[*i]) {
    case 'r':
      out->push_back('\r');
      return true;
    case 'n':
      out->push_back('\n');
      return true;
    case 't':
      out->push_back('\t');
      return true;
    case '0':
      out->push_back('\0');
      return true;
    case '\\':
      out->push_back('\\');
      return true;
    case '"':
      out->push_back('"');
      return true;
    case 'x':
      break;
    default:
      return false;
  }
  if (*i + 2 >= text.size()) return false;
  const std::string digits(text.substr(*i + 1, 2));
  if (!std::isxdigit(static_cast<unsigned char>(digits[0])) ||
      !std::isxdigit(static_cast<unsigned char>(digits[1]))) {
    return false;
  }
  out->push_back(static_cast<char>(std::stoi(digits, nullptr, 16)));
  *i += 2;
  return true;
}

// One word from *at on, quotes removed and escapes in them resolved.
absl::StatusOr<std::string> NextWord(std::string_view text, size_t* at) {
  std::string word;
  bool quoted = false;
  for (; *at < text.size() && (quoted || text[*at] != ' '); ++*at) {
    if (text[*at] == '"') {
      quoted = !quoted;
    } else if (quoted && text[*at] == '\\') {
      if (!TakeEscape(text, at, &word)) return absl::InvalidArgumentError("an unknown escape");
    } else {
      word.push_back(text[*at]);
    }
  }
  if (quoted) return absl::InvalidArgumentError("a quote that is not closed");
  return word;
}

}  // namespace

std::string Dialogue::At(const Step& step, std::string_view what) const {
  return fmt::format("{}:{}: {}", path, step.line, what);
}

absl::StatusOr<Dialogue> Parse(const std::string& path, std::string_view text) {
  Dialogue dialogue;
  dialogue.path = path;
  int number = 0;
  while (!text.empty()) {
    ++number;
    const size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty() || line[0] == '#') continue;
    absl::StatusOr<Step> step = ParseStep(line, number);
    if (!step.ok()) {
      return absl::InvalidArgumentError(
          fmt::format("{}:{}: {}", path, number, std::string(step.status().message())));
    }
    dialogue.steps.push_back(*std::move(step));
  }
  if (dialogue.steps.empty()) return absl::InvalidArgumentError(path + ": has no steps");
  return dialogue;
}

absl::StatusOr<Dialogue> Load(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return absl::NotFoundError(path + ": cannot be read");
  const std::string text((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  return Parse(path, text);
}

std::vector<std::string> List(const std::string& folder,
                              const std::function<bool(std::string_view name)>& wanted) {
  std::vector<std::string> paths;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (name.ends_with(".smtp") && wanted(name)) paths.push_back(entry.path().string());
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

bool Words::Has(std::string_view flag) const {
  return std::find(flags.begin(), flags.end(), flag) != flags.end();
}

std::string Words::Get(const std::string& key, std::string fallback) const {
  const auto it = values.find(key);
  return it == values.end() ? std::move(fallback) : it->second;
}

absl::StatusOr<Words> SplitWords(std::string_view text) {
  Words words;
  for (size_t at = 0; at < text.size();) {
    if (text[at] == ' ') {
      ++at;
      continue;
    }
    const size_t begin = at;
    absl::StatusOr<std::string> word = NextWord(text, &at);
    if (!word.ok()) return word.status();
    const size_t equals = word->find('=');
    // key="a=b" is split at its first '='; a word that begins with a quote is a flag whatever it
    // has.
    if (words.verb.empty()) {
      words.verb = *word;
    } else if (text[begin] == '"' || equals == std::string::npos) {
      words.flags.push_back(*word);
    } else {
      words.values[word->substr(0, equals)] = word->substr(equals + 1);
    }
  }
  return words;
}

absl::StatusOr<std::string> Unescape(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\') {
      out.push_back(text[i]);
    } else if (!TakeEscape(text, &i, &out)) {
      return absl::InvalidArgumentError("an unknown escape");
    }
  }
  return out;
}

std::string Escape(std::string_view bytes) {
  std::string out;
  for (const char c : bytes) {
    if (c == '\r') {
      out += "\\r";
    } else if (c == '\n') {
      out += "\\n\n";
    } else if (c == '\\') {
      out += "\\\\";
    } else if (static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) >= 0x7f) {
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    } else {
      out.push_back(c);
    }
  }
  return out;
}

std::vector<std::string> SplitAt(std::string_view text, char separator) {
  std::vector<std::string> parts;
  while (true) {
    const size_t end = text.find(separator);
    parts.emplace_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

}  // namespace volley::dialogues
