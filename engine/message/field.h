// One value of a recipient's row, as the importer hands it over.
#ifndef VOLLEY_ENGINE_MESSAGE_FIELD_H_
#define VOLLEY_ENGINE_MESSAGE_FIELD_H_

#include <cstdint>
#include <string_view>

namespace volley::engine::message {

// kJson: an array or object in JSON text (from a JSON Lines list), for Mustache sections and dotted
// names; numbers and true come as kText with their JSON spelling, null as kMissing, JSON false as
// kFalse (renders "false", its section does not).
enum class FieldKind : uint8_t { kText, kJson, kFalse, kMissing };
struct FieldView {
  std::string_view bytes;
  FieldKind kind = FieldKind::kText;
};

}  // namespace volley::engine::message

#endif  // VOLLEY_ENGINE_MESSAGE_FIELD_H_
