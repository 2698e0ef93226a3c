// ProviderPack: who receives mail where, and what each allows: providers.toml as volley brings it,
// the user's own file laid over it.
//
// An own file changes what it names and leaves the rest: a key of a provider replaces that key
// ("none" takes a limit away), a reply rule replaces the one of the same name, rules of other names
// go before the built-in ones, a new name is a new provider. docs/providers.md has the form.
//
// A value that a provider does not have is that of its base: "default", which is everybody nobody
// has described, or for relays "default-relay". Both are providers like the others.
//
// Threading: immutable, any number of threads; lookups take no lock and allocate nothing.
// LIFETIME: providers, rules and sources live as long as the pack; whoever keeps a pointer keeps
// the shared_ptr. Errors: InvalidArgument with all faults found, one a line, each "FILE:LINE: ..."
// with key, value and what is allowed. Bounds: see the constants.
#ifndef VOLLEY_ENGINE_POLICY_PROVIDER_PACK_H_
#define VOLLEY_ENGINE_POLICY_PROVIDER_PACK_H_

#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "engine/policy/provider.h"

namespace volley::engine::policy {

struct PackFile {
  std::string name;  // in errors
  std::string_view text;
};

class ProviderPack {
 public:
  static constexpr size_t kFileBytesMax = 1 << 20;
  static constexpr size_t kProvidersMax = 10'000;
  static constexpr size_t kNamesMax = 10'000;        // of one list
  static constexpr size_t kRepliesMax = 200;         // of one provider
  static constexpr size_t kPatternBytesMax = 1'000;  // of one rule
  static constexpr size_t kErrorsMax = 20;           // told at once
  static constexpr uint32_t kConnectionsMax = 1'000'000;
  static constexpr int64_t kFormat = 1;  // `version` of the files

  // The first file is the pack: every value in it has a source, every suffix an example, every rule
  // an example. The others are laid over it, in order; there a value without a source is the user's
  // own.
  static absl::StatusOr<std::shared_ptr<const ProviderPack>> Parse(std::span<const PackFile> files);
  // What volley brings.
  static PackFile BuiltInFile();
  static std::shared_ptr<const ProviderPack> BuiltIn();
  static absl::StatusOr<std::shared_ptr<const ProviderPack>> WithOwnFile(const PackFile& own);

  ProviderPack(const ProviderPack&) = delete;
  ProviderPack& operator=(const ProviderPack&) = delete;

  // Never nullptr: `fallback()`, or for ByRelay `relay_fallback()`. Names in any case, with or
  // without a dot at the end, other scripts as A-labels. One hash look-up a label.
  const Provider* ByMx(std::string_view host) const;        // the longest suffix
  const Provider* ByDomain(std::string_view domain) const;  // of a recipient
  const Provider* ByRelay(std::string_view host) const;
  // nullptr: there is none.
  const Provider* ByName(std::string_view name) const;

  // The first rule that matches, the provider's own before its base's; nullptr: none does. Only
  // refusals (4xx, 5xx) match. REQUIRES: the provider is of this pack.
  static const ReplyRule* Match(const Provider& provider, const bounce::ReplyFacts& reply);

  const std::deque<Provider>& providers() const { return providers_; }
  const std::deque<Source>& sources() const { return sources_; }
  const Provider& fallback() const { return *fallback_; }
  const Provider& relay_fallback() const { return *relay_fallback_; }
  // When the built-in file was made, "2026-11-24": its version for people and records.
  std::string_view released() const { return released_; }

 private:
  friend class PackBuilder;
  ProviderPack() = default;

  using Index = absl::flat_hash_map<std::string, const Provider*>;

  std::deque<Source> sources_;
  std::deque<Provider> providers_;  // a deque: pointers into it stay while it grows
  std::string released_;
  const Provider* fallback_ = nullptr;
  const Provider* relay_fallback_ = nullptr;
  Index by_mx_, by_domain_, by_relay_, by_name_;
};

}  // namespace volley::engine::policy

#endif  // VOLLEY_ENGINE_POLICY_PROVIDER_PACK_H_
