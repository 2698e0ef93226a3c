#include "pipeline/campaign/material.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <set>
#include <string_view>

namespace volley::pipeline {
namespace {

namespace fs = std::filesystem;
using engine::message::PartFile;
using engine::message::TemplateSource;

constexpr uint64_t kPartialBytesMax = 8 << 20;

absl::Status ReadInto(const std::string& path, std::string_view what,
                      std::optional<TemplateSource>* source) {
  if (path.empty()) return absl::OkStatus();
  auto read = ReadTemplate(path, what);
  if (!read.ok()) return read.status();
  *source = *std::move(read);
  return absl::OkStatus();
}

absl::Status ReadFiles(const std::vector<std::string>& paths, std::string_view what,
                       uint64_t bytes_max, std::vector<PartFile>* files) {
  std::set<std::string> names;
  for (const std::string& path : paths) {
    const std::string name = fs::path(path).filename().string();
    if (!names.insert(name).second) {
      return absl::InvalidArgumentError(
          fmt::format("{} {}: there are two of the name \"{}\"", what, path, name));
    }
    std::error_code ec;
    if (const uint64_t size = fs::file_size(path, ec); !ec && size > bytes_max) {
      return absl::InvalidArgumentError(fmt::format(
          "{} {}: has {} bytes; a message may have {} (message_mb_max in [attachments])", what,
          path, size, bytes_max));
    }
    auto bytes = ReadSmallFile(path, what, bytes_max);
    if (!bytes.ok()) return bytes.status();
    files->push_back({name, "", *std::move(bytes)});
  }
  return absl::OkStatus();
}

std::string FolderOf(const CampaignDefinition& d) {
  if (!d.partials_folder.empty()) return d.partials_folder;
  const std::string& beside = d.html_path.empty() ? d.text_path : d.html_path;
  if (beside.empty()) return "";
  const fs::path folder = fs::path(beside).parent_path();
  return folder.empty() ? "." : folder.string();
}

// A template may come from somebody who should not choose which files of this host are mailed.
bool IsPartialName(std::string_view name) {
  const fs::path path(name);
  if (name.empty() || path.is_absolute()) return false;
  for (const fs::path& step : path) {
    if (step.string().starts_with('.')) return false;
  }
  return true;
}

std::optional<std::string> FindPartial(const std::string& folder, std::string_view name) {
  if (folder.empty() || !IsPartialName(name)) return std::nullopt;
  for (const char* ending : {".mustache", "", ".html", ".txt"}) {
    const std::string path = fmt::format("{}/{}{}", folder, name, ending);
    std::error_code ec;
    if (!fs::is_regular_file(path, ec)) continue;
    if (auto bytes = ReadSmallFile(path, "partial", kPartialBytesMax); bytes.ok()) return *bytes;
  }
  return std::nullopt;
}

absl::Status KeepFiles(const std::string& dir, const std::string& folder,
                       const std::vector<PartFile>& files, std::vector<std::string>* paths) {
  paths->clear();
  for (const PartFile& file : files) {
    paths->push_back(folder + "/" + file.name);
    if (absl::Status s = WriteSmallFile(dir + "/" + paths->back(), file.bytes); !s.ok()) return s;
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Material> Material::Read(const CampaignDefinition& d) {
  Material m;
  const uint64_t bytes_max = uint64_t{d.attachments.message_mb_max.value_or(kDefaultMessageMb)}
                             << 20;
  if (absl::Status s = ReadInto(d.text_path, "text template", &m.text); !s.ok()) return s;
  if (absl::Status s = ReadInto(d.html_path, "HTML template", &m.html); !s.ok()) return s;
  if (absl::Status s = ReadInto(d.amp_path, "AMP template", &m.amp); !s.ok()) return s;
  if (!d.eml_path.empty()) {
    auto eml = ReadSmallFile(d.eml_path, "finished message", bytes_max);
    if (!eml.ok()) return eml.status();
    m.eml = *std::move(eml);
  }
  absl::Status s = ReadFiles(d.attachments.inline_files, "inline file", bytes_max, &m.inline_parts);
  if (!s.ok()) return s;
  s = ReadFiles(d.attachments.files, "attachment", bytes_max, &m.attachments);
  if (!s.ok()) return s;
  m.partials_folder = FolderOf(d);
  return m;
}

engine::message::PartialLoader Material::Loader() const {
  return [folder = partials_folder,
          known = partials](std::string_view name) -> std::optional<std::string> {
    if (const auto it = known->find(name); it != known->end()) return it->second;
    std::optional<std::string> found = FindPartial(folder, name);
    if (found) known->emplace(name, *found);
    return found;
  };
}

absl::Status Material::KeepIn(const std::string& dir, CampaignDefinition* d) const {
  const auto keep = [&dir](std::string_view bytes, std::string_view name, std::string* path) {
    *path = name;
    return WriteSmallFile(fmt::format("{}/{}", dir, name), bytes);
  };
  absl::Status s;
  if (text) s = keep(text->text, "text.mustache", &d->text_path);
  if (s.ok() && html) s = keep(html->text, "html.mustache", &d->html_path);
  if (s.ok() && amp) s = keep(amp->text, "amp.mustache", &d->amp_path);
  if (s.ok() && !eml.empty()) s = keep(eml, "message.eml", &d->eml_path);
  if (s.ok()) s = KeepFiles(dir, "inline", inline_parts, &d->attachments.inline_files);
  if (s.ok()) s = KeepFiles(dir, "attached", attachments, &d->attachments.files);
  d->partials_folder.clear();
  if (!partials->empty()) d->partials_folder = "partials";
  for (const auto& [name, bytes] : *partials) {
    if (s.ok()) s = WriteSmallFile(fmt::format("{}/partials/{}.mustache", dir, name), bytes);
  }
  return s;
}

absl::Status WriteSmallFile(const std::string& path, std::string_view bytes) {
  std::error_code ec;
  fs::create_directories(fs::path(path).parent_path(), ec);
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  out.close();
  if (out) return absl::OkStatus();
  return absl::InternalError(fmt::format("cannot write {}: {}", path, std::strerror(errno)));
}

}  // namespace volley::pipeline
