// The reply parser gives the same replies for any segmentation, keeps within its bounds, and every
// view it gives can be read.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "engine/smtp/capabilities.h"
#include "engine/smtp/reply.h"

namespace {

using volley::engine::smtp::Capabilities;
using volley::engine::smtp::ReplyParser;

void Check(bool condition) {
  if (!condition) std::abort();
}

// One string for each reply, and one for the error, however the bytes are cut.
std::vector<std::string> Parse(std::string_view bytes, size_t segment) {
  ReplyParser parser;
  std::vector<std::string> seen;
  while (!bytes.empty()) {
    const std::string copy(bytes.substr(0, segment));
    bytes.remove_prefix(copy.size());
    std::string_view input = copy;
    while (!input.empty()) {
      const ReplyParser::Result result = parser.Next(&input);
      if (result == ReplyParser::Result::kError) {
        Check(!parser.error().empty());
        seen.emplace_back(parser.error());
        return seen;
      }
      if (result == ReplyParser::Result::kNeedMore) {
        Check(input.empty());
        continue;
      }
      const auto& reply = parser.reply();
      Check(reply.code.first_digit() >= 2 && reply.code.first_digit() <= 5);
      Check(!reply.enhanced.present() || reply.enhanced.klass == reply.code.first_digit());
      Check(reply.text.size() <= ReplyParser::kReplyBytesMax);
      std::string all = std::to_string(reply.code.value()) + " " + std::string(reply.text);
      Capabilities capabilities;
      for (size_t i = 0; i < parser.line_count(); ++i) {
        all.append("|").append(parser.line(i));
        capabilities.ParseLine(parser.line(i), {});
      }
      Check(capabilities.auth.size() <= 64);
      Check(capabilities.mail_max.value_or(1) >= 1 && capabilities.mail_max.value_or(1) <= 999999);
      seen.push_back(std::move(all));
    }
  }
  return seen;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const auto whole = Parse(bytes, bytes.size() + 1);
  Check(whole == Parse(bytes, 1));
  Check(whole == Parse(bytes, 1 + data[0] % 64));
  return 0;
}
