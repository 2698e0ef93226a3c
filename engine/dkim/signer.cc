#include "engine/dkim/signer.h"

#include <algorithm>
#include <initializer_list>
#include <iterator>
#include <utility>

#include "engine/message/address.h"
#include "engine/message/header.h"
#include "engine/message/utf8.h"
#include "fmt/format.h"

namespace volley::engine::dkim {
namespace {

constexpr std::string_view kFieldName = "DKIM-Signature";
constexpr std::string_view kDomainKey = "._domainkey.";
constexpr size_t kLineBytes = 78;  // RFC 5322 §2.1.1, without the CRLF

absl::Status Refused(const std::string& why) { return absl::InvalidArgumentError(why); }

// Writes the field's value and breaks lines where the grammar of its tags allows folding.
class FoldedValue {
 public:
  // `column`: bytes on the line that is begun.
  FoldedValue(std::string* out, size_t column) : out_(out), column_(column) {}

  // ` tag` on this line if it fits there, on the next if not.
  // `room`: bytes that must fit behind it.
  void AddTag(std::string_view tag, size_t room = 0) {
    if (column_ + 1 + tag.size() + room > kLineBytes) {
      Fold();
    } else {
      out_->push_back(' ');
      ++column_;
    }
    Add(tag);
  }
  // Not separated from what is in front by anything but, where it does not fit, a fold.
  void AddAtom(std::string_view atom) {
    if (column_ + atom.size() > kLineBytes) Fold();
    Add(atom);
  }
  // Folds anywhere (RFC 6376 §3.5: white space in bh= and b= is ignored) but in front.
  void AddBase64(std::string_view text) {
    while (!text.empty()) {
      if (column_ >= kLineBytes) Fold();
      const size_t fits = std::min(kLineBytes - column_, text.size());
      Add(text.substr(0, fits));
      text.remove_prefix(fits);
    }
  }

 private:
  void Add(std::string_view text) {
    out_->append(text);
    column_ += text.size();
  }
  void Fold() {
    out_->append("\r\n ");
    column_ = 1;
  }

  std::string* out_;
  size_t column_;
};

bool IsLabel(std::string_view label) {
  constexpr size_t kLabelBytesMax = 63;
  const auto good = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';  // not of a host, but of names in the DNS
  };
  return !label.empty() && label.size() <= kLabelBytesMax && label.front() != '-' &&
         label.back() != '-' && std::all_of(label.begin(), label.end(), good);
}

bool AreLabels(std::string_view name) {
  for (size_t dot = name.find('.'); dot != name.npos; dot = name.find('.')) {
    if (!IsLabel(name.substr(0, dot))) return false;
    name.remove_prefix(dot + 1);
  }
  return IsLabel(name);
}

// Makes A-labels of the domain.
absl::Status CheckRecordName(std::string* domain, std::string_view selector) {
  constexpr size_t kNameBytesMax = 253;  // RFC 1035 §2.3.4, as text
  absl::StatusOr<std::string> labels = message::ToALabels(*domain);
  if (!labels.ok() || !AreLabels(*labels) || labels->find('.') == labels->npos) {
    return Refused(fmt::format("{} is not a domain to sign for", message::Quoted(*domain)));
  }
  if (!AreLabels(selector)) {
    return Refused(fmt::format("{} is not a selector: letters, digits, \"-\" and \".\"",
                               message::Quoted(selector)));
  }
  *domain = *std::move(labels);
  if (domain->size() + kDomainKey.size() + selector.size() > kNameBytesMax) {
    return Refused(
        fmt::format("{}{}{} is longer than a DNS name can be", selector, kDomainKey, *domain));
  }
  return absl::OkStatus();
}

absl::Status CheckSignature(Signature* signature) {
  if (signature->key == nullptr) return Refused("a signature without a key");
  return CheckRecordName(&signature->domain, signature->selector);
}

absl::Status CheckFieldName(std::string_view name) {
  // §5.4.1: those change on the way, or receivers cannot have them.
  static constexpr std::string_view kNever[] = {"DKIM-Signature", "Return-Path", "Received", "Bcc",
                                                "Authentication-Results"};
  // ';' would end the h= tag.
  if (!message::IsHeaderName(name) || name.find(';') != name.npos) {
    return Refused(fmt::format("\"{}\" is not the name of a header field", name));
  }
  for (const std::string_view never : kNever) {
    if (SameFieldName(name, never)) return Refused(fmt::format("{} cannot be signed", never));
  }
  return absl::OkStatus();
}

bool Contains(std::span<const std::string> names, std::string_view name) {
  return std::any_of(names.begin(), names.end(),
                     [&](const std::string& each) { return SameFieldName(each, name); });
}

absl::Status CheckOptions(const SignerOptions& options) {
  for (const auto* names : {&options.oversigned, &options.signed_if_there}) {
    for (const std::string& name : *names) {
      if (absl::Status status = CheckFieldName(name); !status.ok()) return status;
    }
  }
  if (!Contains(options.oversigned, "From") && !Contains(options.signed_if_there, "From")) {
    return Refused("From must be signed (RFC 6376 §5.4)");
  }
  if (options.expires_after != absl::ZeroDuration() && options.expires_after < absl::Seconds(1)) {
    return Refused("a signature that expires at once; leave the expiry out or give it days");
  }
  return absl::OkStatus();
}

// A name that is there twice, or in both lists, would sign the same field two times over.
void DropRepeatedNames(SignerOptions* options) {
  std::vector<std::string> seen;
  for (auto* names : {&options->oversigned, &options->signed_if_there}) {
    std::vector<std::string> once;
    for (std::string& name : *names) {
      if (Contains(seen, name)) continue;
      seen.push_back(name);
      once.push_back(std::move(name));
    }
    *names = std::move(once);
  }
}

std::string_view View(const iovec& piece) {
  return {static_cast<const char*>(piece.iov_base), piece.iov_len};
}

}  // namespace

std::vector<std::string> DefaultOversignedFields() {
  return {"From",
          "To",
          "Subject",
          "Date",
          "Reply-To",
          "Message-ID",
          "MIME-Version",
          "Content-Type",
          "Content-Transfer-Encoding",
          "List-Unsubscribe",
          "List-Unsubscribe-Post"};
}

std::vector<std::string> DefaultSignedFields() {
  return {"Sender",     "Cc",           "In-Reply-To", "References",
          "List-Id",    "List-Help",    "List-Post",   "List-Subscribe",
          "List-Owner", "List-Archive", "Feedback-ID"};
}

absl::StatusOr<std::string> RecordName(std::string_view domain, std::string_view selector) {
  std::string labels(domain);
  if (absl::Status status = CheckRecordName(&labels, selector); !status.ok()) return status;
  return fmt::format("{}{}{}", selector, kDomainKey, labels);
}

struct Signer::State {
  // One of the signatures with what stays the same from message to message.
  struct Prepared {
    std::string a, d, s;  // tags with their ";"
    SigningContext context;
  };

  explicit State(SignerOptions o) : options(std::move(o)), body(options.body) {}

  absl::Status Prepare(std::string_view header_text);
  void ChooseNames();
  void AppendUnsigned(const Prepared& signature, const BodyHash& body_hash, int64_t now_seconds);
  absl::Status AppendSignature(Prepared* signature, const BodyHash& body_hash, int64_t now_seconds,
                               std::string* out);
  absl::Status SignText(std::string_view header_text, const BodyHash& body_hash, absl::Time now,
                        std::string* out);

  SignerOptions options;
  std::string c;  // the tag
  std::vector<Prepared> signatures;
  BodyHasher body;
  Sha256 hash;
  // Reused from message to message.
  std::string text;                     // the header's pieces joined
  std::vector<HeaderField> fields;      // point into it
  std::vector<std::string_view> names;  // the h= tag
  std::string canonical;                // the signed fields; then the signature's own
  std::string field;                    // the value under construction
  std::string base64;
};

void Signer::State::ChooseNames() {
  names.clear();
  const auto there = [&](std::string_view name) {
    return std::count_if(fields.begin(), fields.end(),
                         [&](const HeaderField& each) { return SameFieldName(each.name, name); });
  };
  for (const std::string& name : options.oversigned) {
    names.insert(names.end(), static_cast<size_t>(there(name)) + 1, name);
  }
  for (const std::string& name : options.signed_if_there) {
    names.insert(names.end(), static_cast<size_t>(there(name)), name);
  }
}

absl::Status Signer::State::Prepare(std::string_view header_text) {
  if (absl::Status status = ParseHeader(header_text, &fields); !status.ok()) return status;
  if (std::none_of(fields.begin(), fields.end(),
                   [](const HeaderField& each) { return SameFieldName(each.name, "From"); })) {
    return Refused("the message has no From to sign");
  }
  ChooseNames();
  canonical.clear();
  AppendSignedFields(options.header, fields, names, &canonical);
  return absl::OkStatus();
}

// Everything up to and with "b=": what the signature is made over has an empty b= (§3.7).
void Signer::State::AppendUnsigned(const Prepared& signature, const BodyHash& body_hash,
                                   int64_t now_seconds) {
  field.clear();
  FoldedValue value(&field, kFieldName.size() + 1);
  value.AddTag("v=1;");
  for (const std::string_view tag :
       std::initializer_list<std::string_view>{signature.a, c, signature.d, signature.s}) {
    value.AddTag(tag);
  }
  fmt::basic_memory_buffer<char, 32> number;
  const auto add_time = [&](char tag, int64_t seconds) {
    number.clear();
    fmt::format_to(std::back_inserter(number), "{}={};", tag, seconds);
    value.AddTag({number.data(), number.size()});
  };
  add_time('t', now_seconds);
  if (options.expires_after != absl::ZeroDuration()) {
    add_time('x', now_seconds + absl::ToInt64Seconds(options.expires_after));
  }
  value.AddTag("h=");
  for (size_t i = 0; i < names.size(); ++i) {
    // The separator stays with the name in front, so that both fit on the line or neither.
    base64.assign(names[i]).push_back(i + 1 < names.size() ? ':' : ';');
    value.AddAtom(base64);
  }
  base64.assign("bh=");
  AppendBase64({reinterpret_cast<const char*>(body_hash.digest.data()), body_hash.digest.size()},
               &base64);
  base64.push_back(';');
  value.AddTag(base64);
  value.AddTag("b=", 8);  // so that no fold follows it at once
}

absl::Status Signer::State::AppendSignature(Prepared* signature, const BodyHash& body_hash,
                                            int64_t now_seconds, std::string* out) {
  AppendUnsigned(*signature, body_hash, now_seconds);
  const size_t signed_fields = canonical.size();
  AppendCanonicalField(options.header, kFieldName, field, &canonical);
  hash.Start();
  hash.Add(canonical);  // §3.7: without the CRLF at its end
  canonical.resize(signed_fields);
  const std::string_view raw = signature->context.Sign(hash.Finish());
  if (raw.empty()) return absl::InternalError("OpenSSL could not sign");
  base64.clear();
  AppendBase64(raw, &base64);
  out->append(kFieldName).append(":").append(field);
  // "b=" continues the line it is on, which begins behind the last fold.
  const size_t fold = field.rfind('\n');
  const size_t column =
      fold == field.npos ? kFieldName.size() + 1 + field.size() : field.size() - fold - 1;
  FoldedValue(out, column).AddBase64(base64);
  out->append("\r\n");
  return absl::OkStatus();
}

absl::Status Signer::State::SignText(std::string_view header_text, const BodyHash& body_hash,
                                     absl::Time now, std::string* out) {
  if (body_hash.canonicalization != options.body) {
    return Refused("the body hash is of the other canonicalisation");
  }
  if (absl::Status status = Prepare(header_text); !status.ok()) return status;
  const size_t begin = out->size();
  for (Prepared& signature : signatures) {
    absl::Status status = AppendSignature(&signature, body_hash, absl::ToUnixSeconds(now), out);
    if (!status.ok()) {
      out->resize(begin);
      return status;
    }
  }
  return absl::OkStatus();
}

Signer::Signer(std::unique_ptr<State> state) : state_(std::move(state)) {}
Signer::Signer(Signer&&) noexcept = default;
Signer& Signer::operator=(Signer&&) noexcept = default;
Signer::~Signer() = default;

absl::StatusOr<Signer> Signer::Make(std::vector<Signature> signatures, SignerOptions options) {
  if (signatures.empty()) return Refused("nothing to sign with");
  if (absl::Status status = CheckOptions(options); !status.ok()) return status;
  DropRepeatedNames(&options);
  auto state = std::make_unique<State>(std::move(options));
  state->c = fmt::format("c={}/{};", CanonicalizationName(state->options.header),
                         CanonicalizationName(state->options.body));
  for (Signature& signature : signatures) {
    if (absl::Status status = CheckSignature(&signature); !status.ok()) return status;
    const std::string_view algorithm = SignatureAlgorithmName(signature.key->algorithm());
    state->signatures.push_back(
        {fmt::format("a={};", algorithm), fmt::format("d={};", signature.domain),
         fmt::format("s={};", signature.selector), SigningContext(std::move(signature.key))});
  }
  return Signer(std::move(state));
}

BodyHash Signer::HashBody(std::span<const iovec> body) { return state_->body.Hash(body); }

absl::Status Signer::Sign(std::span<const iovec> header, const BodyHash& body, absl::Time now,
                          std::string* out) {
  State& state = *state_;
  state.text.clear();
  for (const iovec& piece : header) state.text.append(View(piece));
  return state.SignText(state.text, body, now, out);
}

absl::Status Signer::SignMessage(std::span<const iovec> message, absl::Time now, std::string* out) {
  constexpr std::string_view kEnd = "\r\n\r\n";
  State& state = *state_;
  state.text.clear();
  for (size_t i = 0; i < message.size(); ++i) {
    const size_t before = state.text.size();
    state.text.append(View(message[i]));
    // The end may lie across two pieces.
    const size_t end = state.text.find(kEnd, before - std::min(before, kEnd.size() - 1));
    if (end == state.text.npos) continue;
    const size_t body_begin = end + kEnd.size() - before;
    state.body.Add(View(message[i]).substr(body_begin));
    state.text.resize(end + 2);
    return state.SignText(state.text, state.body.Hash(message.subspan(i + 1)), now, out);
  }
  return state.SignText(state.text, state.body.Finish(), now, out);
}

}  // namespace volley::engine::dkim
