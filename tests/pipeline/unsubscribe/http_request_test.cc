#include "pipeline/unsubscribe/http_request.h"

#include <string>

#include "gtest/gtest.h"

namespace volley::pipeline {
namespace {

using State = HttpRequestParser::State;

constexpr std::string_view kPost =
    "POST /u/TOKEN HTTP/1.1\r\nHost: u.example.org\r\n"
    "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 26\r\n\r\n"
    "List-Unsubscribe=One-Click";
constexpr std::string_view kHead = "POST /u HTTP/1.1\r\nHost: h\r\n";

// 0: more is wanted; 200: done; else the refusal.
int Parse(const std::string& bytes, HttpRequestParser* parser) {
  parser->Receive(bytes);
  if (parser->state() == State::kRefused) return parser->refusal();
  return parser->state() == State::kDone ? 200 : 0;
}
int Parse(const std::string& bytes) {
  HttpRequestParser parser;
  return Parse(bytes, &parser);
}
std::string With(std::string_view lines, std::string_view body = "") {
  return std::string(kHead) + std::string(lines) + "\r\n" + std::string(body);
}

TEST(HttpRequest, IsTheSameInWhateverPiecesItComes) {
  for (size_t size = 1; size <= kPost.size(); ++size) {
    HttpRequestParser parser;
    for (size_t at = 0; at < kPost.size(); at += size) {
      ASSERT_EQ(parser.state(), State::kMore) << size << " " << at;
      parser.Receive(kPost.substr(at, size));
    }
    ASSERT_EQ(parser.state(), State::kDone) << size;
    EXPECT_EQ(parser.request().method, "POST");
    EXPECT_EQ(parser.request().target, "/u/TOKEN");
    EXPECT_EQ(parser.request().content_type, "application/x-www-form-urlencoded");
    EXPECT_EQ(parser.request().body, "List-Unsubscribe=One-Click");
  }
}

TEST(HttpRequest, ChunkedBodiesAreJoinedInWhateverPiecesTheyCome) {
  const std::string bytes = With("Transfer-Encoding: chunked\r\n",
                                 "5;ext=1\r\nList-\r\n15\r\nUnsubscribe=One-Click\r\n"
                                 "0\r\nTrailer: x\r\n\r\n");
  for (size_t size = 1; size <= bytes.size(); ++size) {
    HttpRequestParser parser;
    for (size_t at = 0; at < bytes.size(); at += size) {
      ASSERT_EQ(parser.state(), State::kMore) << size << " " << at;
      parser.Receive(std::string_view(bytes).substr(at, size));
    }
    ASSERT_EQ(parser.state(), State::kDone) << size;
    EXPECT_EQ(parser.request().body, "List-Unsubscribe=One-Click");
  }
}

TEST(HttpRequest, BareLineFeedsAndOldVersionsAreRead) {
  EXPECT_EQ(Parse("GET / HTTP/1.0\r\n\r\n"), 200);
  EXPECT_EQ(Parse("\r\nGET / HTTP/1.1\nHost: h\n\n"), 200);
  EXPECT_EQ(Parse("GET / HTTP/1.1\r\nHost: h\r\n\r"), 0);
}

TEST(HttpRequest, TheLastForwardedForLineCounts) {
  HttpRequestParser parser;
  Parse(
      "GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 1.1.1.1\r\nX-FORWARDED-FOR: 2.2.2.2, 3.3.3.3"
      "\r\n\r\n",
      &parser);
  EXPECT_EQ(parser.request().forwarded_for, "2.2.2.2, 3.3.3.3");
}

TEST(HttpRequest, ContinueIsAskedForOnce) {
  HttpRequestParser parser;
  Parse(With("Expect: 100-continue\r\nContent-Length: 2\r\n"), &parser);
  EXPECT_TRUE(parser.TakeContinue());
  EXPECT_FALSE(parser.TakeContinue());
  HttpRequestParser at_once;
  Parse(With("Expect: 100-continue\r\nContent-Length: 2\r\n", "ab"), &at_once);
  EXPECT_FALSE(at_once.TakeContinue());
}

TEST(HttpRequest, WhatCanBeReadInTwoWaysIsRefused) {
  EXPECT_EQ(Parse(With("Content-Length: 2\r\nContent-Length: 2\r\n", "ab")), 400);
  EXPECT_EQ(Parse(With("Content-Length: 2\r\nTransfer-Encoding: chunked\r\n")), 400);
  EXPECT_EQ(Parse(With("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n")), 400);
  EXPECT_EQ(Parse(With("Transfer-Encoding: gzip, chunked\r\n")), 501);
  EXPECT_EQ(Parse("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), 400);
  EXPECT_EQ(Parse(With("Content-Length : 2\r\n", "ab")), 400);
  EXPECT_EQ(Parse(With("Content-Length: +2\r\n", "ab")), 400);
  EXPECT_EQ(Parse(With("Content-Length: 2, 2\r\n", "ab")), 400);
  EXPECT_EQ(Parse(With("Content-Length:\r\n")), 400);
  EXPECT_EQ(Parse(With("A: b\r\n folded\r\n")), 400);
  EXPECT_EQ(Parse(With("Host: again\r\n")), 400);
  EXPECT_EQ(Parse(With("no colon\r\n")), 400);
  EXPECT_EQ(Parse(With(std::string_view("A: b\0c\r\n", 8))), 400);
  EXPECT_EQ(Parse(With("A: b\rc\r\n")), 400);
}

TEST(HttpRequest, BadRequestLinesAreRefused) {
  EXPECT_EQ(Parse("GET / HTTP/1.1\r\n\r\n"), 400);  // no Host
  EXPECT_EQ(Parse("GET /\r\n\r\n"), 400);
  EXPECT_EQ(Parse("GET / HTTP/2.0\r\nHost: h\r\n\r\n"), 505);
  EXPECT_EQ(Parse("GET / FTP/1.1\r\nHost: h\r\n\r\n"), 400);
  EXPECT_EQ(Parse("GET /a b HTTP/1.1\r\nHost: h\r\n\r\n"), 400);
  EXPECT_EQ(Parse("GET /\xC3\xA4 HTTP/1.1\r\nHost: h\r\n\r\n"), 400);
  EXPECT_EQ(Parse("G\x16T / HTTP/1.1\r\nHost: h\r\n\r\n"), 400);
  EXPECT_EQ(Parse("\x16\x03\x01\x02 TLS \r\n\r\n"), 400);
}

TEST(HttpRequest, BadChunksAreRefused) {
  for (const char* body : {"x\r\n", "\r\n", "-1\r\n", "2\r\nabc\r\n", "123456789\r\n"}) {
    EXPECT_EQ(Parse(With("Transfer-Encoding: chunked\r\n", body)), 400) << body;
  }
  EXPECT_EQ(Parse(With("Transfer-Encoding: chunked\r\n", "2001\r\n")), 413);
  EXPECT_EQ(Parse(With("Transfer-Encoding: chunked\r\n",
                       "1fff\r\n" + std::string(0x1fff, 'a') + "\r\n2\r\n")),
            413);
  EXPECT_EQ(Parse(With("Transfer-Encoding: chunked\r\n", std::string(300, '0'))), 400);
}

TEST(HttpRequest, EverythingIsBounded) {
  const std::string endless(HttpRequestParser::kHeadBytesMax + 1, 'a');
  EXPECT_EQ(Parse(endless), 431);
  EXPECT_EQ(Parse(std::string(kHead) + "X: " + endless), 431);
  std::string many;
  for (size_t i = 0; i <= HttpRequestParser::kHeaderLinesMax; ++i) many += "A: b\r\n";
  EXPECT_EQ(Parse(With(many)), 431);
  EXPECT_EQ(Parse("GET /" + std::string(HttpRequestParser::kTargetBytesMax, 'a') +
                  " HTTP/1.1\r\nHost: h\r\n\r\n"),
            414);
  EXPECT_EQ(Parse(With("Content-Length: 8193\r\n")), 413);
  EXPECT_EQ(Parse(With("Content-Length: 99999999999999999999999\r\n")), 413);
  EXPECT_EQ(Parse(With("Content-Length: 8192\r\n", std::string(8192, 'a'))), 200);
}

TEST(HttpRequest, TrailersAndChunkOverheadAreBounded) {
  HttpRequestParser parser;
  parser.Receive(With("Transfer-Encoding: chunked\r\n", "0\r\n"));
  const std::string trailers = "A: b\r\n";
  size_t sent = 0;
  while (parser.state() == State::kMore && sent < 10 * HttpRequestParser::kChunkedBytesMax) {
    parser.Receive(trailers);
    sent += trailers.size();
  }
  EXPECT_EQ(parser.state(), State::kRefused);
  EXPECT_LE(sent, HttpRequestParser::kChunkedBytesMax + trailers.size());
}

}  // namespace
}  // namespace volley::pipeline
