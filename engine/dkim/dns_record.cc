#include "engine/dkim/dns_record.h"

#include <algorithm>
#include <optional>

#include "engine/message/utf8.h"
#include "engine/sasl/base64.h"
#include "fmt/format.h"

namespace volley::engine::dkim {
namespace {

using message::Quoted;

struct Tag {
  std::string_view name, value;
};

absl::Status Refused(const std::string& why) { return absl::InvalidArgumentError(why); }

// §2.3 FWS. A CRLF is not checked to be in front of white space: nothing depends on it here.
bool IsFoldingSpace(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

std::string_view Trimmed(std::string_view text) {
  while (!text.empty() && IsFoldingSpace(text.front())) text.remove_prefix(1);
  while (!text.empty() && IsFoldingSpace(text.back())) text.remove_suffix(1);
  return text;
}

std::string WithoutSpace(std::string_view text) {
  std::string out(text);
  std::erase_if(out, IsFoldingSpace);
  return out;
}

// The part of `text` in front of the first `separator`, taken away with it.
std::string_view TakeUntil(char separator, std::string_view* text) {
  const std::string_view part = text->substr(0, text->find(separator));
  text->remove_prefix(std::min(part.size() + 1, text->size()));
  return part;
}

// §3.2 tag-name.
bool IsTagName(std::string_view name) {
  const auto is_letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
  return !name.empty() && is_letter(name.front()) &&
         std::all_of(name.begin(), name.end(),
                     [&](char c) { return is_letter(c) || (c >= '0' && c <= '9') || c == '_'; });
}

absl::StatusOr<std::vector<Tag>> ParseTagList(std::string_view text) {
  constexpr size_t kTagsMax = 64;  // §3.6.1 has 7
  std::vector<Tag> tags;
  while (!text.empty()) {
    const std::string_view spec = TakeUntil(';', &text);
    // The list may end with ";"; receivers forgive an empty tag elsewhere, too.
    if (Trimmed(spec).empty()) continue;
    const size_t equals = spec.find('=');
    const std::string_view name = Trimmed(spec.substr(0, equals));
    if (equals == spec.npos || !IsTagName(name)) {
      return Refused(fmt::format("{} is no tag (NAME=VALUE;)", Quoted(Trimmed(spec))));
    }
    const auto same = [&](const Tag& tag) { return tag.name == name; };
    if (std::any_of(tags.begin(), tags.end(), same)) {
      return Refused(fmt::format("the tag {}= is there twice", Quoted(name)));
    }
    if (tags.size() == kTagsMax) return Refused(fmt::format("more than {} tags", kTagsMax));
    tags.push_back({name, Trimmed(spec.substr(equals + 1))});
  }
  return tags;
}

std::vector<std::string> ColonList(std::string_view text) {
  std::vector<std::string> out;
  while (!text.empty()) out.emplace_back(Trimmed(TakeUntil(':', &text)));
  return out;
}

bool Contains(const std::vector<std::string>& list, std::string_view word) {
  return std::find(list.begin(), list.end(), word) != list.end();
}

absl::Status CheckVersion(const std::vector<Tag>& tags) {
  const auto at = std::find_if(tags.begin(), tags.end(), [](Tag tag) { return tag.name == "v"; });
  if (at == tags.end()) return absl::OkStatus();  // §3.6.1: recommended
  if (at->value != "DKIM1") {
    return Refused(fmt::format("v= is {}, not DKIM1", Quoted(at->value)));
  }
  if (at != tags.begin()) return Refused("v=DKIM1 must come first");
  return absl::OkStatus();
}

absl::Status CheckPublicKey(const std::string& text) {
  if (text.empty() || sasl::DecodeBase64(text)) return absl::OkStatus();
  const size_t quote = text.find_first_of("\"\\");
  if (quote != text.npos) {
    return Refused(
        "p= has a quotation mark or backslash in it: enter the record's value without "
        "quotation marks");
  }
  return Refused(fmt::format("p= is not base64 ({} characters): was it cut, or entered in part?",
                             text.size()));
}

void TakeTag(const Tag& tag, DkimRecord* record) {
  if (tag.name == "k") {
    record->key_type = tag.value;
  } else if (tag.name == "p") {
    record->public_key = WithoutSpace(tag.value);
  } else if (tag.name == "h") {
    record->hash_algorithms = ColonList(tag.value);
  } else if (tag.name == "s") {
    record->service_types = ColonList(tag.value);
  } else if (tag.name == "t") {
    const std::vector<std::string> flags = ColonList(tag.value);
    record->testing = Contains(flags, "y");
    record->strict_domain = Contains(flags, "s");
  }
}

}  // namespace

absl::StatusOr<DkimRecord> ParseDkimRecord(std::string_view txt) {
  if (txt.size() > kRecordBytesMax) {
    return Refused(fmt::format("{} bytes are too long for a DKIM record", txt.size()));
  }
  const absl::StatusOr<std::vector<Tag>> tags = ParseTagList(txt);
  if (!tags.ok()) return tags.status();
  if (absl::Status status = CheckVersion(*tags); !status.ok()) return status;
  if (std::none_of(tags->begin(), tags->end(), [](Tag tag) { return tag.name == "p"; })) {
    return Refused("there is no p= (the public key)");
  }
  DkimRecord record;
  record.key_type = "rsa";  // §3.6.1: the default
  for (const Tag& tag : *tags) TakeTag(tag, &record);
  if (absl::Status status = CheckPublicKey(record.public_key); !status.ok()) return status;
  return record;
}

RecordMatch CompareRecord(const DkimRecord& record, const SigningKey& key) {
  if (record.public_key.empty()) return RecordMatch::kRevoked;
  if (record.key_type != KeyTypeName(key.algorithm())) return RecordMatch::kOtherType;
  const std::optional<std::string> bytes = sasl::DecodeBase64(record.public_key);
  if (!bytes || !key.HasPublicKey(*bytes)) return RecordMatch::kOtherKey;
  const auto allows = [](const std::vector<std::string>& list, std::string_view word) {
    return list.empty() || Contains(list, word);
  };
  const bool service = allows(record.service_types, "email") || Contains(record.service_types, "*");
  if (!service || !allows(record.hash_algorithms, "sha256")) return RecordMatch::kForbidsUse;
  return RecordMatch::kMatches;
}

}  // namespace volley::engine::dkim
