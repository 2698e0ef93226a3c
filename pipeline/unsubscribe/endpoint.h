// UnsubscribeEndpoint: a request in, an answer out, without sockets.
//
//   POST with List-Unsubscribe=One-Click   suppresses at once (RFC 8058 §3.2), answers in a line
//   POST of the confirmation page's form   the same, answers with a page
//   GET, HEAD                              a confirmation page; change nothing: mail scanners and
//                                          link previews follow every link (RFC 8058 §1)
//   a token that is not good               404, always the same
//
// Any path will do: the token is its last segment, another one, or a value of the query.
//
// Threading: one thread; `now` is passed in. Lifetime: keeps what it is given.
#ifndef VOLLEY_PIPELINE_UNSUBSCRIBE_ENDPOINT_H_
#define VOLLEY_PIPELINE_UNSUBSCRIBE_ENDPOINT_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "io/base/time.h"
#include "io/net/endpoint.h"
#include "pipeline/unsubscribe/http_request.h"
#include "pipeline/unsubscribe/http_response.h"
#include "pipeline/unsubscribe/rate_limit.h"
#include "pipeline/unsubscribe/unsubscriber.h"

namespace volley::pipeline {

struct EndpointOptions {
  double rate = 20;  // requests a second and client, as RateLimit takes it
  // The client is the last address of X-Forwarded-For, when the request comes from a loopback
  // address; from anywhere else that header is the client's own fiction.
  bool trust_proxy = false;
  std::map<std::string, std::string, std::less<>> list_names;  // for the pages; else the list's id
  // Somebody new was suppressed.
  std::function<void(const Unsubscriber::Claim&, std::string_view source)> on_change;
  // A suppression could not be stored.
  std::function<void(const absl::Status&)> on_error;
};

struct EndpointCounters {
  uint64_t requests = 0;
  uint64_t unsubscribed = 0;  // new ones
  uint64_t repeated = 0;      // were suppressed before
  uint64_t pages = 0;         // confirmation pages shown
  uint64_t refused = 0;       // no good token, no unsubscribe request, another method
  uint64_t rate_limited = 0;
  uint64_t failed = 0;  // could not be stored
};

class UnsubscribeEndpoint {
 public:
  UnsubscribeEndpoint(Unsubscriber unsubscriber, EndpointOptions options);

  // The bytes to send.
  std::string Answer(const HttpRequest& request, const io::Endpoint& peer, io::MonoTime now);
  // To what was no request.
  std::string Refuse(int status);

  void SetKeys(Unsubscriber::Keys keys) { unsubscriber_.SetKeys(std::move(keys)); }
  const EndpointCounters& counters() const { return counters_; }
  // Whom a connection stands for; "": a trusted proxy, that is, many.
  std::string ConnectionClient(const io::Endpoint& peer) const;

 private:
  HttpResponse Respond(const HttpRequest& request, const io::Endpoint& peer, io::MonoTime now);
  HttpResponse Post(const HttpRequest& request, const Unsubscriber::Claim& claim);
  std::string ClientOf(const HttpRequest& request, const io::Endpoint& peer) const;
  std::string_view ListName(const std::string& list) const;

  Unsubscriber unsubscriber_;
  const EndpointOptions options_;
  const std::string style_hash_;
  RateLimit limit_;
  EndpointCounters counters_;
};

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_UNSUBSCRIBE_ENDPOINT_H_
