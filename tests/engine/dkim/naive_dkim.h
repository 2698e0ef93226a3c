// A second DKIM for tests, written to be obviously right and not to share code with the first: it
// canonicalises by replacing text step by step, in the words of RFC 6376 §3.4, and verifies with
// OpenSSL from the DNS record.
#ifndef VOLLEY_TESTS_ENGINE_DKIM_NAIVE_DKIM_H_
#define VOLLEY_TESTS_ENGINE_DKIM_NAIVE_DKIM_H_

#include <openssl/evp.h>
#include <openssl/x509.h>

#include <algorithm>
#include <cctype>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace volley::engine::dkim::naive {

inline void ReplaceAll(std::string* text, std::string_view from, std::string_view to) {
  for (size_t at = text->find(from); at != text->npos; at = text->find(from, at)) {
    text->replace(at, from.size(), to);
    at = 0;  // again, until nothing is left
  }
}

inline std::string Body(std::string body, bool relaxed) {
  if (!body.empty() && !body.ends_with("\r\n")) body += "\r\n";
  if (relaxed) {
    ReplaceAll(&body, "\t", " ");
    ReplaceAll(&body, "  ", " ");
    ReplaceAll(&body, " \r\n", "\r\n");
  }
  while (body.ends_with("\r\n\r\n")) body.resize(body.size() - 2);
  if (body == "\r\n") body.clear();
  return body.empty() && !relaxed ? "\r\n" : body;
}

inline std::string Lower(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

inline std::string Trim(std::string text) {
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.back()))) text.pop_back();
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text[0]))) text.erase(0, 1);
  return text;
}

// WSP is space and tab: a form feed stays (RFC 5234 appendix B.1).
inline std::string TrimWsp(std::string text) {
  text.erase(0, text.find_first_not_of(" \t"));
  text.resize(text.find_last_not_of(" \t") + 1);  // npos + 1 is 0
  return text;
}

// `field` without its last CRLF.
inline std::string Field(std::string field, bool relaxed) {
  if (!relaxed) return field;
  ReplaceAll(&field, "\r\n", "");
  ReplaceAll(&field, "\t", " ");
  ReplaceAll(&field, "  ", " ");
  const size_t colon = field.find(':');
  return Lower(TrimWsp(field.substr(0, colon))) + ":" + TrimWsp(field.substr(colon + 1));
}

inline std::string Without(std::string text, std::string_view bytes) {
  std::erase_if(text, [&](char c) { return bytes.find(c) != bytes.npos; });
  return text;
}

inline std::string FromBase64(const std::string& text) {
  const std::string clean = Without(text, " \t\r\n");
  std::string out(clean.size(), '\0');
  const int size = EVP_DecodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                                   reinterpret_cast<const unsigned char*>(clean.data()),
                                   static_cast<int>(clean.size()));
  if (size < 0) return {};
  out.resize(static_cast<size_t>(size));
  while (!clean.empty() && clean.size() > out.size() && clean.ends_with("==")) {
    out.resize(out.size() - 2);
    return out;
  }
  if (clean.ends_with("=")) out.pop_back();
  return out;
}

inline std::map<std::string, std::string> Tags(const std::string& value) {
  std::map<std::string, std::string> tags;
  for (size_t at = 0; at < value.size();) {
    const size_t end = std::min(value.find(';', at), value.size());
    const std::string tag = value.substr(at, end - at);
    const size_t equals = tag.find('=');
    if (equals != tag.npos) tags[Trim(tag.substr(0, equals))] = Trim(tag.substr(equals + 1));
    at = end + 1;
  }
  return tags;
}

inline std::string Sha256Of(std::string_view text) {
  std::string out(32, '\0');
  EVP_Digest(text.data(), text.size(), reinterpret_cast<unsigned char*>(out.data()), nullptr,
             EVP_sha256(), nullptr);
  return out;
}

inline std::vector<std::string> Fields(std::string header) {
  std::vector<std::string> fields;
  while (!header.empty()) {
    size_t end = header.find("\r\n");
    while (end + 2 < header.size() && (header[end + 2] == ' ' || header[end + 2] == '\t')) {
      end = header.find("\r\n", end + 2);
    }
    fields.push_back(header.substr(0, end));
    header.erase(0, end + 2);
  }
  return fields;
}

inline bool VerifySignature(const std::map<std::string, std::string>& record,
                            const std::string& hash, const std::string& signature) {
  const std::string key_bytes = FromBase64(record.at("p"));
  const auto* key_data = reinterpret_cast<const unsigned char*>(key_bytes.data());
  const bool rsa = record.at("k") == "rsa";
  EVP_PKEY* key =
      rsa ? d2i_PUBKEY(nullptr, &key_data, static_cast<long>(key_bytes.size()))
          : EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, key_data, key_bytes.size());
  if (key == nullptr) return false;
  const auto* s = reinterpret_cast<const unsigned char*>(signature.data());
  const auto* h = reinterpret_cast<const unsigned char*>(hash.data());
  bool good = false;
  if (rsa) {
    EVP_PKEY_CTX* context = EVP_PKEY_CTX_new(key, nullptr);
    EVP_PKEY_verify_init(context);
    EVP_PKEY_CTX_set_signature_md(context, EVP_sha256());
    good = EVP_PKEY_verify(context, s, signature.size(), h, hash.size()) == 1;
    EVP_PKEY_CTX_free(context);
  } else {
    EVP_MD_CTX* context = EVP_MD_CTX_new();
    EVP_DigestVerifyInit(context, nullptr, nullptr, nullptr, key);
    good = EVP_DigestVerify(context, s, signature.size(), h, hash.size()) == 1;
    EVP_MD_CTX_free(context);
  }
  EVP_PKEY_free(key);
  return good;
}

// Verifies the `index`th DKIM-Signature from the top of `message`. Empty: it is good; else why not.
inline std::string Verify(const std::string& message, size_t index, const std::string& dns_record) {
  const size_t end = message.find("\r\n\r\n");
  const std::string body = end == message.npos ? "" : message.substr(end + 4);
  std::vector<std::string> fields = Fields(message.substr(0, end) + "\r\n");
  if (index >= fields.size() || !fields[index].starts_with("DKIM-Signature:")) return "none there";
  const std::string field = fields[index];
  auto tags = Tags(field.substr(field.find(':') + 1));
  const bool relaxed_header = tags["c"].starts_with("relaxed/");
  if (FromBase64(tags["bh"]) != Sha256Of(Body(body, tags["c"].ends_with("/relaxed"))))
    return "body";
  std::string signed_text;
  std::string names = Without(tags["h"], " \t\r\n") + ":";
  for (; !names.empty(); names.erase(0, names.find(':') + 1)) {
    const std::string name = Lower(names.substr(0, names.find(':')));
    for (size_t i = fields.size(); i-- > 0;) {
      if (Lower(Trim(fields[i].substr(0, fields[i].find(':')))) != name) continue;
      signed_text += Field(fields[i], relaxed_header) + "\r\n";
      fields.erase(fields.begin() + static_cast<ptrdiff_t>(i));
      break;
    }
  }
  const size_t b = field.rfind("b=");  // the last tag; base64 has "=" only at its end
  signed_text +=
      Field(field.substr(0, field.find("b=", field.find("bh=") + 3) + 2), relaxed_header);
  if (b == field.npos) return "no b=";
  auto record = Tags(dns_record);
  return VerifySignature(record, Sha256Of(signed_text), FromBase64(tags["b"])) ? "" : "signature";
}

}  // namespace volley::engine::dkim::naive

#endif  // VOLLEY_TESTS_ENGINE_DKIM_NAIVE_DKIM_H_
