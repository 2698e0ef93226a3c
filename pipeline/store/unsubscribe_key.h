// The key file of unsubscribe tokens and bounce paths (format: engine/compliance/key_ring.h). Made
// on first use, by `volley send` or `volley unsubscribe`, whichever comes first.
//
// Threading: functions without state; two processes that make the file at once get the same key.
#ifndef VOLLEY_PIPELINE_STORE_UNSUBSCRIBE_KEY_H_
#define VOLLEY_PIPELINE_STORE_UNSUBSCRIBE_KEY_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "engine/compliance/key_ring.h"

namespace volley::pipeline {

// <state>/unsubscribe.key, or `key_path` when it is not empty.
std::string UnsubscribeKeyPath(const std::string& state_dir, const std::string& key_path);

// The default file is made (0600, one new random key) when it is missing; one named by `key_path`
// never is, as a misspelled name would silently make all links of sent mail worthless. Errors name
// the file. NotFound; PermissionDenied: not ours to read, or others can read it; InvalidArgument:
// what is wrong in which line.
absl::StatusOr<std::shared_ptr<const engine::compliance::KeyRing>> LoadOrCreateUnsubscribeKey(
    const std::string& state_dir, const std::string& key_path);

// The same without making anything.
absl::StatusOr<std::shared_ptr<const engine::compliance::KeyRing>> LoadUnsubscribeKey(
    const std::string& path);

// The default file is there.
bool HasUnsubscribeKey(const std::string& state_dir);

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_STORE_UNSUBSCRIBE_KEY_H_
