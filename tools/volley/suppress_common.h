// What the subcommands of `volley suppress` have in common: flags, addresses from the command line
// or a file, entries as people and programs read them.
#ifndef VOLLEY_TOOLS_VOLLEY_SUPPRESS_COMMON_H_
#define VOLLEY_TOOLS_VOLLEY_SUPPRESS_COMMON_H_

#include <CLI/CLI.hpp>
#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "pipeline/store/suppression.h"
#include "pipeline/store/suppression_query.h"

namespace volley::tools {

struct SuppressFlags {
  std::string state_dir = "volley-state";
  std::optional<std::string> list;
  bool json = false;
};
void AddSuppressFlags(CLI::App* command, SuppressFlags* flags, const char* list, const char* json);
// Lists are kept in lower case.
std::string ListOf(const std::optional<std::string>& list);

// Addresses as arguments, and one a line in --file ("-": standard input).
struct AddressFlags {
  std::vector<std::string> addresses;
  std::string file;
};
void AddAddressFlags(CLI::App* command, AddressFlags* flags);
// Calls `take` with each and where it stands ("line 17 of people.txt"; empty: an argument). Errors:
// no address at all, the file cannot be read, what `take` gives.
absl::Status EachAddress(
    const AddressFlags& flags,
    const std::function<absl::Status(std::string_view address, const std::string& place)>& take);

// "error: MESSAGE" on standard error; 2.
int SuppressError(const absl::Status& status);
std::string Words(const absl::Status& status);
// Who runs this: also behind sudo.
std::string UserName();

std::string ShownList(std::string_view list);  // "all lists", "list news.example.org"
std::string ShownTime(absl::Time time);        // "2026-11-24 03:45 UTC"
// "unsubscribe, from news.example.org, 2026-11-24 03:45 UTC, by one-click, campaign november"
std::string Described(const pipeline::Suppression& entry);
nlohmann::ordered_json EntryJson(const pipeline::Suppression& entry);
// Never throws: what is not UTF-8 is replaced.
std::string Dump(const nlohmann::ordered_json& object);

// suppress_transfer.cc
void AddSuppressImport(CLI::App* suppress, int* exit_code);
void AddSuppressExport(CLI::App* suppress, int* exit_code);

}  // namespace volley::tools

#endif  // VOLLEY_TOOLS_VOLLEY_SUPPRESS_COMMON_H_
