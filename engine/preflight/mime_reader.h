// What a receiver's program makes of a finished message: header text without folding and encoded
// words, and the text of its body's parts. Enough to judge our own messages, not a mail reader:
// UTF-8 is taken for granted.
//
// Threading: functions without state. Bounds: parts are nested at most 8 deep and at most 100;
// what is malformed is taken as it stands.
#ifndef VOLLEY_ENGINE_PREFLIGHT_MIME_READER_H_
#define VOLLEY_ENGINE_PREFLIGHT_MIME_READER_H_

#include <string>
#include <string_view>

namespace volley::engine::preflight {

// RFC 5322 §2.2.3: without the CRLFs of folding, and without white space around it.
std::string Unfold(std::string_view value);

// RFC 2047: encoded words in UTF-8 or ASCII decoded, those of other charsets left as they are.
std::string DecodeWords(std::string_view value);

// The body texts of a message, decoded (RFC 2045 §6), those of several parts one after another.
struct BodyTexts {
  std::string plain, html;
};
// `message`: header and body. Attachments are left out.
BodyTexts ReadBodyTexts(std::string_view message);

}  // namespace volley::engine::preflight

#endif  // VOLLEY_ENGINE_PREFLIGHT_MIME_READER_H_
