// SampleFacts: what the rules want to know of one composed copy.
// Threading: a value; ReadSample is a function without state.
#ifndef VOLLEY_ENGINE_PREFLIGHT_SAMPLE_H_
#define VOLLEY_ENGINE_PREFLIGHT_SAMPLE_H_

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/preflight/mime_reader.h"

namespace volley::engine::preflight {

struct SampleField {
  std::string name;   // in lower case
  std::string value;  // unfolded, encoded words as they stand
};

// One DKIM-Signature field.
struct SampleSignature {
  std::string domain, selector;            // d=, s=; in lower case
  std::vector<std::string> signed_fields;  // h=, in lower case
};

struct SampleFacts {
  size_t bytes = 0;  // header and body
  std::vector<SampleField> fields;
  std::vector<SampleSignature> signatures;
  BodyTexts texts;

  std::vector<std::string> Values(std::string_view name) const;  // `name` in lower case
  std::string Value(std::string_view name) const;                // the first; empty: none
  bool IsSigned(std::string_view name) const;  // by any signature; `name` in lower case
};

// `composed_bytes`: a whole message with CRLF line ends, not dot-stuffed. InvalidArgument: a header
// that is none.
absl::StatusOr<SampleFacts> ReadSample(std::string_view composed_bytes);

}  // namespace volley::engine::preflight

#endif  // VOLLEY_ENGINE_PREFLIGHT_SAMPLE_H_
