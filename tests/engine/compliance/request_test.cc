// What comes back: one-click POSTs and mailed replies.
#include <string>

#include "engine/compliance/mail_reply.h"
#include "engine/compliance/one_click.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace volley::engine::compliance {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;
using enum UnsubscribeRequest;

constexpr char kForm[] = "application/x-www-form-urlencoded";
constexpr char kMultipart[] = "multipart/form-data; boundary=xyz";

TEST(OneClick, IsReadUrlEncoded) {
  EXPECT_EQ(ReadUnsubscribeForm(kForm, "List-Unsubscribe=One-Click"), kOneClick);
  EXPECT_EQ(ReadUnsubscribeForm("", "List-Unsubscribe=One-Click"), kOneClick);
  EXPECT_EQ(ReadUnsubscribeForm("Application/X-WWW-form-urlencoded; charset=utf-8",
                                "a=b&List%2DUnsubscribe=one%2dclick\r\n"),
            kOneClick);
  EXPECT_EQ(ReadUnsubscribeForm(kForm, "confirm=unsubscribe"), kPage);
}

TEST(OneClick, IsReadMultipart) {
  const std::string part =
      "Content-Disposition: form-data; name=\"List-Unsubscribe\"\r\n\r\nOne-Click\r\n";
  EXPECT_EQ(ReadUnsubscribeForm(kMultipart, "--xyz\r\n" + part + "--xyz--\r\n"), kOneClick);
  EXPECT_EQ(ReadUnsubscribeForm("multipart/form-data; a=b; Boundary=\"xyz\"",
                                "preamble\r\n--xyz\r\n" + part + "--xyz--"),
            kOneClick);
  EXPECT_EQ(ReadUnsubscribeForm(kMultipart,
                                "--xyz\r\nContent-Disposition: form-data; name=a\r\n\r\nb\r\n"
                                "--xyz\r\nContent-Type: text/plain\r\n" +
                                    part + "--xyz--\r\n"),
            kOneClick);
  EXPECT_EQ(ReadUnsubscribeForm(kMultipart,
                                "--xyz\ncontent-disposition:form-data;name=List-Unsubscribe\n\n"
                                "One-Click\n--xyz--\n"),
            kOneClick);
}

TEST(OneClick, AnythingElseAsksForNothing) {
  const std::string part =
      "Content-Disposition: form-data; name=\"List-Unsubscribe\"\r\n\r\nOne-Click\r\n";
  for (const char* body : {"", "List-Unsubscribe", "List-Unsubscribe=", "List-Unsubscribe=Two",
                           "One-Click=List-Unsubscribe", "confirm=", "confirm=no", "&&&===",
                           "x=List-Unsubscribe=One-Click", "List-Unsubscribe=One-Clickx"}) {
    EXPECT_EQ(ReadUnsubscribeForm(kForm, body), kNone) << body;
  }
  EXPECT_EQ(ReadUnsubscribeForm("application/json", "List-Unsubscribe=One-Click"), kNone);
  EXPECT_EQ(ReadUnsubscribeForm("multipart/form-data", "--xyz\r\n" + part + "--xyz--"), kNone);
  EXPECT_EQ(ReadUnsubscribeForm("multipart/form-data; boundary=", "--\r\n" + part), kNone);
  EXPECT_EQ(ReadUnsubscribeForm(kMultipart, "--abc\r\n" + part + "--abc--"), kNone);
  EXPECT_EQ(ReadUnsubscribeForm(kMultipart, "--xyz--\r\n" + part), kNone);
  EXPECT_EQ(ReadUnsubscribeForm(kMultipart,
                                "--xyz\r\nContent-Disposition: form-data; "
                                "name=\"x\"; List-Unsubscribe\r\n\r\nOne-Click\r\n"),
            kNone);
  // The same pair in the content of another field is not the pair.
  EXPECT_EQ(ReadUnsubscribeForm(
                kMultipart,
                "--xyz\r\nContent-Disposition: form-data; name=\"x\"\r\n\r\n" + part + "--xyz--"),
            kNone);
}

TEST(OneClick, BodiesAndFieldsAreBounded) {
  const std::string pair = "&List-Unsubscribe=One-Click";
  EXPECT_EQ(ReadUnsubscribeForm(kForm, std::string(kFormFieldsMax - 1, '&') + pair.substr(1)),
            kOneClick);
  EXPECT_EQ(ReadUnsubscribeForm(kForm, std::string(kFormFieldsMax, '&') + pair), kNone);
  const std::string padding(kFormBytesMax - pair.size(), 'x');
  EXPECT_EQ(ReadUnsubscribeForm(kForm, padding + pair), kOneClick);
  EXPECT_EQ(ReadUnsubscribeForm(kForm, "x" + padding + pair), kNone);
}

const std::string kToken(60, 'T');

TEST(MailReply, FindsTheTokenInTheSubjectHoweverItCame) {
  for (const std::string& subject :
       {"Subject: unsubscribe-" + kToken, "subject:UnSubscribe-" + kToken,
        "SUBJECT : Re: AW: unsubscribe-" + kToken + " please",
        "Subject: Re:\r\n unsubscribe-" + kToken, "Subject:\n\tunsubscribe-" + kToken}) {
    EXPECT_THAT(FindReplyTokens("From: a@b.org\r\n" + subject + "\r\n\r\nbody"),
                ElementsAre(kToken))
        << subject;
  }
}

TEST(MailReply, FindsTheTokenInTheAddressItWasSentTo) {
  for (const char* field : {"To", "delivered-to", "X-Original-To", "Envelope-To"}) {
    EXPECT_THAT(FindReplyTokens(std::string(field) + ": A <a@b.org>, <unsub+" + kToken +
                                "@example.org>\r\n\r\n"),
                ElementsAre(kToken))
        << field;
  }
}

TEST(MailReply, ReadsNothingElse) {
  EXPECT_THAT(FindReplyTokens(""), IsEmpty());
  EXPECT_THAT(FindReplyTokens("\r\nSubject: unsubscribe-" + kToken), IsEmpty());  // the body
  EXPECT_THAT(FindReplyTokens("From: unsub+" + kToken + "@example.org\r\n\r\n"), IsEmpty());
  EXPECT_THAT(FindReplyTokens("Subject: unsubscribe-short\r\n\r\n"), IsEmpty());
  EXPECT_THAT(FindReplyTokens("X-Subject: unsubscribe-" + kToken + "\r\n"), IsEmpty());
  const std::string late = std::string(kReplyHeaderBytesMax, 'x') + "\r\nSubject: unsubscribe-";
  EXPECT_THAT(FindReplyTokens(late + kToken), IsEmpty());
}

TEST(MailReply, EachTokenOnceAndAFewOnly) {
  std::string message;
  for (char c = 'a'; c <= 'z'; ++c) {
    message += "Subject: unsubscribe-" + std::string(60, c) + " unsubscribe-" + std::string(60, c) +
               "\r\n";
  }
  const auto tokens = FindReplyTokens(message);
  EXPECT_THAT(tokens, SizeIs(kReplyTokensMax));
  EXPECT_EQ(tokens[1], std::string(60, 'b'));
}

}  // namespace
}  // namespace volley::engine::compliance
