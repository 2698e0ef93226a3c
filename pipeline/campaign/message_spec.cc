#include "pipeline/campaign/message_spec.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/time/time.h"
#include "engine/compliance/list_headers.h"
#include "engine/eml/eml.h"
#include "engine/message/address.h"
#include "engine/message/utf8.h"

namespace volley::pipeline {
namespace {

using engine::message::MessageSpec;

absl::StatusOr<MessageSpec> FromEml(const CampaignDefinition& d, const Material& material) {
  auto spec = engine::eml::ReadEml(material.eml, d.eml_path);
  if (!spec.ok()) return spec.status();
  if (!d.from.empty()) spec->from = d.from;
  if (!d.reply_to.empty()) spec->reply_to = d.reply_to;
  if (!d.subject.empty()) spec->subject = {"subject", d.subject};
  return spec;
}

MessageSpec FromTemplates(const CampaignDefinition& d, const Material& material) {
  MessageSpec spec;
  spec.from = d.from;
  spec.reply_to = d.reply_to;
  spec.subject = {"subject", d.subject};
  spec.text = material.text;
  spec.html = material.html;
  spec.amp = material.amp;
  return spec;
}

void AddFiles(const Material& material, MessageSpec* spec) {
  spec->inline_parts.insert(spec->inline_parts.end(), material.inline_parts.begin(),
                            material.inline_parts.end());
  spec->attachments.insert(spec->attachments.end(), material.attachments.begin(),
                           material.attachments.end());
}

using Headers = std::vector<std::pair<std::string, std::string>>;

// These take the place of what a finished message brought along or we would write; two of one name
// among them are left to the composer to refuse.
void SetHeaders(const Headers& headers, MessageSpec* spec) {
  std::erase_if(spec->headers, [&headers](const auto& known) {
    return std::any_of(headers.begin(), headers.end(), [&known](const auto& h) {
      return absl::AsciiStrToLower(known.first) == absl::AsciiStrToLower(h.first);
    });
  });
  for (const auto& [name, value] : headers) {
    spec->headers.push_back({name, {"header " + name, value}});
  }
}

// Text of the sender's own that must come out as it is: no Mustache in it.
absl::Status CheckPostalAddress(std::string_view address) {
  constexpr size_t kBytesMax = 1000;
  if (address.size() > kBytesMax || !engine::message::IsUtf8(address) ||
      address.find("{{") != std::string_view::npos) {
    return absl::InvalidArgumentError(
        fmt::format("postal_address {}: plain text of at most {} bytes without {{{{",
                    engine::message::Quoted(address), kBytesMax));
  }
  return absl::OkStatus();
}

std::string HtmlEscaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '\n':
        out += "<br>\n";
        break;
      default:
        out += c;
    }
  }
  return out;
}

// CAN-SPAM §5(a)(5)(A)(iii) and its kin elsewhere want the sender's address in advertising.
void AddPostalAddress(std::string_view address, MessageSpec* spec) {
  if (spec->text) {
    std::string& text = spec->text->text;
    if (!text.ends_with('\n')) text += '\n';
    text += fmt::format("\n-- \n{}\n", address);
  }
  if (spec->html) {
    std::string& html = spec->html->text;
    const size_t body_end = absl::AsciiStrToLower(html).rfind("</body>");
    html.insert(
        std::min(body_end, html.size()),
        fmt::format("<p style=\"font-size:smaller;color:#666\">{}</p>\n", HtmlEscaped(address)));
  }
}

absl::Status AddListHeaders(const CampaignDefinition& d, CampaignKind kind, MessageSpec* spec) {
  engine::compliance::ListHeaderOptions options;
  const bool bulk = kind == CampaignKind::kBulk;
  options.kind =
      bulk ? engine::compliance::MailKind::kBulk : engine::compliance::MailKind::kTransactional;
  options.feedback_id = d.feedback_id;
  options.url = d.unsubscribe.url;
  options.mailto = d.unsubscribe.mailto;
  options.list_id = d.unsubscribe.list_id;
  if (bulk && options.list_id.empty() && (!options.url.empty() || !options.mailto.empty())) {
    auto from = engine::message::ParseHeaderMailbox(spec->from);
    if (!from.ok()) return absl::OkStatus();  // the composer says it better
    auto list = ListName(d, from->address);
    if (!list.ok()) return list.status();
    options.list_id = *std::move(list);
  }
  auto headers = engine::compliance::MakeListHeaders(options);
  if (!headers.ok()) return headers.status();
  SetHeaders(*headers, spec);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> ListName(const CampaignDefinition& d, const std::string& from_address) {
  const std::string& given = d.unsubscribe.list_id;
  std::string name = given.empty() ? from_address : given;
  if (given.empty()) std::replace(name.begin(), name.end(), '@', '.');
  auto list = engine::compliance::ParseListId(name);
  if (list.ok()) return list->id;
  if (!given.empty()) return list.status();
  return absl::InvalidArgumentError(fmt::format(
      "no list id can be made of {}: put list_id = \"news.example.org\" into [unsubscribe]",
      engine::message::Quoted(from_address)));
}

std::vector<std::string> Differences(const MessageSpec& one, const MessageSpec& other) {
  using engine::message::PartFile;
  using engine::message::TemplateSource;
  const auto same_text = [](const TemplateSource& a, const TemplateSource& b) {
    return a.text == b.text;
  };
  const auto same = [&](const std::optional<TemplateSource>& a,
                        const std::optional<TemplateSource>& b) {
    return a.has_value() == b.has_value() && (!a || same_text(*a, *b));
  };
  const auto same_files = [](const std::vector<PartFile>& a, const std::vector<PartFile>& b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const auto& x, const auto& y) {
      return x.name == y.name && x.bytes == y.bytes;
    });
  };
  const bool same_headers =
      std::equal(one.headers.begin(), one.headers.end(), other.headers.begin(), other.headers.end(),
                 [&](const auto& a, const auto& b) {
                   return a.first == b.first && same_text(a.second, b.second);
                 });
  std::vector<std::string> out;
  if (one.from != other.from) out.emplace_back("from");
  if (one.reply_to != other.reply_to) out.emplace_back("reply_to");
  if (!same_text(one.subject, other.subject)) out.emplace_back("subject");
  if (!same(one.to_name, other.to_name)) out.emplace_back("to_name");
  if (!same(one.text, other.text)) out.emplace_back("text");
  if (!same(one.html, other.html)) out.emplace_back("html");
  if (!same(one.amp, other.amp)) out.emplace_back("amp");
  if (!same_headers) out.emplace_back("headers");
  if (!same_files(one.attachments, other.attachments)) out.emplace_back("attachments");
  if (!same_files(one.inline_parts, other.inline_parts)) out.emplace_back("inline files");
  return out;
}

// Consent and a way out come first. The URL is volley's own, or one with the user's own variables.
absl::Status CheckOneClick(const MessageSpec& spec) {
  bool url = false, post = false;
  for (const auto& [name, value] : spec.headers) {
    const std::string lower = absl::AsciiStrToLower(name);
    if (lower == "list-unsubscribe") {
      url = value.text.find("<https://") != std::string::npos ||
            value.text.find("<{{") != std::string::npos;
    }
    if (lower == "list-unsubscribe-post") post = value.text == "List-Unsubscribe=One-Click";
  }
  if (url && post) return absl::OkStatus();
  return absl::FailedPreconditionError(
      "this is bulk mail (kind = \"bulk\", the default) that nobody could unsubscribe from with "
      "one "
      "click (RFC 8058): put url = \"https://example.org/u/\" into [unsubscribe] of the campaign "
      "file, or give --unsubscribe-url, and let `volley unsubscribe serve` answer there. If every "
      "recipient asked for just this message say kind = \"transactional\" (--kind transactional). "
      "--without-unsubscribe sends all the same");
}

absl::StatusOr<MessageSpec> MakeMessageSpec(const CampaignDefinition& d, const Material& material,
                                            const FrozenFacts& facts) {
  absl::StatusOr<MessageSpec> spec =
      material.eml.empty() ? FromTemplates(d, material) : FromEml(d, material);
  if (!spec.ok()) return spec;
  if (!d.to_name.empty()) spec->to_name = {"to_name", d.to_name};
  AddFiles(material, &*spec);
  const CampaignKind kind = ParseCampaignKind(d.kind).value_or(CampaignKind::kBulk);
  if (absl::Status s = AddListHeaders(d, kind, &*spec); !s.ok()) return s;
  SetHeaders(d.headers, &*spec);
  if (!d.postal_address.empty()) {
    if (absl::Status s = CheckPostalAddress(d.postal_address); !s.ok()) return s;
    AddPostalAddress(d.postal_address, &*spec);
  }
  spec->partials = material.Loader();
  spec->recipient_attachments = !d.attachments.column.empty();
  spec->message_bytes_max = uint64_t{d.attachments.message_mb_max.value_or(kDefaultMessageMb)}
                            << 20;
  spec->message_id_key = facts.key;
  spec->boundary_seed = facts.boundary_seed;
  std::string error;
  if (!absl::ParseTime(absl::RFC3339_full, facts.date_rfc3339, &spec->date, &error)) {
    return absl::InvalidArgumentError(fmt::format("date \"{}\": {}", facts.date_rfc3339, error));
  }
  return spec;
}

}  // namespace volley::pipeline
