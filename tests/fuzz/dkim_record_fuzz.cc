// DKIM records from hostile zones. What is taken is within its bounds, can be written down and read
// again as the same, and matches a key only if what that key signs verifies with a naive reading of
// it.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "engine/dkim/dns_record.h"
#include "tests/engine/dkim/naive_dkim.h"
#include "tests/engine/dkim/test_keys.h"

namespace {

using namespace volley::engine::dkim;  // the whole file is about it

void Require(bool condition) {
  if (!condition) std::abort();
}

std::string Joined(const std::vector<std::string>& words) {
  std::string out;
  for (const std::string& word : words) out += word + ":";
  return out;
}

std::string Written(const DkimRecord& record) {
  std::string out = "v=DKIM1; k=" + record.key_type + "; p=" + record.public_key + "; t=";
  if (record.testing) out += "y:";
  if (record.strict_domain) out += "s:";
  out += "; h=" + Joined(record.hash_algorithms) + "; s=" + Joined(record.service_types);
  return out;
}

// Does a receiver who reads the record in the simplest way find what `key` signs good?
bool Verifies(const std::string& text, SigningContext* key) {
  const std::string hash = naive::Sha256Of("a header");
  Sha256Digest digest;
  std::copy(hash.begin(), hash.end(), digest.begin());
  auto tags = naive::Tags(text);
  tags.try_emplace("k", "rsa");
  return naive::VerifySignature(tags, hash, std::string(key->Sign(digest)));
}

void Compare(const DkimRecord& record, const std::string& text, SigningContext* signing) {
  const SigningKey& key = signing->key();
  const RecordMatch match = CompareRecord(record, key);
  Require((match == RecordMatch::kRevoked) == record.public_key.empty());
  if (match == RecordMatch::kMatches) Require(Verifies(text, signing));
  const bool plain = record.hash_algorithms.empty() && record.service_types.empty();
  if (plain && record.public_key == key.public_key() &&
      record.key_type == KeyTypeName(key.algorithm())) {
    Require(match == RecordMatch::kMatches);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  const auto record = ParseDkimRecord(text);
  Require(!record.ok() || size <= kRecordBytesMax);
  if (!record.ok()) {
    const std::string why(record.status().message());
    Require(!why.empty() && why.size() < 400);
    for (const char c : why) Require(static_cast<unsigned char>(c) >= 0x20);  // safe to print
    return 0;
  }
  Require(record->public_key.find_first_of(" \t\r\n;") == std::string::npos);
  const std::string written = Written(*record);
  const auto again = ParseDkimRecord(written);
  // What it says by leaving out makes it longer.
  Require(again.ok() || written.size() > kRecordBytesMax);
  if (again.ok()) Require(Written(*again) == written);
  static SigningContext rsa(RsaKey()), ed25519(Ed25519Key());
  Compare(*record, text, &rsa);
  Compare(*record, text, &ed25519);
  return 0;
}
