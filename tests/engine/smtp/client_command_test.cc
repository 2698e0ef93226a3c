#include "engine/smtp/client_command.h"

#include "gtest/gtest.h"

namespace volley::engine::smtp {
namespace {

TEST(ClientCommand, FormatsMail) {
  std::string out;
  AppendMail({.reverse_path = "a@b.example"}, &out);
  AppendMail({.reverse_path = "", .with_size = true, .size = UINT64_MAX}, &out);
  AppendMail(
      {.reverse_path = "a@b", .with_size = true, .size = 0, .eight_bit = true, .smtputf8 = true},
      &out);
  EXPECT_EQ(out,
            "MAIL FROM:<a@b.example>\r\n"
            "MAIL FROM:<> SIZE=18446744073709551615\r\n"
            "MAIL FROM:<a@b> SIZE=0 BODY=8BITMIME SMTPUTF8\r\n");
}

TEST(ClientCommand, FormatsRcptAndBdat) {
  std::string out;
  AppendRcpt("postmaster", &out);
  AppendBdatLast(86, &out);
  EXPECT_EQ(out, "RCPT TO:<postmaster>\r\nBDAT 86 LAST\r\n");
}

TEST(ClientCommand, TakesEveryPathThatIsSafe) {
  for (const std::string_view path :
       {"a@b", "postmaster", "a+b=c@d.example", "\"john doe\"@x", "\"a<b>c\"@x", "\"a\\\"b c\"@x",
        "x@[IPv6:2001:db8::1]", "a%b@c", "\"@\"@x"}) {
    EXPECT_EQ(CheckForwardPath(path, false), PathFault::kNone) << path;
    EXPECT_EQ(CheckReversePath(path, false), PathFault::kNone) << path;
  }
  EXPECT_EQ(CheckReversePath("", false), PathFault::kNone);
  EXPECT_EQ(CheckForwardPath("", false), PathFault::kUnsafe);
}

TEST(ClientCommand, RefusesEveryControlCharacter) {
  for (int c = 0; c < 0x20; ++c) {
    const std::string path = std::string("a") + static_cast<char>(c) + "@b";
    EXPECT_EQ(CheckForwardPath(path, true), PathFault::kUnsafe) << c;
    EXPECT_EQ(CheckReversePath("\"" + path.substr(0, 2) + "\"@b", true), PathFault::kUnsafe) << c;
  }
  EXPECT_EQ(CheckForwardPath("a\x7f@b", true), PathFault::kUnsafe);
}

TEST(ClientCommand, RefusesWhatWouldAddAParameter) {
  for (const std::string_view path : {"a@b> NOTIFY=NEVER", "a b@c", "a@b>", "<a@b", "\"a b@c",
                                      "\"a\" b@c", "\"a\\\" b@c", "@relay:a@b", "a@b \"", "\""}) {
    EXPECT_EQ(CheckForwardPath(path, false), PathFault::kUnsafe) << path;
    EXPECT_EQ(CheckReversePath(path, false), PathFault::kUnsafe) << path;
  }
}

TEST(ClientCommand, NeedsSmtputf8ForOtherThanAscii) {
  EXPECT_EQ(CheckForwardPath("j\xc3\xb6rg@x", false), PathFault::kNeedsSmtputf8);
  EXPECT_EQ(CheckForwardPath("j\xc3\xb6rg@x", true), PathFault::kNone);
}

// RFC 5321 §4.5.3.1.4: 512 octets with CRLF.
TEST(ClientCommand, KeepsCommandsWithin512Octets) {
  std::string out;
  const std::string longest_rcpt(512 - 12, 'a');
  AppendRcpt(longest_rcpt, &out);
  EXPECT_EQ(out.size(), 512u);
  EXPECT_EQ(CheckForwardPath(longest_rcpt, false), PathFault::kNone);
  EXPECT_EQ(CheckForwardPath(longest_rcpt + "a", false), PathFault::kTooLong);
  const std::string longest_mail(512 - 14, 'a');
  out.clear();
  AppendMail({.reverse_path = longest_mail}, &out);
  EXPECT_EQ(out.size(), 512u);
  EXPECT_EQ(CheckReversePath(longest_mail, false), PathFault::kNone);
  EXPECT_EQ(CheckReversePath(longest_mail + "a", false), PathFault::kTooLong);
}

TEST(ClientCommand, ChecksTheHeloName) {
  EXPECT_TRUE(IsSafeHelo("mail.example"));
  EXPECT_TRUE(IsSafeHelo("[192.0.2.1]"));
  EXPECT_TRUE(IsSafeHelo("[IPv6:2001:db8::1]"));
  for (const std::string_view name :
       {"", "a b", "a\r\nb", "a\tb", "a\x7f", "m\xc3\xbcller.example"}) {
    EXPECT_FALSE(IsSafeHelo(name)) << name;
  }
  EXPECT_TRUE(IsSafeHelo(std::string(505, 'a')));
  EXPECT_FALSE(IsSafeHelo(std::string(506, 'a')));
}

TEST(ClientCommand, FindsTheDomain) {
  EXPECT_EQ(DomainKey("a@B.Example"), "b.example");
  EXPECT_EQ(DomainKey("\"x@y\"@z"), "z");
  EXPECT_EQ(DomainKey("postmaster"), "");
}

}  // namespace
}  // namespace volley::engine::smtp
