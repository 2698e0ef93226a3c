// The private keys that a campaign signs with: read from their files with care for who else can
// read them, and again when a file changes, without a restart.
//
// Threading: DkimKeys: any thread may ask for current() and version(); Reload() is for one thread
//   that may block on files. Each signing thread makes a Signer of current() and a new one when
//   version() has moved on.
// Lifetime: what current() returned stays good after a reload, with the keys that it has.
// Errors name the file; no error holds a byte of a key.
#ifndef VOLLEY_PIPELINE_COMPOSE_DKIM_KEYS_H_
#define VOLLEY_PIPELINE_COMPOSE_DKIM_KEYS_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/dkim/signer.h"
#include "pipeline/credentials/secret_file.h"

namespace volley::pipeline {

// One private key in PEM. NotFound; PermissionDenied: not ours to read, or open to others, with the
// chmod that cures it; InvalidArgument: what SigningKey::ParsePem refuses, a folder, too big.
absl::StatusOr<std::shared_ptr<const engine::dkim::SigningKey>> LoadSigningKey(
    const std::string& path);

// A [[dkim]] table.
struct DkimKeyFile {
  std::string domain, selector, path;
};

class DkimKeys {
 public:
  // Every message would carry all these signatures, and each costs like a delivery.
  static constexpr size_t kKeysMax = 16;

  // In the order of `files`. Errors: as LoadSigningKey; InvalidArgument: no file, more than
  // kKeysMax, a domain or selector that is none, two entries for one DNS record.
  [[nodiscard]] static absl::StatusOr<std::shared_ptr<DkimKeys>> Load(
      std::vector<DkimKeyFile> files);

  // Never null.
  std::shared_ptr<const std::vector<engine::dkim::Signature>> current() const;
  // Moves on after current() has become another; never 0.
  uint64_t version() const { return version_.load(std::memory_order_acquire); }

  // Looks whether files changed, and reads again those that did; some microseconds when none did.
  // All or nothing: when one of the new files is bad, all keys stay as they were. It returns the
  // same error each time until the file is mended, so say it when it changes.
  absl::Status Reload();

 private:
  using Signatures = std::vector<engine::dkim::Signature>;
  struct Entry {
    DkimKeyFile file;
    FileStamp stamp;       // from before the file was read
    bool settled = false;  // a later writing cannot leave the same stamp
  };

  explicit DkimKeys(std::vector<DkimKeyFile> files);
  static bool Changed(const Entry& entry);
  // Reads what changed; `next` is the whole list.
  absl::Status ReadChanged(Signatures* next);
  void Publish(Signatures next);

  std::vector<Entry> entries_;  // of the thread that reloads, as is
  absl::Status reload_status_;  // this
  std::atomic<uint64_t> version_ = 0;
  mutable std::mutex mutex_;  // guards current_
  std::shared_ptr<const Signatures> current_;
};

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_COMPOSE_DKIM_KEYS_H_
