// Command: what an SMTP server reads in a command line: the verb, paths and ESMTP parameters
// (RFC 5321 §4.1.1, §4.1.2; RFC 1870, 3030, 6152, 6531). Strict: what the grammar does not allow is
// refused, because whatever a lenient server lets through is what a sender's bug hides behind.
//
// Pure functions: no state, no allocation, any thread. Every returned view points into the given
// line. Input is one command line without its CRLF; it may hold any octets (hostile).
#ifndef VOLLEY_ENGINE_SMTP_COMMAND_H_
#define VOLLEY_ENGINE_SMTP_COMMAND_H_

#include <cstdint>
#include <optional>
#include <string_view>

#include "engine/smtp/server.h"

namespace volley::engine::smtp {

enum class Verb : uint8_t {
  kEhlo,
  kHelo,
  kLhlo,
  kMail,
  kRcpt,
  kData,
  kBdat,
  kRset,
  kNoop,
  kQuit,
  kVrfy,
  kExpn,
  kHelp,
  kKnown,  // a verb of some RFC that this server does not implement (STARTTLS, AUTH, TURN, ...)
  kUnknown,
};

struct CommandLine {
  Verb verb = Verb::kUnknown;
  // What follows the verb and its one space, trailing white space removed (RFC 5321 §4.1.1:
  // receivers SHOULD tolerate it). Empty also when there is nothing.
  std::string_view argument;
};
CommandLine SplitCommand(std::string_view line);

// Length limits without punctuation, octets (RFC 5321 §4.5.3.1.1 to .3).
inline constexpr size_t kLocalPartMax = 64;
inline constexpr size_t kDomainMax = 255;
inline constexpr size_t kPathMax = 256;  // with <> and a source route

// `Domain` of RFC 5321 §4.1.2: letter-digit-hyphen labels of 1 to 63 octets, 255 in all. With
// `allow_utf8` a label may also hold well-formed non-ASCII characters (a U-label, RFC 6531 §3.3).
bool IsDomain(std::string_view text, bool allow_utf8);
// "[1.2.3.4]", "[IPv6:...]" or a general literal "[tag:text]" (RFC 5321 §4.1.3).
bool IsAddressLiteral(std::string_view text);
// Local-part "@" (Domain / address-literal), RFC 5321 §4.1.2 as RFC 6531 §3.3 extends it.
bool IsMailbox(std::string_view text);

// A path and what came after it.
struct PathArgument {
  std::string_view mailbox;     // without <> and source route; empty: the null path
  std::string_view parameters;  // behind the path and one space; may be empty
  bool non_ascii = false;       // needs SMTPUTF8
};
// "FROM:<path> parameters" with `keyword` "FROM:", or "TO:" for RCPT. A source route is read and
// dropped (RFC 5321 §4.1.1.3, appendix C). nullopt: not of the grammar, and no space is taken
// around the colon (§3.3). The null path is allowed only with `allow_null`, <Postmaster> without a
// domain only with `allow_postmaster` (§4.1.1.3).
enum class PathError : uint8_t { kNone, kKeyword, kSyntax, kTooLong };
struct PathResult {
  PathArgument path;
  PathError error = PathError::kNone;
};
PathResult ParsePath(std::string_view argument, std::string_view keyword, bool allow_null,
                     bool allow_postmaster);

enum class ParameterError : uint8_t {
  kNone,
  kUnknown,  // 555 (RFC 5321 §4.1.1.11): not offered, or a value that cannot be implemented
  kSyntax,   // 501: not of the grammar, given twice, or a bad value
};
// Which parameters MAIL may carry: those whose extension was offered in the EHLO reply.
struct OfferedParameters {
  bool size = false, eight_bit_mime = false, smtputf8 = false;
};
ParameterError ParseMailParameters(std::string_view parameters, const OfferedParameters& offered,
                                   MailParameters* out);

// BDAT's argument: chunk-size [SP "LAST"] (RFC 3030 §2). nullopt: not of the grammar or over 2^63.
struct Chunk {
  uint64_t bytes = 0;
  bool last = false;
};
std::optional<Chunk> ParseChunk(std::string_view argument);

}  // namespace volley::engine::smtp

#endif  // VOLLEY_ENGINE_SMTP_COMMAND_H_
