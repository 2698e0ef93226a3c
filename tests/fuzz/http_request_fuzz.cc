// Any bytes as an HTTP request: no crash, the bounds hold, and pieces of another size give exactly
// the same request or refusal.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "pipeline/unsubscribe/http_request.h"

namespace {

using volley::pipeline::HttpRequestParser;

void Require(bool condition) {
  if (!condition) std::abort();
}

void Feed(std::string_view bytes, size_t piece, HttpRequestParser* parser) {
  while (!bytes.empty() && parser->state() == HttpRequestParser::State::kMore) {
    const size_t size = std::min(piece, bytes.size());
    parser->Receive(bytes.substr(0, size));
    bytes.remove_prefix(size);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  HttpRequestParser one, other;
  Feed(bytes, 1, &one);
  Feed(bytes, 7, &other);
  Require(one.request().body.size() <= HttpRequestParser::kBodyBytesMax);
  Require(one.state() == other.state());
  if (one.state() == HttpRequestParser::State::kRefused) Require(one.refusal() == other.refusal());
  if (one.state() != HttpRequestParser::State::kDone) return 0;
  Require(one.request().target == other.request().target);
  Require(one.request().body == other.request().body);
  Require(one.request().content_type == other.request().content_type);
  Require(one.request().target.size() <= HttpRequestParser::kTargetBytesMax);
  return 0;
}
