// ShownText: what peers say, made fit to be shown: one line of printable ASCII, cut, and without
// the login. Everything that leaves this folder and came from a peer has gone through it.
//
// Threading: a value. Secrets: holds copies of what must not be shown, as Secret.
#ifndef VOLLEY_PIPELINE_CHECK_SHOWN_TEXT_H_
#define VOLLEY_PIPELINE_CHECK_SHOWN_TEXT_H_

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/secret.h"
#include "engine/sasl/client.h"

namespace volley::pipeline {

class ShownText {
 public:
  static constexpr size_t kBytesMax = 400;  // a screen's worth of a reply of several lines

  // From here on nothing that repeats these is shown: neither the password and the token nor what
  // stands for them in AUTH (base64 of PLAIN, LOGIN, XOAUTH2, OAUTHBEARER).
  void Hide(const engine::sasl::Credentials& credentials);
  std::string operator()(std::string_view text) const;

 private:
  void HideBeginning(std::string_view secret, size_t enough);

  std::vector<engine::Secret> hidden_;
};

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_CHECK_SHOWN_TEXT_H_
