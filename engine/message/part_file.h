// A file in a message, an attachment or an image: its type, its name, and the headers of its part.
// RFC 2045 §5.1 (types), RFC 2183 (disposition), RFC 2231 (names beyond short ASCII). Pure.
#ifndef VOLLEY_ENGINE_MESSAGE_PART_FILE_H_
#define VOLLEY_ENGINE_MESSAGE_PART_FILE_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace volley::engine::message {

inline constexpr size_t kMaxFileNameBytes = 255;
inline constexpr size_t kMaxContentTypeBytes = 200;

struct PartFile {
  std::string name;          // what the recipient sees; UTF-8, no path
  std::string content_type;  // "image/png"; empty: from the name's ending
  std::string bytes;
};

// LIFETIME: what it points at outlives the call it is given to.
struct PartFileView {
  std::string_view name, content_type, bytes;
};
inline PartFileView ViewOf(const PartFile& file) {
  return {file.name, file.content_type, file.bytes};
}

// "image/png" for "logo.png"; "application/octet-stream" for an ending that is not known. Types of
// text get no charset here.
std::string_view ContentTypeFor(std::string_view name);

// InvalidArgument, without the file's name: a name that is empty, too long, not UTF-8, or has a
// path separator or control character; a type that is none, is multipart/* or message/* (RFC 2046
// §5.2.1: those may not be base64), or has a name or boundary of its own.
absl::Status CheckPartFile(const PartFileView& file);

enum class Disposition : uint8_t { kInline, kAttachment };

// Content-Type, -Transfer-Encoding (base64), -ID unless that is empty ("<1.logo.png@example.org>"),
// and -Disposition, each with its CRLF; no line over 76
// but for a type that is longer itself. REQUIRES: CheckPartFile said OK.
void AppendPartFileHeaders(const PartFileView& file, Disposition disposition,
                           std::string_view content_id, std::string* out);

}  // namespace volley::engine::message

#endif  // VOLLEY_ENGINE_MESSAGE_PART_FILE_H_
