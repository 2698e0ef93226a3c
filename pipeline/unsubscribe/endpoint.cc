#include "pipeline/unsubscribe/endpoint.h"

#include <optional>
#include <utility>

#include "engine/compliance/one_click.h"
#include "engine/compliance/unsubscribe_url.h"
#include "pipeline/unsubscribe/pages.h"

namespace volley::pipeline {
namespace {

using engine::compliance::UnsubscribeRequest;

static_assert(HttpRequestParser::kBodyBytesMax <= engine::compliance::kFormBytesMax);

constexpr int kRetryAfterLimitS = 10;
constexpr int kRetryAfterTroubleS = 60;

HttpResponse Text(int status, std::string_view text) {
  HttpResponse response;
  response.status = status;
  response.body = text;
  return response;
}

HttpResponse Html(int status, std::string page) {
  HttpResponse response;
  response.status = status;
  response.html = true;
  response.body = std::move(page);
  return response;
}

std::string_view LastOf(std::string_view list) {
  const size_t comma = list.rfind(',');
  if (comma != std::string_view::npos) list.remove_prefix(comma + 1);
  const size_t begin = list.find_first_not_of(" \t");
  return begin == std::string_view::npos ? std::string_view() : list.substr(begin);
}

}  // namespace

UnsubscribeEndpoint::UnsubscribeEndpoint(Unsubscriber unsubscriber, EndpointOptions options)
    : unsubscriber_(std::move(unsubscriber)),
      options_(std::move(options)),
      style_hash_(StyleHash()),
      limit_(options_.rate) {}

std::string UnsubscribeEndpoint::Answer(const HttpRequest& request, const io::Endpoint& peer,
                                        io::MonoTime now) {
  ++counters_.requests;
  return SerializeResponse(Respond(request, peer, now), style_hash_, request.method == "HEAD");
}

std::string UnsubscribeEndpoint::Refuse(int status) {
  ++counters_.requests;
  ++counters_.refused;
  return SerializeResponse(Text(status, "This request cannot be read.\n"), style_hash_, false);
}

std::string UnsubscribeEndpoint::ConnectionClient(const io::Endpoint& peer) const {
  return options_.trust_proxy && peer.is_loopback() ? "" : ClientKey(peer);
}

std::string UnsubscribeEndpoint::ClientOf(const HttpRequest& request,
                                          const io::Endpoint& peer) const {
  if (!options_.trust_proxy || !peer.is_loopback()) return ClientKey(peer);
  // The last one is the proxy's own word; those before it may be anybody's.
  const auto client = io::Endpoint::FromIp(LastOf(request.forwarded_for), 0);
  return ClientKey(client.ok() ? *client : peer);
}

std::string_view UnsubscribeEndpoint::ListName(const std::string& list) const {
  const auto found = options_.list_names.find(list);
  return found == options_.list_names.end() ? std::string_view(list) : found->second;
}

HttpResponse UnsubscribeEndpoint::Respond(const HttpRequest& request, const io::Endpoint& peer,
                                          io::MonoTime now) {
  const bool get = request.method == "GET" || request.method == "HEAD";
  if (!get && request.method != "POST") {
    ++counters_.refused;
    HttpResponse response = Text(405, "GET, HEAD and POST only.\n");
    response.allow = "GET, HEAD, POST";
    return response;
  }
  const std::string client = ClientOf(request, peer);
  if (!limit_.Allows(client, now)) {
    ++counters_.rate_limited;
    HttpResponse response = Text(429, "Too many requests: try again in a few seconds.\n");
    response.retry_after_s = kRetryAfterLimitS;
    return response;
  }
  const std::optional<Unsubscriber::Claim> claim =
      unsubscriber_.Open(engine::compliance::TokenCandidates(request.target));
  limit_.Charge(client, claim ? RateLimit::kGoodCost : RateLimit::kBadCost, now);
  if (!claim) {
    ++counters_.refused;
    return Html(404, NotFoundPage());
  }
  if (!get) return Post(request, *claim);
  ++counters_.pages;
  return Html(200, ConfirmationPage(claim->recipient, ListName(claim->list)));
}

HttpResponse UnsubscribeEndpoint::Post(const HttpRequest& request,
                                       const Unsubscriber::Claim& claim) {
  const UnsubscribeRequest form =
      engine::compliance::ReadUnsubscribeForm(request.content_type, request.body);
  if (form == UnsubscribeRequest::kNone) {
    ++counters_.refused;
    return Text(400, "This is no unsubscribe request: List-Unsubscribe=One-Click is missing.\n");
  }
  const bool page = form == UnsubscribeRequest::kPage;
  const std::string_view source = page ? kSourcePage : kSourceOneClick;
  const absl::StatusOr<bool> added = unsubscriber_.Suppress(claim, source);
  if (!added.ok()) {
    ++counters_.failed;
    if (options_.on_error) options_.on_error(added.status());
    HttpResponse response = Html(503, TroublePage());
    response.retry_after_s = kRetryAfterTroubleS;
    return response;
  }
  ++(*added ? counters_.unsubscribed : counters_.repeated);
  if (*added && options_.on_change) options_.on_change(claim, source);
  if (!page) return Text(200, "You are unsubscribed.\n");
  return Html(200, DonePage(claim.recipient, ListName(claim.list)));
}

}  // namespace volley::pipeline
