// Campaign: a definition made ready to send: templates compiled, list imported, both kept in a
// folder of the state directory (<state>/campaigns/<id>/: campaign.toml, the templates and other
// files of the message, recipients.bin, rejected.csv).
//
// A new campaign is prepared in a folder of its own beside its final place and moves there by
// Commit(), just before the first message; when anything fails earlier, nothing is left behind. A
// name that is taken is refused by Prepare(): that campaign is gone on with by Open(), so that a
// second `send` cannot mail everybody again by accident.
//
// Threading: immutable after Prepare/Open but for Commit and Discard (one thread); any thread may
// make copies by the recipe, each with its own CopyMaker.
#ifndef VOLLEY_PIPELINE_CAMPAIGN_CAMPAIGN_H_
#define VOLLEY_PIPELINE_CAMPAIGN_CAMPAIGN_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/compliance/key_ring.h"
#include "engine/message/composer.h"
#include "pipeline/campaign/definition.h"
#include "pipeline/campaign/material.h"
#include "pipeline/compose/copy.h"
#include "pipeline/source/import.h"
#include "pipeline/source/recipient_file.h"
#include "pipeline/store/suppression.h"

namespace volley::pipeline {

struct PrepareOptions {
  std::string state_dir;
  uint64_t limit = 0;    // only the first so many recipients; 0: all
  bool restart = false;  // an old campaign of this name is replaced (at Commit)
  bool scratch = false;  // never committed (dry run, preview): a taken name does not matter
  bool admit = false;    // leave out who is suppressed (to look at copies, everybody will do)
  bool without_unsubscribe = false;  // bulk mail needs no one-click unsubscribing
  std::function<void(uint64_t rows, uint64_t bytes, uint64_t total_bytes)> on_progress;
};

class Campaign {
 public:
  // REQUIRES: CheckDefinition(definition) is OK.
  static absl::StatusOr<std::unique_ptr<Campaign>> Prepare(const CampaignDefinition& definition,
                                                           const PrepareOptions& options);
  // A committed campaign, as it was when it began. NotFound: there is none.
  static absl::StatusOr<std::unique_ptr<Campaign>> Open(const std::string& state_dir,
                                                        std::string_view id);
  static bool Exists(const std::string& state_dir, std::string_view id);
  // FailedPrecondition: `asked` is another message than this campaign was begun with; says where.
  absl::Status CheckSame(const CampaignDefinition& asked) const;
  ~Campaign();  // an uncommitted campaign's folder is removed
  Campaign(const Campaign&) = delete;
  Campaign& operator=(const Campaign&) = delete;

  // Moves the folder to its place, for good; nothing for one that is there. AlreadyExists: another
  // process was faster.
  absl::Status Commit();

  const std::string& id() const { return id_; }
  const std::string& dir() const { return dir_; }
  bool committed() const { return committed_; }
  // Where it is or goes to by Commit(), in place of what is there.
  const std::string& final_dir() const { return final_dir_; }
  const CampaignDefinition& definition() const { return definition_; }
  const FrozenFacts& facts() const { return facts_; }
  CampaignKind kind() const;
  // Of an opened one only what was left out.
  const ImportResult& import() const { return import_; }
  const RecipientFile& recipients() const { return *recipients_; }
  const CopyRecipe& recipe() const { return recipe_; }
  const engine::message::MessageTemplate& message() const { return *recipe_.message; }
  const std::string& from() const { return from_; }  // the address, canonical
  // The suppression list as the import looked at it; null: there was none, or it was opened.
  const std::shared_ptr<const SuppressionSnapshot>& suppressed() const { return suppressed_; }
  // What its recipients can unsubscribe from; empty: transactional mail is no list.
  const std::string& list() const { return recipe_.list; }

 private:
  Campaign() = default;
  absl::Status PrepareMessage();
  absl::Status PrepareSigning();
  absl::Status PrepareTokens();
  absl::Status CompileMessage(std::span<const std::string> columns);
  absl::Status WithUnsubscribeHint(const absl::Status& status,
                                   std::vector<std::string> columns) const;
  absl::Status FindFileColumn(std::span<const std::string> columns);
  absl::StatusOr<std::vector<ImportOptions::Required>> RequiredColumns(
      std::span<const std::string> columns);
  absl::Status AdmitBySuppression(ImportOptions* how);
  absl::Status ImportList(const PrepareOptions& options);
  absl::Status NobodyToMail() const;
  absl::Status MakeFolder(const PrepareOptions& options);
  absl::Status KeepCopies();
  absl::Status NotMoved(int error) const;

  std::string state_dir_, id_, dir_, final_dir_;
  bool committed_ = false, replace_ = false, made_state_dir_ = false, scratch_ = false;
  CampaignDefinition definition_;
  FrozenFacts facts_;
  ImportResult import_;
  Material material_;
  engine::message::MessageSpec spec_;
  CopyRecipe recipe_;
  std::unique_ptr<RecipientFile> recipients_;
  std::shared_ptr<const SuppressionSnapshot> suppressed_;
  std::string from_;
};

// A folder name for a campaign name: lower-case letters, digits and '-'.
std::string CampaignId(std::string_view name);

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_CAMPAIGN_CAMPAIGN_H_
