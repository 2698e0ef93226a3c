#include "pipeline/campaign/campaign.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "absl/strings/ascii.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "engine/message/address.h"

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

absl::Status WriteFile(const std::string& path, std::string_view bytes) {
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  out.close();
  return out ? absl::OkStatus() : FileError("cannot write", path, errno);
}

void SyncFolder(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;  // the rename itself is what counts; this only hurries it to the disk
  fsync(fd);
  close(fd);
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

absl::Status Campaign::CompileMessage(std::span<const std::string> columns) {
  engine::message::MessageSpec spec;
  spec.from = definition_.from;
  spec.reply_to = definition_.reply_to;
  spec.subject = {"subject", definition_.subject};
  if (!definition_.to_name.empty()) spec.to_name = {"to_name", definition_.to_name};
  spec.text = text_;
  spec.html = html_;
  for (const auto& [name, value] : definition_.headers) {
    spec.headers.push_back({name, {"header " + name, value}});
  }
  spec.message_id_key = facts_.key;
  spec.boundary_seed = facts_.boundary_seed;
  std::string error;
  if (!absl::ParseTime(absl::RFC3339_full, facts_.date_rfc3339, &spec.date, &error)) {
    return absl::InvalidArgumentError(fmt::format("date \"{}\": {}", facts_.date_rfc3339, error));
  }
  auto compiled = engine::message::MessageTemplate::Compile(spec, columns);
  if (!compiled.ok()) return compiled.status();
  message_.emplace(*std::move(compiled));
  auto from = engine::message::ParseHeaderMailbox(definition_.from);
  if (!from.ok()) return from.status();
  reverse_path_ = from->address;
  return absl::OkStatus();
}

absl::Status Campaign::ReadTemplates() {
  const auto read = [](const std::string& path, std::string_view what, auto* source) {
    if (path.empty()) return absl::OkStatus();
    auto text = ReadTemplate(path, what);
    if (!text.ok()) return text.status();
    *source = *std::move(text);
    return absl::OkStatus();
  };
  if (absl::Status s = read(definition_.text_path, "text template", &text_); !s.ok()) return s;
  return read(definition_.html_path, "HTML template", &html_);
}

absl::Status Campaign::MakeFolder(const PrepareOptions& options) {
  id_ = CampaignId(definition_.name);
  if (id_.empty()) {
    return absl::InvalidArgumentError(fmt::format(
        "campaign name \"{}\" has no letter or digit to make a folder name of", definition_.name));
  }
  state_dir_ = options.state_dir;
  replace_ = options.restart;
  final_dir_ = CampaignsFolder(state_dir_) + "/" + id_;
  std::error_code ec;
  if (!options.scratch && !replace_ && fs::exists(final_dir_, ec)) {
    return absl::AlreadyExistsError(fmt::format(
        "campaign \"{}\" was sent before ({}). To send something new give it another name; "
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
  for (const auto& r : message_->required_columns()) required.push_back({r.column, r.used_at});
  return required;
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
  auto result = ImportRecipients(how);
  if (!result.ok()) return result.status();
  import_ = *std::move(result);
  if (import_.imported == 0) return NobodyToMail();
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
  return absl::InvalidArgumentError(message);
}

// The user's files may change or go; the campaign keeps what it was made of.
absl::Status Campaign::KeepCopies() {
  CampaignDefinition kept = definition_;
  kept.recipients_path = fs::absolute(definition_.recipients_path).string();
  if (definition_.recipients_path == "-") kept.recipients_path = "-";
  const auto keep = [this](const auto& source, std::string_view name, std::string* path) {
    if (!source) return absl::OkStatus();
    *path = name;
    return WriteFile(fmt::format("{}/{}", dir_, name), source->text);
  };
  if (absl::Status s = keep(text_, "text.mustache", &kept.text_path); !s.ok()) return s;
  if (absl::Status s = keep(html_, "html.mustache", &kept.html_path); !s.ok()) return s;
  return WriteFile(dir_ + "/campaign.toml", FormatCampaignFile(kept, facts_));
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
  if (absl::Status s = c->ReadTemplates(); !s.ok()) return s;
  if (absl::Status s = c->MakeFolder(options); !s.ok()) return s;
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
  if (absl::Status s = c->ReadTemplates(); !s.ok()) return s;
  auto file = RecipientFile::Open(c->dir_ + "/recipients.bin");
  if (!file.ok()) return file.status();
  c->recipients_ = *std::move(file);
  if (absl::Status s = c->CompileMessage(c->recipients_->columns()); !s.ok()) return s;
  return c;
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

absl::Status Campaign::Commit() {
  std::error_code ec;
  if (replace_) fs::remove_all(final_dir_, ec);
  if (rename(dir_.c_str(), final_dir_.c_str()) != 0) {
    if (errno == ENOTEMPTY || errno == EEXIST) {
      return absl::AlreadyExistsError(
          fmt::format("campaign \"{}\" was begun by another process just now ({})",
                      definition_.name, final_dir_));
    }
    return FileError("cannot move the campaign to", final_dir_, errno);
  }
  dir_ = final_dir_;
  committed_ = true;
  SyncFolder(CampaignsFolder(state_dir_));
  return absl::OkStatus();
}

absl::Status Campaign::Compose(const RecipientRecord& record,
                               engine::message::ComposedMessage* out) const {
  return message_->Compose({record.address, record.index, record.fields}, out);
}

}  // namespace volley::pipeline
