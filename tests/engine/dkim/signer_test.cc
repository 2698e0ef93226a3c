#include "engine/dkim/signer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "tests/engine/dkim/naive_dkim.h"
#include "tests/engine/dkim/test_keys.h"

namespace volley::engine::dkim {
namespace {

using testing::HasSubstr;

constexpr std::string_view kHeader =
    "From: Joe SixPack <joe@football.example.com>\r\n"
    "To: Suzie Q <suzie@shopping.example.net>\r\n"
    "Subject: Is dinner ready?\r\n"
    "Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)\r\n"
    "Message-ID: <20030712040037.46341.5F8J@football.example.com>\r\n";
constexpr std::string_view kBody =
    "Hi.\r\n\r\nWe lost the game.  Are you hungry yet?\r\n\r\nJoe.\r\n\r\n";
const absl::Time kNow = absl::FromUnixSeconds(1528637909);

std::string Message() { return std::string(kHeader) + "\r\n" + std::string(kBody); }

iovec Piece(std::string_view text) { return {const_cast<char*>(text.data()), text.size()}; }

std::vector<Signature> Both() {
  return {{"football.example.com", "test", RsaKey()},
          {"football.example.com", "brisbane", Ed25519Key()}};
}

Signer MakeSigner(SignerOptions options = {}) {
  absl::StatusOr<Signer> signer = Signer::Make(Both(), std::move(options));
  EXPECT_TRUE(signer.ok()) << signer.status();
  return *std::move(signer);
}

std::string SignWhole(Signer* signer, std::string_view message) {
  std::string out;
  const std::vector<iovec> pieces = {Piece(message)};
  EXPECT_TRUE(signer->SignMessage(pieces, kNow, &out).ok());
  return out;
}

std::string Tag(const std::string& fields, const std::string& name) {
  const std::string field = naive::Fields(fields)[0];
  return naive::Without(naive::Tags(field.substr(field.find(':') + 1))[name], "\r\n ");
}

std::string WhyNot(std::vector<Signature> signatures, SignerOptions options = {}) {
  const auto signer = Signer::Make(std::move(signatures), std::move(options));
  return signer.ok() ? "accepted" : signer.status().ToString();
}

std::vector<std::string_view> NamesOfRfc8463() {
  return {"from", "to", "subject", "date", "message-id", "from", "subject", "date"};
}

// RFC 8463 appendix A.3, byte by byte: both algorithms always give the same signature.
std::string RfcSignature(std::string_view value, std::shared_ptr<const SigningKey> key) {
  std::vector<HeaderField> fields;
  EXPECT_TRUE(ParseHeader(kHeader, &fields).ok());
  std::string canonical;
  AppendSignedFields(Canonicalization::kRelaxed, fields, NamesOfRfc8463(), &canonical);
  AppendCanonicalField(Canonicalization::kRelaxed, "DKIM-Signature", value, &canonical);
  Sha256 hash;
  hash.Add(canonical);
  SigningContext context(std::move(key));
  std::string out;
  AppendBase64(context.Sign(hash.Finish()), &out);
  return out;
}

TEST(SignerVectors, MakeTheSignaturesOfRfc8463) {
  EXPECT_EQ(RfcSignature(" v=1; a=ed25519-sha256; c=relaxed/relaxed;\r\n"
                         " d=football.example.com; i=@football.example.com;\r\n"
                         " q=dns/txt; s=brisbane; t=1528637909; h=from : to :\r\n"
                         " subject : date : message-id : from : subject : date;\r\n"
                         " bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n b=",
                         Ed25519Key()),
            "/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11Bus"
            "Fa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==");
  EXPECT_EQ(RfcSignature(" v=1; a=rsa-sha256; c=relaxed/relaxed;\r\n"
                         " d=football.example.com; i=@football.example.com;\r\n"
                         " q=dns/txt; s=test; t=1528637909; h=from : to : subject :\r\n"
                         " date : message-id : from : subject : date;\r\n"
                         " bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n b=",
                         RsaKey()),
            "F45dVWDfMbQDGHJFlXUNB2HKfbCeLRyhDXgFpEL8GwpsRe0IeIixNTe3"
            "DhCVlUrSjV4BwcVcOF6+FF3Zo9Rpo1tFOeS9mPYQTnGdaSGsgeefOsk2Jz"
            "dA+L10TeYt9BgDfQNZtKdN1WO//KgIqXP7OdEFE4LjFYNcUxZQ4FADY+8=");
}

TEST(Signer, HasTheBodyHashOfRfc6376) {
  Signer signer = MakeSigner();
  EXPECT_EQ(Tag(SignWhole(&signer, Message()), "bh"),
            "2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=");
}

TEST(Signer, SignsSoThatBothSignaturesVerifyInEveryCanonicalisation) {
  const std::string message = "Subject: a  b\r\n\t c  \r\n" + Message();  // two Subjects
  for (const auto header : {Canonicalization::kSimple, Canonicalization::kRelaxed}) {
    for (const auto body : {Canonicalization::kSimple, Canonicalization::kRelaxed}) {
      SignerOptions options;
      options.header = header;
      options.body = body;
      options.expires_after = absl::Hours(24);
      Signer signer = MakeSigner(options);
      const std::string fields = SignWhole(&signer, message);
      const std::string whole = fields + message;
      EXPECT_EQ(Tag(fields, "c"), std::string(CanonicalizationName(header)) + "/" +
                                      std::string(CanonicalizationName(body)));
      EXPECT_EQ(naive::Verify(whole, 0, std::string(kRsaRecord)), "");
      EXPECT_EQ(naive::Verify(whole, 1, std::string(kEd25519Record)), "");
      EXPECT_EQ(naive::Verify(whole + "more\r\n", 0, std::string(kRsaRecord)), "body");
      std::string changed = whole;
      changed.replace(changed.rfind("dinner"), 6, "supper");
      EXPECT_EQ(naive::Verify(changed, 1, std::string(kEd25519Record)), "signature");
    }
  }
}

TEST(Signer, FoldsAt78AndEndsWithCrlfForEveryLengthOfNames) {
  for (size_t bytes = 1; bytes <= 63; ++bytes) {
    const std::string selector(bytes, 's');
    auto signer = Signer::Make({{"example.com", selector, RsaKey()}});
    ASSERT_TRUE(signer.ok()) << signer.status();
    std::string out = SignWhole(&*signer, Message());
    EXPECT_EQ(naive::Verify(out + Message(), 0, std::string(kRsaRecord)), "");
    ASSERT_TRUE(out.ends_with("\r\n"));
    for (; !out.empty(); out.erase(0, out.find("\r\n") + 2)) EXPECT_LE(out.find("\r\n"), 78u);
  }
}

TEST(Signer, ListsEveryFieldOnceMoreThanItIsThere) {
  SignerOptions options;
  options.oversigned = {"From", "Subject", "List-Unsubscribe", "subject"};  // named twice: once
  options.signed_if_there = {"Cc", "X-Absent", "From"};
  Signer signer = MakeSigner(options);
  const std::string message = "Cc: a@b.example\r\nCc: c@d.example\r\n" + Message();
  const std::string fields = SignWhole(&signer, message);
  EXPECT_EQ(Tag(fields, "h"), "From:From:Subject:Subject:List-Unsubscribe:Cc:Cc");
  EXPECT_EQ(naive::Verify(fields + message, 0, std::string(kRsaRecord)), "");
  // Nobody adds a second From, or an unsubscribe address where there was none.
  EXPECT_EQ(
      naive::Verify(fields + "From: evil@example.net\r\n" + message, 0, std::string(kRsaRecord)),
      "signature");
  EXPECT_EQ(naive::Verify(fields + "List-Unsubscribe: <https://evil.example/>\r\n" + message, 0,
                          std::string(kRsaRecord)),
            "signature");
}

TEST(Signer, OversignsWhatTheProvidersRulesName) {
  Signer signer = MakeSigner();
  EXPECT_EQ(Tag(SignWhole(&signer, Message()), "h"),
            "From:From:To:To:Subject:Subject:Date:Date:Reply-To:Message-ID:Message-ID:"
            "MIME-Version:Content-Type:Content-Transfer-Encoding:List-Unsubscribe:"
            "List-Unsubscribe-Post");
}

TEST(AppendSignedFields, TakesRepeatedFieldsFromTheBottomUp) {
  std::vector<HeaderField> fields;
  ASSERT_TRUE(ParseHeader("X: 1\r\nY: a\r\nx: 2\r\nX : 3\r\n\r\n", &fields).ok());
  const std::vector<std::string_view> names = {"x", "X", "y", "X", "x", "z"};
  std::string out;
  AppendSignedFields(Canonicalization::kRelaxed, fields, names, &out);
  EXPECT_EQ(out, "x:3\r\nx:2\r\ny:a\r\nx:1\r\n");
}

TEST(Signer, DoesNotCareHowTheMessageIsCut) {
  Signer signer = MakeSigner();
  const std::string message = Message();
  const std::string expected = SignWhole(&signer, message);
  for (size_t first = 0; first <= message.size(); ++first) {
    const size_t second = std::min(first + 3, message.size());
    const std::string_view all = message;
    const std::vector<iovec> pieces = {Piece(all.substr(0, first)),
                                       Piece(all.substr(first, second - first)), iovec{nullptr, 0},
                                       Piece(all.substr(second))};
    std::string out;
    ASSERT_TRUE(signer.SignMessage(pieces, kNow, &out).ok());
    ASSERT_EQ(out, expected) << first;
  }
}

TEST(Signer, TakesASharedBodysHashForManyMessages) {
  Signer signer = MakeSigner();
  const std::vector<iovec> body = {Piece(kBody)};
  const BodyHash hash = signer.HashBody(body);
  for (const std::string_view end : {"", "\r\n"}) {  // with and without the empty line
    const std::string header = "X-Copy: 1\r\n" + std::string(kHeader) + std::string(end);
    const std::vector<iovec> pieces = {Piece(header)};
    std::string out = "before";
    ASSERT_TRUE(signer.Sign(pieces, hash, kNow, &out).ok());
    EXPECT_EQ(out, "before" + SignWhole(&signer, "X-Copy: 1\r\n" + Message()));
  }
}

TEST(Signer, WritesTheTimesItIsGiven) {
  Signer plain = MakeSigner();
  const std::string without = SignWhole(&plain, Message());
  EXPECT_EQ(Tag(without, "t"), "1528637909");
  EXPECT_EQ(Tag(without, "x"), "");
  EXPECT_EQ(Tag(without, "l"), "");
  SignerOptions options;
  options.expires_after = absl::Hours(1);
  Signer expiring = MakeSigner(options);
  EXPECT_EQ(Tag(SignWhole(&expiring, Message()), "x"), "1528641509");
}

TEST(Signer, WritesTheDomainInALabels) {
  auto signer =
      Signer::Make({{"b\xC3\xBC"
                     "cher.example",
                     "s", Ed25519Key()}});
  ASSERT_TRUE(signer.ok()) << signer.status();
  EXPECT_EQ(Tag(SignWhole(&*signer, Message()), "d"), "xn--bcher-kva.example");
}

TEST(Signer, RefusesHeadersThatReceiversMayReadDifferently) {
  Signer signer = MakeSigner();
  const BodyHash body = signer.HashBody({});
  for (const std::string_view header :
       {std::string_view("To: a@b.example\r\n"), std::string_view("From: a\nBcc: b\r\n"),
        std::string_view("From: a\rb\r\n"), std::string_view("From: a\0b\r\n", 11),
        std::string_view(" From: a\r\n"), std::string_view("From a\r\n"),
        std::string_view(": a\r\n"), std::string_view("From: a"), std::string_view(""),
        std::string_view("From: a\r\n\r\nTo: b\r\n")}) {
    const std::vector<iovec> pieces = {Piece(header)};
    std::string out = "kept";
    EXPECT_EQ(signer.Sign(pieces, body, kNow, &out).code(), absl::StatusCode::kInvalidArgument)
        << testing::PrintToString(header);
    EXPECT_EQ(out, "kept");
  }
  BodyHash other = body;
  other.canonicalization = Canonicalization::kSimple;
  const std::vector<iovec> pieces = {Piece(kHeader)};
  std::string out;
  EXPECT_FALSE(signer.Sign(pieces, other, kNow, &out).ok());
}

TEST(Signer, RefusesWhatCannotBeSignedFor) {
  EXPECT_THAT(WhyNot({}), HasSubstr("nothing"));
  EXPECT_THAT(WhyNot({{"example.com", "s", nullptr}}), HasSubstr("without a key"));
  for (const std::string domain : {"", "com", "a..example", "a b.example", "x;l=0.example"}) {
    EXPECT_THAT(WhyNot({{domain, "s", Ed25519Key()}}), HasSubstr("not a domain")) << domain;
  }
  for (const std::string selector : {"", "a b", "s;x", ".s", "s\r\n"}) {
    EXPECT_THAT(WhyNot({{"example.com", selector, Ed25519Key()}}), HasSubstr("not a selector"));
  }
  for (const std::string name : {"DKIM-Signature", "received", "Bcc", "a b", "a;b", ""}) {
    SignerOptions options;
    options.oversigned.push_back(name);
    EXPECT_NE(WhyNot(Both(), options), "accepted") << name;
  }
  SignerOptions no_from;
  no_from.oversigned = {"To"};
  EXPECT_THAT(WhyNot(Both(), no_from), HasSubstr("From"));
  SignerOptions expired;
  expired.expires_after = absl::Seconds(-1);
  EXPECT_THAT(WhyNot(Both(), expired), HasSubstr("expir"));
}

TEST(Signer, SharesKeysBetweenThreads) {
  const std::vector<Signature> signatures = Both();
  std::vector<std::string> results(4);
  std::vector<std::thread> threads;
  for (std::string& result : results) {
    threads.emplace_back([&signatures, &result] {
      auto signer = Signer::Make(signatures);
      for (int i = 0; i < 20; ++i) result = SignWhole(&*signer, Message());
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::string& result : results) EXPECT_EQ(result, results[0]);
  EXPECT_EQ(naive::Verify(results[0] + Message(), 0, std::string(kRsaRecord)), "");
}

// Debian's own: another python3 on the PATH does not see Debian's packages.
constexpr const char* kPython = "/usr/bin/python3";

// Prints what dkimpy thinks of each signature that it can verify here.
constexpr std::string_view kDkimpyScript = R"(
import sys, dkim
folder = sys.argv[1]
read = lambda name: open(folder + '/' + name, 'rb').read()
try:
    import nacl
    last = 2
except ImportError:
    last = 1
records = {b'test': read('rsa'), b'brisbane': read('ed25519')}
dns = lambda name, timeout=5: records[(name if isinstance(name, bytes) else name.encode()).split(b'.')[0]]
for i in range(last):
    print('good' if dkim.DKIM(read('message')).verify(idx=i, dnsfunc=dns) else 'bad')
)";

std::string RunDkimpy(const std::filesystem::path& folder) {
  const std::string command = std::string("timeout 20 ") + kPython + " " +
                              (folder / "verify.py").string() + " " + folder.string() + " 2>&1";
  std::string out;
  FILE* pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) return "no shell";
  for (int c = std::getc(pipe); c != EOF; c = std::getc(pipe)) out.push_back(static_cast<char>(c));
  pclose(pipe);
  return out;
}

TEST(SignerDifferential, DkimpyVerifiesWhatIsSigned) {
  if (std::system((std::string(kPython) + " -c 'import dkim' 2>/dev/null").c_str()) != 0) {
    GTEST_SKIP() << "SKIPPED: dkimpy is not there (package python3-dkim)";
  }
  std::string name = (std::filesystem::temp_directory_path() / "volley-dkim-XXXXXX").string();
  ASSERT_NE(mkdtemp(name.data()), nullptr);
  const std::filesystem::path folder = name;
  std::ofstream(folder / "verify.py") << kDkimpyScript;
  std::ofstream(folder / "rsa") << kRsaRecord;
  std::ofstream(folder / "ed25519") << kEd25519Record;
  for (const auto mode : {Canonicalization::kSimple, Canonicalization::kRelaxed}) {
    SignerOptions options;
    options.header = options.body = mode;
    Signer signer = MakeSigner(options);
    const std::string message =
        "Cc: x@y.example,\r\n\t z@y.example  \r\n" + Message() + "a \t b \r\n\r\n\r\n";
    const std::string fields = SignWhole(&signer, message);
    std::ofstream(folder / "message") << fields << message;
    EXPECT_THAT(RunDkimpy(folder), testing::AnyOf("good\ngood\n", "good\n"));
    std::ofstream(folder / "message") << fields << "Subject: more\r\n" << message;
    EXPECT_THAT(RunDkimpy(folder), testing::StartsWith("bad\n"));
  }
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace volley::engine::dkim
