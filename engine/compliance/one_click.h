// What a POST to the unsubscribe URL asks for. The mailbox provider's one-click sends
// List-Unsubscribe=One-Click (RFC 8058 §3.1), as application/x-www-form-urlencoded or as
// multipart/form-data (RFC 7578): §3.2 leaves the choice to it. The confirmation page sends a field
// of its own, so that the two can be told apart.
//
// Threading: functions without state. Bounds: kFormBytesMax, kFormFieldsMax. Errors: what cannot be
// read asks for nothing.
#ifndef VOLLEY_ENGINE_COMPLIANCE_ONE_CLICK_H_
#define VOLLEY_ENGINE_COMPLIANCE_ONE_CLICK_H_

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace volley::engine::compliance {

inline constexpr size_t kFormBytesMax = 8 * 1024;
inline constexpr size_t kFormFieldsMax = 32;

// The hidden field of the confirmation page.
inline constexpr std::string_view kPageField = "confirm";
inline constexpr std::string_view kPageValue = "unsubscribe";

enum class UnsubscribeRequest : uint8_t { kNone, kOneClick, kPage };

// `content_type` as the header has it; without one the body is taken as urlencoded. Names and
// values are compared without regard to case. kNone also for a body over kFormBytesMax.
UnsubscribeRequest ReadUnsubscribeForm(std::string_view content_type, std::string_view body);

}  // namespace volley::engine::compliance

#endif  // VOLLEY_ENGINE_COMPLIANCE_ONE_CLICK_H_
