// Material: the files a campaign's message is made of, read once: templates, partials, pictures,
// attachments, or a finished message in place of the templates.
//
// Threading: a value. Errors name the file: cannot be read, too big, two of one name.
#ifndef VOLLEY_PIPELINE_CAMPAIGN_MATERIAL_H_
#define VOLLEY_PIPELINE_CAMPAIGN_MATERIAL_H_

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/message/composer.h"
#include "pipeline/campaign/definition.h"

namespace volley::pipeline {

struct Material {
  std::optional<engine::message::TemplateSource> text, html, amp;
  std::string eml;  // empty: none
  std::vector<engine::message::PartFile> inline_parts, attachments;
  std::string partials_folder;  // empty: beside no template
  // {{>name}} as they were when first asked for.
  std::shared_ptr<std::map<std::string, std::string, std::less<>>> partials =
      std::make_shared<std::map<std::string, std::string, std::less<>>>();

  static absl::StatusOr<Material> Read(const CampaignDefinition& definition);
  // Finds {{>name}} as name.mustache, name.html or name.txt in the folder, or name as it is.
  engine::message::PartialLoader Loader() const;
  // Copies all into `dir` and points `definition` at the copies (relative paths).
  absl::Status KeepIn(const std::string& dir, CampaignDefinition* definition) const;
};

absl::Status WriteSmallFile(const std::string& path, std::string_view bytes);

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_CAMPAIGN_MATERIAL_H_
