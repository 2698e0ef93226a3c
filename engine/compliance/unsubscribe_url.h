// UnsubscribeUrl: where a recipient's click or one-click POST goes, with the token in it (RFC 8058
// §3.1), and how the token is found again in the request that comes.
//
// A pattern is a URL with one {{token}} in its path or query, or a prefix that ends in "/" or "=",
// behind which the token is put. https only: RFC 8058 §3.1 demands it of one-click URLs, and a
// token in clear can be replayed by whoever reads it; http is taken for loopback hosts, for tests.
//
// Threading: immutable after Parse. Errors: InvalidArgument says what is wrong and what would do.
#ifndef VOLLEY_ENGINE_COMPLIANCE_UNSUBSCRIBE_URL_H_
#define VOLLEY_ENGINE_COMPLIANCE_UNSUBSCRIBE_URL_H_

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace volley::engine::compliance {

// With the longest token and "<>" the URL stays within a header line of 998 octets, where there is
// no white space to fold at.
inline constexpr size_t kUrlPatternCharsMax = 320;

class UnsubscribeUrl {
 public:
  static absl::StatusOr<UnsubscribeUrl> Parse(std::string_view pattern);

  // `token` as TokenMaker makes it: nothing of it needs escaping.
  void Append(std::string_view token, std::string* out) const {
    out->append(before_).append(token).append(after_);
  }
  bool https() const { return https_; }
  std::string_view host() const { return host_; }  // lower case, without port

 private:
  UnsubscribeUrl() = default;

  std::string before_, after_, host_;
  bool https_ = true;
};

// What may be a token in a request target ("/u/TOKEN?x=TOKEN"): path segments from the last one,
// then values of the query, as they are (a token is never percent-encoded). Views of `target`; at
// most kTokenCandidatesMax. Most targets of scanners give none.
inline constexpr size_t kTokenCandidatesMax = 4;
std::vector<std::string_view> TokenCandidates(std::string_view target);

}  // namespace volley::engine::compliance

#endif  // VOLLEY_ENGINE_COMPLIANCE_UNSUBSCRIBE_URL_H_
