// The reply rules of a provider, from TOML: read, checked and compiled.
//
// Threading: one thread.
#ifndef VOLLEY_ENGINE_POLICY_REPLY_READER_H_
#define VOLLEY_ENGINE_POLICY_REPLY_READER_H_

#include <toml++/toml.h>

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "engine/policy/provider.h"
#include "engine/policy/toml_table.h"

namespace volley::engine::policy {

struct ReplyContext {
  std::string provider;
  bool own = false;
  // Of a source's name in the file; nullptr: there is none, the fault is noted.
  std::function<const Source*(const toml::node&)> find_source;
  const Source* own_source = nullptr;
};

// nullopt: the faults are noted.
std::optional<ReplyRule> ReadReplyRule(const toml::table& table, const ReplyContext& context,
                                       TableReader* reader);

}  // namespace volley::engine::policy

#endif  // VOLLEY_ENGINE_POLICY_REPLY_READER_H_
