// Campaigns of a state directory, by name.
//
// Threading: functions without state; they read folders.
#ifndef VOLLEY_TOOLS_VOLLEY_CAMPAIGN_FOLDER_H_
#define VOLLEY_TOOLS_VOLLEY_CAMPAIGN_FOLDER_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace volley::tools {

// Of all campaigns, in the order of their ids.
std::vector<std::string> CampaignFolders(const std::string& state_dir);

// By the campaign's name or id. NotFound, with the nearest one.
absl::StatusOr<std::string> CampaignFolder(const std::string& state_dir,
                                           const std::string& campaign);

}  // namespace volley::tools

#endif  // VOLLEY_TOOLS_VOLLEY_CAMPAIGN_FOLDER_H_
