// JsonView: a JSON value read where it lies, for Mustache sections over a recipient's lists and
// objects. There is no tree: a view is a piece of text that IsJson has passed, and its parts are
// found by walking it. Nothing is allocated; a lookup is linear in the object, which suits values
// that a message shows to a person.
//
// Threading: pure. LIFETIME: views point into the text. Source: RFC 8259.
#ifndef VOLLEY_ENGINE_MESSAGE_JSON_VIEW_H_
#define VOLLEY_ENGINE_MESSAGE_JSON_VIEW_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace volley::engine::message {

inline constexpr size_t kMaxJsonDepth = 32;

// True when all of `text` is one JSON value, nested at most kMaxJsonDepth deep and without lone
// surrogates. Bytes over 127 in strings are not looked at: who shows a string checks it.
bool IsJson(std::string_view text);

enum class JsonType : uint8_t { kNull, kFalse, kTrue, kNumber, kString, kArray, kObject };

class JsonView {
 public:
  // REQUIRES: IsJson(text).
  explicit JsonView(std::string_view text);

  JsonType type() const;
  // The value's own text, as spelled: `12.50`, `"caf\u00e9"`, `[1, 2]`.
  std::string_view text() const { return text_; }

  // REQUIRES: kString. Between the quotes; `escaped` says whether DecodeString would change it.
  std::string_view raw_string() const { return text_.substr(1, text_.size() - 2); }
  bool escaped() const { return raw_string().find('\\') != std::string_view::npos; }

  // REQUIRES: kObject. The first member of that name.
  std::optional<JsonView> Member(std::string_view name) const;

  // Elements of an array in order. REQUIRES: kArray.
  class Elements {
   public:
    explicit Elements(const JsonView& array);
    std::optional<JsonView> Next();

   private:
    std::string_view text_;
    size_t at_;
  };

 private:
  friend class Elements;
  std::string_view text_;  // without white space around it
};

// Appends what raw_string() stands for, as UTF-8. REQUIRES: raw is a raw_string().
void AppendDecodedString(std::string_view raw, std::string* out);

}  // namespace volley::engine::message

#endif  // VOLLEY_ENGINE_MESSAGE_JSON_VIEW_H_
