#include "tools/volley/bounce.h"

#include <fmt/format.h>

#include <charconv>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "engine/bounce/classify.h"
#include "tools/volley/campaign_flags.h"
#include "tools/volley/own_policy.h"
#include "tools/volley/providers_output.h"

namespace volley::tools {
namespace {

using engine::bounce::CategoryInfo;
using engine::bounce::Classification;
using engine::bounce::Classifier;
using engine::bounce::ReplyFacts;
using engine::bounce::Stage;

constexpr size_t kLineBytesMax = 1 << 20;

constexpr const char* kFooter = R"(Examples:
  volley bounce reply '550 5.1.1 <ann@example.com>: Recipient address rejected: User unknown'
  volley bounce reply --provider outlook --stage rcpt '550 5.4.1 Access denied' --json
  volley bounce reply --rules ours.toml '554 refused by our rule'
  volley bounce reply --jsonl < replies.jsonl

A line of --jsonl has the keys id, provider, stage, code, enhanced and text; what is not known is left
out or "-". The answer has id, category, severity, scope, action and rule.

Exit code: 0, 1 when a line could not be read, 2 when the command or the rule file is wrong.)";

struct BounceFlags {
  std::string reply, provider, stage, rules, providers;
  bool json = false, jsonl = false;
};

nlohmann::ordered_json ToJson(const Classification& c) {
  const CategoryInfo& info = engine::bounce::InfoOf(c.category);
  return {{"category", info.name},
          {"severity", SeverityName(info.severity)},
          {"scope", ScopeName(info.scope)},
          {"action", ActionName(info.action)},
          {"rule", c.rule}};
}

std::string Dump(const nlohmann::ordered_json& json) {
  return json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

absl::StatusOr<Stage> ReadStage(const std::string& name) {
  if (name.empty() || name == "-") return Stage::kUnknown;
  if (const auto stage = engine::bounce::StageByName(name)) return *stage;
  return absl::InvalidArgumentError(
      fmt::format("there is no stage \"{}\"; there are connect, ehlo, starttls, auth, mail, rcpt, "
                  "data and body",
                  name));
}

// A name that no provider has would quietly be nobody's: rules for it would not match.
absl::Status CheckProvider(const BounceFlags& flags) {
  if (flags.providers.empty()) return absl::OkStatus();
  const auto pack = LoadProviders(flags.providers);
  if (!pack.ok()) return pack.status();
  if (flags.provider.empty() || (*pack)->ByName(flags.provider) != nullptr) return absl::OkStatus();
  return NoProvider(**pack, flags.provider);
}

void Print(const Classification& c) {
  const CategoryInfo& info = engine::bounce::InfoOf(c.category);
  fmt::print("{} ({}, about the {})\n", info.name, SeverityName(info.severity),
             info.scope == engine::bounce::Scope::kNone ? "reply" : ScopeName(info.scope));
  fmt::print("  by rule {}\n  {}\n", c.rule, ActionWords(info.action));
  if (c.retry_after) {
    fmt::print("  it asks to wait {}\n", absl::FormatDuration(*c.retry_after));
  }
  if (!info.powermta.empty()) {
    fmt::print("  elsewhere: PowerMTA {}, SparkPost {}\n", info.powermta, info.sparkpost);
  }
}

int OneReply(const Classifier& classifier, const BounceFlags& flags) {
  const auto stage = ReadStage(flags.stage);
  if (!stage.ok()) return ReportError(stage.status());
  std::string reply = flags.reply;
  ReplyFacts facts = engine::bounce::ParseReply(&reply);
  facts.provider = flags.provider;
  facts.stage = *stage;
  const Classification c = classifier.Classify(facts);
  if (flags.json) {
    fmt::print("{}\n", Dump(ToJson(c)));
  } else {
    Print(c);
  }
  return 0;
}

// A line's values; what is absent or "-" is empty.
struct Line {
  nlohmann::json id;
  std::string provider, stage, enhanced, text;
  uint16_t code = 0;
};

absl::StatusOr<std::string> TextOf(const nlohmann::json& object, const char* key) {
  const auto at = object.find(key);
  if (at == object.end() || at->is_null() || *at == "-") return std::string();
  if (at->is_string()) return at->get<std::string>();
  if (at->is_number_unsigned()) return std::to_string(at->get<uint64_t>());
  return absl::InvalidArgumentError(fmt::format("\"{}\" is no text", key));
}

absl::Status ReadLine(const nlohmann::json& object, Line* line) {
  if (!object.is_object()) return absl::InvalidArgumentError("not a JSON object");
  if (const auto id = object.find("id"); id != object.end()) line->id = *id;
  const std::pair<const char*, std::string*> texts[] = {{"provider", &line->provider},
                                                        {"stage", &line->stage},
                                                        {"enhanced", &line->enhanced},
                                                        {"text", &line->text}};
  for (const auto& [key, to] : texts) {
    auto text = TextOf(object, key);
    if (!text.ok()) return text.status();
    *to = *std::move(text);
  }
  const auto code = TextOf(object, "code");
  if (!code.ok()) return code.status();
  if (code->empty()) return absl::OkStatus();
  const char* end = code->data() + code->size();
  const auto [parsed, error] = std::from_chars(code->data(), end, line->code);
  if (error == std::errc() && parsed == end && line->code <= 599) return absl::OkStatus();
  return absl::InvalidArgumentError(fmt::format("\"code\" {} is no reply code", *code));
}

absl::StatusOr<Classification> ClassifyLine(const Classifier& classifier, const Line& line) {
  const auto stage = ReadStage(line.stage);
  if (!stage.ok()) return stage.status();
  std::string text = line.text;
  ReplyFacts facts = line.code == 0 ? engine::bounce::ParseReply(&text) : ReplyFacts{.text = text};
  facts.provider = line.provider;
  facts.stage = *stage;
  if (line.code != 0) facts.code = line.code;
  if (!line.enhanced.empty()) facts.enhanced = line.enhanced;
  return classifier.Classify(facts);
}

// Answers one line, in order. False: it could not be read.
bool AnswerLine(const Classifier& classifier, std::string_view bytes, uint64_t number) {
  Line line;
  const auto object = nlohmann::json::parse(bytes, nullptr, /*allow_exceptions=*/false);
  absl::Status status =
      object.is_discarded() ? absl::InvalidArgumentError("not JSON") : ReadLine(object, &line);
  nlohmann::ordered_json answer = {{"id", line.id}};
  if (status.ok()) {
    const auto c = ClassifyLine(classifier, line);
    status = c.status();
    if (c.ok()) answer.update(ToJson(*c));
  }
  if (!status.ok()) {
    answer["error"] = std::string(status.message());
    fmt::print(stderr, "line {}: {}\n", number, std::string(status.message()));
  }
  fmt::print("{}\n", Dump(answer));
  std::fflush(stdout);  // whoever asks line by line waits for it
  return status.ok();
}

int AllLines(const Classifier& classifier) {
  bool all_read = true;
  std::string line;
  uint64_t number = 0;
  for (int c = std::getchar();; c = std::getchar()) {
    if (c != '\n' && c != EOF) {
      // The rest of a line that is too long is dropped, and what is left of it is no JSON.
      if (line.size() < kLineBytesMax) line.push_back(static_cast<char>(c));
      continue;
    }
    if (c == '\n' || !line.empty()) ++number;
    if (line.find_first_not_of(" \t\r") != line.npos) {
      all_read = AnswerLine(classifier, line, number) && all_read;
    }
    line.clear();
    if (c == EOF) break;
  }
  return all_read ? 0 : 1;
}

int Run(const BounceFlags& flags) {
  if (flags.jsonl == !flags.reply.empty()) {
    return ReportError(absl::InvalidArgumentError(
        "give one reply, as volley bounce reply '550 5.1.1 no such user', or --jsonl for many on "
        "standard input"));
  }
  if (absl::Status s = CheckProvider(flags); !s.ok()) return ReportError(s);
  const auto own = LoadRules(flags.rules);
  if (!own.ok()) return ReportError(own.status());
  const Classifier& classifier = *own != nullptr ? **own : Classifier::BuiltIn();
  return flags.jsonl ? AllLines(classifier) : OneReply(classifier, flags);
}

}  // namespace

void AddBounceCommand(CLI::App& app, int* exit_code) {
  CLI::App* bounce = app.add_subcommand("bounce", "Say what refusals mean");
  bounce->footer("Example: volley bounce reply '550 5.1.1 no such user'");
  bounce->require_subcommand(0, 1);
  bounce->callback([bounce, exit_code] {
    if (!bounce->get_subcommands().empty()) return;
    fmt::print(stderr, "{}", bounce->help());
    *exit_code = 2;
  });
  CLI::App* reply = bounce->add_subcommand("reply", "Classify a server's reply, or many");
  reply->footer(kFooter);
  const auto flags = std::make_shared<BounceFlags>();
  reply->add_option("reply", flags->reply, "The reply with its code");
  reply->add_option("--provider", flags->provider, "Who answered: google, yahoo, outlook, ...");
  reply->add_option("--stage", flags->stage,
                    "What it answers: connect, ehlo, starttls, auth, mail, rcpt, data, body");
  reply->add_option("--rules", flags->rules, "Rules of your own (TOML); they go first");
  reply->add_option(
      "--providers", flags->providers,
      "Your provider file (TOML); --provider must then be one of its or the built-in");
  reply->add_flag("--json", flags->json, "One JSON object");
  reply->add_flag("--jsonl", flags->jsonl, "JSON lines on standard input, one answer each");
  reply->callback([flags, exit_code] { *exit_code = Run(*flags); });
}

}  // namespace volley::tools
