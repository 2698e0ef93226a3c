#include "pipeline/campaign/campaign.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include "absl/strings/ascii.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "engine/message/address.h"
#include "engine/message/utf8.h"
#include "pipeline/campaign/message_spec.h"
#include "pipeline/store/unsubscribe_key.h"

namespace volley::pipeline {
namespace {

namespace fs = std::filesystem;
constexpr size_t kMaxIdBytes = 100;  // well under NAME_MAX with the suffixes added

absl::Status FileError(std::string_view what, const std::string& path, int error) {
  return absl::InternalError(fmt::format("{} {}: {}", what, path, std::strerror(error)));
}

// Names made from this are unique over campaigns and machines: 100 random bits, base 32.
std::string RandomKey() {
  constexpr std::string_view kAlphabet = "abcdefghijklmnopqrstuvwxyz234567";
  unsigned char bytes[20];
  if (getrandom(bytes, sizeof bytes, 0) != sizeof bytes) std::abort();  // cannot fail for 20 bytes
  std::string key;
  for (unsigned char b : bytes) key.push_back(kAlphabet[b & 31]);
  return key;
}

void SyncFolder(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;  // the rename itself is what counts; this only hurries it to the disk
  fsync(fd);
  close(fd);
}

// `fresh` takes the place of `old`, which goes, at once: a kill leaves the one or the other, and it
// whole. False: there is no old one, or the file system cannot.
bool ChangePlaces(const std::string& fresh, const std::string& old) {
  if (renameat2(AT_FDCWD, fresh.c_str(), AT_FDCWD, old.c_str(), RENAME_EXCHANGE) != 0) return false;
  std::error_code ec;
  fs::remove_all(fresh, ec);  // by this name now the old one
  return true;
}

std::string CampaignsFolder(const std::string& state_dir) { return state_dir + "/campaigns"; }

}  // namespace

std::string CampaignId(std::string_view name) {
  std::string id;
  for (const char c : name.substr(0, kMaxIdBytes)) {
    if (absl::ascii_isalnum(static_cast<unsigned char>(c))) {
      id.push_back(absl::ascii_tolower(static_cast<unsigned char>(c)));
    } else if (!id.empty() && id.back() != '-') {
      id.push_back('-');
    }
  }
  while (!id.empty() && id.back() == '-') id.pop_back();
  return id;
}

CampaignKind Campaign::kind() const {
  return ParseCampaignKind(definition_.kind).value_or(CampaignKind::kBulk);
}

absl::Status Campaign::PrepareSigning() {
  if (definition_.dkim.empty()) return absl::OkStatus();
  std::vector<DkimKeyFile> files;
  for (const DkimDefinition& d : definition_.dkim)
    files.push_back({d.domain, d.selector, d.key_path});
  auto keys = DkimKeys::Load(std::move(files));
  if (!keys.ok()) return keys.status();
  recipe_.dkim = *std::move(keys);
  recipe_.dkim_expires_after = absl::Hours(24 * definition_.dkim_expires_days.value_or(0));
  return absl::OkStatus();
}

// REQUIRES: spec_ is made.
absl::Status Campaign::PrepareTokens() {
  const UnsubscribeDefinition& u = definition_.unsubscribe;
  auto from = engine::message::ParseHeaderMailbox(spec_.from);
  if (!from.ok()) {
    return absl::InvalidArgumentError(fmt::format(
        "from {}: {}", engine::message::Quoted(spec_.from), std::string(from.status().message())));
  }
  from_ = recipe_.reverse_path = from->address;
  recipe_.campaign = id_;
  if (kind() == CampaignKind::kBulk) {
    // Without a name of its own it is nobody's list, and everybody's suppressions still count.
    recipe_.list = ListName(definition_, from_).value_or("");
  }
  if (u.url.empty() && u.mailto.empty() && definition_.bounces.empty()) return absl::OkStatus();
  // What is never sent needs no key that lasts.
  const bool throw_away = scratch_ && u.key_path.empty() && !HasUnsubscribeKey(state_dir_);
  auto keys = LoadOrCreateUnsubscribeKey(throw_away ? dir_ : state_dir_, u.key_path);
  if (!keys.ok()) return keys.status();
  recipe_.token_keys = *std::move(keys);
  recipe_.bounce_mailbox = definition_.bounces;
  if (!definition_.bounces.empty()) {
    auto paths =
        engine::compliance::BouncePathMaker::Make(*recipe_.token_keys, definition_.bounces, id_);
    if (!paths.ok()) {
      return absl::InvalidArgumentError(fmt::format("bounces {}: {}",
                                                    engine::message::Quoted(definition_.bounces),
                                                    std::string(paths.status().message())));
    }
  }
  if (u.url.empty()) return absl::OkStatus();
  auto url = engine::compliance::UnsubscribeUrl::Parse(u.url);
  if (!url.ok()) return url.status();
  recipe_.unsubscribe_url = *std::move(url);
  return absl::OkStatus();
}

absl::Status Campaign::FindFileColumn(std::span<const std::string> columns) {
  const AttachmentsDefinition& a = definition_.attachments;
  if (a.column.empty()) return absl::OkStatus();
  const auto found = std::find(columns.begin(), columns.end(), a.column);
  if (found == columns.end()) {
    return absl::InvalidArgumentError(
        fmt::format("[attachments] column \"{}\": there is no such column; the columns are {}",
                    a.column, fmt::join(columns, ", ")));
  }
  recipe_.file_column = static_cast<size_t>(found - columns.begin());
  auto files = RecipientFiles::Open(a.folder, spec_.message_bytes_max);
  if (!files.ok()) return files.status();
  recipe_.files = *std::move(files);
  return absl::OkStatus();
}

// Where the message lacks nothing but {{unsubscribe_url}} or the token, the columns of the list are
// no help.
absl::Status Campaign::WithUnsubscribeHint(const absl::Status& status,
                                           std::vector<std::string> columns) const {
  if (recipe_.token_keys != nullptr) return status;
  columns.emplace_back(kUnsubscribeUrlColumn);
  columns.emplace_back(kUnsubscribeTokenColumn);
  if (!engine::message::MessageTemplate::Compile(spec_, columns).ok()) return status;
  return absl::InvalidArgumentError(
      fmt::format("{}; volley makes {{{{{}}}}} when the campaign has a url in [unsubscribe] "
                  "(--unsubscribe-url)",
                  std::string(status.message()), kUnsubscribeUrlColumn));
}

absl::Status Campaign::CompileMessage(std::span<const std::string> columns) {
  std::vector<std::string> all(columns.begin(), columns.end());
  if (recipe_.token_keys != nullptr) {
    for (const std::string_view own : {kUnsubscribeUrlColumn, kUnsubscribeTokenColumn}) {
      if (std::find(all.begin(), all.end(), own) != all.end()) {
        return absl::InvalidArgumentError(fmt::format(
            "the list has a column \"{}\", which [unsubscribe] makes: rename it, or take url out "
            "of [unsubscribe]",
            own));
      }
      all.emplace_back(own);
    }
  }
  if (absl::Status s = FindFileColumn(columns); !s.ok()) return s;
  auto compiled = engine::message::MessageTemplate::Compile(spec_, all);
  if (!compiled.ok()) return WithUnsubscribeHint(compiled.status(), std::move(all));
  recipe_.message.emplace(*std::move(compiled));
  recipe_.date = spec_.date;
  return absl::OkStatus();
}

absl::Status Campaign::MakeFolder(const PrepareOptions& options) {
  id_ = CampaignId(definition_.name);
  if (id_.empty()) {
    return absl::InvalidArgumentError(fmt::format(
        "campaign name \"{}\" has no letter or digit to make a folder name of", definition_.name));
  }
  state_dir_ = options.state_dir;
  replace_ = options.restart;
  scratch_ = options.scratch;
  final_dir_ = CampaignsFolder(state_dir_) + "/" + id_;
  std::error_code ec;
  if (!options.scratch && !replace_ && fs::exists(final_dir_, ec)) {
    return absl::AlreadyExistsError(fmt::format(
        "campaign \"{}\" has been begun ({}). To send something new give it another name; "
        "--restart forgets the old one and mails everybody again",
        definition_.name, final_dir_));
  }
  if (options.scratch) {
    std::string path = (fs::temp_directory_path(ec) / "volley-XXXXXX").string();
    if (mkdtemp(path.data()) == nullptr) return FileError("cannot make folder", path, errno);
    dir_ = path;
    return absl::OkStatus();
  }
  made_state_dir_ = !fs::exists(state_dir_, ec);
  fs::create_directories(CampaignsFolder(state_dir_), ec);
  std::string path = fmt::format("{}.new-XXXXXX", final_dir_);
  if (mkdtemp(path.data()) == nullptr) {
    return absl::InternalError(
        fmt::format("cannot make a folder in the state directory {}: {}; name another with --state",
                    CampaignsFolder(state_dir_), std::strerror(errno)));
  }
  dir_ = path;
  return absl::OkStatus();
}

absl::StatusOr<std::vector<ImportOptions::Required>> Campaign::RequiredColumns(
    std::span<const std::string> columns) {
  if (absl::Status s = CompileMessage(columns); !s.ok()) return s;
  std::vector<ImportOptions::Required> required;
  for (const auto& r : recipe_.message->required_columns()) {
    if (r.column < columns.size()) required.push_back({r.column, r.used_at});
  }
  return required;
}

// Who is suppressed now is no recipient. Nothing is made for that: a state directory without a
// database has nobody in it.
absl::Status Campaign::AdmitBySuppression(ImportOptions* how) {
  if (!Store::Exists(state_dir_)) return absl::OkStatus();
  auto snapshot = SuppressionSnapshot::Load(state_dir_, list());
  if (!snapshot.ok()) return snapshot.status();
  suppressed_ = *std::move(snapshot);
  how->on_admit = [reader = std::make_shared<SuppressionReader>(suppressed_)](
                      std::string_view address) -> absl::StatusOr<std::string> {
    const absl::StatusOr<bool> suppressed = reader->Contains(address);
    if (!suppressed.ok()) return suppressed.status();
    return std::string(*suppressed ? "suppressed: volley suppress lookup says why" : "");
  };
  return absl::OkStatus();
}

absl::Status Campaign::ImportList(const PrepareOptions& options) {
  ImportOptions how;
  how.list_path = definition_.recipients_path;
  how.recipients_path = dir_ + "/recipients.bin";
  how.rejected_path = dir_ + "/rejected.csv";
  how.address_column = definition_.address_column;
  how.limit = options.limit;
  how.on_progress = options.on_progress;
  how.on_columns = [this](auto columns) { return RequiredColumns(columns); };
  if (options.admit) {
    if (absl::Status s = AdmitBySuppression(&how); !s.ok()) return s;
  }
  auto result = ImportRecipients(how);
  if (!result.ok()) return result.status();
  import_ = *std::move(result);
  if (import_.imported == 0 && import_.suppressed == 0) return NobodyToMail();
  auto file = RecipientFile::Open(how.recipients_path);
  if (!file.ok()) return file.status();
  recipients_ = *std::move(file);
  return absl::OkStatus();
}

absl::Status Campaign::NobodyToMail() const {
  std::string message = fmt::format("{}: nobody to mail: ", definition_.recipients_path);
  if (import_.rows == 0) return absl::InvalidArgumentError(message + "the list has no rows");
  message += fmt::format("all {} rows were rejected", import_.rows);
  for (const std::string& sample : import_.rejected_samples) message += "\n  line " + sample;
  for (const std::string& note : import_.notes) message += "\n" + note;
  return absl::InvalidArgumentError(message);
}

// The user's files may change or go; the campaign keeps what it was made of. Keys stay where they
// are: a copy would be one more to lose.
absl::Status Campaign::KeepCopies() {
  CampaignDefinition kept = definition_;
  const auto absolute = [](std::string* path) {
    if (!path->empty() && *path != "-") *path = fs::absolute(*path).string();
  };
  absolute(&kept.recipients_path);
  absolute(&kept.unsubscribe.key_path);
  absolute(&kept.attachments.folder);
  kept.policy = {};  // who sends keeps copies of these, which may be given anew
  for (DkimDefinition& d : kept.dkim) absolute(&d.key_path);
  if (absl::Status s = material_.KeepIn(dir_, &kept); !s.ok()) return s;
  facts_.rejected = import_.rejected;
  facts_.duplicates = import_.duplicates;
  facts_.suppressed = import_.suppressed;
  return WriteSmallFile(dir_ + "/campaign.toml", FormatCampaignFile(kept, facts_));
}

absl::Status Campaign::PrepareMessage() {
  auto material = Material::Read(definition_);
  if (!material.ok()) return material.status();
  material_ = *std::move(material);
  auto spec = MakeMessageSpec(definition_, material_, facts_);
  if (!spec.ok()) return spec.status();
  spec_ = *std::move(spec);
  return PrepareSigning();
}

absl::StatusOr<std::unique_ptr<Campaign>> Campaign::Prepare(const CampaignDefinition& definition,
                                                            const PrepareOptions& options) {
  std::unique_ptr<Campaign> c(new Campaign);
  c->definition_ = definition;
  c->facts_.key = RandomKey();
  // Whole seconds, as the Date header has them.
  c->facts_.date_rfc3339 =
      absl::FormatTime("%Y-%m-%dT%H:%M:%S%Ez", absl::Now(), absl::UTCTimeZone());
  c->facts_.boundary_seed = std::hash<std::string>{}(c->facts_.key) >> 1;
  if (absl::Status s = c->PrepareMessage(); !s.ok()) return s;
  if (!options.without_unsubscribe && c->kind() == CampaignKind::kBulk) {
    if (absl::Status s = CheckOneClick(c->spec_); !s.ok()) return s;
  }
  if (absl::Status s = c->MakeFolder(options); !s.ok()) return s;
  if (absl::Status s = c->PrepareTokens(); !s.ok()) return s;
  if (absl::Status s = c->ImportList(options); !s.ok()) return s;
  if (absl::Status s = c->KeepCopies(); !s.ok()) return s;
  return c;
}

absl::StatusOr<std::unique_ptr<Campaign>> Campaign::Open(const std::string& state_dir,
                                                         std::string_view id) {
  std::unique_ptr<Campaign> c(new Campaign);
  c->state_dir_ = state_dir;
  c->id_ = id;
  c->dir_ = c->final_dir_ = fmt::format("{}/{}", CampaignsFolder(state_dir), id);
  c->committed_ = true;
  std::error_code ec;
  if (id.empty() || !fs::exists(c->dir_ + "/campaign.toml", ec)) {
    return absl::NotFoundError(fmt::format("no campaign in {}", c->dir_));
  }
  auto definition = LoadFrozenCampaignFile(c->dir_ + "/campaign.toml", &c->facts_);
  if (!definition.ok()) return definition.status();
  c->definition_ = *std::move(definition);
  if (absl::Status s = c->PrepareMessage(); !s.ok()) return s;
  if (absl::Status s = c->PrepareTokens(); !s.ok()) return s;
  auto file = RecipientFile::Open(c->dir_ + "/recipients.bin");
  if (!file.ok()) return file.status();
  c->recipients_ = *std::move(file);
  c->import_.imported = c->recipients_->count();
  c->import_.rejected = c->facts_.rejected;
  c->import_.duplicates = c->facts_.duplicates;
  c->import_.suppressed = c->facts_.suppressed;
  if (absl::Status s = c->CompileMessage(c->recipients_->columns()); !s.ok()) return s;
  return c;
}

bool Campaign::Exists(const std::string& state_dir, std::string_view id) {
  std::error_code ec;
  return !id.empty() &&
         fs::exists(fmt::format("{}/{}/campaign.toml", CampaignsFolder(state_dir), id), ec);
}

absl::Status Campaign::CheckSame(const CampaignDefinition& asked) const {
  auto material = Material::Read(asked);
  if (!material.ok()) return material.status();
  auto spec = MakeMessageSpec(asked, *material, facts_);
  if (!spec.ok()) return spec.status();
  const std::vector<std::string> others = Differences(*spec, spec_);
  if (others.empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(fmt::format(
      "campaign \"{}\" was begun with another {}, and all of its recipients get the same. --resume "
      "goes on with what it was begun with; --restart forgets it and mails everybody again; for "
      "something new give another --name",
      definition_.name, fmt::join(others, ", ")));
}

Campaign::~Campaign() {
  if (committed_ || dir_.empty()) return;
  recipients_.reset();
  std::error_code ec;
  fs::remove_all(dir_, ec);
  // Nothing half-made stays: the folders above go too if this campaign made them and they are
  // empty.
  if (made_state_dir_) {
    rmdir(CampaignsFolder(state_dir_).c_str());
    rmdir(state_dir_.c_str());
  }
}

absl::Status Campaign::NotMoved(int error) const {
  if (error == ENOTEMPTY || error == EEXIST) {
    return absl::AlreadyExistsError(
        fmt::format("campaign \"{}\" was begun by another process just now ({})", definition_.name,
                    final_dir_));
  }
  return FileError("cannot move the campaign to", final_dir_, error);
}

absl::Status Campaign::Commit() {
  if (committed_) return absl::OkStatus();
  if (!replace_ || !ChangePlaces(dir_, final_dir_)) {
    std::error_code ec;
    if (replace_) fs::remove_all(final_dir_, ec);  // there is none, or it is done in two steps
    if (rename(dir_.c_str(), final_dir_.c_str()) != 0) return NotMoved(errno);
  }
  dir_ = final_dir_;
  committed_ = true;
  SyncFolder(CampaignsFolder(state_dir_));
  return absl::OkStatus();
}

}  // namespace volley::pipeline
