// Own provider files: whatever is taken holds what the header promises, and what is refused says
// where. After a line "--" come lines to look up as hosts and to match as replies.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "engine/policy/provider_pack.h"

namespace {

using namespace volley::engine;
using volley::engine::policy::ProviderPack;

void Require(bool condition) {
  if (!condition) std::abort();
}

void LookUp(const ProviderPack& pack, std::string_view line) {
  for (const policy::Provider* p : {pack.ByMx(line), pack.ByDomain(line), pack.ByRelay(line)}) {
    Require(p != nullptr && pack.ByName(p->name) == p);
    std::string reply(line);
    const policy::ReplyRule* rule = ProviderPack::Match(*p, bounce::ParseReply(&reply));
    Require(rule == nullptr || (rule->source != nullptr && !rule->name.empty()));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const size_t end = text.find("\n--\n");
  const auto pack = ProviderPack::WithOwnFile({.name = "own.toml", .text = text.substr(0, end)});
  if (!pack.ok()) {
    // One line a fault, each with its place; nothing of the file can add one.
    const std::string message(pack.status().message());
    std::string_view rest = message;
    for (size_t lines = 0; !rest.empty(); ++lines) {
      const std::string_view line = rest.substr(0, rest.find('\n'));
      Require(line.starts_with("own.toml:") || line.starts_with("and "));
      Require(lines <= ProviderPack::kErrorsMax);
      rest.remove_prefix(std::min(rest.size(), line.size() + 1));
    }
    return 0;
  }
  for (const policy::Provider& p : (*pack)->providers()) {
    Require(!p.connections.value || *p.connections.value >= 1);
    Require(!p.messages_per_connection.value || *p.messages_per_connection.value >= 1);
    Require(!p.rate.value || p.rate.value->count >= 1);
    Require(!p.retry.value || p.retry.value->first <= p.retry.value->longest);
    if (p.mx_suffixes.value) {
      for (const std::string& suffix : *p.mx_suffixes.value) Require((*pack)->ByMx(suffix) == &p);
    }
    if (p.domains.value) {
      for (const std::string& domain : *p.domains.value) Require((*pack)->ByDomain(domain) == &p);
    }
  }
  std::string_view rest = end == text.npos ? "" : text.substr(end + 4);
  for (int lines = 0; !rest.empty() && lines < 20; ++lines) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    LookUp(**pack, line);
    rest.remove_prefix(std::min(rest.size(), line.size() + 1));
  }
  return 0;
}
