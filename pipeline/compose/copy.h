// CopyMaker: makes one recipient's finished copy: the row and its computed columns go through the
// campaign's MessageTemplate, then DKIM signs what came out.
//
// A copy depends on the recipe and the row alone: made again, for a retry or by `volley preview`,
// it is the same byte for byte (the signature's time is the message's date). Signing is the dearest
// step by far, so signatures are kept for retries (Keep) and made ahead while nothing can be sent
// (SignAhead).
//
// Threading: a recipe is immutable and shared; a CopyMaker belongs to one thread. Lifetime: the
// recipe outlives its makers and all copies.
#ifndef VOLLEY_PIPELINE_COMPOSE_COPY_H_
#define VOLLEY_PIPELINE_COMPOSE_COPY_H_

#include <sys/uio.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "engine/compliance/bounce_path.h"
#include "engine/compliance/key_ring.h"
#include "engine/compliance/token.h"
#include "engine/compliance/unsubscribe_url.h"
#include "engine/dkim/signer.h"
#include "engine/message/composer.h"
#include "pipeline/compose/dkim_keys.h"
#include "pipeline/compose/recipient_files.h"
#include "pipeline/source/recipient_file.h"

namespace volley::pipeline {

// Columns that every row has beside the list's own, in this order, when there are tokens.
inline constexpr std::string_view kUnsubscribeUrlColumn = "unsubscribe_url";
inline constexpr std::string_view kUnsubscribeTokenColumn = "unsubscribe_token";

// Signatures kept for copies that come again: at about 600 bytes each 2.5 MiB a shard.
inline constexpr size_t kKeptSignaturesMax = 4096;

// What all copies of a campaign have in common.
struct CopyRecipe {
  std::optional<engine::message::MessageTemplate> message;
  absl::Time date;  // of every copy
  std::string reverse_path;

  std::shared_ptr<const engine::compliance::KeyRing> token_keys;  // null: no tokens
  std::optional<engine::compliance::UnsubscribeUrl> unsubscribe_url;
  std::string list, campaign;  // what a token is about
  // The mailbox of signed bounce paths (bounces+TOKEN@...), one that BouncePathMaker takes; empty:
  // reverse_path for all.
  std::string bounce_mailbox;

  std::shared_ptr<DkimKeys> dkim;  // null: not signed
  absl::Duration dkim_expires_after;

  std::optional<size_t> file_column;  // of the recipient's own file
  std::shared_ptr<const RecipientFiles> files;
};

struct Copy {
  engine::message::ComposedMessage message;
  std::string reverse_path;
  uint64_t recipient = 0;     // its index
  std::string signature;      // complete header fields; empty: not signed
  uint64_t dkim_version = 0;  // of the keys that it was signed with
};

class CopyMaker {
 public:
  explicit CopyMaker(const CopyRecipe* recipe);
  ~CopyMaker();

  // Adds the computed columns to the row. Errors: as MessageTemplate::Compose; an attachment that
  // cannot be read; OpenSSL.
  absl::Status Make(RecipientRecord* record, Copy* out);
  // The copy will be made again: spares signing it twice. New keys end what was kept.
  void Keep(const Copy& copy);
  // It will not be made again.
  void Forget(uint64_t recipient) { kept_.erase(recipient); }
  // Can a signature be kept? Not of copies that may be others the next time; kKeptSignaturesMax.
  bool can_keep() const {
    return signs() && !recipe_->file_column && kept_.size() < kKeptSignaturesMax;
  }
  // True: made a signature ahead of its time. False: it is there, cannot be made, or cannot be
  // kept.
  bool SignAhead(RecipientRecord* record);
  bool signs() const { return recipe_->dkim != nullptr; }

 private:
  absl::Status AddColumns(RecipientRecord* record);
  absl::Status SetReversePath(uint64_t recipient, std::string* out);
  absl::Status Sign(Copy* out);
  absl::Status RefreshSigner();
  engine::dkim::BodyHash HashBody(const engine::message::ComposedMessage& message);

  const CopyRecipe* const recipe_;
  std::optional<engine::compliance::TokenMaker> tokens_;
  absl::StatusOr<engine::compliance::BouncePathMaker> bounce_paths_;
  std::optional<engine::dkim::Signer> signer_;
  uint64_t dkim_version_ = 0;
  std::optional<engine::dkim::BodyHash> shared_body_;
  std::vector<iovec> body_;  // kept for its memory, like the strings
  std::string token_, url_, file_bytes_;
  absl::flat_hash_map<uint64_t, std::string> kept_;
  Copy ahead_;
};

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_COMPOSE_COPY_H_
