#include "engine/message/address.h"

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

namespace volley::engine::message {
namespace {

std::string Text(const absl::Status& status) {
  return std::string(status.message().data(), status.message().size());
}

std::string Canonical(std::string_view text, const AddressOptions& options = {}) {
  std::string out;
  const auto info = AppendCanonicalAddress(text, options, &out);
  return info.ok() ? out : "error: " + Text(info.status());
}

TEST(Address, KeepsTheLocalPartAndLowersTheDomain) {
  EXPECT_EQ(Canonical("Ann.Example+tag@Example.ORG"), "Ann.Example+tag@example.org");
  EXPECT_EQ(Canonical("!#$%&'*+-/=?^_`{|}~@x.example"), "!#$%&'*+-/=?^_`{|}~@x.example");
  EXPECT_EQ(Canonical("a@xn--Mller-KVA.Example"), "a@xn--mller-kva.example");
}

TEST(Address, AppendsAndLeavesWhatWasThere) {
  std::string out = "before ";
  ASSERT_TRUE(AppendCanonicalAddress("ann@example.org", {}, &out).ok());
  EXPECT_EQ(out, "before ann@example.org");
  ASSERT_FALSE(AppendCanonicalAddress("ann@exa mple.org", {}, &out).ok());
  ASSERT_FALSE(AppendCanonicalAddress("ann@example.-org", {}, &out).ok());
  EXPECT_EQ(out, "before ann@example.org");
}

TEST(Address, DropsWhiteSpaceAroundItUnlessToldNotTo) {
  EXPECT_EQ(Canonical(" \tann@example.org  "), "ann@example.org");
  EXPECT_EQ(Canonical(" ann@example.org", {.trim_white_space = false}),
            "error: a space in the local part");
  EXPECT_EQ(Canonical("ann@example.org ", {.trim_white_space = false}),
            "error: a space in the domain");
}

TEST(Address, RemovesQuotingThatIsNotNeeded) {
  EXPECT_EQ(Canonical("\"ann\"@example.org"), "ann@example.org");
  EXPECT_EQ(Canonical("\"a\\nn\"@example.org"), "ann@example.org");
  EXPECT_EQ(Canonical("\"ann b\"@example.org"), "\"ann b\"@example.org");
  EXPECT_EQ(Canonical("\"a\\ b\"@example.org"), "\"a b\"@example.org");
  EXPECT_EQ(Canonical("\"a\\\"b\\\\c\"@example.org"), "\"a\\\"b\\\\c\"@example.org");
  EXPECT_EQ(Canonical("\"a..b\"@example.org"), "\"a..b\"@example.org");
  EXPECT_EQ(Canonical("\".a\"@example.org"), "\".a\"@example.org");
  EXPECT_EQ(Canonical("\"a@b\"@example.org"), "\"a@b\"@example.org");
}

TEST(Address, IsTheSameWhenMadeCanonicalTwice) {
  for (const char* text : {"\"a\\ b\"@Example.org", "Ann@EXAMPLE.org", "\"x\\\"y\"@a.b",
                           "j\xC3\xB6rg@M\xC3\xBCnchen.example"}) {
    const std::string once = Canonical(text);
    EXPECT_EQ(Canonical(once, {.trim_white_space = false}), once);
  }
}

TEST(Address, SaysInAFewWordsWhatIsWrong) {
  const std::pair<std::string, std::string> kCases[] = {
      {"", "no address"},
      {"   ", "no address"},
      {"ann", "no @"},
      {"ann example.org", "no @"},
      {"@example.org", "nothing before the @"},
      {"\"\"@example.org", "nothing before the @"},
      {"ann@", "nothing after the @"},
      {"ann@example..org", "an empty label in the domain"},
      {"ann@example.org.", "an empty label in the domain"},
      {"ann@-example.org", "a domain label begins or ends with '-'"},
      {"ann@example-.org", "a domain label begins or ends with '-'"},
      {"ann@localhost", "no dot in the domain"},
      {"ann@192.0.2.1", "the domain is a number, not a name"},
      {"ann@[192.0.2.1]", "an IP address in place of a domain"},
      {"ann@exa_mple.org", "'_' is not allowed in the domain"},
      {"ann@b@example.org", "more than one @"},
      {".ann@example.org", "the local part begins or ends with a dot"},
      {"ann.@example.org", "the local part begins or ends with a dot"},
      {"an..n@example.org", "two dots in a row"},
      {"an n@example.org", "a space in the local part"},
      {"ann,bob@example.org", "',' is not allowed in the local part"},
      {"<ann@example.org>", "'<' is not allowed in the local part"},
      {"\"ann@example.org", "a quote that is not closed"},
      {"\"ann\"b@example.org", "text after the closing quote"},
      {"ann\n@example.org", "a control character"},
      {"ann@example.org\r\nBcc: x", "a control character"},
      {"ann@exa\tmple.org", "a space in the domain"},
      {std::string("an\0n@example.org", 16), "a control character"},
      {"\"a\rn\"@example.org", "a control character"},
      {"\xE2\x80\x8B"
       "ann@example.org",
       "an invisible character, U+200B"},
      {"ann@example.org\xC2\xA0", "an invisible character, U+00A0"},
      {"\xE2\x80\xAE"
       "ann@example.org",
       "an invisible character, U+202E"},
      {"\xFF@example.org", "not valid UTF-8"},
      {"\xC0\xAF@example.org", "not valid UTF-8"},
      {std::string(65, 'a') + "@example.org", "the local part is longer than 64 bytes"},
      {"a@" + std::string(64, 'b') + ".org", "a domain label is longer than 63 bytes"},
  };
  for (const auto& [text, reason] : kCases) {
    EXPECT_EQ(Canonical(text), "error: " + reason) << text;
  }
}

TEST(Address, KeepsTheLimitsOfRfc5321ToTheByte) {
  const std::string label(61, 'd');
  const std::string domain = label + "." + label + "." + label;  // 185
  EXPECT_EQ(Canonical(std::string(64, 'a') + "@" + domain + ".com").size(), 254u);
  EXPECT_EQ(Canonical(std::string(64, 'a') + "@" + domain + ".comm"),
            "error: the address is longer than 254 bytes");
  EXPECT_EQ(Canonical("a@" + std::string(63, 'b') + ".org").size(), 69u);
  EXPECT_EQ(Canonical("a@" + domain + "." + domain + ".org"),
            "error: the domain is longer than 255 bytes");
}

TEST(Address, AllowsLiteralsOnlyWhenTold) {
  const AddressOptions allowed{.allow_literal = true};
  EXPECT_EQ(Canonical("a@[192.0.2.1]", allowed), "a@[192.0.2.1]");
  EXPECT_EQ(Canonical("a@[ipv6:2001:DB8::1]", allowed), "a@[IPv6:2001:db8::1]");
  for (const char* text : {"a@[192.0.2.256]", "a@[192.0.2]", "a@[2001:db8::1]", "a@[IPv6:1:2]",
                           "a@[]", "a@[", "a@[192.0.2.1", "a@[192.0.2.1]x", "a@[x-tag:abc]"}) {
    EXPECT_EQ(Canonical(text, allowed), "error: the address literal is not valid") << text;
  }
  // Found by the fuzzer: the system's parser stops at a NUL.
  EXPECT_EQ(Canonical(std::string("a@[192.0.2.1\0\r\nx]", 17), allowed),
            "error: the address literal is not valid");
}

TEST(Address, TurnsOtherScriptsIntoALabels) {
  EXPECT_EQ(Canonical("ann@M\xC3\x9CNCHEN.example"), "ann@xn--mnchen-3ya.example");
  // Non-transitional: sharp s stays a letter of its own.
  EXPECT_EQ(Canonical("ann@stra\xC3\x9F"
                      "e.example"),
            "ann@xn--strae-oqa.example");
  // A decomposed u + diaeresis is the same name (NFC).
  EXPECT_EQ(Canonical("ann@mu\xCC\x88nchen.example"), "ann@xn--mnchen-3ya.example");
  EXPECT_EQ(Canonical("ann@\xE4\xBE\x8B\xE3\x81\x88.\xE3\x83\x86\xE3\x82\xB9\xE3\x83\x88"),
            "ann@xn--r8jz45g.xn--zckzah");
  EXPECT_EQ(Canonical("ann@\xE2\x99\xA5\xE2\x80\x8D.example").substr(0, 5), "error");
}

TEST(Address, NeedsSmtputf8ForTheLocalPartOnly) {
  std::string out;
  auto info = AppendCanonicalAddress("j\xC3\xB6rg@m\xC3\xBCnchen.example", {}, &out);
  ASSERT_TRUE(info.ok());
  EXPECT_TRUE(info->needs_smtputf8);
  EXPECT_EQ(info->local_part_bytes, 5u);
  EXPECT_EQ(out, "j\xC3\xB6rg@xn--mnchen-3ya.example");
  info = AppendCanonicalAddress("jorg@m\xC3\xBCnchen.example", {}, &out);
  ASSERT_TRUE(info.ok());
  EXPECT_FALSE(info->needs_smtputf8);
}

// The verdicts of isemail's test suite, as relabelled for what a sender takes by RFC 5321.
TEST(Address, AgreesWithTheIsemailSuite) {
  std::ifstream file(VOLLEY_SHARED_DATA_DIR "/addresses/isemail.tsv");
  if (!file) GTEST_SKIP() << "SKIPPED: the shared test data is not there";
  std::string line;
  std::getline(file, line);
  int scored = 0;
  while (std::getline(file, line)) {
    std::istringstream columns(line);
    std::string id, json, category, diagnosis, expected;
    std::getline(columns, id, '\t');
    std::getline(columns, json, '\t');
    std::getline(columns, category, '\t');
    std::getline(columns, diagnosis, '\t');
    std::getline(columns, expected, '\t');
    const std::string address = nlohmann::json::parse(json).get<std::string>();
    const std::string got = Canonical(address, {.require_dot = false, .trim_white_space = false});
    if (expected == "any" || expected == "literal") continue;
    EXPECT_EQ(got.starts_with("error"), expected == "0") << "#" << id << " " << json << " " << got;
    ++scored;
  }
  EXPECT_GT(scored, 130);
}

TEST(Address, TakesEveryValidLiteralOfTheIsemailSuite) {
  std::ifstream file(VOLLEY_SHARED_DATA_DIR "/addresses/isemail.tsv");
  if (!file) GTEST_SKIP() << "SKIPPED: the shared test data is not there";
  for (std::string line; std::getline(file, line);) {
    if (!line.ends_with("\tliteral")) continue;
    const size_t tab = line.find('\t') + 1;
    const std::string address =
        nlohmann::json::parse(line.substr(tab, line.find('\t', tab) - tab)).get<std::string>();
    EXPECT_TRUE(Canonical(address).starts_with("error: an IP address")) << address;
    EXPECT_FALSE(Canonical(address, {.allow_literal = true}).starts_with("error")) << address;
  }
}

TEST(HeaderMailbox, ReadsNameAndAddress) {
  const std::tuple<const char*, const char*, const char*> kCases[] = {
      {"ann@example.org", "", "ann@example.org"},
      {" <ann@Example.org> ", "", "ann@example.org"},
      {"Ann Example <ann@example.org>", "Ann Example", "ann@example.org"},
      {"\"Example, Ann\" <ann@example.org>", "Example, Ann", "ann@example.org"},
      {"\"Ann \\\"A\\\" B\"<ann@example.org>", "Ann \"A\" B", "ann@example.org"},
      {"J\xC3\xB6rg M. <j@example.org>", "J\xC3\xB6rg M.", "j@example.org"},
      {"News <news@localhost>", "News", "news@localhost"},
      {"News <news@[192.0.2.1]>", "News", "news@[192.0.2.1]"},
  };
  for (const auto& [text, name, address] : kCases) {
    const auto mailbox = ParseHeaderMailbox(text);
    ASSERT_TRUE(mailbox.ok()) << text << ": " << mailbox.status();
    EXPECT_EQ(mailbox->display_name, name);
    EXPECT_EQ(mailbox->address, address);
  }
}

TEST(HeaderMailbox, RefusesListsInjectionsAndBrokenForms) {
  const std::pair<const char*, const char*> kCases[] = {
      {"a@example.org, b@example.org", "more than one mailbox"},
      {"Ann, Example <ann@example.org>", "more than one mailbox"},
      {"Ann <ann@example.org> <b@example.org>", "'>' is not allowed in the domain"},
      {"Ann <ann@example.org", "no '>' after the address"},
      {"Ann\r\nBcc: x <ann@example.org>", "a control character or line break"},
      {"Ann\xC2\x85 <ann@example.org>", "a control character or line break"},
      {"\xFF <ann@example.org>", "not valid UTF-8"},
      {"Ann (work) <ann@example.org>", "'(' in the display name: put the name in double quotes"},
      {"\"Ann <ann@example.org>", "a quote that is not closed"},
      {"Ann <>", "no address"},
      {"", "no address"},
  };
  for (const auto& [text, reason] : kCases) {
    const auto mailbox = ParseHeaderMailbox(text);
    ASSERT_FALSE(mailbox.ok()) << text;
    EXPECT_EQ(Text(mailbox.status()), reason) << text;
  }
}

}  // namespace
}  // namespace volley::engine::message
