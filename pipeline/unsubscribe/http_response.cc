#include "pipeline/unsubscribe/http_response.h"

#include <fmt/format.h>

#include <iterator>

namespace volley::pipeline {
namespace {

std::string_view ReasonOf(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 400:
      return "Bad Request";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 413:
      return "Content Too Large";
    case 414:
      return "URI Too Long";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 501:
      return "Not Implemented";
    case 503:
      return "Service Unavailable";
    case 505:
      return "HTTP Version Not Supported";
    default:
      return "Error";
  }
}

}  // namespace

std::string SerializeResponse(const HttpResponse& response, std::string_view style_hash,
                              bool head_only) {
  std::string out = fmt::format(
      "HTTP/1.1 {} {}\r\n"
      "Content-Type: {}; charset=utf-8\r\n"
      "Content-Length: {}\r\n"
      "Cache-Control: no-store\r\n"
      "Content-Security-Policy: default-src 'none'; style-src 'sha256-{}'; form-action 'self'; "
      "frame-ancestors 'none'; base-uri 'none'\r\n"
      "Referrer-Policy: no-referrer\r\n"
      "X-Content-Type-Options: nosniff\r\n"
      "X-Robots-Tag: noindex\r\n"
      "Connection: close\r\n",
      response.status, ReasonOf(response.status), response.html ? "text/html" : "text/plain",
      response.body.size(), style_hash);
  auto end = std::back_inserter(out);
  if (!response.allow.empty()) fmt::format_to(end, "Allow: {}\r\n", response.allow);
  if (response.retry_after_s > 0)
    fmt::format_to(end, "Retry-After: {}\r\n", response.retry_after_s);
  out.append("\r\n");
  if (!head_only) out.append(response.body);
  return out;
}

}  // namespace volley::pipeline
