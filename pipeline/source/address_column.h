// Which column of a list holds the addresses: the one that was named, else by its name, else the
// only one with an address in the first row. Never a guess: in doubt an error lists the columns.
#ifndef VOLLEY_PIPELINE_SOURCE_ADDRESS_COLUMN_H_
#define VOLLEY_PIPELINE_SOURCE_ADDRESS_COLUMN_H_

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "engine/message/composer.h"

namespace volley::pipeline {

bool IsAddress(std::string_view text);

// `named`: --address-column, empty if not given; any case when only one column fits. `first_row`:
// empty if the list has no rows. Errors are without the list's name.
absl::StatusOr<size_t> FindAddressColumn(std::span<const std::string> columns,
                                         std::string_view named,
                                         std::span<const engine::message::FieldView> first_row);

// An error that says what to add when one of the "names" is an address: a list without header.
absl::Status CheckHeaderIsNames(std::span<const std::string> columns);

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_SOURCE_ADDRESS_COLUMN_H_
