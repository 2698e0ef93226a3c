#include "engine/eml/eml_parts.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "engine/eml/eml.h"
#include "engine/message/utf8.h"

namespace volley::engine::eml {
namespace {

absl::Status Bad(const std::string& text) { return absl::InvalidArgumentError(text); }

std::string Lower(std::string text) {
  for (char& c : text) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c | 0x20);
  }
  return text;
}

std::string TypeOf(GMimeObject* object) {
  GMimeContentType* type = g_mime_object_get_content_type(object);
  if (type == nullptr) return "text/plain";
  return Lower(ToString(g_mime_content_type_get_media_type(type)) + "/" +
               ToString(g_mime_content_type_get_media_subtype(type)));
}

std::string WithLf(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\r') {
      out.push_back(text[i]);
    } else if (i + 1 == text.size() || text[i + 1] != '\n') {
      out.push_back('\n');
    }
  }
  return out;
}

std::string DecodedBytes(GMimePart* part) {
  GMimeDataWrapper* content = g_mime_part_get_content(part);
  if (content == nullptr) return "";
  const Owned<GMimeStream> stream(g_mime_stream_mem_new());
  g_mime_data_wrapper_write_to_stream(content, stream.get());
  GByteArray* bytes = g_mime_stream_mem_get_byte_array(GMIME_STREAM_MEM(stream.get()));
  return {reinterpret_cast<const char*>(bytes->data), bytes->len};
}

// The last step of a path, without what a file name must not have; "" when nothing is left.
std::string CleanName(std::string_view name) {
  const size_t slash = name.find_last_of("/\\");
  if (slash != name.npos) name.remove_prefix(slash + 1);
  std::string clean;
  while (!name.empty()) {
    const message::CodePoint point = message::DecodeUtf8(name);
    const bool control = point.value < 0x20 || (point.value >= 0x7F && point.value < 0xA0);
    if (clean.size() + point.bytes > message::kMaxFileNameBytes) break;
    if (point.bytes != 0 && !control) clean += name.substr(0, point.bytes);
    name.remove_prefix(std::max<size_t>(point.bytes, 1));
  }
  return clean == "." || clean == ".." ? "" : clean;
}

// "image/png" and its parameters; the type alone, or bytes of no type, where those are not proper.
std::string ContentType(GMimePart* part, std::string_view name) {
  GMimeObject* object = GMIME_OBJECT(part);
  const std::string bare = TypeOf(object);
  std::string full = bare;
  GMimeParamList* list = g_mime_content_type_get_parameters(g_mime_object_get_content_type(object));
  for (int i = 0; i < g_mime_param_list_length(list); ++i) {
    GMimeParam* parameter = g_mime_param_list_get_parameter_at(list, i);
    const std::string key = Lower(ToString(g_mime_param_get_name(parameter)));
    if (key == "name" || key == "boundary") continue;
    full += fmt::format("; {}=\"{}\"", key, ToString(g_mime_param_get_value(parameter)));
  }
  for (const std::string& type : {full, bare}) {
    if (message::CheckPartFile({name, type, {}}).ok()) return type;
  }
  return "application/octet-stream";
}

class Collector {
 public:
  explicit Collector(EmlParts* out) : out_(out) {}

  absl::Status Walk(GMimeObject* object, size_t depth);

 private:
  absl::Status Multipart(GMimeMultipart* multipart, size_t depth);
  absl::Status Leaf(GMimePart* part);
  absl::Status Text(GMimePart* part, std::optional<std::string>* text, std::string_view type);
  void File(GMimePart* part);

  EmlParts* out_;
  size_t parts_ = 0;
};

absl::Status Collector::Walk(GMimeObject* object, size_t depth) {
  if (++parts_ > kMaxEmlParts) return Bad(fmt::format("more than {} parts", kMaxEmlParts));
  if (depth > kMaxEmlDepth) return Bad(fmt::format("parts nested over {} deep", kMaxEmlDepth));
  if (GMIME_IS_MULTIPART(object)) return Multipart(GMIME_MULTIPART(object), depth);
  if (GMIME_IS_MESSAGE_PART(object) || GMIME_IS_MESSAGE_PARTIAL(object)) {
    return Bad(fmt::format("an attached message ({}) cannot be carried", TypeOf(object)));
  }
  if (!GMIME_IS_PART(object)) return Bad(fmt::format("a part of type {}", TypeOf(object)));
  return Leaf(GMIME_PART(object));
}

absl::Status Collector::Multipart(GMimeMultipart* multipart, size_t depth) {
  const std::string type = TypeOf(GMIME_OBJECT(multipart));
  if (type == "multipart/signed" || type == "multipart/encrypted") {
    return Bad(fmt::format("{} cannot be carried: copies of it would not be what was {}", type,
                           type == "multipart/signed" ? "signed" : "encrypted"));
  }
  if (type == "multipart/report" || type == "multipart/digest") {
    return Bad(fmt::format("{} cannot be carried", type));
  }
  for (int i = 0; i < g_mime_multipart_get_count(multipart); ++i) {
    GMimeObject* part = g_mime_multipart_get_part(multipart, i);
    if (absl::Status status = Walk(part, depth + 1); !status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status Collector::Leaf(GMimePart* part) {
  const std::string type = TypeOf(GMIME_OBJECT(part));
  if (type == "application/pkcs7-mime" || type == "application/x-pkcs7-mime") {
    return Bad("a signed or encrypted message (S/MIME) cannot be carried");
  }
  const bool file = g_mime_part_is_attachment(part) || g_mime_part_get_filename(part) != nullptr;
  if (!file && type == "text/plain") return Text(part, &out_->text, type);
  if (!file && type == "text/html") return Text(part, &out_->html, type);
  if (!file && type == "text/x-amp-html") return Text(part, &out_->amp, type);
  File(part);
  return absl::OkStatus();
}

absl::Status Collector::Text(GMimePart* part, std::optional<std::string>* text,
                             std::string_view type) {
  if (text->has_value()) return Bad(fmt::format("a second {} part has no place", type));
  if (!GMIME_IS_TEXT_PART(part)) return Bad(fmt::format("the {} part cannot be decoded", type));
  const OwnedChars decoded(g_mime_text_part_get_text(GMIME_TEXT_PART(part)));
  *text = WithLf(ToString(decoded.get()));
  if (message::IsUtf8(**text)) return absl::OkStatus();
  return Bad(fmt::format("the {} part is not in the character set it names", type));
}

void Collector::File(GMimePart* part) {
  EmlFile file;
  file.file.name = CleanName(ToString(g_mime_part_get_filename(part)));
  if (file.file.name.empty()) {
    const std::string type = TypeOf(GMIME_OBJECT(part));
    file.file.name = CleanName(fmt::format("part-{}.{}", parts_, type.substr(type.find('/') + 1)));
  }
  file.file.content_type = ContentType(part, file.file.name);
  file.file.bytes = DecodedBytes(part);
  file.content_id = ToString(g_mime_part_get_content_id(part));
  out_->files.push_back(std::move(file));
}

}  // namespace

absl::Status CollectParts(GMimeObject* root, EmlParts* out) {
  if (root == nullptr) return Bad("no content");
  return Collector(out).Walk(root, 0);
}

}  // namespace volley::engine::eml
