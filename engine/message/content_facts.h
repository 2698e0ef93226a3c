// Counting what a preflight asks about a text: links and images. Pure.
#ifndef VOLLEY_ENGINE_MESSAGE_CONTENT_FACTS_H_
#define VOLLEY_ENGINE_MESSAGE_CONTENT_FACTS_H_

#include <cstddef>
#include <string>
#include <string_view>

#include "engine/message/template.h"

namespace volley::engine::message {

// The fixed text of a template and its partials, with "{{" where anything else stands.
std::string Skeleton(const Template& compiled);

// <a> and <area> whose href begins with http:, https: or a variable.
size_t CountHtmlLinks(std::string_view skeleton);
size_t CountImages(std::string_view skeleton);
// http:// and https:// anywhere.
size_t CountTextLinks(std::string_view skeleton);

}  // namespace volley::engine::message

#endif  // VOLLEY_ENGINE_MESSAGE_CONTENT_FACTS_H_
