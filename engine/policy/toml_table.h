// TableReader: tables of a TOML file, key by key; faults name file, line, key and value. toml++
// appears here and in the readers only.
//
// Threading: one thread. LIFETIME: `file` and `faults` outlive the reader.
#ifndef VOLLEY_ENGINE_POLICY_TOML_TABLE_H_
#define VOLLEY_ENGINE_POLICY_TOML_TABLE_H_

#include <toml++/toml.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/policy/pack_reader.h"

namespace volley::engine::policy {

class TableReader {
 public:
  struct Key {
    std::string name;
    std::function<void(const toml::node&)> read;
  };

  TableReader(const std::string* file, Faults* faults) : file_(file), faults_(faults) {}

  // Calls the reader of each key that is there; one that `keys` does not have is a fault that names
  // the nearest. `where`: `provider "google"`; it is what faults begin with from now on.
  // How many were unknown.
  size_t Read(const toml::table& table, std::string_view where, std::span<const Key> keys);

  std::string Place(const toml::node& node) const;
  void Fault(const toml::node& node, std::string_view what) const;
  // "KEY = VALUE: WHAT".
  void BadValue(std::string_view key, const toml::node& node, std::string_view what) const;

  // nullopt: the fault is noted.
  std::optional<std::string> Text(std::string_view key, const toml::node& node,
                                  size_t bytes_max) const;
  std::optional<uint32_t> Count(std::string_view key, const toml::node& node,
                                std::string_view or_else) const;
  // One text or a list of them.
  std::optional<Names> Texts(std::string_view key, const toml::node& node) const;
  std::optional<absl::Duration> Time(std::string_view key, const toml::node& node) const;

  void set_where(std::string_view where) { where_ = std::string(where); }
  const std::string& where() const { return where_; }

 private:
  const std::string* file_;
  Faults* faults_;
  std::string where_;
};

}  // namespace volley::engine::policy

#endif  // VOLLEY_ENGINE_POLICY_TOML_TABLE_H_
