// HttpResponse: what the endpoint answers, and its bytes. Every response ends its connection, is
// kept by no cache, loads nothing from anywhere, runs no script, stands in no frame and gives its
// own address, which has a token in it, to nobody (Referrer-Policy).
//
// There are no redirects: no header of a response, and no link of a page, comes from a request.
#ifndef VOLLEY_PIPELINE_UNSUBSCRIBE_HTTP_RESPONSE_H_
#define VOLLEY_PIPELINE_UNSUBSCRIBE_HTTP_RESPONSE_H_

#include <string>
#include <string_view>

namespace volley::pipeline {

struct HttpResponse {
  int status = 200;
  bool html = false;  // else plain text
  std::string body;
  std::string_view allow;  // for 405
  int retry_after_s = 0;   // for 429 and 503; 0: none
};

// `style_hash`: as `pages.h` gives it. `head_only`: the answer to HEAD.
std::string SerializeResponse(const HttpResponse& response, std::string_view style_hash,
                              bool head_only);

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_UNSUBSCRIBE_HTTP_RESPONSE_H_
