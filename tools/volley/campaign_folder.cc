#include "tools/volley/campaign_folder.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "engine/base/nearest_name.h"
#include "pipeline/campaign/campaign.h"

namespace volley::tools {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> Ids(const std::string& campaigns) {
  std::vector<std::string> ids;
  std::error_code ec;
  for (const auto& entry : fs::directory_iterator(campaigns, ec)) {
    std::string id = entry.path().filename().string();
    if (fs::exists(entry.path() / "ledger.bin", ec) && pipeline::CampaignId(id) == id) {
      ids.push_back(std::move(id));
    }
  }
  std::sort(ids.begin(), ids.end());
  return ids;
}

}  // namespace

std::vector<std::string> CampaignFolders(const std::string& state_dir) {
  const std::string campaigns = state_dir + "/campaigns";
  std::vector<std::string> folders = Ids(campaigns);
  for (std::string& folder : folders) folder.insert(0, campaigns + "/");
  return folders;
}

absl::StatusOr<std::string> CampaignFolder(const std::string& state_dir,
                                           const std::string& campaign) {
  const std::string campaigns = state_dir + "/campaigns";
  const std::string id = pipeline::CampaignId(campaign);
  const std::string folder = fmt::format("{}/{}", campaigns, id);
  std::error_code ec;
  if (!id.empty() && fs::exists(folder + "/ledger.bin", ec)) return folder;
  const std::vector<std::string> known = Ids(campaigns);
  return absl::NotFoundError(fmt::format(
      "no campaign \"{}\" in {}{}; volley status lists them, --state names another folder",
      campaign, campaigns, engine::DidYouMean(id, known)));
}

}  // namespace volley::tools
