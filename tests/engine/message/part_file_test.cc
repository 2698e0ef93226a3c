#include "engine/message/part_file.h"

#include <gtest/gtest.h>

namespace volley::engine::message {
namespace {

std::string Headers(std::string_view name, std::string_view type = "",
                    std::string_view bytes = "") {
  std::string out;
  AppendPartFileHeaders({name, type, bytes}, Disposition::kAttachment, "", &out);
  return out;
}

std::string Error(std::string_view name, std::string_view type = "") {
  const absl::Status status = CheckPartFile({name, type, ""});
  return {status.message().data(), status.message().size()};
}

TEST(PartFile, KnowsTypesByTheEnding) {
  EXPECT_EQ(ContentTypeFor("a.b.PNG"), "image/png");
  EXPECT_EQ(ContentTypeFor("invoice.pdf"), "application/pdf");
  EXPECT_EQ(ContentTypeFor("png"), "application/octet-stream");
  EXPECT_EQ(ContentTypeFor("x."), "application/octet-stream");
  EXPECT_EQ(ContentTypeFor("mail.eml"), "application/octet-stream");
}

TEST(PartFile, WritesItsHeaders) {
  EXPECT_EQ(Headers("invoice.pdf"),
            "Content-Type: application/pdf;\r\n name=\"invoice.pdf\"\r\n"
            "Content-Transfer-Encoding: base64\r\n"
            "Content-Disposition: attachment;\r\n filename=\"invoice.pdf\"\r\n");
  std::string out;
  AppendPartFileHeaders({"logo.png", "", ""}, Disposition::kInline, "<1@x>", &out);
  EXPECT_EQ(out,
            "Content-Type: image/png;\r\n name=\"logo.png\"\r\n"
            "Content-Transfer-Encoding: base64\r\nContent-ID: <1@x>\r\n"
            "Content-Disposition: inline;\r\n filename=\"logo.png\"\r\n");
  EXPECT_NE(Headers("a \"b\\c.txt").find("filename=\"a \\\"b\\\\c.txt\""), std::string::npos);
}

TEST(PartFile, NamesTheCharsetOfTextThatIsUtf8) {
  EXPECT_TRUE(
      Headers("a.csv", "", "\xC3\xA9").starts_with("Content-Type: text/csv; charset=utf-8;"));
  EXPECT_TRUE(Headers("a.csv", "", "e").starts_with("Content-Type: text/csv;\r\n"));
  EXPECT_TRUE(Headers("a.csv", "", "\xE9").starts_with("Content-Type: text/csv;\r\n"));
  EXPECT_TRUE(Headers("a.csv", "text/csv; charset=koi8-r", "\xC3\xA9")
                  .starts_with("Content-Type: text/csv; charset=koi8-r;\r\n"));
}

TEST(PartFile, FoldsATypeWithManyParameters) {
  EXPECT_TRUE(
      Headers("a.ics", "text/calendar; method=REQUEST; charset=\"a;b\";component=vevent-and-so-on")
          .starts_with("Content-Type: text/calendar;\r\n method=REQUEST;\r\n "
                       "charset=\"a;b\";\r\n component=vevent-and-so-on;\r\n name="));
}

// RFC 2231 §3, §4
TEST(PartFile, WritesNamesBeyondShortAscii) {
  EXPECT_NE(Headers("caf\xC3\xA9 1.pdf").find(";\r\n filename*=utf-8''caf%C3%A9%201.pdf\r\n"),
            std::string::npos);
  EXPECT_NE(Headers("=?x?=.pdf").find(";\r\n filename*=utf-8''%3D%3Fx%3F%3D.pdf\r\n"),
            std::string::npos);
  const std::string name = std::string(100, 'x') + "\xE3\x83\x86.pdf";
  const std::string headers = Headers(name);
  EXPECT_NE(headers.find("\r\n filename*0*=utf-8''xxx"), std::string::npos) << headers;
  EXPECT_NE(headers.find("\r\n filename*1*=x"), std::string::npos) << headers;
  std::string longest;
  for (size_t i = 0; i < kMaxFileNameBytes / 3; ++i) longest += "\xE3\x83\x86";
  for (const std::string& all : {headers, Headers(longest), Headers(std::string(255, '"'))}) {
    for (size_t at = 0; at < all.size();) {
      const size_t end = all.find("\r\n", at);
      EXPECT_LE(end - at, 76u) << all;
      at = end + 2;
    }
  }
  // Every segment holds whole characters: three bytes, three times three.
  const std::string many = Headers(longest);
  size_t segments = 0;
  for (size_t at = many.find("*="); at != many.npos; at = many.find("*=", at + 2)) {
    std::string_view segment = std::string_view(many).substr(at + 2);
    segment = segment.substr(0, segment.find_first_of(";\r"));
    if (segment.starts_with("utf-8''")) segment.remove_prefix(7);
    EXPECT_EQ(segment.size() % 9, 0u) << segment;
    ++segments;
  }
  EXPECT_GT(segments, 10u);
}

TEST(PartFile, RefusesNamesThatAreNone) {
  EXPECT_EQ(Error("a b\xC3\xA9.pdf"), "");
  EXPECT_EQ(Error(""), "the file has no name");
  EXPECT_EQ(Error(std::string(256, 'x')), "the name has 256 bytes; at most 255");
  for (const char* name : {"a/b", "../a", "C:\\a", ".", ".."}) {
    EXPECT_EQ(Error(name), "the name is a path: give the file's name alone") << name;
  }
  for (const std::string& name :
       {std::string("a\r\nb"), std::string("a\tb"), std::string("a\0b", 3), std::string("\xC3("),
        std::string("a\xC2\x85")}) {
    EXPECT_EQ(Error(name), "the name has a control character or is not UTF-8");
  }
}

TEST(PartFile, RefusesTypesThatAreNone) {
  for (const char* type :
       {"text/calendar; method=REQUEST", "a/b;c=\"d e\"; f=g", "image/svg+xml"}) {
    EXPECT_EQ(Error("a", type), "") << type;
  }
  for (const char* type :
       {"text", "text/", "/plain", "text/plain\r\nBcc: x", "a/b; name=x", "a/b; name*=x", "a/b; c",
        "a/b; c=", "a/b c=d", "a/b; c=\"d", "a/b; boundary=x", "a/b;", "\xC3\xA9/b"}) {
    EXPECT_NE(Error("a", type).find("is no content type"), std::string::npos) << type;
  }
  EXPECT_EQ(Error("a", "Multipart/mixed"), "a file of type Multipart/mixed cannot be attached");
  EXPECT_EQ(Error("a", "message/rfc822"), "a file of type message/rfc822 cannot be attached");
}

}  // namespace
}  // namespace volley::engine::message
