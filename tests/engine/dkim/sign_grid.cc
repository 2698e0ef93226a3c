// Writes a folder of signed messages for verifiers that others wrote: sign_grid FOLDER.
//
// FOLDER/good/*.eml: contents, canonical forms, keys and expiry in all combinations; every
// signature is to verify. FOLDER/bad/*.eml: one of these messages, changed after it was signed; no
// signature is to verify. FOLDER/records.json: the DNS names and TXT records of the keys.
#include <fmt/format.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "engine/dkim/signer.h"

namespace {

using namespace volley::engine::dkim;  // the whole file is about it

constexpr std::string_view kDomain = "news.example.test";

struct Content {
  std::string_view name, text;
};

// Headers without From, To and what is the same for all; then an empty line and the body.
const std::vector<Content> kContents = {
    {"plain", "Subject: Hello\r\n\r\nHello.\r\n"},
    {"no-subject-empty-body", "\r\n"},
    {"only-empty-lines", "Subject: x\r\n\r\n\r\n\r\n\r\n"},
    {"no-line-end-at-the-end", "Subject: x\r\n\r\nfirst\r\nlast"},
    {"empty-lines-at-the-end", "Subject: x\r\n\r\ntext\r\n\r\n\r\n\r\n"},
    {"white-space", "Subject:  a \t b  \r\n\r\n  a \t b  \r\n\t\r\n \r\n"},
    {"folded", "Subject: one\r\n two\r\n\tthree\r\nX-Other:\r\n x\r\n\r\ntext\r\n"},
    {"dots", "Subject: .\r\n\r\n.\r\n..\r\n.text\r\n"},
    {"eight-bit",
     "Subject: gr\xc3\xbc\xc3\x9f\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\xc3\xa4\xff\r\n"},
    {"newsletter",
     "Subject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?=\r\nDate: Tue, 24 Nov 2026 10:00:00 +0000\r\n"
     "Message-ID: <1@news.example.test>\r\nMIME-Version: 1.0\r\n"
     "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n"
     "List-Unsubscribe: <https://news.example.test/u/abc>,\r\n <mailto:leave@news.example.test>\r\n"
     "List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\nList-Id: <n.news.example.test>\r\n"
     "Feedback-ID: 1:2:3:news\r\nReply-To: a@news.example.test\r\n\r\nGr=C3=BC=C3=9Fe\r\n"},
    {"repeated-fields", "Subject: x\r\nCc: a@b.test\r\nCC: c@d.test\r\n\r\ntext\r\n"},
    {"tags-in-the-body", "Subject: x\r\n\r\nDKIM-Signature: v=1; b=\r\nFrom: evil@x.test\r\n"},
};

std::string Message(const Content& content) {
  return fmt::format("From: News <news@{}>\r\nTo: ann@dest.test\r\n{}", kDomain, content.text);
}

std::string Sign(const std::vector<Signature>& signatures, const SignerOptions& options,
                 std::string_view message, absl::Time now) {
  absl::StatusOr<Signer> signer = Signer::Make(signatures, options);
  std::string out;
  const iovec piece{const_cast<char*>(message.data()), message.size()};
  if (!signer.ok() || !signer->SignMessage({&piece, 1}, now, &out).ok()) std::abort();
  return out;
}

// As SMTP delivers it: ended with CRLF, also where what was signed is not.
std::string Delivered(const std::string& message) {
  return message.ends_with("\r\n") ? message : message + "\r\n";
}

void Write(const std::filesystem::path& path, std::string_view bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

std::vector<Signature> MakeKeys() {
  std::vector<Signature> signatures;
  const std::string domain(kDomain);
  for (const int bits : {1024, 2048, 4096}) {
    signatures.push_back(
        {domain, fmt::format("r{}", bits), *SigningKey::Generate(KeyAlgorithm::kRsa, bits)});
  }
  signatures.push_back({domain, "ed", *SigningKey::Generate(KeyAlgorithm::kEd25519)});
  // A domain above From's, as relaxed alignment allows.
  signatures.push_back({"example.test", "up", *SigningKey::Generate(KeyAlgorithm::kEd25519)});
  return signatures;
}

void WriteRecords(const std::filesystem::path& path, const std::vector<Signature>& signatures) {
  std::string json;
  for (const Signature& each : signatures) {
    json += fmt::format("{}\"{}\": \"{}\"", json.empty() ? "{" : ",\n ",
                        *RecordName(each.domain, each.selector), each.key->DnsRecord());
  }
  Write(path, json + "}\n");
}

void WriteGood(const std::filesystem::path& folder, const std::vector<Signature>& signatures) {
  using enum Canonicalization;
  for (const Content& content : kContents) {
    for (const auto& [header, body] : {std::pair{kSimple, kSimple},
                                       {kSimple, kRelaxed},
                                       {kRelaxed, kSimple},
                                       {kRelaxed, kRelaxed}}) {
      SignerOptions options;
      options.header = header;
      options.body = body;
      if (body == kRelaxed) options.expires_after = absl::Hours(24);
      const std::string message = Message(content);
      Write(folder / fmt::format("{}-{}-{}.eml", content.name, CanonicalizationName(header),
                                 CanonicalizationName(body)),
            Sign(signatures, options, message, absl::Now()) + Delivered(message));
    }
  }
}

void WriteBad(const std::filesystem::path& folder, const std::vector<Signature>& signatures) {
  const std::string message = Message(kContents.back());
  const std::string fields = Sign(signatures, {}, message, absl::Now());
  const auto changed = [&](std::string_view from, std::string_view to) {
    std::string text = message;
    text.replace(text.rfind(from), from.size(), to);
    return fields + text;
  };
  Write(folder / "body.eml", changed("evil", "good"));
  Write(folder / "body-longer.eml", fields + message + "more\r\n");
  Write(folder / "subject.eml", changed("Subject: x", "Subject: y"));
  // Oversigned: what is not there cannot be added, and what is there not doubled.
  Write(folder / "second-from.eml", fields + "From: evil@evil.test\r\n" + message);
  Write(folder / "second-subject.eml", fields + "Subject: evil\r\n" + message);
  Write(folder / "added-unsubscribe.eml",
        fields + "List-Unsubscribe: <https://evil.test/>\r\n" + message);
  Write(folder / "added-post.eml",
        fields + "List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n" + message);
  Write(folder / "added-reply-to.eml", fields + "Reply-To: evil@evil.test\r\n" + message);
  Write(folder / "added-content-type.eml", fields + "Content-Type: text/html\r\n" + message);
  SignerOptions expiring;
  expiring.expires_after = absl::Hours(1);
  Write(folder / "expired.eml",
        Sign(signatures, expiring, message, absl::Now() - absl::Hours(100)) + message);
  // Keys that are not those in the records.
  Write(folder / "other-keys.eml", Sign(MakeKeys(), {}, message, absl::Now()) + message);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const std::filesystem::path folder = argv[1];
  const std::vector<Signature> signatures = MakeKeys();
  for (const char* name : {"good", "bad"}) std::filesystem::create_directories(folder / name);
  WriteRecords(folder / "records.json", signatures);
  WriteGood(folder / "good", signatures);
  WriteBad(folder / "bad", signatures);
  return 0;
}
