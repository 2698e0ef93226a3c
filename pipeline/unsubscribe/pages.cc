#include "pipeline/unsubscribe/pages.h"

#include <fmt/format.h>
#include <openssl/evp.h>

#include "engine/compliance/one_click.h"
#include "engine/sasl/base64.h"

namespace volley::pipeline {
namespace {

constexpr std::string_view kStyle =
    "body{font:1.1em/1.5 system-ui,sans-serif;max-width:32em;margin:15vh auto;padding:0 1em}"
    "button{font:inherit;padding:.6em 1.4em;border:0;border-radius:.3em;background:#06c;"
    "color:#fff;cursor:pointer}";

std::string Escape(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

// `content` is HTML.
std::string Page(std::string_view title, std::string_view content) {
  return fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<title>{0}</title>\n<style>{1}</style>\n</head>\n<body>\n<h1>{0}</h1>\n{2}</body>\n</"
      "html>\n",
      title, kStyle, content);
}

std::string WhatOf(std::string_view list_name) {
  if (list_name.empty()) return "our mail";
  return fmt::format("<strong>{}</strong>", Escape(list_name));
}

}  // namespace

std::string MaskAddress(std::string_view address) {
  const size_t at = address.rfind('@');
  if (at == std::string_view::npos) return "***";
  // Whole characters: a UTF-8 sequence is not cut.
  size_t shown = at > 4 ? 2 : 1;
  while (shown < at && (static_cast<unsigned char>(address[shown]) & 0xC0) == 0x80) ++shown;
  return fmt::format("{}***{}", address.substr(0, shown), address.substr(at));
}

std::string ConfirmationPage(std::string_view address, std::string_view list_name) {
  return Page("Unsubscribe",
              fmt::format("<p>Stop sending {} to {}?</p>\n"
                          "<form method=\"post\"><input type=\"hidden\" name=\"{}\" value=\"{}\">"
                          "<button>Unsubscribe</button></form>\n",
                          WhatOf(list_name), Escape(MaskAddress(address)),
                          engine::compliance::kPageField, engine::compliance::kPageValue));
}

std::string DonePage(std::string_view address, std::string_view list_name) {
  return Page("You are unsubscribed", fmt::format("<p>{} gets no more of {}.</p>\n",
                                                  Escape(MaskAddress(address)), WhatOf(list_name)));
}

std::string NotFoundPage() {
  return Page("Not found",
              "<p>There is nothing at this address. If you came from a link in a message, it may "
              "have been cut: copy all of it.</p>\n");
}

std::string TroublePage() {
  return Page("Please try again",
              "<p>This did not work just now, and nothing was changed. Please try again in a "
              "minute.</p>\n");
}

std::string StyleHash() {
  unsigned char hash[EVP_MAX_MD_SIZE] = {};
  unsigned int size = 0;
  EVP_Digest(kStyle.data(), kStyle.size(), hash, &size, EVP_sha256(), nullptr);
  return engine::sasl::EncodeBase64(std::string_view(reinterpret_cast<const char*>(hash), size));
}

}  // namespace volley::pipeline
