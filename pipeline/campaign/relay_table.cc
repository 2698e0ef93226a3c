#include "pipeline/campaign/relay_table.h"

#include <fmt/format.h>

#include <string>
#include <string_view>

namespace volley::pipeline {
namespace {

// A string key and where it goes: one list for reading and for writing.
struct TextKey {
  std::string name;
  std::string* target;
  bool is_path = false;
};

void AddSecret(const std::string& stem, SecretSource* source, std::vector<TextKey>* keys) {
  keys->push_back({stem + "_file", &source->file, true});
  keys->push_back({stem + "_env", &source->env});
  keys->push_back({stem + "_command", &source->command});
  keys->push_back({stem + "_credential", &source->credential});
}

std::vector<TextKey> RelayKeys(RelayDefinition* r) {
  std::vector<TextKey> keys = {
      {"via", &r->via},
      {"helo", &r->helo},
      {"user", &r->credentials.user},
      {"authorization_id", &r->credentials.authorization_id},
      {"auth", &r->auth},
      {"ca_file", &r->ca_file, true},
      {"client_certificate", &r->client_certificate, true},
      {"client_key", &r->client_key, true},
      {"tls_name", &r->tls_name},
      {"tls_min_version", &r->tls_min_version},
      {"ciphers", &r->ciphers},
      {"ciphersuites", &r->ciphersuites},
  };
  AddSecret("password", &r->credentials.password, &keys);
  AddSecret("token", &r->credentials.token, &keys);
  return keys;
}

std::vector<TextKey> Oauth2Keys(Oauth2Definition* o) {
  std::vector<TextKey> keys = {
      {"token_url", &o->token_url}, {"client_id", &o->client_id}, {"scope", &o->scope}};
  AddSecret("client_secret", &o->client_secret, &keys);
  AddSecret("refresh_token", &o->refresh_token, &keys);
  return keys;
}

std::vector<KeySpec> Specs(const Place& place, const std::vector<TextKey>& keys) {
  std::vector<KeySpec> specs;
  for (const TextKey& key : keys) {
    specs.push_back({key.name, key.is_path ? Path(place, key.name, key.target)
                                           : String(place, key.name, key.target)});
  }
  return specs;
}

// Somebody who writes the secret itself into the file is told the better way.
Setter Refuse(const Place& place, const std::string& name) {
  return [&place, name](const toml::node& node) {
    return place.At(node, fmt::format("\"{}\" has no place in a campaign file, which is copied and "
                                      "shared: keep it in a file, and write {}_file, or {}_env, "
                                      "{}_command, {}_credential",
                                      name, name, name, name, name));
  };
}

absl::Status ReadRelay(const Place& place, const toml::table& table, RelayDefinition* relay) {
  std::vector<KeySpec> specs = Specs(place, RelayKeys(relay));
  for (const char* secret : {"password", "token"}) specs.push_back({secret, Refuse(place, secret)});
  specs.push_back({"auth_insecure", Flag(place, "auth_insecure", &relay->auth_insecure)});
  specs.push_back({"rate", Rate(place, "rate", CheckRate, &relay->rate)});
  specs.push_back({"quota", Rate(place, "quota", CheckQuota, &relay->quota)});
  specs.push_back({"weight", Count(place, "weight", 0, kMaxWeight, &relay->weight)});
  specs.push_back({"oauth2", [&place, relay](const toml::node& node) -> absl::Status {
                     if (!node.is_table()) {
                       return place.At(node, "\"oauth2\" must be a table: [relay.oauth2]");
                     }
                     std::vector<KeySpec> keys =
                         Specs(place, Oauth2Keys(&relay->credentials.oauth2));
                     for (const char* secret : {"client_secret", "refresh_token"}) {
                       keys.push_back({secret, Refuse(place, secret)});
                     }
                     return ReadTable(place, *node.as_table(), "relay.oauth2", keys);
                   }});
  return ReadTable(place, table, "relay", specs);
}

void Put(const std::vector<TextKey>& keys, toml::table* table) {
  for (const TextKey& key : keys) {
    if (!key.target->empty()) table->insert_or_assign(key.name, *key.target);
  }
}

}  // namespace

absl::Status ReadRelays(const Place& place, const toml::node& node,
                        std::vector<RelayDefinition>* relays) {
  if (const toml::table* one = node.as_table()) {
    return ReadRelay(place, *one, &relays->emplace_back());
  }
  const toml::array* many = node.as_array();
  if (many == nullptr || many->empty()) {
    return place.At(node, "\"relay\" must be a table: [relay], or several [[relay]]");
  }
  for (const toml::node& element : *many) {
    if (!element.is_table()) return place.At(element, "\"relay\" must hold tables: [[relay]]");
    absl::Status s = ReadRelay(place, *element.as_table(), &relays->emplace_back());
    if (!s.ok()) return s;
  }
  return absl::OkStatus();
}

toml::array FormatRelays(std::span<const RelayDefinition> relays) {
  toml::array out;
  for (RelayDefinition relay : relays) {
    toml::table table, oauth2;
    Put(RelayKeys(&relay), &table);
    if (relay.auth_insecure) table.insert_or_assign("auth_insecure", *relay.auth_insecure);
    if (relay.rate) table.insert_or_assign("rate", FormatRate(*relay.rate));
    if (relay.quota) table.insert_or_assign("quota", FormatRate(*relay.quota));
    if (relay.weight) table.insert_or_assign("weight", int64_t{*relay.weight});
    Put(Oauth2Keys(&relay.credentials.oauth2), &oauth2);
    if (!oauth2.empty()) table.insert_or_assign("oauth2", oauth2);
    out.push_back(table);
  }
  return out;
}

}  // namespace volley::pipeline
