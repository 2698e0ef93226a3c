#include "pipeline/credentials/watched_secret.h"

#include "pipeline/credentials/token_response.h"

namespace volley::pipeline {

using engine::Secret;

absl::StatusOr<bool> WatchedSecret::Read(const WaitLimits& limits) {
  // Before the reading: what is written from now on shows as another stamp.
  const std::string path = PathOf(source_);
  stamp_ = path.empty() ? FileStamp{} : StampOf(path);
  seen_as_file_ |= stamp_.present();
  look_again_ = MayChangeUnseen(stamp_);
  absl::StatusOr<Secret> read = ReadValue(limits);
  if (!read.ok()) {
    look_again_ = seen_as_file_;
    return read.status();
  }
  if (engine::EqualInConstantTime(read->reveal(), value_.reveal())) return false;
  value_ = *std::move(read);
  return true;
}

absl::StatusOr<Secret> WatchedSecret::ReadValue(const WaitLimits& limits) {
  if (form_ == Form::kLine) return ReadSecretLine(source_, what_, limits);
  absl::StatusOr<Secret> bytes = ReadSecretBytes(source_, what_, limits);
  if (!bytes.ok()) return bytes.status();
  absl::StatusOr<TokenGrant> grant = ParseTokenText(bytes->reveal(), NameForErrors(source_, what_));
  if (!grant.ok()) return grant.status();
  expires_in_ = is_command() ? grant->expires_in : std::nullopt;
  return std::move(grant->access_token);
}

bool WatchedSecret::MayHaveChanged() const {
  if (!seen_as_file_) return false;
  const FileStamp now = StampOf(PathOf(source_));
  // A file that is gone is being replaced, or its secret stays good as long as it lasts.
  return now.present() && (look_again_ || now != stamp_);
}

}  // namespace volley::pipeline
