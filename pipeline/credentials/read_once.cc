#include "pipeline/credentials/read_once.h"

#include <stdlib.h>
#include <unistd.h>

#include <cstring>
#include <mutex>
#include <string_view>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "engine/base/secret.h"
#include "openssl/crypto.h"
#include "pipeline/credentials/secret_reader.h"

namespace volley::pipeline {
namespace {

using engine::Secret;

struct Kept {
  std::mutex mutex;
  absl::flat_hash_map<std::string, Secret> variables;
  absl::flat_hash_map<std::string, Secret> pipes;
};

Kept& TheKept() {
  static auto* kept = new Kept;  // never destroyed: keepers in static objects may outlive it
  return *kept;
}

// unsetenv() only takes the pointer out of the table: the bytes stay where the kernel put them, and
// where /proc/PID/environ and a core dump show them. A name may stand in the block twice.
void WipeVariable(const std::string& variable) {
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    if (text.size() <= variable.size() || text[variable.size()] != '=') continue;
    if (text.substr(0, variable.size()) != variable) continue;
    OPENSSL_cleanse(*entry + variable.size() + 1, text.size() - variable.size() - 1);
  }
  unsetenv(variable.c_str());
}

}  // namespace

absl::StatusOr<Secret> TakeFromEnvironment(const std::string& variable) {
  Kept& kept = TheKept();
  const std::lock_guard lock(kept.mutex);
  if (const char* value = getenv(variable.c_str())) {
    const std::string_view bytes(value);
    const bool fits = bytes.size() <= kSourceBytesMax;
    if (fits) kept.variables.insert_or_assign(variable, Secret::Concat({bytes}));
    WipeVariable(variable);
    if (!fits) return absl::InvalidArgumentError("is too long for a secret");
  }
  const auto it = kept.variables.find(variable);
  if (it == kept.variables.end()) return absl::NotFoundError("is not set: export it first");
  return it->second.Clone();
}

std::optional<Secret> RecallPipe(const std::string& identity) {
  Kept& kept = TheKept();
  const std::lock_guard lock(kept.mutex);
  const auto it = kept.pipes.find(identity);
  if (it == kept.pipes.end()) return std::nullopt;
  return it->second.Clone();
}

void RememberPipe(const std::string& identity, const Secret& bytes) {
  Kept& kept = TheKept();
  const std::lock_guard lock(kept.mutex);
  kept.pipes.insert_or_assign(identity, bytes.Clone());
}

}  // namespace volley::pipeline
