// A campaign that nobody could object to, and a zone that agrees: what the tests break, one thing
// at a time.
#ifndef VOLLEY_TESTS_PIPELINE_PREFLIGHT_CAMPAIGN_H_
#define VOLLEY_TESTS_PIPELINE_PREFLIGHT_CAMPAIGN_H_

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/dkim/key.h"
#include "engine/dkim/signer.h"
#include "pipeline/preflight/preflight.h"
#include "tests/io/resolver/name_server.h"

namespace volley::pipeline {

inline constexpr char kIp[] = "5.6.7.8";
inline constexpr char kReverse[] = "8.7.6.5.in-addr.arpa";
inline constexpr char kKeyName[] = "s1._domainkey.example.org";

inline const std::shared_ptr<const engine::dkim::SigningKey>& TestKey() {
  static const auto key =
      *engine::dkim::SigningKey::Generate(engine::dkim::KeyAlgorithm::kRsa, 2048);
  return key;
}

// One copy, as header fields and a body.
struct Letter {
  std::vector<std::pair<std::string, std::string>> fields;
  std::string body;

  std::string& Field(const std::string& name) {
    const auto it = std::find_if(fields.begin(), fields.end(),
                                 [&](const auto& field) { return field.first == name; });
    EXPECT_NE(it, fields.end()) << name;
    return it->second;
  }
  void Remove(const std::string& name) {
    std::erase_if(fields, [&](const auto& field) { return field.first == name; });
  }
  std::string Compose() const {
    std::string out;
    for (const auto& [name, value] : fields) out += name + ": " + value + "\r\n";
    return out + "\r\n" + body;
  }
};

inline Letter MakeLetter(int number) {
  const std::string n = std::to_string(number);
  Letter letter;
  letter.fields = {
      {"From", "Example News <news@example.org>"},
      {"To", "Reader" + n + " <reader" + n + "@example.net>"},
      {"Subject", "News of the week"},
      {"Date", "Tue, 24 Nov 2026 00:00:00 +0000"},
      {"Message-ID", "<id" + n + "@example.org>"},
      {"List-Unsubscribe", "<https://example.org/u/" + n + "?a=1&b=2>, <mailto:u@example.org>"},
      {"List-Unsubscribe-Post", "List-Unsubscribe=One-Click"},
      {"Feedback-ID", "week48:example:news:example-org"},
      {"MIME-Version", "1.0"},
      {"Content-Type", "multipart/alternative; boundary=b"},
  };
  letter.body =
      "--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nHello\r\n--b\r\n"
      "Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n"
      "\r\n<p>Hello</p><a href=3D\"https://example.org/u/" +
      n + "?a=3D1&amp;b=3D2\">Leave us</a>\r\n--b--\r\n";
  return letter;
}

struct TestCampaign {
  PreflightInput input;
  testing::ZoneTable zone;
  std::vector<Letter> letters = {MakeLetter(1), MakeLetter(2), MakeLetter(3)};
  engine::dkim::SignerOptions signer;
  bool sign = true;

  TestCampaign() {
    input.recipients = 10000;
    input.from = "news@example.org";
    input.reverse_path = "bounce+1@bounce.example.org";
    input.own_ips = {kIp};
    input.helo = "mail.example.org";
    input.links = 3;
    input.has_text = input.has_html = true;
    input.dkim = {{"example.org", "s1", TestKey()->public_key(), "rsa", 2048}};
    signer.signed_if_there.push_back("Feedback-ID");
    zone.Mx("example.org", 10, "mail.example.org")
        .Txt("example.org", "v=spf1 mx -all")
        .Mx("bounce.example.org", 10, "mail.example.org")
        .Txt("bounce.example.org", "v=spf1 include:_spf.example.org -all")
        .Txt("bounce.example.org", "something-verification=1")
        .Txt("_spf.example.org", "v=spf1 ip4:5.6.7.0/24 -all")
        .Txt("_dmarc.example.org", "v=DMARC1; p=reject; rua=mailto:dmarc@example.org")
        .Txt(kKeyName, TestKey()->DnsRecord())
        .Address("mail.example.org", kIp)
        .Ptr(kReverse, "mail.example.org");
  }

  // Through somebody else's server.
  void ThroughRelay(const std::string& name, const std::string& ip) {
    input.own_ips.clear();
    input.relay_names = {name};
    input.relay_endpoints = {*io::Endpoint::FromIp(ip, 587)};
  }
  void ReplaceTxt(const std::string& name, std::string_view text) {
    zone.Remove(name, 16).Txt(name, text);
  }

  PreflightInput Finished() const {
    PreflightInput out = input;
    auto key = TestKey();
    auto signing = engine::dkim::Signer::Make({{"example.org", "s1", std::move(key)}}, signer);
    EXPECT_TRUE(signing.ok()) << signing.status();
    for (size_t i = 0; i < letters.size(); ++i) {
      const std::string plain = letters[i].Compose();
      std::string sample;
      if (sign) {
        const std::vector<iovec> pieces = {{const_cast<char*>(plain.data()), plain.size()}};
        const absl::Status status = signing->SignMessage(pieces, absl::Now(), &sample);
        EXPECT_TRUE(status.ok()) << status;
      }
      out.samples.push_back(sample + plain);
      out.sample_recipients.push_back("reader" + std::to_string(i + 1) + "@example.net");
    }
    return out;
  }

  PreflightResult Run() const {
    const testing::NameServer server(zone);
    const auto resolver = testing::ResolverOf(server);
    return RunPreflight(Finished(), resolver.get());
  }
};

}  // namespace volley::pipeline

#endif  // VOLLEY_TESTS_PIPELINE_PREFLIGHT_CAMPAIGN_H_
