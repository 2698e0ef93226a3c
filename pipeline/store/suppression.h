// The suppression list: who gets no mail any more, from one list or (list "") from any.
//
//   SuppressionList      adds, removes and looks up entries; one process's writer (what is said of
//                        whole lists: suppression_query.h)
//   SuppressionSnapshot  the addresses of one list, compact, for senders: 8 bytes an entry
//   SuppressionReader    one thread's view: the snapshot, and what has changed since
//
// Addresses are canonical (engine/message/address.h) with their ASCII letters in lower case: local
// parts may differ by case in theory (RFC 5321 §2.4), and nobody who said no to Ann@ wants mail as
// ann@.
//
// Who sees what when: Add and Remove have committed, synced, when they return, and have then moved
// the generation; a reader in any process sees that at its next Contains. Rows put in or taken out
// with the sqlite3 tool, which does not move the generation, are seen within a second: a reader
// looks at PRAGMA data_version that often. (A row's address and list cannot be changed in place;
// the schema refuses.) Do not replace volley.db by another file while volley runs.
#ifndef VOLLEY_PIPELINE_STORE_SUPPRESSION_H_
#define VOLLEY_PIPELINE_STORE_SUPPRESSION_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "pipeline/store/generation.h"
#include "pipeline/store/sip_hash.h"
#include "pipeline/store/store.h"
#include "pipeline/store/suppression_writer.h"

namespace volley::pipeline {

struct Suppression {
  std::string address;  // any valid spelling; canonical and in lower case when read
  std::string list;     // "": all lists
  std::string reason;   // "unsubscribe", "complaint", "manual", a bounce category, ...
  std::string source;   // "one-click", "page", "mailto", a file's name, a user, ...
  std::string campaign;
  absl::Time created_at;  // kept in milliseconds
  int64_t id = 0;         // grows; never used again
};

// How many of a batch were new, replaced a weaker or younger entry, or were there already.
struct SuppressionChanges {
  uint64_t added = 0, replaced = 0, kept = 0;
  void Count(PutResult result) {
    ++(result == PutResult::kAdded ? added : result == PutResult::kReplaced ? replaced : kept);
  }
};

// Goes into the record of what was removed (table suppression_removed).
struct RemovedBy {
  std::string who, why;
  absl::Time at = absl::Now();
};

inline constexpr size_t kSuppressionNameBytesMax = 255;  // of list, reason, source and campaign

void LowerAscii(std::string* text);

// InvalidArgument: not an address.
absl::StatusOr<std::string> CanonicalForSuppression(std::string_view address);

// List, reason, source and campaign: bound, no control characters.
absl::Status CheckSuppressionNames(const Suppression& entry);

// Threading: one thread. Errors: as Store; InvalidArgument for an entry that cannot be one.
class SuppressionList {
 public:
  static absl::StatusOr<std::unique_ptr<SuppressionList>> Open(const std::string& state_dir,
                                                               const StoreOptions& options = {});

  // True: new. One that is there stays or is replaced as suppression_writer.h says.
  absl::StatusOr<bool> Add(const Suppression& entry);
  // All or none, in one transaction, whose lock others wait for: 50,000 take some 0.2 s.
  // REQUIRES: canonical addresses, names without control characters, not over their bound.
  absl::StatusOr<SuppressionChanges> AddBatch(std::span<const SuppressionView> entries);
  // Of one entry, now; nothing is changed.
  absl::StatusOr<PutResult> WhatWouldAdd(const SuppressionView& entry);
  // True: it was there. It is kept in suppression_removed, and the address's bounces are forgotten:
  // the next one shall not suppress it again at once.
  absl::StatusOr<bool> Remove(std::string_view address, std::string_view list,
                              const RemovedBy& by = {});
  // The entry that keeps mail of `list` from the address: the list's own, or that of all lists.
  absl::StatusOr<std::optional<Suppression>> Lookup(std::string_view address,
                                                    std::string_view list);
  absl::StatusOr<uint64_t> Count();

 private:
  SuppressionList(std::unique_ptr<Store> store, std::shared_ptr<Generation> generation)
      : store_(std::move(store)), generation_(std::move(generation)) {}
  absl::Status PrepareAll();

  std::unique_ptr<Store> store_;
  std::shared_ptr<Generation> generation_;
  std::optional<SuppressionWriter> writer_;
  std::optional<Statement> delete_, keep_removed_, forget_bounces_, select_;
};

// Threading: immutable, shared by all threads. Lifetime: by shared_ptr.
class SuppressionSnapshot {
 public:
  // Makes the database if it is missing. Ten million entries take some seconds.
  static absl::StatusOr<std::shared_ptr<const SuppressionSnapshot>> Load(
      const std::string& state_dir, std::string_view list);

  // False: the address was not suppressed. True: it almost certainly was. REQUIRES: lower case.
  bool MayContain(std::string_view address) const;
  uint64_t size() const { return hashes_.size(); }

 private:
  friend class SuppressionReader;
  static constexpr size_t kPrefixes = 1 << 16;

  SuppressionSnapshot() = default;
  absl::Status Read(Store* store);
  void MakeIndex();

  std::string state_dir_, list_;
  std::shared_ptr<Generation> generation_;
  uint64_t generation_then_ = 0;  // from before it was read
  int64_t last_id_ = 0;
  SipKey key_;
  std::vector<uint64_t> hashes_;        // sorted
  std::vector<uint32_t> prefix_begin_;  // kPrefixes + 1; by the top 16 bits
};

// Threading: one a thread; it has a database connection of its own.
class SuppressionReader {
 public:
  explicit SuppressionReader(std::shared_ptr<const SuppressionSnapshot> snapshot);

  // Is the address suppressed now, for the snapshot's list? Under a microsecond when it is not and
  // nothing has changed. A hit of the hashes is verified in the database: no innocent is left out,
  // and removals count at once. REQUIRES: canonical; case does not matter. Errors: as Store; who
  // cannot be looked up is not to be mailed.
  absl::StatusOr<bool> Contains(std::string_view canonical_address);

 private:
  absl::Status Open();
  absl::Status CatchUp();
  absl::Status ReadNew();
  absl::StatusOr<bool> Verify(std::string_view address);

  std::shared_ptr<const SuppressionSnapshot> snapshot_;
  std::unique_ptr<Store> store_;  // null until the first Contains
  std::optional<Statement> new_rows_, verify_;
  absl::flat_hash_set<uint64_t> added_;
  std::string lower_;
  uint64_t generation_seen_ = 0;
  int64_t data_version_seen_ = 0;
  int64_t next_look_ns_ = 0;  // at the database, on the monotonic clock
  int64_t last_id_ = 0;
};

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_STORE_SUPPRESSION_H_
