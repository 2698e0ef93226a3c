// RFC 2047 encoded words: "=?utf-8?Q?caf=C3=A9?=". Pure; nothing is allocated beyond `out`.
#ifndef VOLLEY_ENGINE_MESSAGE_ENCODED_WORD_H_
#define VOLLEY_ENGINE_MESSAGE_ENCODED_WORD_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace volley::engine::message {

inline constexpr size_t kMaxEncodedWordBytes = 75;  // RFC 2047 §2
inline constexpr size_t kMaxEncodedLine = 76;       // of a line that holds one
// Room for one character of any length, in either encoding.
inline constexpr size_t kMinEncodedWordBytes = 24;

enum class WordEncoding : uint8_t { kQ, kB };
// Where the word stands: a display name allows fewer plain characters in Q (RFC 2047 §5 (3)).
enum class WordContext : uint8_t { kText, kPhrase };

// The encoding that makes `text` shorter; Q when equal, as people can read it.
WordEncoding ShorterEncoding(std::string_view text, WordContext context);

// Appends one word of at most `room` bytes that holds as many whole characters from the front of
// `text` as fit, and says how many bytes of `text` they were: at least one character.
// REQUIRES: text is UTF-8 and not empty; room >= kMinEncodedWordBytes.
size_t AppendEncodedWord(std::string_view text, WordEncoding encoding, WordContext context,
                         size_t room, std::string* out);

}  // namespace volley::engine::message

#endif  // VOLLEY_ENGINE_MESSAGE_ENCODED_WORD_H_
