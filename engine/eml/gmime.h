// GMime with owners: its objects are reference-counted, its strings are g_free'd. Only the .cc
// files of this folder include this.
#ifndef VOLLEY_ENGINE_EML_GMIME_H_
#define VOLLEY_ENGINE_EML_GMIME_H_

#include <gmime/gmime.h>

#include <memory>
#include <string>

namespace volley::engine::eml {

struct GFree {
  void operator()(void* memory) const { g_free(memory); }
};
struct GUnref {
  void operator()(void* object) const { g_object_unref(object); }
};
template <typename T>
using Owned = std::unique_ptr<T, GUnref>;
using OwnedChars = std::unique_ptr<char, GFree>;

inline std::string ToString(const char* text) { return text == nullptr ? "" : text; }

}  // namespace volley::engine::eml

#endif  // VOLLEY_ENGINE_EML_GMIME_H_
