#include "engine/eml/eml.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>
#include <utility>

#include "engine/eml/eml_parts.h"
#include "engine/eml/gmime.h"
#include "engine/message/cid.h"
#include "engine/message/utf8.h"

namespace volley::engine::eml {
namespace {

using message::CidTarget;
using message::MessageSpec;

absl::Status Bad(const std::string& text) { return absl::InvalidArgumentError(text); }

std::string TextOf(const absl::Status& status) {
  return {status.message().data(), status.message().size()};
}

std::string Lower(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c | 0x20);
  }
  return lower;
}

// What belongs to the copy that was saved, or is written anew. Lower case; '-' at the end: all that
// begin so.
constexpr std::array<std::string_view, 30> kLeftOut = {"from",
                                                       "reply-to",
                                                       "subject",
                                                       "received",
                                                       "received-spf",
                                                       "x-received",
                                                       "dkim-signature",
                                                       "domainkey-signature",
                                                       "x-google-",
                                                       "x-gm-",
                                                       "x-mozilla-",
                                                       "x-forefront-",
                                                       "x-ms-",
                                                       "x-spam-",
                                                       "x-original-to",
                                                       "arc-",
                                                       "return-path",
                                                       "message-id",
                                                       "date",
                                                       "to",
                                                       "cc",
                                                       "bcc",
                                                       "mime-version",
                                                       "content-",
                                                       "delivered-to",
                                                       "authentication-results",
                                                       "resent-",
                                                       "status",
                                                       "x-status",
                                                       "x-uidl"};

bool IsLeftOut(std::string_view lower) {
  return std::any_of(kLeftOut.begin(), kLeftOut.end(), [lower](std::string_view name) {
    return name.ends_with('-') ? lower.starts_with(name) : lower == name;
  });
}

Owned<GMimeMessage> Parse(std::string_view bytes) {
  static const bool initialised = (g_mime_init(), true);
  (void)initialised;
  if (bytes.empty()) return nullptr;  // GMime takes no null pointer
  const Owned<GMimeStream> stream(g_mime_stream_mem_new_with_buffer(bytes.data(), bytes.size()));
  const Owned<GMimeParser> parser(g_mime_parser_new_with_stream(stream.get()));
  g_mime_parser_set_format(parser.get(), GMIME_FORMAT_MESSAGE);
  return Owned<GMimeMessage>(g_mime_parser_construct_message(parser.get(), nullptr));
}

class Reader {
 public:
  Reader(GMimeMessage* parsed, std::string_view name) : parsed_(parsed), name_(name) {}

  absl::Status Run(MessageSpec* spec);

 private:
  absl::Status Singular();
  absl::Status Mailbox(const char* field, InternetAddressList* list, std::string* out) const;
  absl::Status FurtherHeaders(MessageSpec* spec) const;
  absl::Status Parts(MessageSpec* spec) const;
  absl::Status Files(std::vector<EmlFile> files, MessageSpec* spec) const;
  GMimeHeaderList* headers() const { return g_mime_object_get_header_list(GMIME_OBJECT(parsed_)); }

  GMimeMessage* parsed_;
  std::string_view name_;
};

absl::Status Reader::Run(MessageSpec* spec) {
  if (absl::Status status = Singular(); !status.ok()) return status;
  absl::Status status = Mailbox("From", g_mime_message_get_from(parsed_), &spec->from);
  if (!status.ok()) return status;
  if (spec->from.empty()) return Bad("no From");
  status = Mailbox("Reply-To", g_mime_message_get_reply_to(parsed_), &spec->reply_to);
  if (!status.ok()) return status;
  spec->subject = {fmt::format("{} subject", name_), ToString(g_mime_message_get_subject(parsed_))};
  status = FurtherHeaders(spec);
  return status.ok() ? Parts(spec) : status;
}

// RFC 5322 §3.6: at most one of these. GMime takes the first or joins them; nobody can tell which
// of two a reader would have shown.
absl::Status Reader::Singular() {
  const int count = g_mime_header_list_get_count(headers());
  if (count > static_cast<int>(kMaxEmlHeaders)) {
    return Bad(fmt::format("more than {} headers", kMaxEmlHeaders));
  }
  std::set<std::string> seen;
  for (int i = 0; i < count; ++i) {
    GMimeHeader* header = g_mime_header_list_get_header_at(headers(), i);
    const std::string lower = Lower(ToString(g_mime_header_get_name(header)));
    const bool singular = lower == "from" || lower == "reply-to" || lower == "subject" ||
                          lower == "content-type" || !IsLeftOut(lower);
    if (singular && !seen.insert(lower).second) {
      return Bad(fmt::format("the header {} is there twice", message::Quoted(lower)));
    }
  }
  return absl::OkStatus();
}

absl::Status Reader::Mailbox(const char* field, InternetAddressList* list, std::string* out) const {
  const int count = list == nullptr ? 0 : internet_address_list_length(list);
  if (count == 0) return absl::OkStatus();
  if (count > 1) return Bad(fmt::format("{} has {} mailboxes; one can be carried", field, count));
  InternetAddress* address = internet_address_list_get_address(list, 0);
  if (!INTERNET_ADDRESS_IS_MAILBOX(address)) return Bad(fmt::format("{} is a group", field));
  const std::string mailbox =
      ToString(internet_address_mailbox_get_addr(INTERNET_ADDRESS_MAILBOX(address)));
  const std::string display_name = ToString(internet_address_get_name(address));
  if (display_name.empty()) {
    *out = mailbox;
    return absl::OkStatus();
  }
  std::string quoted;
  for (const char c : display_name) {
    if (c == '"' || c == '\\') quoted.push_back('\\');
    quoted.push_back(c);
  }
  *out = fmt::format("\"{}\" <{}>", quoted, mailbox);
  return absl::OkStatus();
}

absl::Status Reader::FurtherHeaders(MessageSpec* spec) const {
  const int count = g_mime_header_list_get_count(headers());
  for (int i = 0; i < count; ++i) {
    GMimeHeader* header = g_mime_header_list_get_header_at(headers(), i);
    const std::string header_name = ToString(g_mime_header_get_name(header));
    if (IsLeftOut(Lower(header_name))) continue;
    const char* raw = g_mime_header_get_raw_value(header);
    const OwnedChars unfolded(g_mime_utils_header_unfold(raw == nullptr ? "" : raw));
    const OwnedChars decoded(g_mime_utils_header_decode_text(nullptr, unfolded.get()));
    spec->headers.emplace_back(
        header_name,
        message::TemplateSource{fmt::format("{} {}", name_, header_name), ToString(decoded.get())});
  }
  return absl::OkStatus();
}

absl::Status Reader::Parts(MessageSpec* spec) const {
  EmlParts parts;
  absl::Status status = CollectParts(g_mime_message_get_mime_part(parsed_), &parts);
  if (!status.ok()) return status;
  if (!parts.text && !parts.html) return Bad("no text/plain and no text/html part");
  auto source = [this](const char* what, std::optional<std::string> text) {
    std::optional<message::TemplateSource> made;
    if (text.has_value()) made = {fmt::format("{} {}", name_, what), *std::move(text)};
    return made;
  };
  spec->text = source("text", std::move(parts.text));
  spec->html = source("html", std::move(parts.html));
  spec->amp = source("amp", std::move(parts.amp));
  return Files(std::move(parts.files), spec);
}

// What the HTML shows is inline, under a name of its own; the rest is attached.
absl::Status Reader::Files(std::vector<EmlFile> files, MessageSpec* spec) const {
  std::vector<CidTarget> by_id;
  std::set<std::string> names;
  for (EmlFile& file : files) {
    if (file.content_id.empty() || !spec->html.has_value()) continue;
    std::string unique = file.file.name;
    for (size_t n = 2; !names.insert(unique).second; ++n) {
      unique = fmt::format("{}-{}", n, file.file.name).substr(0, message::kMaxFileNameBytes);
      unique.resize(message::ValidUtf8Prefix(unique));
    }
    by_id.push_back({file.content_id, unique});
  }
  if (spec->html.has_value()) {
    absl::Status status = message::FindCids(spec->html->name, spec->html->text, by_id);
    if (!status.ok()) return status;
    spec->html->text = message::RewriteCids(spec->html->text, by_id);
  }
  size_t next = 0;
  for (EmlFile& file : files) {
    const bool has_id = !file.content_id.empty() && spec->html.has_value();
    const CidTarget* target = has_id ? &by_id[next++] : nullptr;
    const bool shown = target != nullptr && target->used;
    if (shown) file.file.name = target->content_id;
    (shown ? spec->inline_parts : spec->attachments).push_back(std::move(file.file));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<MessageSpec> ReadEml(std::string_view bytes, std::string_view name) {
  if (bytes.size() > kMaxEmlBytes) {
    return Bad(fmt::format("{}: {} bytes; at most {}", name, bytes.size(), kMaxEmlBytes));
  }
  const Owned<GMimeMessage> parsed = Parse(bytes);
  if (parsed == nullptr) return Bad(fmt::format("{}: no message (RFC 5322)", name));
  MessageSpec spec;
  const absl::Status status = Reader(parsed.get(), name).Run(&spec);
  if (!status.ok()) return Bad(fmt::format("{}: {}", name, TextOf(status)));
  return spec;
}

}  // namespace volley::engine::eml
