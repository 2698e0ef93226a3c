#include "pipeline/check/test_message.h"

#include <fmt/format.h>

namespace volley::pipeline {

std::string MakeTestMessage(std::string_view from, std::string_view to, std::string_view relay,
                            std::string_view unique, absl::Time now) {
  // RFC 5322 §3.6.4: the right side of a Message-ID is a domain we may speak for; a null sender has
  // none.
  const size_t at = from.rfind('@');
  const std::string_view domain =
      at == std::string_view::npos ? std::string_view("localhost") : from.substr(at + 1);
  return fmt::format(
      "Date: {}\r\n"
      "From: <{}>\r\n"
      "To: <{}>\r\n"
      "Subject: volley check\r\n"
      "Message-ID: <{}.check@{}>\r\n"
      "Auto-Submitted: auto-generated\r\n"
      "MIME-Version: 1.0\r\n"
      "Content-Type: text/plain; charset=us-ascii\r\n"
      "\r\n"
      "This is a test message of \"volley check --send-test\", sent by way of\r\n"
      "{}.\r\n"
      "If you can read it, mail gets through. No answer is needed.\r\n",
      absl::FormatTime("%a, %d %b %Y %H:%M:%S %z", now, absl::LocalTimeZone()),
      from.empty() ? to : from, to, unique, domain, relay);
}

}  // namespace volley::pipeline
