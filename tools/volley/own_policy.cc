#include "tools/volley/own_policy.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <utility>

#include "engine/message/utf8.h"
#include "pipeline/campaign/material.h"

namespace volley::tools {
namespace {

using engine::bounce::Classifier;
using engine::bounce::ReplyFacts;
using engine::policy::ProviderPack;

constexpr uint64_t kRuleFileBytesMax = 4 << 20;
constexpr const char* kKeptProviders = "providers.toml";
constexpr const char* kKeptRules = "bounce-rules.toml";

absl::StatusOr<std::string> ReadProviderFile(const std::string& path) {
  return pipeline::ReadSmallFile(path, "provider file", ProviderPack::kFileBytesMax);
}

absl::StatusOr<std::string> ReadRuleFile(const std::string& path) {
  return pipeline::ReadSmallFile(path, "rule file", kRuleFileBytesMax);
}

absl::StatusOr<std::shared_ptr<const ProviderPack>> ParseProviders(const std::string& path,
                                                                   const std::string& text) {
  return ProviderPack::WithOwnFile({.name = PackFileName(path), .text = text});
}

// A rule that never decides what it was written for is a mistake: a rule before it does.
absl::Status CheckExamples(const Classifier& classifier) {
  for (const Classifier::Example& example : classifier.Examples()) {
    if (example.place.starts_with(Classifier::kBuiltInName)) continue;
    std::string reply = example.reply;
    ReplyFacts facts = engine::bounce::ParseReply(&reply);
    facts.provider = example.provider;
    facts.stage = example.stage;
    const auto found = classifier.Classify(facts);
    if (found.rule == example.rule) continue;
    return absl::InvalidArgumentError(
        fmt::format("{}: rule \"{}\": its example {} is decided by {}; change its text or its "
                    "conditions, put it "
                    "before that rule, or mend the example",
                    example.place, example.rule, engine::message::Quoted(example.reply),
                    engine::message::Quoted(found.rule)));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<const Classifier>> ParseRules(const std::string& path,
                                                             const std::string& text) {
  auto classifier = Classifier::WithOwnRules({path, text});
  if (!classifier.ok()) return classifier.status();
  if (absl::Status s = CheckExamples(*classifier); !s.ok()) return s;
  return std::make_shared<const Classifier>(*std::move(classifier));
}

// At once: a kill leaves the old file or the new one, and it whole.
absl::Status ReplaceFile(const std::string& path, std::string_view bytes) {
  const std::string fresh = path + ".new";
  if (absl::Status s = pipeline::WriteSmallFile(fresh, bytes); !s.ok()) return s;
  if (std::rename(fresh.c_str(), path.c_str()) == 0) return absl::OkStatus();
  return absl::InternalError(fmt::format("cannot write {}: {}", path, std::strerror(errno)));
}

// Of a begun campaign; empty: it was begun without.
std::string KeptPath(const std::string& folder, bool begun, const char* name) {
  std::error_code ec;
  std::string path = fmt::format("{}/{}", folder, name);
  return begun && std::filesystem::exists(path, ec) ? path : std::string();
}

}  // namespace

std::string PackFileName(const std::string& path) {
  return path == ProviderPack::BuiltInFile().name ? "./" + path : path;
}

absl::StatusOr<std::shared_ptr<const ProviderPack>> LoadProviders(const std::string& path) {
  if (path.empty()) return ProviderPack::BuiltIn();
  const auto text = ReadProviderFile(path);
  if (!text.ok()) return text.status();
  return ParseProviders(path, *text);
}

absl::StatusOr<std::shared_ptr<const Classifier>> LoadRules(const std::string& path) {
  if (path.empty()) return nullptr;
  const auto text = ReadRuleFile(path);
  if (!text.ok()) return text.status();
  return ParseRules(path, *text);
}

absl::StatusOr<OwnPolicy> ReadOwnPolicy(const pipeline::PolicyDefinition& files) {
  OwnPolicy policy{.providers = ProviderPack::BuiltIn(),
                   .rules = nullptr,
                   .providers_text = std::nullopt,
                   .rules_text = std::nullopt};
  if (!files.providers_path.empty()) {
    auto text = ReadProviderFile(files.providers_path);
    if (!text.ok()) return text.status();
    auto providers = ParseProviders(files.providers_path, *text);
    if (!providers.ok()) return providers.status();
    policy.providers_text = *std::move(text);
    policy.providers = *std::move(providers);
  }
  if (!files.rules_path.empty()) {
    auto text = ReadRuleFile(files.rules_path);
    if (!text.ok()) return text.status();
    auto rules = ParseRules(files.rules_path, *text);
    if (!rules.ok()) return rules.status();
    policy.rules_text = *std::move(text);
    policy.rules = *std::move(rules);
  }
  return policy;
}

absl::Status TakeKeptPolicy(const std::string& folder, bool begun, OwnPolicy* policy) {
  if (!policy->providers_text) {
    auto providers = LoadProviders(KeptPath(folder, begun, kKeptProviders));
    if (!providers.ok()) return providers.status();
    policy->providers = *std::move(providers);
  }
  if (!policy->rules_text) {
    auto rules = LoadRules(KeptPath(folder, begun, kKeptRules));
    if (!rules.ok()) return rules.status();
    policy->rules = *std::move(rules);
  }
  return absl::OkStatus();
}

absl::Status KeepOwnPolicy(const std::string& folder, bool begun, OwnPolicy* policy) {
  if (absl::Status s = TakeKeptPolicy(folder, begun, policy); !s.ok()) return s;
  const auto keep = [&](const char* name, const std::optional<std::string>& text) {
    return text ? ReplaceFile(fmt::format("{}/{}", folder, name), *text) : absl::OkStatus();
  };
  if (absl::Status s = keep(kKeptProviders, policy->providers_text); !s.ok()) return s;
  return keep(kKeptRules, policy->rules_text);
}

}  // namespace volley::tools
