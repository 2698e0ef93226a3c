#include "tools/volley/keys.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/ascii.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "engine/dkim/dns_record.h"
#include "engine/dkim/signer.h"
#include "engine/message/address.h"
#include "engine/preflight/org_domain.h"
#include "io/resolver/resolver.h"
#include "pipeline/campaign/definition.h"
#include "pipeline/compose/dkim_keys.h"
#include "pipeline/credentials/printable.h"
#include "tools/volley/args.h"

namespace volley::tools {
namespace {

using engine::dkim::KeyAlgorithm;
using engine::dkim::RecordMatch;
using engine::dkim::SigningKey;
using pipeline::DkimKeyFile;

constexpr const char* kNewFooter =
    R"(Writes the private key to DOMAIN.SELECTOR.pem (mode 0600; an existing file is never overwritten) and
prints the DNS record to publish, in the forms that DNS panels and zone files take, and the lines for
the campaign file. Setting up, rotation and two signatures: docs/dkim.md.

Examples:
  volley keys dkim new example.com
  volley keys dkim new example.com --dual --out /etc/volley/keys
  volley keys dkim new news.example.com --selector n1 --ed25519 --json

Exit code: 0 made, 2 nothing was made (wrong usage, a file is there already or cannot be written).)";

constexpr const char* kCheckFooter =
    R"(Asks the DNS for the record of each key and says what differs and what to publish.

Examples:
  volley keys dkim check newsletter.toml
  volley keys dkim check --key example.com.v202611.pem --domain example.com --selector v202611

Exit code: 0 all published and right, 1 one is missing, differs or could not be asked for, 2 wrong
usage (a key file that cannot be read, or that others can read).)";

std::string Words(const absl::Status& status) { return std::string(status.message()); }

int Fail(const absl::Status& status) {
  fmt::print(stderr, "error: {}\n", Words(status));
  return 2;
}

void PrintJson(const nlohmann::json& object) {
  fmt::print("{}\n", object.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
}

// --- A key and its record ---

struct KeyRecord {
  DkimKeyFile file;
  std::string name;  // of the record
  std::shared_ptr<const SigningKey> key;
};

std::string Describe(const SigningKey& key) {
  return key.algorithm() == KeyAlgorithm::kRsa ? fmt::format("RSA, {} bits", key.bits())
                                               : "Ed25519";
}

// What panels ask for that append the zone's name by themselves.
std::string HostPart(const KeyRecord& record) {
  const std::string zone = engine::preflight::OrganizationalDomain(record.file.domain);
  const std::string_view name = record.name;
  if (!zone.empty() && name.ends_with("." + zone)) {
    return std::string(name.substr(0, name.size() - zone.size() - 1));
  }
  return std::string(name.substr(0, name.size() - record.file.domain.size() - 1));
}

// "..." "...": the strings of at most 255 bytes that a TXT record is made of.
std::string QuotedStrings(std::string_view value) {
  std::string out;
  for (const std::string_view part : engine::dkim::SplitTxtRecord(value)) {
    out += fmt::format("{}\"{}\"", out.empty() ? "" : " ", part);
  }
  return out;
}

std::string ZoneLine(const KeyRecord& record) {
  return fmt::format("{}. 3600 IN TXT ( {} )", record.name, QuotedStrings(record.key->DnsRecord()));
}

// JSON's escapes are TOML's.
std::string TomlString(const std::string& text) {
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string TomlLines(const DkimKeyFile& file) {
  return fmt::format("[[dkim]]\ndomain = {}\nselector = {}\nkey = {}\n", TomlString(file.domain),
                     TomlString(file.selector), TomlString(file.path));
}

void PrintRecord(const KeyRecord& record, std::string_view indent) {
  const std::string value = record.key->DnsRecord();
  fmt::print(
      "{0}Type        TXT\n"
      "{0}Name        {1}\n"
      "{0}Host part   {2}   (where the panel adds the domain by itself)\n"
      "{0}Value       {3}\n",
      indent, record.name, HostPart(record), value);
  // One string for most panels; a few want the pieces.
  if (engine::dkim::SplitTxtRecord(value).size() > 1) {
    fmt::print("{}In pieces   {}\n", indent, QuotedStrings(value));
  }
  fmt::print("{}Zone file   {}\n", indent, ZoneLine(record));
}

nlohmann::json RecordJson(const KeyRecord& record) {
  const std::string value = record.key->DnsRecord();
  nlohmann::json strings = nlohmann::json::array();
  for (const std::string_view part : engine::dkim::SplitTxtRecord(value)) {
    strings.push_back(std::string(part));
  }
  return {{"type", "TXT"},  {"name", record.name}, {"host", HostPart(record)},
          {"value", value}, {"strings", strings},  {"zone_line", ZoneLine(record)}};
}

nlohmann::json KeyJson(const KeyRecord& record) {
  return {{"domain", record.file.domain},
          {"selector", record.file.selector},
          {"key_file", record.file.path},
          {"algorithm", engine::dkim::SignatureAlgorithmName(record.key->algorithm())},
          {"bits", record.key->bits()},
          {"record", RecordJson(record)}};
}

// --- new ---

struct NewFlags {
  std::string domain, selector;
  std::string out = ".";
  int rsa_bits = engine::dkim::kRsaBitsDefault;
  bool ed25519 = false, dual = false, json = false;
};

absl::Status CannotWrite(const std::string& path, int error) {
  if (error == EEXIST) {
    return absl::AlreadyExistsError(fmt::format(
        "{} is there already and is not overwritten: messages may be signed with it. Take another "
        "--selector or folder",
        path));
  }
  return absl::InvalidArgumentError(
      fmt::format("{} cannot be written: {}", path, std::strerror(error)));
}

// The mode is there from the start: a moment would be enough for another user to open the file.
absl::Status WritePrivately(const std::string& path, std::string_view bytes) {
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd < 0) return CannotWrite(path, errno);
  int error = 0;
  while (!bytes.empty() && error == 0) {
    const ssize_t n = write(fd, bytes.data(), bytes.size());
    if (n >= 0) {
      bytes.remove_prefix(static_cast<size_t>(n));
    } else if (errno != EINTR) {
      error = errno;
    }
  }
  // The public half is published for good: the private one must not be lost with the machine.
  if (error == 0 && fsync(fd) != 0) error = errno;
  if (close(fd) != 0 && error == 0) error = errno;
  if (error == 0) return absl::OkStatus();
  unlink(path.c_str());
  return CannotWrite(path, error);
}

std::string DatedSelector() { return absl::FormatTime("v%Y%m", absl::Now(), absl::UTCTimeZone()); }

std::string KeyPath(const NewFlags& flags, const std::string& domain, const std::string& selector) {
  std::error_code ec;
  const std::filesystem::path folder = std::filesystem::absolute(flags.out, ec);
  return (folder / fmt::format("{}.{}.pem", domain, selector)).lexically_normal().string();
}

absl::StatusOr<KeyRecord> MakeKey(const NewFlags& flags, KeyAlgorithm algorithm,
                                  const std::string& selector) {
  absl::StatusOr<std::string> name = engine::dkim::RecordName(flags.domain, selector);
  if (!name.ok()) return name.status();
  const absl::StatusOr<std::string> domain = engine::message::ToALabels(flags.domain);
  if (!domain.ok()) return domain.status();
  auto key = SigningKey::Generate(algorithm, flags.rsa_bits);
  if (!key.ok()) return key.status();
  return KeyRecord{
      {*domain, selector, KeyPath(flags, *domain, selector)}, *std::move(name), *std::move(key)};
}

absl::StatusOr<std::vector<KeyRecord>> MakeKeys(const NewFlags& flags) {
  const std::string selector = flags.selector.empty() ? DatedSelector() : flags.selector;
  std::vector<std::pair<KeyAlgorithm, std::string>> wanted;
  if (!flags.ed25519) wanted.emplace_back(KeyAlgorithm::kRsa, selector);
  if (flags.ed25519) wanted.emplace_back(KeyAlgorithm::kEd25519, selector);
  // A record holds one key, so the second one needs a name of its own.
  if (flags.dual) wanted.emplace_back(KeyAlgorithm::kEd25519, selector + "-ed25519");
  std::vector<KeyRecord> keys;
  for (const auto& [algorithm, name] : wanted) {
    absl::StatusOr<KeyRecord> key = MakeKey(flags, algorithm, name);
    if (!key.ok()) return key.status();
    keys.push_back(*std::move(key));
  }
  return keys;
}

// All or none.
absl::Status WriteKeys(const std::vector<KeyRecord>& keys) {
  for (size_t i = 0; i < keys.size(); ++i) {
    const engine::Secret pem = keys[i].key->ToPem();
    absl::Status status = pem.empty() ? absl::InternalError("OpenSSL could not write the key")
                                      : WritePrivately(keys[i].file.path, pem.reveal());
    if (status.ok()) continue;
    while (i-- > 0) unlink(keys[i].file.path.c_str());
    return status;
  }
  return absl::OkStatus();
}

// For a command to copy into a shell.
std::string ShellWord(const std::string& text) {
  const auto plain = [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
           std::string_view("/._-+").find(c) != std::string_view::npos;
  };
  if (std::all_of(text.begin(), text.end(), plain)) return text;
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

void PrintNew(const std::vector<KeyRecord>& keys) {
  for (const KeyRecord& key : keys) {
    fmt::print("Private key  {} ({}, mode 0600)\n", key.file.path, Describe(*key.key));
  }
  fmt::print("             Whoever has it can sign as {}: never send it, keep a backup.\n",
             keys.front().file.domain);
  for (const KeyRecord& key : keys) {
    fmt::print("\nPublish this DNS record:\n");
    PrintRecord(key, "  ");
  }
  fmt::print("\nLines for the campaign file:\n\n");
  for (const KeyRecord& key : keys) fmt::print("{}\n", TomlLines(key.file));
  fmt::print("When the DNS has it (minutes to hours), before the first message is sent:\n\n");
  for (const KeyRecord& key : keys) {
    fmt::print("  volley keys dkim check --key {} --domain {} --selector {}\n",
               ShellWord(key.file.path), key.file.domain, key.file.selector);
  }
}

void PrintNewJson(const std::vector<KeyRecord>& keys) {
  nlohmann::json object = {{"keys", nlohmann::json::array()}};
  for (const KeyRecord& key : keys) {
    nlohmann::json each = KeyJson(key);
    each["campaign_toml"] = TomlLines(key.file);
    object["keys"].push_back(std::move(each));
  }
  PrintJson(object);
}

int RunNew(const NewFlags& flags) {
  const auto keys = MakeKeys(flags);
  if (!keys.ok()) return Fail(keys.status());
  if (absl::Status status = WriteKeys(*keys); !status.ok()) return Fail(status);
  if (flags.json) {
    PrintNewJson(*keys);
  } else {
    PrintNew(*keys);
  }
  return 0;
}

// --- check ---

struct CheckFlags {
  std::string campaign, key, domain, selector, dns_server;
  std::string timeout = "10s";
  bool json = false;
};

struct Finding {
  std::string problem;  // an id; empty: the record is right
  std::string detail;   // for people
  std::string note;     // right, but
  std::vector<std::string> found;
};

absl::StatusOr<std::vector<DkimKeyFile>> KeysToCheck(const CheckFlags& flags) {
  const bool one = !flags.key.empty() || !flags.domain.empty() || !flags.selector.empty();
  if (flags.campaign.empty() == !one) {
    return absl::InvalidArgumentError(
        "say what to check: a campaign file, or --key, --domain and --selector");
  }
  if (one) {
    if (flags.key.empty() || flags.domain.empty() || flags.selector.empty()) {
      return absl::InvalidArgumentError("--key, --domain and --selector belong together");
    }
    return std::vector<DkimKeyFile>{{flags.domain, flags.selector, flags.key}};
  }
  const auto campaign = pipeline::LoadCampaignFile(flags.campaign);
  if (!campaign.ok()) return campaign.status();
  if (campaign->dkim.empty()) {
    return absl::InvalidArgumentError(fmt::format(
        "{}: there is no [[dkim]]; make a key with volley keys dkim new DOMAIN", flags.campaign));
  }
  std::vector<DkimKeyFile> files;
  for (const pipeline::DkimDefinition& each : campaign->dkim) {
    files.push_back({each.domain, each.selector, each.key_path});
  }
  return files;
}

// The keys that a campaign would sign with, by what it would refuse too.
absl::StatusOr<std::vector<KeyRecord>> LoadKeys(const std::vector<DkimKeyFile>& files) {
  const auto keys = pipeline::DkimKeys::Load(files);
  if (!keys.ok()) return keys.status();
  const auto current = (*keys)->current();
  std::vector<KeyRecord> records;
  for (size_t i = 0; i < files.size(); ++i) {
    auto name = engine::dkim::RecordName(files[i].domain, files[i].selector);
    if (!name.ok()) return name.status();
    records.push_back({files[i], *std::move(name), (*current)[i].key});
    auto domain = engine::message::ToALabels(files[i].domain);
    if (domain.ok()) records.back().file.domain = *std::move(domain);
  }
  return records;
}

Finding Compare(const engine::dkim::DkimRecord& record, const SigningKey& key) {
  switch (engine::dkim::CompareRecord(record, key)) {
    case RecordMatch::kMatches:
      break;
    case RecordMatch::kOtherKey:
      return {
          "other_key", "the published key is another one: signatures by this file fail", "", {}};
    case RecordMatch::kRevoked:
      return {"revoked", "the published key is revoked (p= is empty)", "", {}};
    case RecordMatch::kOtherType:
      return {"other_type",
              fmt::format("the published key is of type k={}, the file's is {}",
                          pipeline::Printable(record.key_type, 40),
                          engine::dkim::KeyTypeName(key.algorithm())),
              "",
              {}};
    case RecordMatch::kForbidsUse:
      return {"forbids_use",
              "the record has this key, but its h= or s= does not allow sha256 for email",
              "",
              {}};
  }
  Finding right;
  right.detail = "published, and the file's key";
  if (record.testing) {
    right.note =
        "t=y: receivers may treat the mail as not signed; remove it when you are done "
        "with testing";
  }
  return right;
}

Finding LookAt(const std::vector<std::string>& texts, const SigningKey& key) {
  if (texts.size() != 1) {
    // RFC 6376 §3.6.2.2: with several the result is undefined.
    return {"several_records",
            fmt::format("there are {} TXT records; receivers take any of them, so leave one",
                        texts.size()),
            "", texts};
  }
  const auto record = engine::dkim::ParseDkimRecord(texts.front());
  Finding finding = record.ok()
                        ? Compare(*record, key)
                        : Finding{"not_a_record",
                                  "what is there is no DKIM record: " + Words(record.status()),
                                  "",
                                  {}};
  finding.found = texts;
  return finding;
}

Finding Ask(io::Resolver* resolver, const KeyRecord& record) {
  const io::DnsAnswer answer = resolver->LookupNow(record.name, io::DnsType::kTxt);
  switch (answer.status) {
    case io::DnsStatus::kOk:
      return LookAt(io::ParseTxt(answer), *record.key);
    case io::DnsStatus::kNoSuchName:
      return {"missing", "there is no such name in the DNS (NXDOMAIN)", "", {}};
    case io::DnsStatus::kNoData:
      return {"missing", "the name has no TXT record", "", {}};
    default:
      return {"dns_failed",
              fmt::format("the DNS could not be asked ({}): {}", io::DnsStatusName(answer.status),
                          answer.error),
              "",
              {}};
  }
}

// Whether publishing the record would mend it.
bool IsMendedByPublishing(const Finding& finding) {
  return !finding.problem.empty() && finding.problem != "dns_failed";
}

void PrintFinding(const KeyRecord& record, const Finding& finding) {
  constexpr size_t kShownBytes = 500;
  fmt::print("{:<7} {}: {} ({}, {})\n", finding.problem.empty() ? "ok" : "FAILED", record.name,
             finding.detail, record.file.path, Describe(*record.key));
  if (!finding.note.empty()) fmt::print("        note: {}\n", finding.note);
  if (finding.problem.empty()) return;
  for (const std::string& text : finding.found) {
    fmt::print("        found: {}\n", pipeline::Printable(text, kShownBytes));
  }
  if (IsMendedByPublishing(finding)) {
    fmt::print("        Publish{}:\n", finding.found.empty() ? "" : " instead");
    PrintRecord(record, "          ");
  }
}

nlohmann::json FindingJson(const KeyRecord& record, const Finding& finding) {
  nlohmann::json object = KeyJson(record);
  object["ok"] = finding.problem.empty();
  object["problem"] = finding.problem.empty() ? nlohmann::json() : nlohmann::json(finding.problem);
  object["detail"] = finding.detail;
  object["note"] = finding.note.empty() ? nlohmann::json() : nlohmann::json(finding.note);
  object["found"] = finding.found;
  return object;
}

absl::StatusOr<std::unique_ptr<io::Resolver>> MakeResolver(const CheckFlags& flags) {
  const absl::StatusOr<absl::Duration> timeout = ParseDuration(flags.timeout);
  if (!timeout.ok() || *timeout == absl::ZeroDuration()) {
    return absl::InvalidArgumentError(
        fmt::format("--timeout {}: {}", flags.timeout,
                    timeout.ok() ? "give more than no time" : Words(timeout.status())));
  }
  io::ResolverOptions options;
  options.timeout = *timeout;
  if (!flags.dns_server.empty()) options.servers = {flags.dns_server};
  auto resolver = io::Resolver::Create(options);
  if (!resolver.ok() && !flags.dns_server.empty()) {
    return absl::InvalidArgumentError(
        fmt::format("--dns-server {}: {}", flags.dns_server, Words(resolver.status())));
  }
  return resolver;
}

int RunCheck(const CheckFlags& flags) {
  const auto files = KeysToCheck(flags);
  if (!files.ok()) return Fail(files.status());
  const auto records = LoadKeys(*files);
  if (!records.ok()) return Fail(records.status());
  const auto resolver = MakeResolver(flags);
  if (!resolver.ok()) return Fail(resolver.status());
  nlohmann::json object = {{"ok", true}, {"keys", nlohmann::json::array()}};
  for (const KeyRecord& record : *records) {
    const Finding finding = Ask(resolver->get(), record);
    if (!finding.problem.empty()) object["ok"] = false;
    object["keys"].push_back(FindingJson(record, finding));
    if (!flags.json) PrintFinding(record, finding);
  }
  if (flags.json) PrintJson(object);
  return object["ok"].get<bool>() ? 0 : 1;
}

// --- Flags ---

void AddNew(CLI::App* dkim, int* exit_code) {
  auto flags = std::make_shared<NewFlags>();
  CLI::App* command = dkim->add_subcommand("new", "Make a key and print the DNS record for it.");
  command->footer(kNewFooter);
  command->add_option("DOMAIN", flags->domain, "Domain to sign for (d=): From's, or one above it")
      ->required();
  command->add_option("--selector", flags->selector, "Name of the key in the DNS (vYYYYMM)");
  CLI::Option* bits = command->add_option("--rsa-bits", flags->rsa_bits, "Size of the RSA key")
                          ->check(CLI::Range(engine::dkim::kRsaBitsMin, engine::dkim::kRsaBitsMax))
                          ->capture_default_str();
  CLI::Option* ed25519 =
      command->add_flag("--ed25519", flags->ed25519,
                        "An Ed25519 key instead (RFC 8463; many receivers cannot verify it)");
  CLI::Option* dual =
      command->add_flag("--dual", flags->dual,
                        "An RSA key and an Ed25519 key (selector with \"-ed25519\" behind it)");
  ed25519->excludes(bits)->excludes(dual);
  command->add_option("--out", flags->out, "Folder for the key files")->capture_default_str();
  command->add_flag("--json", flags->json, "Print one JSON object");
  command->callback([flags, exit_code] { *exit_code = RunNew(*flags); });
}

void AddCheck(CLI::App* dkim, int* exit_code) {
  auto flags = std::make_shared<CheckFlags>();
  CLI::App* command =
      dkim->add_subcommand("check", "Compare keys with the records that the DNS has.");
  command->footer(kCheckFooter);
  command->add_option("CAMPAIGN", flags->campaign, "Campaign file, all of whose [[dkim]] to check");
  command->add_option("--key", flags->key, "Private key file (PEM)")->type_name("FILE");
  command->add_option("--domain", flags->domain, "Domain that it signs for");
  command->add_option("--selector", flags->selector, "Selector that it signs with");
  command->add_option("--dns-server", flags->dns_server, "Ask this server, not resolv.conf's")
      ->type_name("ADDR@PORT");
  command->add_option("--timeout", flags->timeout, "For each question")
      ->type_name("DURATION")
      ->capture_default_str();
  command->add_flag("--json", flags->json, "Print one JSON object: ok, keys");
  command->callback([flags, exit_code] { *exit_code = RunCheck(*flags); });
}

}  // namespace

void AddKeysCommand(CLI::App& app, int* exit_code) {
  CLI::App* keys = app.add_subcommand("keys", "Make keys, and check what is published of them.");
  keys->footer("Example: volley keys dkim new example.com");
  CLI::App* dkim = keys->add_subcommand("dkim", "DKIM signing keys.");
  dkim->footer("volley keys dkim new --help and volley keys dkim check --help have examples.");
  for (CLI::App* group : {keys, dkim}) {
    // Not require_subcommand(1): of a misspelt one it says only that there is none.
    group->require_subcommand(0, 1);
    group->callback([group, exit_code] {
      if (!group->get_subcommands().empty()) return;
      fmt::print(stderr, "{}", group->help());
      *exit_code = 2;
    });
  }
  AddNew(dkim, exit_code);
  AddCheck(dkim, exit_code);
}

}  // namespace volley::tools
