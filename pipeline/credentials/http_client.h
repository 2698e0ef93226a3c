// HttpClient: the one thing that is asked of HTTP here, a form posted to a token endpoint.
//
// Threading: PostForm from any thread, also several at once; it blocks.
#ifndef VOLLEY_PIPELINE_CREDENTIALS_HTTP_CLIENT_H_
#define VOLLEY_PIPELINE_CREDENTIALS_HTTP_CLIENT_H_

#include <cstddef>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "engine/base/secret.h"
#include "pipeline/credentials/stop_signal.h"

namespace volley::pipeline {

struct HttpReply {
  static constexpr size_t kBodyBytesMax = 64 * 1024;

  int status = 0;       // 200
  engine::Secret body;  // holds a token when all is well
};

class HttpClient {
 public:
  virtual ~HttpClient() = default;
  // POST of application/x-www-form-urlencoded. Any status is a reply; redirects are not followed.
  // Unavailable: no reply, not all of it, or too much; Cancelled: `stop` (may be null) was stopped.
  // The message begins with what went wrong and holds nothing of form and body.
  virtual absl::StatusOr<HttpReply> PostForm(const std::string& url, const engine::Secret& form,
                                             const StopSignal* stop) = 0;
};

struct CurlOptions {
  absl::Duration connect_timeout = absl::Seconds(10);
  absl::Duration total_timeout = absl::Seconds(30);
  std::string ca_file;  // empty: the system's
};

// By libcurl: HTTP/1.1, TLS 1.2 or later with a verified certificate, proxies as the environment
// says (https_proxy, no_proxy), but none for http://: that is for loopback addresses only.
std::shared_ptr<HttpClient> MakeCurlClient(const CurlOptions& options = {});

// Whether a refresh token may be sent to this URL: https, or http to a loopback address.
// InvalidArgument, about `what`.
absl::Status CheckTokenUrl(const std::string& url, std::string_view what);

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_CREDENTIALS_HTTP_CLIENT_H_
