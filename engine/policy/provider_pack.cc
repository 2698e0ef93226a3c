#include "engine/policy/provider_pack.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <iterator>
#include <utility>
#include <vector>

#include "engine/base/nearest_name.h"
#include "engine/message/utf8.h"
#include "engine/policy/pack_reader.h"
#include "engine/policy/providers_toml.h"

namespace volley::engine::policy {
namespace {

constexpr std::string_view kDefault = "default";
constexpr std::string_view kDefaultRelay = "default-relay";

absl::string_view Key(std::string_view key) { return {key.data(), key.size()}; }

const Names& NamesOf(const Setting<Names>& setting) {
  static const Names none;
  return setting.value ? *setting.value : none;
}

// The settings of two providers side by side.
template <typename P, typename Q, typename F>
void EachLimit(P& a, Q& b, F f) {
  f(a.connections, b.connections);
  f(a.messages_per_connection, b.messages_per_connection);
  f(a.recipients_per_transaction, b.recipients_per_transaction);
  f(a.rate, b.rate);
  f(a.quota, b.quota);
  f(a.tls, b.tls);
  f(a.retry, b.retry);
}

}  // namespace

class PackBuilder {
 public:
  explicit PackBuilder(std::span<const PackFile> files) : files_(files), pack_(new ProviderPack) {}

  absl::StatusOr<std::shared_ptr<const ProviderPack>> Build();

 private:
  void Lay(PackLayer layer, bool last);
  void LayOver(Provider over, Provider* under);
  void FindBases();
  void Inherit(Provider* provider);
  void IndexNames(const Provider& provider, const char* key, const Setting<Names>& names,
                  ProviderPack::Index* index);
  void CheckReachable(const Provider& provider);
  void CheckExamples(const Provider& provider);
  void CheckReplies(const Provider& provider);

  std::span<const PackFile> files_;
  std::shared_ptr<ProviderPack> pack_;
  absl::flat_hash_map<std::string, Provider*> by_name_;
  // The examples of the last file: those of ours may lead elsewhere once an own file has spoken.
  absl::flat_hash_map<const Provider*, Names> shown_;
  Faults faults_;
};

void PackBuilder::LayOver(Provider over, Provider* under) {
  under->place = std::move(over.place);
  if (!over.title.empty()) under->title = std::move(over.title);
  const auto lay = [](auto& mine, auto& theirs) {
    if (!theirs.place.empty()) mine = std::move(theirs);
  };
  EachLimit(*under, over, lay);
  lay(under->mx_suffixes, over.mx_suffixes);
  lay(under->domains, over.domains);
  lay(under->relays, over.relays);
  std::move(over.examples.begin(), over.examples.end(), std::back_inserter(under->examples));
  // The file's own rules first: they are what somebody has asked for.
  for (ReplyRule& old : under->replies) {
    const bool replaced = std::any_of(over.replies.begin(), over.replies.end(),
                                      [&](const ReplyRule& r) { return r.name == old.name; });
    if (!replaced) over.replies.push_back(std::move(old));
  }
  under->replies = std::move(over.replies);
}

void PackBuilder::Lay(PackLayer layer, bool last) {
  if (!layer.own) pack_->released_ = layer.released;
  for (Provider& provider : layer.providers) {
    const auto known = by_name_.find(provider.name);
    Provider* under = known == by_name_.end() ? nullptr : known->second;
    if (under == nullptr) {
      under = &pack_->providers_.emplace_back();
      under->name = under->title = provider.name;
      under->index = pack_->providers_.size() - 1;
      by_name_[under->name] = under;
      pack_->by_name_[under->name] = under;
    }
    if (last) shown_[under] = provider.examples;
    LayOver(std::move(provider), under);
  }
}

void PackBuilder::FindBases() {
  const auto find = [&](std::string_view name) -> Provider* {
    const auto found = by_name_.find(Key(name));
    if (found != by_name_.end()) return found->second;
    faults_.Add(files_[0].name + ":1", fmt::format("there is no provider \"{}\"", name));
    return nullptr;
  };
  Provider* fallback = find(kDefault);
  Provider* relay_fallback = find(kDefaultRelay);
  if (fallback == nullptr || relay_fallback == nullptr) return;
  pack_->fallback_ = fallback;
  pack_->relay_fallback_ = relay_fallback;
  for (Provider& provider : pack_->providers_) {
    if (&provider == fallback || &provider == relay_fallback) continue;
    provider.base = provider.is_relay() ? relay_fallback : fallback;
    Inherit(&provider);
  }
}

void PackBuilder::Inherit(Provider* provider) {
  EachLimit(*provider, *provider->base, [](auto& mine, const auto& base) {
    if (!mine.place.empty()) return;
    mine = base;
    mine.inherited = !base.place.empty();
  });
}

void PackBuilder::IndexNames(const Provider& provider, const char* key, const Setting<Names>& names,
                             ProviderPack::Index* index) {
  for (const std::string& name : NamesOf(names)) {
    const auto [entry, is_new] = index->try_emplace(name, &provider);
    if (is_new) continue;
    const Provider& other = *entry->second;
    faults_.Add(names.place,
                &other == &provider
                    ? fmt::format("provider \"{}\": {} has \"{}\" twice", provider.name, key, name)
                    : fmt::format("provider \"{}\": {}: \"{}\" is provider \"{}\"'s already; take "
                                  "it from one of them, or change that one",
                                  provider.name, key, name, other.name));
  }
}

void PackBuilder::CheckReachable(const Provider& provider) {
  const bool reachable = !NamesOf(provider.mx_suffixes).empty() ||
                         !NamesOf(provider.domains).empty() || !NamesOf(provider.relays).empty();
  const bool is_base = provider.base == nullptr;
  if (reachable != is_base) return;
  if (is_base) {
    faults_.Add(provider.place,
                fmt::format("provider \"{}\" is for everybody else; it has no mx_suffixes, "
                            "domains or relays",
                            provider.name));
    return;
  }
  std::vector<std::string> known;
  for (const Provider& p : pack_->providers_) {
    if (&p != &provider) known.push_back(p.name);
  }
  faults_.Add(provider.place,
              fmt::format("provider \"{0}\": nobody would be \"{0}\"{1}; a new provider needs "
                          "mx_suffixes, domains or relays",
                          provider.name, DidYouMean(provider.name, known)));
}

// An example that leads elsewhere shows that a list is wrong, or that another provider has a longer
// suffix.
void PackBuilder::CheckExamples(const Provider& provider) {
  const Names& examples = shown_[&provider];
  for (const std::string& example : examples) {
    const bool leads_here = pack_->ByMx(example) == &provider ||
                            pack_->ByDomain(example) == &provider ||
                            pack_->ByRelay(example) == &provider;
    if (leads_here) continue;
    faults_.Add(provider.place, fmt::format("provider \"{}\": the example {} does not lead to it",
                                            provider.name, message::Quoted(example)));
  }
  if (files_.size() > 1) return;  // an own file needs no examples
  for (const std::string& suffix : NamesOf(provider.mx_suffixes)) {
    const bool shown = std::any_of(examples.begin(), examples.end(), [&](const std::string& e) {
      const HostKey host(e);
      return host.view() == suffix || host.view().ends_with("." + suffix);
    });
    if (shown) continue;
    faults_.Add(provider.mx_suffixes.place,
                fmt::format("provider \"{}\": no example for \"{}\"", provider.name, suffix));
  }
}

// Rules that can never match have shipped elsewhere: an example shows that this one can.
void PackBuilder::CheckReplies(const Provider& provider) {
  for (auto rule = provider.replies.begin(); rule != provider.replies.end(); ++rule) {
    if (rule->example.empty()) continue;
    std::string example = rule->example;
    bounce::ReplyFacts reply = bounce::ParseReply(&example);
    if (!rule->stages.empty()) reply.stage = rule->stages.front();
    const std::string where =
        fmt::format("provider \"{}\", reply \"{}\": ", provider.name, rule->name);
    if (!rule->Matches(reply)) {
      faults_.Add(rule->place, where + "does not match its own example");
      continue;
    }
    const auto file = [](const std::string& place) { return place.substr(0, place.rfind(':')); };
    const auto earlier = std::find_if(provider.replies.begin(), rule, [&](const ReplyRule& r) {
      // A user's rule may well stand before one of ours.
      return file(r.place) == file(rule->place) && r.Matches(reply);
    });
    if (earlier == rule) continue;
    faults_.Add(rule->place,
                fmt::format("{}its example is matched by \"{}\" before it", where, earlier->name));
  }
}

absl::StatusOr<std::shared_ptr<const ProviderPack>> PackBuilder::Build() {
  for (size_t i = 0; i < files_.size(); ++i) {
    Lay(ReadPackFile(files_[i], i > 0, &pack_->sources_, &faults_), i + 1 == files_.size());
  }
  // Faults in what is put together would only repeat those of the files.
  if (!faults_.empty()) return faults_.ToStatus();
  FindBases();
  if (!faults_.empty()) return faults_.ToStatus();
  for (const Provider& provider : pack_->providers_) {
    IndexNames(provider, "mx_suffixes", provider.mx_suffixes, &pack_->by_mx_);
    IndexNames(provider, "domains", provider.domains, &pack_->by_domain_);
    IndexNames(provider, "relays", provider.relays, &pack_->by_relay_);
    CheckReachable(provider);
    CheckReplies(provider);
  }
  for (const Provider& provider : pack_->providers_) CheckExamples(provider);
  if (!faults_.empty()) return faults_.ToStatus();
  return std::shared_ptr<const ProviderPack>(std::move(pack_));
}

// --- Lookups ---

const Provider* ProviderPack::ByMx(std::string_view host) const {
  const HostKey key(host);
  std::string_view rest = key.view();
  while (!rest.empty()) {
    const auto found = by_mx_.find(Key(rest));
    if (found != by_mx_.end()) return found->second;
    const size_t dot = rest.find('.');
    rest = dot == rest.npos ? std::string_view() : rest.substr(dot + 1);
  }
  return fallback_;
}

const Provider* ProviderPack::ByDomain(std::string_view domain) const {
  const auto found = by_domain_.find(Key(HostKey(domain).view()));
  return found == by_domain_.end() ? fallback_ : found->second;
}

const Provider* ProviderPack::ByRelay(std::string_view host) const {
  const HostKey key(host);
  const std::string_view name = key.view();
  auto found = by_relay_.find(Key(name));
  if (found != by_relay_.end()) return found->second;
  // Each label but the last as "*", which is what a pack may have written there.
  std::array<char, HostKey::kBytesMax + 1> pattern;
  for (size_t begin = 0; begin < name.size();) {
    const size_t end = name.find('.', begin);
    if (end == name.npos) break;
    if (end > begin) {
      std::memcpy(pattern.data(), name.data(), begin);
      pattern[begin] = '*';
      std::memcpy(pattern.data() + begin + 1, name.data() + end, name.size() - end);
      found = by_relay_.find({pattern.data(), begin + 1 + name.size() - end});
      if (found != by_relay_.end()) return found->second;
    }
    begin = end + 1;
  }
  return relay_fallback_;
}

const Provider* ProviderPack::ByName(std::string_view name) const {
  const auto found = by_name_.find(Key(name));
  return found == by_name_.end() ? nullptr : found->second;
}

const ReplyRule* ProviderPack::Match(const Provider& provider, const bounce::ReplyFacts& reply) {
  for (const Provider* p = &provider; p != nullptr; p = p->base) {
    for (const ReplyRule& rule : p->replies) {
      if (rule.Matches(reply)) return &rule;
    }
  }
  return nullptr;
}

absl::StatusOr<std::shared_ptr<const ProviderPack>> ProviderPack::Parse(
    std::span<const PackFile> files) {
  if (files.empty()) return absl::InvalidArgumentError("no provider pack was given");
  return PackBuilder(files).Build();
}

PackFile ProviderPack::BuiltInFile() { return {.name = "providers.toml", .text = kProvidersToml}; }

std::shared_ptr<const ProviderPack> ProviderPack::BuiltIn() {
  // Ours and tested: a fault in it is a fault of the program, and value() ends it.
  static const std::shared_ptr<const ProviderPack> pack = [] {
    const PackFile file = BuiltInFile();
    return Parse({&file, 1}).value();
  }();
  return pack;
}

absl::StatusOr<std::shared_ptr<const ProviderPack>> ProviderPack::WithOwnFile(const PackFile& own) {
  const PackFile files[] = {BuiltInFile(), own};
  return Parse(files);
}

}  // namespace volley::engine::policy
