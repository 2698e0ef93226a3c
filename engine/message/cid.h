// cid: references (RFC 2392) in HTML templates: authors write the file's name, <img
// src="cid:logo.png">, the message needs the part's content id. Pure.
#ifndef VOLLEY_ENGINE_MESSAGE_CID_H_
#define VOLLEY_ENGINE_MESSAGE_CID_H_

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace volley::engine::message {

// A part that HTML may show. LIFETIME: the name is its owner's.
struct CidTarget {
  std::string_view name;   // as in cid:NAME; %XX in a reference stands for that byte
  std::string content_id;  // without its brackets
  bool used = false;
};

// Marks the targets that `html` uses. A template's tags may stand around a reference, not inside.
// InvalidArgument, with template and line: a reference to no target, or one with a variable.
absl::Status FindCids(std::string_view template_name, std::string_view html,
                      std::span<CidTarget> targets);

// The text with every reference to a target as the URL of its content id.
std::string RewriteCids(std::string_view html, std::span<const CidTarget> targets);

}  // namespace volley::engine::message

#endif  // VOLLEY_ENGINE_MESSAGE_CID_H_
