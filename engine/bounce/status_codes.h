// What a refusal means by its numbers alone, where its words say nothing.
//
// Threading: pure functions.
#ifndef VOLLEY_ENGINE_BOUNCE_STATUS_CODES_H_
#define VOLLEY_ENGINE_BOUNCE_STATUS_CODES_H_

#include <cstdint>
#include <optional>
#include <string_view>

#include "engine/bounce/category.h"
#include "engine/bounce/classify.h"

namespace volley::engine::bounce {

// By subject and detail of an enhanced code ("5.1.1"; RFC 3463 and IANA's registry). nullopt: it is
// none, or one that says nothing (x.0.0).
std::optional<Category> CategoryOfEnhanced(std::string_view code);

// By the code and what it answered (RFC 5321 §4.2.3). 0: there was no reply.
Category CategoryOfCode(uint16_t code, Stage stage);

}  // namespace volley::engine::bounce

#endif  // VOLLEY_ENGINE_BOUNCE_STATUS_CODES_H_
