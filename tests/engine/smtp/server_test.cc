// The server machine, rule by rule. Each test names the text it stands on.
#include "engine/smtp/server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/engine/smtp/server_peer.h"

namespace volley::engine::smtp {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

class SmtpServer : public ::testing::Test {
 protected:
  ~SmtpServer() override {
    EXPECT_EQ(peer_.handler.resets_without_transaction, 0);
    EXPECT_EQ(peer_.handler.content_without_transaction, 0);
  }
  // Sends `content` (without the final dot's line) by DATA and returns the final reply.
  std::string SendByData(std::string_view content) {
    EXPECT_EQ(Codes(peer_.Say("DATA\r\n")), "354");
    return peer_.Say(std::string(content) + ".\r\n");
  }
  uint32_t errors() const { return peer_.server->protocol_errors(); }
  const std::vector<ReceivedMessage>& messages() const { return peer_.handler.messages; }

  ServerPeer peer_;
};

// --- Greeting, EHLO, HELO (RFC 5321 §3.1, §4.1.1.1) ---

TEST_F(SmtpServer, GreetsWithItsDomainFirst) {
  peer_.options.hostname = "mx.example";
  EXPECT_EQ(peer_.Connect(), "220 mx.example ESMTP volley\r\n");
}

TEST_F(SmtpServer, OffersItsExtensionsInEhlo) {
  peer_.options.hostname = "mx.example";
  peer_.options.size_max = 1000;
  peer_.options.mail_max = 7;
  peer_.options.rcpt_max = 5;
  peer_.Connect();
  EXPECT_EQ(peer_.Say("EHLO client.example\r\n"),
            "250-mx.example\r\n250-PIPELINING\r\n250-CHUNKING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n"
            "250-ENHANCEDSTATUSCODES\r\n250-LIMITS MAILMAX=7 RCPTMAX=5\r\n250 SIZE 1000\r\n");
}

TEST_F(SmtpServer, OffersNothingThatIsSwitchedOff) {
  peer_.options.pipelining = peer_.options.chunking = peer_.options.eight_bit_mime = false;
  peer_.options.smtputf8 = peer_.options.enhanced_status_codes = false;
  peer_.options.size_max = 0;
  peer_.Connect();
  EXPECT_EQ(peer_.Say("EHLO client.example\r\n"), "250-localhost\r\n250 SIZE\r\n");
}

TEST_F(SmtpServer, AnswersHeloWithoutExtensions) {
  peer_.Connect();
  EXPECT_EQ(peer_.Say("HELO client.example\r\n"), "250 localhost\r\n");
  // RFC 5321 §4.1.1.11: without EHLO no parameter was offered.
  EXPECT_THAT(peer_.Say("MAIL FROM:<a@example.com> SIZE=1\r\n"), StartsWith("555 5.5.4 "));
}

TEST_F(SmtpServer, WantsADomainOrAnAddressLiteralInEhlo) {
  peer_.Connect();
  for (const char* good : {"a", "a-b.example", "[127.0.0.1]", "[IPv6:::1]", "[IPv6:2001:db8::1]",
                           "[IPv6:1:2:3:4:5:6:7:8]", "[IPv6:::ffff:1.2.3.4]", "[tag:x]"}) {
    EXPECT_EQ(Codes(peer_.Say("EHLO " + std::string(good) + "\r\n")), "250") << good;
  }
  peer_.options.protocol_errors_max = 0;
  for (const char* bad : {"",
                          " ",
                          "a_b",
                          "-a.example",
                          "a-.example",
                          "a..example",
                          ".a",
                          "a.",
                          "a b",
                          "[1.2.3]",
                          "[1.2.3.256]",
                          "[1.2.3.4",
                          "1.2.3.4]",
                          "[IPv6:1:2]",
                          "[IPv6:1::2::3]",
                          "[IPv6:12345::]",
                          "[IPv6:1:2:3:4:5:6:7::8]",
                          "[]",
                          "[tag:]",
                          "<a>",
                          "caf\xc3\xa9.example"}) {
    EXPECT_THAT(peer_.Say("EHLO " + std::string(bad) + "\r\n"), StartsWith("501 5.5.4 ")) << bad;
  }
  const std::string label(64, 'a');
  EXPECT_EQ(Codes(peer_.Say("EHLO " + label + "\r\n")), "501");
  EXPECT_EQ(Codes(peer_.Say("EHLO " + label.substr(1) + "\r\n")), "250");
}

TEST_F(SmtpServer, StaysAsItWasWhenEhloIsRefused) {  // RFC 5321 §4.1.4
  peer_.ConnectAndGreet();
  peer_.OpenTransaction();
  EXPECT_EQ(peer_.Say("EHLO refused.example\r\n"), "550 5.7.1 not you\r\n");
  EXPECT_THAT(SendByData("x\r\n"), StartsWith("250 2.0.0 "));
}

TEST_F(SmtpServer, ResetsTheTransactionAtANewEhlo) {  // RFC 5321 §4.1.4
  peer_.ConnectAndGreet();
  peer_.OpenTransaction();
  peer_.Say("EHLO client.example\r\n");
  EXPECT_EQ(peer_.handler.resets, 1);
  EXPECT_EQ(Codes(peer_.Say("DATA\r\n")), "503");
}

// --- Commands ---

TEST_F(SmtpServer, TakesVerbsInAnyCaseAndTrailingSpace) {  // RFC 5321 §2.4, §4.1.1
  peer_.Connect();
  EXPECT_EQ(Codes(peer_.Say("eHlO client.example \t\r\n")), "250");
  EXPECT_EQ(Codes(peer_.Say("mail from:<a@example.com> size=12 body=8bitmime  \r\n")), "250");
  EXPECT_EQ(Codes(peer_.Say("rcpt to:<b@example.org>\r\nrset \r\n")), "250 250");
  EXPECT_EQ(peer_.handler.current.recipients.size(), 0u);
}

TEST_F(SmtpServer, AnswersTheSmallCommandsAtAnyTime) {  // RFC 5321 §4.1.4
  peer_.Connect();
  EXPECT_THAT(peer_.Say("NOOP\r\n"), StartsWith("250 2.0.0 "));
  EXPECT_THAT(peer_.Say("NOOP whatever this is\r\n"), StartsWith("250 2.0.0 "));
  EXPECT_THAT(peer_.Say("RSET\r\n"), StartsWith("250 2.0.0 "));
  EXPECT_THAT(peer_.Say("VRFY b\r\n"), StartsWith("252 2."));
  EXPECT_THAT(peer_.Say("HELP\r\n"), StartsWith("214 2.0.0 "));
  EXPECT_THAT(peer_.Say("EXPN list\r\n"), StartsWith("502 5.5.1 "));
  EXPECT_EQ(errors(), 0u);
  EXPECT_THAT(peer_.Say("QUIT\r\n"), StartsWith("221 2.0.0 localhost "));
  EXPECT_TRUE(peer_.server->closed());
}

TEST_F(SmtpServer, RefusesArgumentsWhereThereAreNone) {  // RFC 5321 §4.1.1
  peer_.ConnectAndGreet();
  peer_.OpenTransaction();
  EXPECT_EQ(Codes(peer_.Say("RSET now\r\n")), "501");
  EXPECT_EQ(Codes(peer_.Say("DATA now\r\n")), "501");
  EXPECT_EQ(Codes(peer_.Say("QUIT now\r\n")), "501");
  EXPECT_EQ(Codes(peer_.Say("VRFY\r\n")), "501");
  EXPECT_EQ(errors(), 4u);
  EXPECT_TRUE(peer_.server->in_transaction());
  EXPECT_FALSE(peer_.server->closed());
}

TEST_F(SmtpServer, TellsUnknownFromUnimplemented) {  // RFC 5321 §4.2.4
  peer_.ConnectAndGreet();
  EXPECT_THAT(peer_.Say("STARTTLS\r\n"), StartsWith("502 5.5.1 "));
  EXPECT_THAT(peer_.Say("AUTH PLAIN\r\n"), StartsWith("502 5.5.1 "));
  EXPECT_THAT(peer_.Say("XYZZY\r\n"), StartsWith("500 5.5.2 "));
  EXPECT_THAT(peer_.Say("\r\n"), StartsWith("500 5.5.2 "));
  EXPECT_EQ(errors(), 4u);
}

TEST_F(SmtpServer, KeepsTheOrderOfCommands) {  // RFC 5321 §4.1.4
  peer_.Connect();
  EXPECT_EQ(Codes(peer_.Say("MAIL FROM:<a@example.com>\r\n")), "503");
  peer_.Say("EHLO client.example\r\n");
  EXPECT_EQ(Codes(peer_.Say("RCPT TO:<b@example.org>\r\n")), "503");
  EXPECT_EQ(Codes(peer_.Say("DATA\r\n")), "503");
  EXPECT_EQ(Codes(peer_.Say("MAIL FROM:<a@example.com>\r\n")), "250");
  EXPECT_EQ(Codes(peer_.Say("DATA\r\n")), "503");
  EXPECT_THAT(peer_.Say("MAIL FROM:<a@example.com>\r\n"), HasSubstr("nested"));
  EXPECT_EQ(errors(), 5u);
}

TEST_F(SmtpServer, CountsNoErrorsForTheConsequencesOfARefusal) {
  // RFC 2920 §3.1: who pipelines sends RCPT and DATA before he knows what became of MAIL.
  peer_.ConnectAndGreet();
  EXPECT_EQ(
      Codes(peer_.Say("MAIL FROM:<refuse@example.com>\r\nRCPT TO:<b@example.org>\r\nDATA\r\n")),
      "550 503 503");
  EXPECT_EQ(Codes(peer_.Say("RSET\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<reject@example.org>\r\n"
                            "DATA\r\n")),
            "250 250 550 554");
  EXPECT_EQ(Codes(peer_.Say("RSET\r\nMAIL FROM:<refuse@example.com>\r\nRCPT TO:<b@example.org>\r\n"
                            "BDAT 3 LAST\r\nabcRSET\r\n")),
            "250 550 503 503 250");
  EXPECT_EQ(errors(), 0u);
}

TEST_F(SmtpServer, ClosesAfterTooManyErrors) {
  peer_.options.protocol_errors_max = 3;
  peer_.ConnectAndGreet();
  EXPECT_EQ(Codes(peer_.Say("A\r\nB\r\nC\r\nD\r\n")), "500 500 500 421");
  EXPECT_TRUE(peer_.server->closed());
  EXPECT_EQ(peer_.Say("NOOP\r\n"), "");
}

// --- Paths and parameters (RFC 5321 §4.1.2) ---

TEST_F(SmtpServer, TakesTheMailboxesOfTheGrammar) {
  peer_.ConnectAndGreet();
  const std::string local(64, 'l');
  const std::vector<std::string> good = {"b@example.org",
                                         "b.c+d@a-b.example",
                                         "!#$%&'*+-/=?^_`{|}~@example.org",
                                         "\"b c\"@example.org",
                                         "\"a>b<c@d\"@example.org",
                                         "\"\\\"\\\\\"@example.org",
                                         "\"\"@example.org",
                                         "b@[127.0.0.1]",
                                         "b@[IPv6:::1]",
                                         "Postmaster",
                                         "POSTMASTER",
                                         "postmaster@example.org",
                                         local + "@example.org"};
  peer_.Say("MAIL FROM:<>\r\n");
  for (const std::string& address : good) {
    EXPECT_THAT(peer_.Say("RCPT TO:<" + address + ">\r\n"), StartsWith("250 2.1.5 ")) << address;
    EXPECT_EQ(peer_.handler.current.recipients.back(), address);
  }
}

TEST_F(SmtpServer, RefusesWhatIsNoMailbox) {
  peer_.options.protocol_errors_max = 0;
  peer_.ConnectAndGreet();
  const std::vector<std::string> bad = {"",
                                        "b",
                                        "@example.org",
                                        "b@",
                                        "b c@example.org",
                                        ".b@example.org",
                                        "b.@example.org",
                                        "b..c@example.org",
                                        "\"b@example.org",
                                        "\"b\"c@example.org",
                                        "b@exam_ple.org",
                                        "b@-e.org",
                                        "b@example..org",
                                        "b@[1.2.3.4",
                                        "b@[1.2.3.400]",
                                        "b@c@example.org",
                                        "b\t@example.org",
                                        "\"b\x01\"@example.org",
                                        std::string(65, 'l') + "@example.org",
                                        "<b@example.org>",
                                        "b@example.org,c@example.org"};
  peer_.Say("MAIL FROM:<>\r\n");
  for (const std::string& address : bad) {
    EXPECT_THAT(peer_.Say("RCPT TO:<" + address + ">\r\n"), StartsWith("501 5.1.3 ")) << address;
  }
  for (const char* line :
       {"RCPT TO: <b@example.org>", "RCPT TO :<b@example.org>", "RCPT b@example.org",
        "RCPT TO:b@example.org", "RCPT", "RCPT TO:", "RCPT TO:<b@example.org",
        "RCPT TO:<b@example.org>x", "RCPT FROM:<b@example.org>"}) {
    EXPECT_EQ(Codes(peer_.Say(std::string(line) + "\r\n")), "501") << line;
  }
  EXPECT_TRUE(peer_.handler.current.recipients.empty());
}

TEST_F(SmtpServer, LimitsThePathTo256Octets) {  // RFC 5321 §4.5.3.1.3
  peer_.ConnectAndGreet();
  std::string domain;
  while (domain.size() < 240) domain += "abcdefghi.";
  const std::string fits = "b@" + domain + std::string(254 - 2 - domain.size(), 'z');
  peer_.Say("MAIL FROM:<>\r\n");
  EXPECT_EQ(Codes(peer_.Say("RCPT TO:<" + fits + ">\r\n")), "250");
  EXPECT_THAT(peer_.Say("RCPT TO:<" + fits + "z>\r\n"), HasSubstr("path too long"));
}

TEST_F(SmtpServer, DropsASourceRoute) {  // RFC 5321 §4.1.1.3, appendix C
  peer_.ConnectAndGreet();
  EXPECT_EQ(Codes(peer_.Say("MAIL FROM:<@x.example:a@example.com>\r\n"
                            "RCPT TO:<@hosta.int,@jkl.org:userc@d.bar.org>\r\n")),
            "250 250");
  EXPECT_EQ(peer_.handler.current.reverse_path, "a@example.com");
  EXPECT_EQ(peer_.handler.current.recipients.at(0), "userc@d.bar.org");
  EXPECT_EQ(Codes(peer_.Say("RCPT TO:<@hosta.int,:b@example.org>\r\nRCPT TO:<@:b@example.org>\r\n"
                            "RCPT TO:<@hosta.int b@example.org>\r\n")),
            "501 501 501");
}

TEST_F(SmtpServer, ReadsMailParameters) {
  peer_.ConnectAndGreet();
  EXPECT_EQ(Codes(peer_.Say("MAIL FROM:<a@example.com> SIZE=1234 BODY=8BITMIME SMTPUTF8\r\n")),
            "250");
  EXPECT_EQ(peer_.handler.current.parameters.size, 1234u);
  EXPECT_TRUE(peer_.handler.current.parameters.eight_bit);
  EXPECT_TRUE(peer_.handler.current.parameters.smtputf8);
}

TEST_F(SmtpServer, RefusesParametersItDidNotOffer) {  // RFC 5321 §4.1.1.11
  peer_.options.protocol_errors_max = 0;
  peer_.ConnectAndGreet();
  for (const char* unknown : {"RET=FULL", "BODY=BINARYMIME", "AUTH=<>", "X", "ENVID=1 SIZE=1"}) {
    EXPECT_THAT(peer_.Say("MAIL FROM:<a@example.com> " + std::string(unknown) + "\r\n"),
                StartsWith("555 5.5.4 "))
        << unknown;
  }
  for (const char* bad : {"SIZE", "SIZE=", "SIZE=x", "SIZE=-1", "SIZE=99999999999999999999",
                          "SIZE=1 SIZE=1", "BODY", "BODY=7BIT BODY=7BIT", "SMTPUTF8=1",
                          "SMTPUTF8 SMTPUTF8", "=1", "-X=1", "SIZE=1  BODY=7BIT", "SIZE=1=2"}) {
    EXPECT_EQ(Codes(peer_.Say("MAIL FROM:<a@example.com> " + std::string(bad) + "\r\n")), "501")
        << bad;
  }
  EXPECT_EQ(Codes(peer_.Say("MAIL FROM:<a@example.com>SIZE=1\r\n")), "501");
  peer_.Say("MAIL FROM:<a@example.com>\r\n");
  EXPECT_THAT(peer_.Say("RCPT TO:<b@example.org> NOTIFY=NEVER\r\n"), StartsWith("555 5.5.4 "));
}

TEST_F(SmtpServer, WantsSmtputf8ForNonAsciiAddresses) {  // RFC 6531 §3.2, §3.5
  peer_.ConnectAndGreet();
  EXPECT_THAT(peer_.Say("MAIL FROM:<jos\xc3\xa9@example.com>\r\n"), StartsWith("550 5.6.7 "));
  peer_.Say("MAIL FROM:<a@example.com>\r\n");
  EXPECT_THAT(peer_.Say("RCPT TO:<b@b\xc3\xbc"
                        "cher.example>\r\n"),
              StartsWith("553 5.6.7 "));
  peer_.Say("RSET\r\n");
  EXPECT_EQ(Codes(peer_.Say("MAIL FROM:<jos\xc3\xa9@example.com> SMTPUTF8\r\n"
                            "RCPT TO:<\"\xe2\x82\xac\"@b\xc3\xbc"
                            "cher.example>\r\n")),
            "250 250");
  for (const char* malformed : {"\xc3", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xff"}) {
    EXPECT_EQ(Codes(peer_.Say("RCPT TO:<" + std::string(malformed) + "@example.org>\r\n")), "501");
  }
}

TEST_F(SmtpServer, TakesNoSmtputf8WhereItIsNotOffered) {
  peer_.options.smtputf8 = false;
  peer_.ConnectAndGreet();
  EXPECT_EQ(Codes(peer_.Say("MAIL FROM:<a@example.com> SMTPUTF8\r\n")), "555");
}

// --- Limits ---

TEST_F(SmtpServer, LimitsCommandLines) {  // RFC 5321 §4.5.3.1.4
  peer_.ConnectAndGreet();
  EXPECT_EQ(Codes(peer_.Say("NOOP " + std::string(512 - 7, 'x') + "\r\n")), "250");
  EXPECT_THAT(peer_.Say("NOOP " + std::string(512 - 6, 'x') + "\r\nRSET\r\n"),
              StartsWith("500 5.5.2 line too long\r\n554 "));  // NOOP is the last of a group
}

TEST_F(SmtpServer, FindsTheNextCommandBehindALineThatIsTooLong) {
  peer_.ConnectAndGreet();
  EXPECT_EQ(Codes(peer_.Say(std::string(5000, 'x') + "\r\nRSET\r\n")), "500 250");
  EXPECT_EQ(Codes(peer_.SayInSteps(std::string(5000, '\n') + "\r\nRSET\r\n", 7)), "500 250");
  EXPECT_EQ(errors(), 2u);
}

TEST_F(SmtpServer, LetsMailBeLongerByItsParameters) {
  peer_.ConnectAndGreet();
  // 512 + 26 + 17 + 10; the digits of SIZE are padded with zeros within the grammar's 20.
  const std::string line =
      "MAIL FROM:<a@example.com> SIZE=00000000000000000001 BODY=8BITMIME SMTPUTF8";
  EXPECT_EQ(Codes(peer_.Say(line + std::string(565 - 2 - line.size(), ' ') + "\r\nRSET\r\n")),
            "250 250");
  EXPECT_THAT(peer_.Say(line + std::string(565 - 1 - line.size(), ' ') + "\r\n"),
              StartsWith("500 "));
}

TEST_F(SmtpServer, EndsASessionWhoseLineNeverEnds) {
  peer_.ConnectAndGreet();
  std::string replies;
  for (int i = 0; i < 100 && !peer_.server->closed(); ++i)
    replies += peer_.Say(std::string(1000, 'x'));
  EXPECT_EQ(Codes(replies), "500 421");
}

TEST_F(SmtpServer, SaysTooManyRecipientsWith452) {  // RFC 5321 §4.5.3.1.10
  peer_.options.recipients_max = 2;
  peer_.ConnectAndGreet();
  EXPECT_EQ(Codes(peer_.Say("MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.org>\r\n"
                            "RCPT TO:<reject@example.org>\r\nRCPT TO:<c@example.org>\r\n")),
            "250 250 550 250");
  EXPECT_THAT(peer_.Say("RCPT TO:<d@example.org>\r\n"), StartsWith("452 4.5.3 "));
  SendByData("x\r\n");
  EXPECT_EQ(messages().at(0).recipients.size(), 2u);
  EXPECT_EQ(errors(), 0u);
}

TEST_F(SmtpServer, CountsRefusedRecipientsForRcptmax) {  // RFC 9422 §4.2
  peer_.options.rcpt_max = 2;
  peer_.ConnectAndGreet();
  EXPECT_EQ(Codes(peer_.Say("MAIL FROM:<a@example.com>\r\nRCPT TO:<reject@example.org>\r\n"
                            "RCPT TO:<b@example.org>\r\nRCPT TO:<c@example.org>\r\n")),
            "250 550 250 452");
}

TEST_F(SmtpServer, EndsTheSessionOverMailmax) {  // RFC 9422 §4.1
  peer_.options.mail_max = 2;
  peer_.ConnectAndGreet();
  EXPECT_EQ(
      Codes(peer_.Say("MAIL FROM:<a@example.com>\r\nRSET\r\nMAIL FROM:<refuse@example.com>\r\n"
                      "MAIL FROM:<a@example.com>\r\n")),
      "250 250 550 421");
  EXPECT_TRUE(peer_.server->closed());
  EXPECT_EQ(errors(), 1u);
}

TEST_F(SmtpServer, RefusesADeclaredSizeOverTheMaximum) {  // RFC 1870 §6.1
  peer_.options.size_max = 1000;
  peer_.ConnectAndGreet();
  EXPECT_THAT(peer_.Say("MAIL FROM:<a@example.com> SIZE=1001\r\n"), StartsWith("552 5.3.4 "));
  EXPECT_EQ(Codes(peer_.Say("MAIL FROM:<a@example.com> SIZE=1000\r\n")), "250");
  EXPECT_EQ(errors(), 0u);
}

TEST_F(SmtpServer, RefusesContentOverTheMaximumAtItsEnd) {  // RFC 1870 §6.3
  peer_.options.size_max = 100;
  peer_.ConnectAndGreet();
  peer_.OpenTransaction();
  // Stuffed dots and the terminator do not count (RFC 1870 §5).
  EXPECT_EQ(Codes(SendByData(".." + std::string(97, 'x') + "\r\n")), "250");
  peer_.OpenTransaction();
  EXPECT_THAT(SendByData(std::string(99, 'x') + "\r\n"), StartsWith("552 5.3.4 "));
  EXPECT_EQ(messages().size(), 1u);
  EXPECT_EQ(peer_.handler.resets, 1);
  EXPECT_EQ(errors(), 0u);
  peer_.OpenTransaction();
  EXPECT_EQ(Codes(peer_.Say("BDAT 98\r\n" + std::string(96, 'x') + "\r\nBDAT 3\r\ny\r\nRSET\r\n")),
            "250 552 250");
}

TEST_F(SmtpServer, StopsWhenRepliesAreNotRead) {
  peer_.ConnectAndGreet();
  std::string group;
  for (int i = 0; i < 1000; ++i) group += "RSET\r\n";
  size_t rounds = 0;
  for (; rounds < 100 && !peer_.server->closed(); ++rounds) {
    peer_.server->Receive({group.data(), group.size()});
  }
  EXPECT_LT(rounds, 10u);
  const std::string replies = peer_.Take();
  EXPECT_LT(replies.size(), (64u << 10) + 200);
  EXPECT_THAT(replies, HasSubstr("\r\n421 4.7.0 localhost too many replies unread"));
}

// --- Pipelining (RFC 2920) ---

TEST_F(SmtpServer, GathersTheRepliesOfAGroup) {  // RFC 2920 §3.2 (2)
  peer_.ConnectAndGreet();
  EXPECT_EQ(Codes(peer_.Say("MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.org>\r\nDATA\r\n")),
            "250 250 354");
  // §3.1: content may be the first "command" of a group.
  EXPECT_EQ(Codes(peer_.Say("x\r\n.\r\nRSET\r\nMAIL FROM:<a@example.com>\r\n"
                            "RCPT TO:<b@example.org>\r\nDATA\r\n")),
            "250 250 250 250 354");
  EXPECT_EQ(Codes(peer_.Say("y\r\n.\r\nQUIT\r\n")), "250 221");
  EXPECT_EQ(messages().size(), 2u);
  EXPECT_EQ(errors(), 0u);
}

TEST_F(SmtpServer, RefusesContentThatDidNotWaitFor354) {  // RFC 2920 §3.1, RFC 5321 §3.3
  peer_.ConnectAndGreet();
  peer_.OpenTransaction();
  EXPECT_EQ(Codes(peer_.Say("DATA\r\nx\r\n.\r\n")), "354 554");
  EXPECT_TRUE(peer_.server->closed());
  EXPECT_TRUE(messages().empty());
  EXPECT_EQ(peer_.handler.resets, 1);
  EXPECT_EQ(errors(), 1u);
}

TEST_F(SmtpServer, RefusesEarlyInputHoweverItIsCut) {
  // Not taken means not sent: the peer cannot have read the 354.
  peer_.ConnectAndGreet();
  peer_.OpenTransaction();
  EXPECT_EQ(Codes(peer_.SayInSteps("DATA\r\nx\r\n.\r\n", 1)), "354 554");
}

TEST_F(SmtpServer, NeverTakesContentBehindARefusedDataForCommands) {
  peer_.ConnectAndGreet();
  peer_.Say("MAIL FROM:<a@example.com>\r\nRCPT TO:<reject@example.org>\r\n");
  EXPECT_EQ(Codes(peer_.Say("DATA\r\nRCPT TO:<victim@example.org>\r\n.\r\n")), "554 554");
  EXPECT_TRUE(peer_.server->closed());
  EXPECT_TRUE(peer_.handler.current.recipients.empty());
}

TEST_F(SmtpServer, RefusesInputBehindWhatMustEndAGroup) {
  for (const char* last : {"EHLO client.example", "HELO client.example", "NOOP", "VRFY b", "EXPN b",
                           "HELP", "STARTTLS", "DATA"}) {
    ServerPeer peer;
    peer.ConnectAndGreet();
    EXPECT_THAT(Codes(peer.Say(std::string(last) + "\r\nRSET\r\n")), EndsWith(" 554")) << last;
    EXPECT_TRUE(peer.server->closed()) << last;
    EXPECT_GE(peer.server->protocol_errors(), 1u) << last;
  }
}

TEST_F(SmtpServer, RefusesInputBeforeItsGreeting) {  // RFC 5321 §3.1
  peer_.Start();
  EXPECT_EQ(Codes(peer_.Say("EHLO client.example\r\n")), "220 554");
  EXPECT_TRUE(peer_.server->closed());
}

TEST_F(SmtpServer, RefusesGroupsWherePipeliningIsNotOffered) {
  peer_.options.pipelining = false;
  peer_.ConnectAndGreet();
  EXPECT_EQ(Codes(peer_.Say("MAIL FROM:<a@example.com>\r\n")), "250");
  EXPECT_EQ(Codes(peer_.Say("RCPT TO:<b@example.org>\r\n")), "250");
  EXPECT_EQ(Codes(peer_.Say("DATA\r\n")), "354");
  EXPECT_EQ(Codes(peer_.Say("x\r\n.\r\nRSET\r\n")), "250 554");
}

TEST_F(SmtpServer, RefusesGroupsAfterHelo) {
  peer_.ConnectAndGreet("HELO client.example\r\n");
  EXPECT_EQ(Codes(peer_.Say("MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.org>\r\n")),
            "250 554");
}

TEST_F(SmtpServer, WorksOneCommandAtATimeWithoutPipelining) {
  peer_.options.pipelining = false;
  peer_.ConnectAndGreet();
  for (int i = 0; i < 3; ++i) {
    for (const char* line : {"MAIL FROM:<a@example.com>\r\n", "RCPT TO:<b@example.org>\r\n",
                             "BDAT 3\r\nx\r\n", "BDAT 0 LAST\r\n", "RSET\r\n"}) {
      EXPECT_EQ(Codes(peer_.Say(line)), "250") << line;
    }
  }
  EXPECT_EQ(messages().size(), 3u);
  EXPECT_EQ(errors(), 0u);
}

TEST_F(SmtpServer, CountsInputBehindQuit) {
  peer_.ConnectAndGreet();
  EXPECT_EQ(Codes(peer_.Say("QUIT\r\nMAIL FROM:<a@example.com>\r\n")), "221");
  EXPECT_EQ(errors(), 1u);
}

// --- DATA ---

TEST_F(SmtpServer, DeliversContentWithoutStuffedDots) {  // RFC 5321 §4.5.2
  peer_.ConnectAndGreet();
  peer_.OpenTransaction();
  EXPECT_EQ(SendByData("..a\r\n....\r\nb.\r\n..\r\n. \r\nc..d\r\n\r\n.x\r\n"),
            "250 2.0.0 message accepted\r\n");
  EXPECT_EQ(messages().at(0).content, ".a\r\n...\r\nb.\r\n.\r\n \r\nc..d\r\n\r\nx\r\n");
  EXPECT_EQ(messages().at(0).reverse_path, "a@example.com");
  EXPECT_EQ(messages().at(0).recipients, std::vector<std::string>{"b@example.org"});
}

TEST_F(SmtpServer, HandsContentOnInBigSpans) {
  peer_.ConnectAndGreet();
  peer_.OpenTransaction();
  std::string content;
  for (int i = 0; i < 1000; ++i) content += std::string(76, 'x') + "\r\n";
  SendByData(content);
  EXPECT_EQ(messages().at(0).content, content);
  EXPECT_EQ(peer_.handler.content_calls, 1);
}

TEST_F(SmtpServer, TakesAnEmptyMessage) {
  peer_.ConnectAndGreet();
  peer_.OpenTransaction();
  EXPECT_EQ(Codes(SendByData("")), "250");
  EXPECT_EQ(messages().at(0).content, "");
}

TEST_F(SmtpServer, TakesEightBitContent) {  // RFC 6152
  peer_.ConnectAndGreet();
  peer_.OpenTransaction();
  std::string content;
  for (int c = 1; c < 256; ++c) {
    if (c != '\r' && c != '\n') content.push_back(static_cast<char>(c));
  }
  content += "\r\n";
  EXPECT_EQ(Codes(SendByData(content)), "250");
  EXPECT_EQ(messages().at(0).content, content);
}

TEST_F(SmtpServer, IsReadyForTheNextMessageAfterARefusedOne) {
  peer_.ConnectAndGreet();
  peer_.Say("MAIL FROM:<spam@example.com>\r\nRCPT TO:<b@example.org>\r\n");
  EXPECT_THAT(SendByData("x\r\n"), StartsWith("554 5.7.1 spam"));
  EXPECT_EQ(peer_.handler.resets, 0);  // OnContentEnd was the end
  peer_.OpenTransaction();
  EXPECT_EQ(Codes(SendByData("y\r\n")), "250");
}

TEST_F(SmtpServer, LimitsTextLines) {  // RFC 5321 §4.5.3.1.6: 1000 with CRLF, without a stuffed dot
  peer_.ConnectAndGreet();
  peer_.OpenTransaction();
  EXPECT_EQ(Codes(SendByData(std::string(998, 'x') + "\r\n.." + std::string(997, 'x') + "\r\n")),
            "250");
  peer_.OpenTransaction();
  EXPECT_THAT(SendByData("a\r\n" + std::string(999, 'x') + "\r\n"), StartsWith("550 5.6.0 "));
  peer_.OpenTransaction();
  EXPECT_EQ(Codes(SendByData(".." + std::string(998, 'x') + "\r\n")), "550");
  EXPECT_EQ(messages().size(), 1u);
  EXPECT_EQ(errors(), 2u);
  peer_.options.text_line_max = 0;
  peer_.OpenTransaction();
  EXPECT_EQ(Codes(SendByData(std::string(100'000, 'x') + "\r\n")), "250");
}

// --- Smuggling (RFC 5321 §2.3.8, §4.1.1.4) ---

struct SmugglingCase {
  const char* name;
  std::string inner;  // stands where an end of data might be seen
};

std::vector<SmugglingCase> SmugglingCases() {
  using namespace std::string_literals;
  std::vector<SmugglingCase> cases = {
      {"LF . LF", "\n.\n"},
      {"LF . CRLF", "\n.\r\n"},
      {"CRLF . LF", "\r\n.\n"},
      {"CR . CR", "\r.\r"},
      {"CR . CRLF", "\r.\r\n"},
      {"CRLF . CR", "\r\n.\r"},
      {"LF . CR", "\n.\r"},
      {"CR . LF", "\r.\n"},
      {"CRLF . CR x", "\r\n.\rx"},
      {"CRLF NUL . CRLF", "\r\n\0.\r\n"s},
      {"CRLF . NUL CRLF", "\r\n.\0\r\n"s},
      {"CRCRLF . CRLF x", "\r\r\n.x\r\n"},
      {"CRLF . CRCRLF", "\r\n.\r\r\n"},
      {"LF CR . CRLF", "\n\r.\r\n"},
      {"CRLF . LF CR", "\r\n.\n\r"},
      {"LF LF", "\n\n"},
      {"CR CR", "\r\r"},
      {"LF at start", "\n"},
      {"CR at start", "\r"},
      {"NUL", "\0"s},
      {"CRLF LF . CRLF", "\r\n\n.\r\n"},
  };
  return cases;
}

constexpr std::string_view kSmuggled =
    "MAIL FROM:<admin@example.com>\r\nRCPT TO:<victim@example.org>\r\nDATA\r\nsmuggled\r\n";

class SmtpSmuggling : public ::testing::TestWithParam<size_t> {};

TEST_P(SmtpSmuggling, RefusesTheMessageAndStaysInStep) {
  for (const SmugglingCase& c : SmugglingCases()) {
    ServerPeer peer;
    peer.ConnectAndGreet();
    peer.OpenTransaction();
    ASSERT_EQ(Codes(peer.Say("DATA\r\n")), "354");
    // The whole tail, up to the only true end, is one message; one reply, a refusal.
    const std::string bytes = "x" + c.inner + std::string(kSmuggled) + ".\r\nRSET\r\n";
    const std::string replies = peer.SayInSteps(bytes, GetParam());
    EXPECT_EQ(Codes(replies), "550 250") << c.name << ": " << replies;
    EXPECT_THAT(replies, StartsWith("550 5.6.11 ")) << c.name;
    EXPECT_TRUE(peer.handler.messages.empty()) << c.name;
    EXPECT_EQ(peer.handler.ends, 0) << c.name;
    EXPECT_EQ(peer.server->protocol_errors(), 1u) << c.name;
    peer.OpenTransaction();
    peer.Say("DATA\r\n");
    EXPECT_EQ(Codes(peer.Say("y\r\n.\r\n")), "250") << c.name;
    EXPECT_EQ(peer.handler.messages.at(0).content, "y\r\n") << c.name;
  }
}

TEST_P(SmtpSmuggling, RefusesTheSameInBdat) {
  for (const SmugglingCase& c : SmugglingCases()) {
    ServerPeer peer;
    peer.ConnectAndGreet();
    peer.OpenTransaction();
    const std::string content = "x" + c.inner + "y\r\n";
    const std::string bytes =
        "BDAT " + std::to_string(content.size()) + " LAST\r\n" + content + "RSET\r\n";
    const std::string replies = peer.SayInSteps(bytes, GetParam());
    EXPECT_EQ(Codes(replies), "550 250") << c.name << ": " << replies;
    EXPECT_TRUE(peer.handler.messages.empty()) << c.name;
    EXPECT_EQ(peer.server->protocol_errors(), 1u) << c.name;
  }
}

TEST_P(SmtpSmuggling, RefusesBareLineEndsInCommands) {
  for (std::string line : {"NOOP\nRSET", "NOOP\rRSET", "RSET\n", "\nRSET", "RSET\r", "RS\r\rET",
                           "MAIL FROM:<a@example.com>\nRCPT TO:<b@example.org>",
                           "EHLO a\nMAIL FROM:<a@example.com>"}) {
    ServerPeer peer;
    peer.ConnectAndGreet();
    const std::string replies = peer.SayInSteps(line + "\r\n", GetParam());
    EXPECT_THAT(replies, StartsWith("500 5.5.2 bare CR, bare LF or NUL")) << line;
    EXPECT_EQ(Codes(replies), "500") << line;
    EXPECT_FALSE(peer.server->in_transaction()) << line;
    EXPECT_EQ(peer.server->protocol_errors(), 1u) << line;
    EXPECT_EQ(Codes(peer.Say("RSET\r\n")), "250") << line;
  }
}

INSTANTIATE_TEST_SUITE_P(CutEvery, SmtpSmuggling, ::testing::Values(1, 2, 3, 7, 64, 4096));

TEST_F(SmtpServer, NeverEndsACommandAtALoneLf) {  // RFC 5321 §4.1.1.4
  peer_.ConnectAndGreet();
  EXPECT_EQ(peer_.Say("RSET\n"), "");
  EXPECT_EQ(peer_.Say("RSET\n"), "");
  EXPECT_EQ(Codes(peer_.Say("\r\n")), "500");
}

// --- BDAT (RFC 3030) ---

TEST_F(SmtpServer, TakesChunks) {  // RFC 3030 §4.2
  peer_.ConnectAndGreet();
  EXPECT_EQ(Codes(peer_.Say("MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.org>\r\n"
                            "BDAT 5\r\n.\r\n.xBDAT 3\r\n\r\n.BDAT 2 LAST\r\n\r\nRSET\r\n")),
            "250 250 250 250 250 250");
  EXPECT_EQ(messages().at(0).content, ".\r\n.x\r\n.\r\n");  // no dot is taken off
  EXPECT_EQ(errors(), 0u);
}

TEST_F(SmtpServer, TakesAnEmptyLastChunk) {  // RFC 3030 §2
  peer_.ConnectAndGreet();
  peer_.OpenTransaction();
  EXPECT_EQ(Codes(peer_.Say("BDAT 3\r\nx\r\nBDAT 0\r\nbdat 0 last\r\n")), "250 250 250");
  EXPECT_EQ(messages().at(0).content, "x\r\n");
  peer_.OpenTransaction();
  EXPECT_EQ(Codes(peer_.Say("BDAT 0 LAST\r\n")), "250");
  EXPECT_EQ(messages().at(1).content, "");
}

TEST_F(SmtpServer, TakesTransactionsBackToBackAfterSuccess) {
  peer_.ConnectAndGreet();
  std::string stream, codes;
  for (int i = 0; i < 10; ++i) {
    stream += "MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.org>\r\nBDAT 3 LAST\r\n" +
              std::to_string(i) + "\r\n";
    codes += i == 0 ? "250 250 250" : " 250 250 250";
  }
  EXPECT_EQ(Codes(peer_.Say(stream)), codes);
  EXPECT_EQ(messages().size(), 10u);
  EXPECT_EQ(messages().at(9).content, "9\r\n");
  EXPECT_EQ(errors(), 0u);
}

TEST_F(SmtpServer, RefusesBdatAfterLast) {  // RFC 3030 §2: MUST be 503
  peer_.ConnectAndGreet();
  peer_.OpenTransaction();
  EXPECT_EQ(Codes(peer_.Say("BDAT 3 LAST\r\nx\r\nBDAT 6\r\nQUIT\r\nRSET\r\n")), "250 503 250");
  EXPECT_EQ(messages().size(), 1u);
}

TEST_F(SmtpServer, ConsumesAChunkItRefuses) {  // RFC 3030 §2: or its octets become commands
  peer_.ConnectAndGreet();
  EXPECT_EQ(Codes(peer_.Say("BDAT 6 LAST\r\nQUIT\r\nRSET\r\n")), "503 250");
  peer_.Say("MAIL FROM:<a@example.com>\r\nRCPT TO:<reject@example.org>\r\n");
  EXPECT_EQ(Codes(peer_.SayInSteps("BDAT 6 LAST\r\nQUIT\r\nRSET\r\n", 1)), "554 250");
  EXPECT_FALSE(peer_.server->closed());
  EXPECT_EQ(errors(), 1u);  // the first: there was no MAIL
}

TEST_F(SmtpServer, ConsumesAChunkWhereChunkingIsNotOffered) {
  peer_.options.chunking = false;
  peer_.ConnectAndGreet();
  peer_.OpenTransaction();
  EXPECT_EQ(Codes(peer_.Say("BDAT 6 LAST\r\nQUIT\r\n")), "502");
  EXPECT_FALSE(peer_.server->closed());
  EXPECT_EQ(errors(), 1u);
}

TEST_F(SmtpServer, DiscardsTheChunksBehindAFailedOne) {  // RFC 3030 §2: "MUST be prepared to"
  peer_.ConnectAndGreet();
  peer_.OpenTransaction();
  EXPECT_EQ(Codes(peer_.Say("BDAT 3\r\nx\n\nBDAT 3\r\ny\r\nBDAT 3 LAST\r\nz\r\n")), "550 503 503");
  EXPECT_TRUE(messages().empty());
  EXPECT_EQ(errors(), 1u);
  // "The resulting state from a failed BDAT command is indeterminate. A RSET command MUST be
  // issued".
  EXPECT_EQ(Codes(peer_.Say("MAIL FROM:<c@example.com>\r\nRCPT TO:<d@example.org>\r\nDATA\r\n")),
            "503 503 503");
  EXPECT_EQ(Codes(peer_.Say("RSET\r\nMAIL FROM:<c@example.com>\r\nRCPT TO:<d@example.org>\r\n"
                            "BDAT 3 LAST\r\nx\r\n")),
            "250 250 250 250");
  EXPECT_EQ(messages().at(0).reverse_path, "c@example.com");
}

TEST_F(SmtpServer, NeverMixesTheEnvelopesOfPipelinedTransactions) {
  // What Exim 4.96 did: the second message went out with the first one's sender (smtp-rules §0).
  peer_.ConnectAndGreet();
  EXPECT_EQ(Codes(peer_.Say("MAIL FROM:<a@example.com>\r\nRCPT TO:<reject@example.org>\r\n"
                            "BDAT 3 LAST\r\n1\r\nMAIL FROM:<b@example.com>\r\n"
                            "RCPT TO:<c@example.org>\r\nBDAT 3 LAST\r\n2\r\n")),
            "250 550 554 503 503 503");
  EXPECT_TRUE(messages().empty());
}

TEST_F(SmtpServer, WantsRsetAfterARefusedLastChunk) {
  peer_.ConnectAndGreet();
  EXPECT_EQ(Codes(peer_.Say("MAIL FROM:<spam@example.com>\r\nRCPT TO:<b@example.org>\r\n"
                            "BDAT 3 LAST\r\nx\r\nMAIL FROM:<a@example.com>\r\nRSET\r\n")),
            "250 250 554 503 250");
  EXPECT_EQ(peer_.handler.resets, 0);
  // Neither more recipients nor more content for the message that was judged.
  EXPECT_EQ(Codes(peer_.Say(
                "MAIL FROM:<spam@example.com>\r\nRCPT TO:<b@example.org>\r\n"
                "BDAT 3 LAST\r\nx\r\nRCPT TO:<c@example.org>\r\nBDAT 3 LAST\r\ny\r\nRSET\r\n")),
            "250 250 554 503 503 250");
  EXPECT_EQ(peer_.handler.ends, 2);
  peer_.OpenTransaction();
  EXPECT_TRUE(peer_.server->in_transaction());
  EXPECT_EQ(Codes(peer_.Say("BDAT 2\r\n\n\n")), "550");
  EXPECT_FALSE(peer_.server->in_transaction());  // its message is over, though RSET is due
}

TEST_F(SmtpServer, TakesNoDataAfterBdat) {  // RFC 3030 §2
  peer_.ConnectAndGreet();
  peer_.OpenTransaction();
  EXPECT_EQ(Codes(peer_.Say("BDAT 3\r\nx\r\nDATA\r\n")), "250 503");
  EXPECT_EQ(Codes(peer_.Say("RCPT TO:<c@example.org>\r\nBDAT 0 LAST\r\n")), "503 250");
}

TEST_F(SmtpServer, EndsTheSessionAtABdatItCannotRead) {
  // Nobody knows how many octets follow; they must not be read as commands.
  for (const char* bad :
       {"BDAT", "BDAT x", "BDAT -1", "BDAT 3 FIRST", "BDAT 3 LAST x", "BDAT  3", "BDAT 3  LAST",
        "BDAT 99999999999999999999", "BDAT 9223372036854775808"}) {
    ServerPeer peer;
    peer.ConnectAndGreet();
    peer.OpenTransaction();
    EXPECT_EQ(Codes(peer.Say(std::string(bad) + "\r\nRSET\r\n")), "501 421") << bad;
    EXPECT_TRUE(peer.server->closed()) << bad;
    EXPECT_EQ(peer.handler.resets, 1) << bad;
  }
}

TEST_F(SmtpServer, SeesACrlfThatIsCutByChunks) {
  peer_.ConnectAndGreet();
  peer_.OpenTransaction();
  EXPECT_EQ(Codes(peer_.Say("BDAT 2\r\nx\rBDAT 1 LAST\r\n\n")), "250 250");
  EXPECT_EQ(messages().at(0).content, "x\r\n");
  peer_.OpenTransaction();
  EXPECT_THAT(peer_.Say("BDAT 2 LAST\r\nx\r"), StartsWith("550 5.6.11 bare CR"));
}

TEST_F(SmtpServer, TakesALastLineWithoutCrlfInBdat) {
  peer_.ConnectAndGreet();
  peer_.OpenTransaction();
  EXPECT_EQ(Codes(peer_.Say("BDAT 1 LAST\r\nx")), "250");
}

// --- LMTP (RFC 2033) ---

class LmtpServer : public SmtpServer {
 protected:
  LmtpServer() { peer_.options.protocol = Protocol::kLmtp; }
};

TEST_F(LmtpServer, WantsLhlo) {  // RFC 2033 §4.1
  peer_.Connect();
  EXPECT_EQ(Codes(peer_.Say("EHLO client.example\r\n")), "500");
  EXPECT_EQ(Codes(peer_.Say("HELO client.example\r\n")), "500");
  EXPECT_EQ(Codes(peer_.Say("LHLO client.example\r\n")), "250");
}

TEST_F(SmtpServer, WantsNoLhlo) {
  peer_.Connect();
  EXPECT_EQ(Codes(peer_.Say("LHLO client.example\r\n")), "500");
}

TEST_F(LmtpServer, AnswersForEachAcceptedRecipient) {  // RFC 2033 §4.2, §4.3
  for (const std::string how : {"DATA\r\n", "BDAT 3 LAST\r\n"}) {
    ServerPeer peer;
    peer.options.protocol = Protocol::kLmtp;
    peer.ConnectAndGreet("LHLO client.example\r\n");
    peer.Say(
        "MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.org>\r\nRCPT TO:<reject@example.org>\r\n"
        "RCPT TO:<full@example.org>\r\nRCPT TO:<c@example.org>\r\n");
    std::string codes;
    if (how[0] == 'D') {
      EXPECT_EQ(Codes(peer.Say(how)), "354");
      codes = Codes(peer.Say("x\r\n.\r\nRSET\r\n"));
    } else {
      codes = Codes(peer.Say(how + "x\r\nRSET\r\n"));
    }
    EXPECT_EQ(codes, "250 452 250 250") << how;
    EXPECT_EQ(peer.handler.messages.size(), 1u);
  }
}

TEST_F(LmtpServer, AnswersForEachRecipientAlsoWhenItRefusesTheContent) {
  peer_.ConnectAndGreet("LHLO client.example\r\n");
  peer_.Say("MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.org>\r\nRCPT TO:<c@example.org>\r\n");
  peer_.Say("DATA\r\n");
  EXPECT_EQ(Codes(peer_.Say("x\ny\r\n.\r\nRSET\r\n")), "550 550 250");
  EXPECT_EQ(errors(), 1u);
}

TEST_F(LmtpServer, Says503WhenNoRecipientWasAccepted) {  // RFC 2033 §4.2: MUST
  peer_.ConnectAndGreet("LHLO client.example\r\n");
  EXPECT_EQ(
      Codes(peer_.Say("MAIL FROM:<a@example.com>\r\nRCPT TO:<reject@example.org>\r\nDATA\r\n")),
      "250 550 503");
}

// --- Replies ---

TEST_F(SmtpServer, LeavesOutEnhancedCodesWhenTheyAreOff) {  // RFC 2034
  peer_.options.enhanced_status_codes = false;
  peer_.ConnectAndGreet();
  EXPECT_EQ(peer_.Say("MAIL FROM:<a@example.com>\r\nRCPT TO:<reject@example.org>\r\n"),
            "250 sender ok\r\n550 unknown\r\n");
}

TEST_F(SmtpServer, GivesEveryFinalReplyAnEnhancedCodeOfItsClass) {  // RFC 2034 §4
  peer_.ConnectAndGreet();
  std::string replies = peer_.Say(
      "MAIL FROM:<refuse@example.com>\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<x>\r\n"
      "RCPT TO:<defer@example.org>\r\nRCPT TO:<b@example.org>\r\nRSET\r\nFOO\r\nBDAT 1 "
      "LAST\r\nxDATA\r\n");
  replies += peer_.Say("QUIT\r\n");
  for (size_t at = 0; at < replies.size(); at = replies.find("\r\n", at) + 2) {
    const std::string line = replies.substr(at, replies.find("\r\n", at) - at);
    EXPECT_EQ(line[0], line[4]) << line;
    EXPECT_EQ(line[5], '.') << line;
  }
}

TEST_F(SmtpServer, KeepsAHandlersWordsOnOneLine) {
  peer_.ConnectAndGreet();
  peer_.Say("MAIL FROM:<a@example.com>\r\n");
  EXPECT_EQ(peer_.Say("RCPT TO:<inject@example.org>\r\n"), "550 5.0.0 a  250 b\r\n");
  peer_.Say("RSET\r\n");
  EXPECT_THAT(peer_.Say("MAIL FROM:<odd@example.com>\r\n"), StartsWith("451 4.0.0 "));
  EXPECT_FALSE(peer_.server->in_transaction());
}

TEST_F(SmtpServer, EndsWhenTheHandlerSaysSo) {
  peer_.ConnectAndGreet();
  EXPECT_EQ(Codes(peer_.Say("MAIL FROM:<a@example.com>\r\nRCPT TO:<bye@example.org>\r\nRSET\r\n")),
            "250 421");
  EXPECT_TRUE(peer_.server->closed());
  EXPECT_EQ(peer_.handler.resets, 1);
}

TEST_F(SmtpServer, EndsTheSessionForItsDriver) {  // RFC 5321 §3.8
  peer_.ConnectAndGreet();
  peer_.OpenTransaction();
  peer_.Say("DATA\r\n");
  peer_.Say("half a mess");
  peer_.server->EndSession({ReplyCode(421), {4, 3, 2}, "localhost shutting down", false});
  EXPECT_EQ(peer_.Take(), "421 4.3.2 localhost shutting down\r\n");
  EXPECT_TRUE(peer_.server->closed());
  EXPECT_EQ(peer_.handler.resets, 1);
  peer_.server->EndSession({ReplyCode(421), {4, 3, 2}, "again", false});
  EXPECT_FALSE(peer_.server->has_output());
}

TEST_F(SmtpServer, ForgetsTheTransactionWhenTheConnectionIsGone) {  // RFC 5321 §4.1.1.10
  peer_.ConnectAndGreet();
  peer_.OpenTransaction();
  peer_.Say("DATA\r\n");
  peer_.Say("x\r\n");
  peer_.server->OnConnectionClosed();
  peer_.server->OnConnectionClosed();
  EXPECT_EQ(peer_.handler.resets, 1);
  EXPECT_TRUE(messages().empty());
}

TEST_F(SmtpServer, IsFreshAfterReset) {
  peer_.ConnectAndGreet();
  peer_.OpenTransaction();
  peer_.Say("FOO\r\n");
  peer_.server->Receive(std::string_view("partial li"));
  peer_.server->Reset();
  EXPECT_EQ(peer_.handler.resets, 1);
  EXPECT_EQ(errors(), 0u);
  EXPECT_FALSE(peer_.server->closed());
  peer_.server->Start();
  EXPECT_EQ(Codes(peer_.Take()), "220");
  EXPECT_EQ(Codes(peer_.Say("MAIL FROM:<a@example.com>\r\n")), "503");
  EXPECT_EQ(Codes(peer_.Say("EHLO client.example\r\n")), "250");
}

TEST_F(SmtpServer, GivesItsOutputByTheFlight) {
  peer_.ConnectAndGreet();
  const uint64_t before = peer_.server->output_end();
  peer_.server->Receive(std::string_view("RSET\r\n"));
  const uint64_t first = peer_.server->output_end();
  peer_.server->Receive(std::string_view("MAIL FROM:<a@example.com>\r\n"));
  EXPECT_EQ(peer_.server->TakeOutput(first - before), "250 2.0.0 reset\r\n");
  EXPECT_EQ(peer_.server->output_taken(), first);
  peer_.server->OnOutputSent();
  EXPECT_EQ(peer_.server->TakeOutput(), "250 2.1.0 sender ok\r\n");
  peer_.server->Receive(std::string_view("RSET\r\n"));  // must not touch what is being sent
  peer_.server->OnOutputSent();
  EXPECT_EQ(peer_.Take(), "250 2.0.0 reset\r\n");
}

// --- Cuts ---

// A session with a bit of everything. The groups are split where a client has to wait.
const std::vector<std::string>& LongSession() {
  using namespace std::string_literals;
  static const std::vector<std::string> groups = {
      "EHLO client.example\r\n",
      "MAIL FROM:<a@example.com> SIZE=10\r\nRCPT TO:<b@example.org>\r\nRCPT "
      "TO:<reject@x.org>\r\nDATA\r\n",
      "Subject: 1\r\n\r\n..dot\r\n.\r\nRSET\r\nMAIL FROM:<c@example.com>\r\nRCPT "
      "TO:<d@example.org>\r\nDATA\r\n",
      "bad\nline\r\n.x\r\n\n.\r\n..\r\n.\r\nMAIL FROM:<>\r\nRCPT TO:<e@example.org>\r\nBDAT 10\r\n"
      "01234567\r\nBDAT 4 LAST\r\n.\r\nxMAIL FROM:<f@example.com>\r\nRCPT TO:<g@example.org>\r\n"
      "BDAT 2\r\n\r\rBDAT 2\r\nhiRSET\r\nNO\rOP\r\n\0\r\n"s +
          std::string(600, 'y') + "\r\n" +
          "MAIL FROM:<h@example.com>\r\nRCPT TO:<i@example.org>\r\nDATA\r\n",
      std::string(998, 'z') + "\r\n." + std::string(998, 'z') + "\r\n.\r\r\n\r\n.\r\nQUIT\r\n",
  };
  return groups;
}

// Everything that can be seen of a run.
struct Outcome {
  std::vector<std::string> replies;
  std::vector<ReceivedMessage> messages;
  uint32_t errors = 0;
  int resets = 0;
  bool operator==(const Outcome&) const = default;
};

Outcome RunCut(size_t group, size_t cut, size_t step) {
  ServerPeer peer;
  peer.Connect();
  Outcome outcome;
  for (size_t i = 0; i < LongSession().size(); ++i) {
    const std::string& bytes = LongSession()[i];
    if (step > 0) {
      outcome.replies.push_back(peer.SayInSteps(bytes, step));
    } else if (i == group) {
      peer.server->Receive(std::string_view(bytes).substr(0, cut));
      outcome.replies.push_back(peer.Say(std::string_view(bytes).substr(cut)));
    } else {
      outcome.replies.push_back(peer.Say(bytes));
    }
  }
  outcome.messages = peer.handler.messages;
  outcome.errors = peer.server->protocol_errors();
  outcome.resets = peer.handler.resets;
  return outcome;
}

TEST(SmtpServerCuts, GiveTheSameResultAtEveryByte) {
  const Outcome whole = RunCut(SIZE_MAX, 0, 0);
  ASSERT_EQ(whole.messages.size(), 2u);
  EXPECT_EQ(whole.messages[0].content, "Subject: 1\r\n\r\n.dot\r\n");
  EXPECT_EQ(whole.messages[1].content, "01234567\r\n.\r\nx");
  EXPECT_EQ(Codes(whole.replies[4]), "550 221");
  for (size_t group = 0; group < LongSession().size(); ++group) {
    for (size_t cut = 0; cut <= LongSession()[group].size(); ++cut) {
      ASSERT_EQ(RunCut(group, cut, 0), whole) << "group " << group << " cut at " << cut;
    }
  }
  for (size_t step : {1, 2, 3, 5, 15, 16, 17, 63, 64, 65, 127, 500}) {
    ASSERT_EQ(RunCut(SIZE_MAX, 0, step), whole) << "in steps of " << step;
  }
}

}  // namespace
}  // namespace volley::engine::smtp
