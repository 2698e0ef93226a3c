// The block-wise scanner against a byte-wise reading of the same rules, over random content of the
// bytes that matter, cut at random places.
#include "engine/smtp/server_content.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace volley::engine::smtp {
namespace {

struct Scanned {
  std::string content;
  size_t consumed = 0;
  bool ended = false;
  bool bare_cr = false, bare_lf = false, nul = false, line_too_long = false;
  bool operator==(const Scanned&) const = default;
};

// RFC 5321 §2.3.8, §4.1.1.4 and §4.5.2, one byte at a time. A message with a fault is refused
// whole, so its content is not compared.
Scanned Reference(std::string_view bytes, bool dots, size_t line_max) {
  Scanned result;
  const auto is = [&](size_t i, std::string_view text) {
    return bytes.substr(i, text.size()) == text;
  };
  size_t line_bytes = 0;
  bool line_start = true;
  for (size_t i = 0; i < bytes.size(); ++i) {
    if (dots && line_start && bytes[i] == '.') {
      if (is(i, ".\r\n")) {
        result.consumed = i + 3;
        result.ended = true;
        return result;
      }
      line_start = false;
      continue;
    }
    line_start = false;
    result.content.push_back(bytes[i]);
    result.line_too_long |= ++line_bytes > line_max;
    result.nul |= bytes[i] == '\0';
    result.bare_cr |= bytes[i] == '\r' && !is(i, "\r\n");
    if (bytes[i] != '\n') continue;
    if (i > 0 && bytes[i - 1] == '\r') {
      line_start = true;
      line_bytes = 0;
    } else {
      result.bare_lf = true;
    }
  }
  result.consumed = bytes.size();
  return result;
}

Scanned Scan(std::string_view bytes, bool dots, uint32_t line_max, std::mt19937* random) {
  ContentScanner scanner;
  scanner.Begin(dots, line_max);
  Scanned result;
  while (result.consumed < bytes.size() && !result.ended) {
    const size_t left = bytes.size() - result.consumed;
    const size_t cut = random == nullptr ? left : 1 + (*random)() % std::min<size_t>(left, 150);
    const std::vector<char> copy(bytes.begin() + static_cast<ptrdiff_t>(result.consumed),
                                 bytes.begin() + static_cast<ptrdiff_t>(result.consumed + cut));
    const ContentScanner::Piece piece = scanner.Next(copy);
    result.content.append(piece.content.begin(), piece.content.end());
    result.consumed += piece.consumed;
    result.ended = piece.ended;
  }
  if (!result.ended) scanner.Finish();
  const ContentFaults& faults = scanner.faults();
  result.bare_cr = faults.bare_cr;
  result.bare_lf = faults.bare_lf;
  result.nul = faults.nul;
  result.line_too_long = faults.line_too_long;
  return result;
}

// Mostly well-formed lines, with what breaks them strewn in.
std::string RandomContent(std::mt19937* random) {
  static constexpr std::string_view kParts[] = {"\r\n", "\r\n.",   "\r\n..",  "\r\n.\r\n", "\r",
                                                "\n",   "\r\n.\r", "\n.\r\n", ".",         ".\r\n"};
  std::string content;
  const size_t size = (*random)() % 400;
  while (content.size() < size) {
    const unsigned choice = (*random)() % 100;
    if (choice < 50) {
      content += std::string((*random)() % 90, 'x');
    } else if (choice < 90) {
      content += "\r\n";
    } else if (choice < 91) {
      content.push_back('\0');
    } else {
      content += kParts[(*random)() % std::size(kParts)];
    }
  }
  return content;
}

TEST(ContentScanner, AgreesWithAByteWiseReading) {
  std::mt19937 random(5321);
  int ended = 0, faulty = 0;
  for (int i = 0; i < 30'000; ++i) {
    const std::string content = RandomContent(&random) + (i % 2 ? "\r\n.\r\n" : "");
    const bool dots = i % 3 != 0;
    const uint32_t line_max = i % 5 == 0 ? 60 : 1000;
    Scanned wanted = Reference(content, dots, line_max);
    Scanned whole = Scan(content, dots, line_max, nullptr);
    Scanned cut = Scan(content, dots, line_max, &random);
    ended += wanted.ended;
    if (dots && !wanted.ended) continue;  // the last bytes may still become an end
    if (wanted.bare_cr || wanted.bare_lf || wanted.nul || wanted.line_too_long) {
      ++faulty;
      whole.content = cut.content = wanted.content;
    }
    ASSERT_EQ(whole, wanted) << i << ": " << ::testing::PrintToString(content);
    ASSERT_EQ(cut, wanted) << i << ": " << ::testing::PrintToString(content);
  }
  EXPECT_GT(ended, 5000);  // the test means something
  EXPECT_GT(faulty, 5000);
}

TEST(ContentScanner, FindsTheEndAndEachFaultAtEveryPlaceOfABlock) {
  for (size_t offset = 0; offset < 200; ++offset) {
    const std::string text = offset == 0 ? "" : std::string(offset, 'x') + "\r\n";
    const Scanned good = Scan(text + ".\r\nrest", true, 1000, nullptr);
    EXPECT_TRUE(good.ended);
    EXPECT_EQ(good.content, text);
    EXPECT_EQ(good.consumed, text.size() + 3);
    for (const char bad : {'\r', '\n', '\0'}) {
      const std::string body = std::string(offset, 'x') + bad + "y\r\n.\r\n";
      const Scanned scanned = Scan(body, true, 1000, nullptr);
      EXPECT_TRUE(scanned.ended);
      EXPECT_EQ(scanned.bare_cr, bad == '\r') << offset;
      EXPECT_EQ(scanned.bare_lf, bad == '\n') << offset;
      EXPECT_EQ(scanned.nul, bad == '\0') << offset;
    }
  }
}

}  // namespace
}  // namespace volley::engine::smtp
