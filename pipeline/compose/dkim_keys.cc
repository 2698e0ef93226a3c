#include "pipeline/compose/dkim_keys.h"

#include <algorithm>
#include <utility>

#include "fmt/format.h"

namespace volley::pipeline {
namespace {

using engine::dkim::Signature;
using engine::dkim::SigningKey;

std::string NameOf(const std::string& path) { return fmt::format("DKIM key {}", path); }

absl::Status With(const std::string& name, const absl::Status& status) {
  return absl::Status(status.code(), fmt::format("{}: {}", name, std::string(status.message())));
}

// For comparing; the DNS does not tell "A" from "a" (RFC 4343).
absl::StatusOr<std::string> RecordNameOf(const DkimKeyFile& file) {
  absl::StatusOr<std::string> name = engine::dkim::RecordName(file.domain, file.selector);
  if (!name.ok()) return With(NameOf(file.path), name.status());
  for (char& c : *name) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + ('a' - 'A'));
  }
  return name;
}

absl::Status CheckFiles(const std::vector<DkimKeyFile>& files) {
  if (files.empty()) return absl::InvalidArgumentError("no DKIM key");
  if (files.size() > DkimKeys::kKeysMax) {
    return absl::InvalidArgumentError(
        fmt::format("{} DKIM keys; every message is signed with each of them, so at most {}",
                    files.size(), DkimKeys::kKeysMax));
  }
  std::vector<std::string> names;
  for (const DkimKeyFile& file : files) {
    absl::StatusOr<std::string> name = RecordNameOf(file);
    if (!name.ok()) return name.status();
    if (std::find(names.begin(), names.end(), *name) != names.end()) {
      // RFC 6376 §3.6.2.2, RFC 8463 §6: a name has one record, and a record one key.
      return absl::InvalidArgumentError(
          fmt::format("two DKIM keys for {}: give each a selector of its own", *name));
    }
    names.push_back(*std::move(name));
  }
  return absl::OkStatus();
}

bool SameKeys(const std::vector<Signature>& a, const std::vector<Signature>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const Signature& x, const Signature& y) {
                      return x.key->public_key() == y.key->public_key();
                    });
}

}  // namespace

absl::StatusOr<std::shared_ptr<const SigningKey>> LoadSigningKey(const std::string& path) {
  const std::string name = NameOf(path);
  const absl::StatusOr<engine::Secret> pem = ReadSecretFile(path, name, ModeRule::kPrivate, {});
  if (!pem.ok()) return pem.status();
  auto key = SigningKey::ParsePem(pem->reveal());
  if (!key.ok()) return With(name, key.status());
  return key;
}

DkimKeys::DkimKeys(std::vector<DkimKeyFile> files) {
  for (DkimKeyFile& file : files) entries_.emplace_back().file = std::move(file);
}

absl::StatusOr<std::shared_ptr<DkimKeys>> DkimKeys::Load(std::vector<DkimKeyFile> files) {
  if (absl::Status status = CheckFiles(files); !status.ok()) return status;
  const std::shared_ptr<DkimKeys> keys(new DkimKeys(std::move(files)));
  Signatures first(keys->entries_.size());
  if (absl::Status status = keys->ReadChanged(&first); !status.ok()) return status;
  keys->Publish(std::move(first));
  return keys;
}

std::shared_ptr<const std::vector<Signature>> DkimKeys::current() const {
  const std::lock_guard lock(mutex_);
  return current_;
}

bool DkimKeys::Changed(const Entry& entry) {
  return !entry.settled || StampOf(entry.file.path) != entry.stamp;
}

absl::Status DkimKeys::ReadChanged(Signatures* next) {
  absl::Status first_error;
  for (size_t i = 0; i < entries_.size(); ++i) {
    Entry& entry = entries_[i];
    Signature& signature = (*next)[i];
    if (signature.key != nullptr && !Changed(entry)) continue;
    // The stamp from before the reading: what is written while it is read shows as a change later.
    entry.stamp = StampOf(entry.file.path);
    entry.settled = !MayChangeUnseen(entry.stamp);
    auto key = LoadSigningKey(entry.file.path);
    first_error.Update(key.status());
    if (key.ok()) signature = {entry.file.domain, entry.file.selector, *std::move(key)};
  }
  return first_error;
}

void DkimKeys::Publish(Signatures next) {
  auto shared = std::make_shared<const Signatures>(std::move(next));
  {
    const std::lock_guard lock(mutex_);
    current_ = std::move(shared);
  }
  // Release: who sees the number finds these keys behind it.
  version_.fetch_add(1, std::memory_order_release);
}

absl::Status DkimKeys::Reload() {
  if (std::none_of(entries_.begin(), entries_.end(), Changed)) return reload_status_;
  const std::shared_ptr<const Signatures> before = current();
  Signatures next = *before;
  if (!reload_status_.ok()) {
    // What was read beside a bad file was not taken. (A pipe has no stamp and is read once.)
    for (Entry& entry : entries_) entry.settled = entry.settled && !entry.stamp.present();
  }
  reload_status_ = ReadChanged(&next);
  if (!reload_status_.ok()) return reload_status_;
  if (!SameKeys(*before, next)) Publish(std::move(next));
  return absl::OkStatus();
}

}  // namespace volley::pipeline
