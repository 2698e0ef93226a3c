#include "pipeline/credentials/credential_loader.h"

#include <algorithm>
#include <utility>

#include "pipeline/credentials/token_endpoint.h"

namespace volley::pipeline {

using engine::Secret;

void CredentialLoader::Change::Add(const absl::StatusOr<bool>& read) {
  if (read.ok()) {
    changed |= *read;
  } else {
    status.Update(read.status());
  }
}

void CredentialLoader::Change::Add(const Change& change) {
  changed |= change.changed;
  status.Update(change.status);
}

CredentialLoader::CredentialLoader(CredentialDefinition definition, const KeeperOptions& options,
                                   const StopSignal* stop)
    : definition_(std::move(definition)),
      options_(options),
      stop_(stop),
      http_(options.http != nullptr ? options.http : MakeCurlClient()),
      secrets_{WatchedSecret(definition_.password, "password", WatchedSecret::Form::kLine),
               WatchedSecret(definition_.token, "token", WatchedSecret::Form::kToken),
               WatchedSecret(definition_.oauth2.client_secret, "client_secret",
                             WatchedSecret::Form::kLine),
               WatchedSecret(definition_.oauth2.refresh_token, "refresh_token",
                             WatchedSecret::Form::kLine)},
      retry_after_(options.retry_min) {}

absl::Status CredentialLoader::LoadAll() {
  for (size_t i = 0; i < kSecrets; ++i) {
    if (!secrets_[i].given()) continue;
    if (auto read = ReadOne(i); !read.ok()) return read.status();
  }
  return refreshes() ? Refresh().status() : absl::OkStatus();
}

absl::StatusOr<bool> CredentialLoader::ReadOne(size_t which) {
  WatchedSecret& secret = secrets_[which];
  absl::StatusOr<bool> changed = secret.Read(limits());
  errors_[which] = changed.status();
  if (!changed.ok()) return changed;
  if (which == kToken && secret.is_command()) PlanRenewal(secret.expires_in());
  if (which == kRefreshToken && *changed) rotated_.Clear();
  return changed;
}

CredentialLoader::Change CredentialLoader::LookAtFiles() {
  Change seen;
  bool refresh = false;
  for (size_t i = 0; i < kSecrets; ++i) {
    if (!secrets_[i].MayHaveChanged()) continue;
    const absl::StatusOr<bool> read = ReadOne(i);
    if (i == kClientSecret || i == kRefreshToken) {
      refresh |= read.ok() && *read;
      seen.Add(read.ok() ? absl::StatusOr<bool>(false) : read);  // no credential of the session's
    } else {
      seen.Add(read);
    }
  }
  if (refresh) seen.Add(RenewToken());
  return seen;
}

CredentialLoader::Change CredentialLoader::RenewToken() {
  Change change;
  change.Add(refreshes() ? RefreshOrReadAgain() : ReadOne(kToken));
  // A file is looked at anyway.
  if (!change.status.ok() && !secrets_[kToken].is_file()) PlanRetry();
  return change;
}

CredentialLoader::Change CredentialLoader::ReadAgain() {
  Change change;
  if (secrets_[kPassword].CanChange()) change.Add(ReadOne(kPassword));
  if (refreshes()) {
    change.Add(LookAtFiles());  // a file that was changed a moment ago counts at once
    if (!change.changed) change.Add(RenewToken());
  } else if (secrets_[kToken].CanChange()) {
    change.Add(RenewToken());
  }
  return change;
}

absl::StatusOr<bool> CredentialLoader::Refresh() {
  const Secret& refresh_token = rotated_.empty() ? secrets_[kRefreshToken].value() : rotated_;
  absl::StatusOr<TokenGrant> grant =
      RefreshAccessToken({.token_url = definition_.oauth2.token_url,
                          .client_id = definition_.oauth2.client_id,
                          .scope = definition_.oauth2.scope,
                          .client_secret = secrets_[kClientSecret].value().reveal(),
                          .refresh_token = refresh_token.reveal()},
                         http_.get(), stop_);
  errors_[kEndpoint] = grant.status();
  if (!grant.ok()) return grant.status();
  if (!grant->refresh_token.empty()) rotated_ = std::move(grant->refresh_token);
  PlanRenewal(grant->expires_in);
  const bool changed =
      !engine::EqualInConstantTime(grant->access_token.reveal(), refreshed_token_.reveal());
  refreshed_token_ = std::move(grant->access_token);
  return changed;
}

// What the endpoint does not take any more may long have been replaced where it is kept.
absl::StatusOr<bool> CredentialLoader::RefreshOrReadAgain() {
  absl::StatusOr<bool> renewed = Refresh();
  if (!absl::IsPermissionDenied(renewed.status()) || !ReadRefreshSecrets()) return renewed;
  return Refresh();
}

bool CredentialLoader::ReadRefreshSecrets() {
  bool changed = false;
  for (const size_t which : {kClientSecret, kRefreshToken}) {
    if (!secrets_[which].CanChange()) continue;
    const absl::StatusOr<bool> read = ReadOne(which);
    changed |= read.ok() && *read;
  }
  return changed;
}

// Never at once: what hands out tokens that are at their end would be asked without a pause.
void CredentialLoader::PlanRenewal(std::optional<absl::Duration> life) {
  absl::Duration wait = options_.renew_unknown_after;
  if (life) {
    const absl::Duration before = std::max(options_.renew_before, *life / 10);
    wait = std::max({*life - before, *life / 2, options_.retry_min});
  }
  next_renewal_ = io::MonotonicNow() + wait;
  retry_after_ = options_.retry_min;
}

void CredentialLoader::PlanRetry() {
  next_renewal_ = io::MonotonicNow() + retry_after_;
  retry_after_ = std::min(2 * retry_after_, options_.retry_max);
}

engine::sasl::Credentials CredentialLoader::MakeCredentials() const {
  return {.user = definition_.user,
          .authorization_id = definition_.authorization_id,
          .password = secrets_[kPassword].value().Clone(),
          .token = refreshes() ? refreshed_token_.Clone() : secrets_[kToken].value().Clone()};
}

absl::Status CredentialLoader::error() const {
  absl::Status first;
  for (const absl::Status& error : errors_) first.Update(error);
  return first;
}

bool CredentialLoader::HasFiles() const {
  return std::any_of(secrets_.begin(), secrets_.end(),
                     [](const WatchedSecret& secret) { return secret.is_file(); });
}

bool CredentialLoader::IsConstant() const {
  return !refreshes() &&
         std::none_of(secrets_.begin(), secrets_.end(),
                      [](const WatchedSecret& secret) { return secret.CanChange(); });
}

}  // namespace volley::pipeline
