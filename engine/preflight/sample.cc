#include "engine/preflight/sample.h"

#include <algorithm>

#include "engine/dkim/header.h"
#include "engine/preflight/text.h"

namespace volley::engine::preflight {
namespace {

std::vector<std::string> FieldNames(std::string_view list) {
  std::vector<std::string> names;
  for (const std::string_view name : Split(list, ':')) names.push_back(ToLower(Trim(name)));
  return names;
}

SampleSignature ReadSignature(std::string_view value) {
  SampleSignature out;
  const auto tags = ParseTagList(value);
  if (!tags.ok()) return out;
  for (const Tag& tag : *tags) {
    if (tag.name == "d") out.domain = ToLower(tag.value);
    if (tag.name == "s") out.selector = ToLower(tag.value);
    if (tag.name == "h") out.signed_fields = FieldNames(tag.value);
  }
  return out;
}

}  // namespace

std::vector<std::string> SampleFacts::Values(std::string_view name) const {
  std::vector<std::string> values;
  for (const SampleField& field : fields) {
    if (field.name == name) values.push_back(field.value);
  }
  return values;
}

std::string SampleFacts::Value(std::string_view name) const {
  const auto it = std::find_if(fields.begin(), fields.end(),
                               [&](const SampleField& field) { return field.name == name; });
  return it == fields.end() ? std::string() : it->value;
}

bool SampleFacts::IsSigned(std::string_view name) const {
  return std::any_of(signatures.begin(), signatures.end(), [&](const SampleSignature& signature) {
    return std::find(signature.signed_fields.begin(), signature.signed_fields.end(), name) !=
           signature.signed_fields.end();
  });
}

absl::StatusOr<SampleFacts> ReadSample(std::string_view composed_bytes) {
  const size_t end = composed_bytes.find("\r\n\r\n");
  const std::string_view header =
      composed_bytes.substr(0, end == composed_bytes.npos ? end : end + 2);
  std::vector<dkim::HeaderField> fields;
  if (absl::Status s = dkim::ParseHeader(header, &fields); !s.ok()) return s;
  if (fields.empty()) return absl::InvalidArgumentError("the message has no header");
  SampleFacts out;
  out.bytes = composed_bytes.size();
  for (const dkim::HeaderField& field : fields) {
    out.fields.push_back({ToLower(Trim(field.name)), Unfold(field.value)});
    const SampleField& read = out.fields.back();
    if (read.name == "dkim-signature") out.signatures.push_back(ReadSignature(read.value));
  }
  out.texts = ReadBodyTexts(composed_bytes);
  return out;
}

}  // namespace volley::engine::preflight
