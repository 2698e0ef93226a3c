#include "pipeline/source/address_column.h"

#include <fmt/format.h>

#include <optional>
#include <vector>

#include "engine/message/address.h"
#include "engine/message/utf8.h"
#include "pipeline/source/text.h"

namespace volley::pipeline {
namespace {

using engine::message::FieldKind;
using engine::message::FieldView;

// Names without spaces, hyphens, underscores and dots, in lower case; the lower rank wins.
struct KnownName {
  std::string_view name;
  int rank;
  bool sure;  // else it may also be a street, so the first row must hold an address there
};
constexpr KnownName kKnownNames[] = {
    {"email", 0, true},
    {"emailaddress", 0, true},
    {"mailaddress", 1, true},
    {"mail", 1, true},
    {"recipientemail", 1, true},
    {"emailaddr", 1, true},
    {"recipientaddress", 1, true},
    {"toaddress", 1, true},
    {"toemail", 1, true},
    {"mailbox", 1, true},
    {"recipient", 2, false},
    {"to", 2, false},
    {"address", 3, false},
    {"addr", 3, false},
};

std::string Simplified(std::string_view name) {
  std::string lower;
  AsciiLower(name, &lower);
  std::erase_if(lower, [](char c) { return c == ' ' || c == '-' || c == '_' || c == '.'; });
  return lower;
}

const KnownName* FindKnown(std::string_view column) {
  const std::string name = Simplified(column);
  for (const KnownName& known : kKnownNames) {
    if (known.name == name) return &known;
  }
  return nullptr;
}

absl::Status Undecided(std::string_view why, std::span<const std::string> columns) {
  return absl::InvalidArgumentError(
      fmt::format("{}; name it with --address-column. Columns: {}", why, QuotedList(columns)));
}

absl::StatusOr<size_t> FindNamed(std::span<const std::string> columns, std::string_view named) {
  std::string wanted;
  AsciiLower(named, &wanted);
  std::vector<size_t> fits;
  for (size_t i = 0; i < columns.size(); ++i) {
    if (columns[i] == named) return i;
    std::string lower;
    AsciiLower(columns[i], &lower);
    if (lower == wanted) fits.push_back(i);
  }
  if (fits.size() == 1) return fits[0];
  return absl::InvalidArgumentError(
      fmt::format("there is no column {} (--address-column). "
                  "Columns: {}",
                  engine::message::Quoted(named), QuotedList(columns)));
}

bool HoldsAddress(std::span<const FieldView> row, size_t column) {
  return column < row.size() && row[column].kind == FieldKind::kText &&
         IsAddress(row[column].bytes);
}

// The columns of the best rank by name.
std::vector<size_t> BestNames(std::span<const std::string> columns,
                              std::span<const FieldView> first_row) {
  std::vector<size_t> best;
  std::optional<int> rank;
  for (size_t i = 0; i < columns.size(); ++i) {
    const KnownName* known = FindKnown(columns[i]);
    if (known == nullptr) continue;
    if (!known->sure && !first_row.empty() && !HoldsAddress(first_row, i)) continue;
    if (rank && known->rank > *rank) continue;
    if (!rank || known->rank < *rank) best.clear();
    rank = known->rank;
    best.push_back(i);
  }
  return best;
}

}  // namespace

bool IsAddress(std::string_view text) {
  // Cheap way out for what most columns hold.
  if (text.find('@') == std::string_view::npos) return false;
  std::string canonical;
  return engine::message::AppendCanonicalAddress(text, {}, &canonical).ok();
}

absl::StatusOr<size_t> FindAddressColumn(std::span<const std::string> columns,
                                         std::string_view named,
                                         std::span<const FieldView> first_row) {
  if (!named.empty()) return FindNamed(columns, named);
  const std::vector<size_t> by_name = BestNames(columns, first_row);
  if (by_name.size() == 1) return by_name[0];
  if (by_name.size() > 1) {
    return Undecided(fmt::format("{} and {} may both be the column of addresses",
                                 engine::message::Quoted(columns[by_name[0]]),
                                 engine::message::Quoted(columns[by_name[1]])),
                     columns);
  }
  std::vector<size_t> by_value;
  for (size_t i = 0; i < columns.size(); ++i) {
    if (HoldsAddress(first_row, i)) by_value.push_back(i);
  }
  if (by_value.size() == 1) return by_value[0];
  return Undecided(by_value.empty() ? "no column of addresses was found"
                                    : "more than one column holds an address",
                   columns);
}

absl::Status CheckHeaderIsNames(std::span<const std::string> columns) {
  std::string names;
  std::optional<size_t> address;
  for (size_t i = 0; i < columns.size(); ++i) {
    const bool is_address = IsAddress(columns[i]);
    if (is_address && !address) address = i;
    names += i == 0 ? "" : ",";
    names += is_address && address == i ? std::string("email") : fmt::format("field{}", i + 1);
  }
  if (!address) return absl::OkStatus();
  return absl::InvalidArgumentError(
      fmt::format("the first line holds an address ({}), not the names of the columns. Add a line "
                  "above it, for "
                  "example: {}",
                  engine::message::Quoted(columns[*address]), names));
}

}  // namespace volley::pipeline
