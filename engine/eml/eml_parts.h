// The leaves of a message's MIME tree, decoded. Internal to this folder.
#ifndef VOLLEY_ENGINE_EML_EML_PARTS_H_
#define VOLLEY_ENGINE_EML_EML_PARTS_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "engine/eml/gmime.h"
#include "engine/message/part_file.h"

namespace volley::engine::eml {

struct EmlFile {
  message::PartFile file;
  std::string content_id;  // without its brackets; empty: none
};

struct EmlParts {
  std::optional<std::string> text, html, amp;  // UTF-8, line ends as LF
  std::vector<EmlFile> files;
};

// InvalidArgument, without the message's name: what cannot be carried.
absl::Status CollectParts(GMimeObject* root, EmlParts* out);

}  // namespace volley::engine::eml

#endif  // VOLLEY_ENGINE_EML_EML_PARTS_H_
