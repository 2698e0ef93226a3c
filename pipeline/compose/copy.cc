#include "pipeline/compose/copy.h"

#include <utility>

namespace volley::pipeline {

CopyMaker::CopyMaker(const CopyRecipe* recipe) : recipe_(recipe) {
  if (recipe->token_keys == nullptr) return;
  tokens_.emplace(recipe->token_keys, recipe->list, recipe->campaign);
  if (!recipe->bounce_mailbox.empty()) {
    bounce_paths_ = engine::compliance::BouncePathMaker::Make(
        *recipe->token_keys, recipe->bounce_mailbox, recipe->campaign);
  }
}

CopyMaker::~CopyMaker() = default;

absl::Status CopyMaker::Make(RecipientRecord* record, Copy* out) {
  out->recipient = record->index;
  out->signature.clear();
  if (absl::Status s = AddColumns(record); !s.ok()) return s;
  if (absl::Status s = SetReversePath(record->index, &out->reverse_path); !s.ok()) return s;
  engine::message::Recipient recipient{record->address, record->index, record->fields, {}};
  engine::message::PartFileView file;
  if (recipe_->file_column) {
    auto read = recipe_->files->Read(record->fields[*recipe_->file_column].bytes, &file_bytes_);
    if (!read.ok()) return read.status();
    if (*read) {
      file = {record->fields[*recipe_->file_column].bytes, {}, file_bytes_};
      recipient.attachments = {&file, 1};
    }
  }
  if (absl::Status s = recipe_->message->Compose(recipient, &out->message); !s.ok()) return s;
  return signs() ? Sign(out) : absl::OkStatus();
}

absl::Status CopyMaker::AddColumns(RecipientRecord* record) {
  if (!tokens_) return absl::OkStatus();
  token_.clear();
  if (absl::Status s = tokens_->Append(record->address, &token_); !s.ok()) return s;
  url_.clear();
  if (recipe_->unsubscribe_url) recipe_->unsubscribe_url->Append(token_, &url_);
  record->fields.push_back({url_});
  record->fields.push_back({token_});
  return absl::OkStatus();
}

absl::Status CopyMaker::SetReversePath(uint64_t recipient, std::string* out) {
  out->clear();
  if (!recipe_->bounce_mailbox.empty()) {
    if (!bounce_paths_.ok()) return bounce_paths_.status();
    return bounce_paths_->Append(recipient, out);
  }
  out->append(recipe_->reverse_path);
  return absl::OkStatus();
}

// Keys that were changed while the campaign runs are taken from here on.
absl::Status CopyMaker::RefreshSigner() {
  const uint64_t version = recipe_->dkim->version();
  if (signer_ && version == dkim_version_) return absl::OkStatus();
  engine::dkim::SignerOptions options;
  options.expires_after = recipe_->dkim_expires_after;
  auto signer = engine::dkim::Signer::Make(*recipe_->dkim->current(), std::move(options));
  if (!signer.ok()) return signer.status();
  signer_.emplace(*std::move(signer));
  dkim_version_ = version;
  kept_.clear();  // the old key's record may leave the DNS before these would be sent
  return absl::OkStatus();
}

// RFC 6376 §3.4.4: the body is what comes behind the empty line, with which body() begins.
engine::dkim::BodyHash CopyMaker::HashBody(const engine::message::ComposedMessage& message) {
  constexpr size_t kEmptyLineBytes = 2;
  body_.assign(message.body().begin(), message.body().end());
  body_.front().iov_base = static_cast<char*>(body_.front().iov_base) + kEmptyLineBytes;
  body_.front().iov_len -= kEmptyLineBytes;
  return signer_->HashBody(body_);
}

absl::Status CopyMaker::Sign(Copy* out) {
  if (absl::Status s = RefreshSigner(); !s.ok()) return s;
  if (auto kept = kept_.find(out->recipient); kept != kept_.end()) {
    out->signature = std::move(kept->second);
    kept_.erase(kept);
  } else {
    const bool shared = recipe_->message->body_is_shared();
    if (!shared || !shared_body_) shared_body_ = HashBody(out->message);
    absl::Status s =
        signer_->Sign(out->message.header(), *shared_body_, recipe_->date, &out->signature);
    if (!s.ok()) return s;
  }
  out->dkim_version = dkim_version_;
  out->message.Prepend(out->signature);
  return absl::OkStatus();
}

void CopyMaker::Keep(const Copy& copy) {
  if (copy.signature.empty() || copy.dkim_version != dkim_version_ || !can_keep()) return;
  kept_.insert_or_assign(copy.recipient, copy.signature);
}

bool CopyMaker::SignAhead(RecipientRecord* record) {
  if (!signs() || !RefreshSigner().ok()) return false;
  if (!can_keep() || kept_.contains(record->index)) return false;
  // What cannot be made is said when its turn comes.
  if (!Make(record, &ahead_).ok()) return false;
  Keep(ahead_);
  return true;
}

}  // namespace volley::pipeline
