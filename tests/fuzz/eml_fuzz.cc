// Finished messages as templates: whatever the bytes are, they become a spec within its bounds or
// an error, and a spec either compiles and composes or says why not.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "engine/eml/eml.h"

namespace {

using namespace volley::engine;

void Require(bool condition) {
  if (!condition) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size > 65536) return 0;
  auto spec = eml::ReadEml({reinterpret_cast<const char*>(data), size}, "fuzz.eml");
  if (!spec.ok()) {
    Require(spec.status().message().size() > 0);
    return 0;
  }
  Require(spec->text.has_value() || spec->html.has_value());
  Require(spec->inline_parts.size() + spec->attachments.size() <= eml::kMaxEmlParts);
  spec->message_id_key = "key";
  const auto compiled = message::MessageTemplate::Compile(*spec, {});
  if (!compiled.ok()) return 0;
  message::ComposedMessage message;
  if (!compiled->Compose({"bob@example.net", 7, {}}, &message).ok()) return 0;
  Require(message.ToString().size() == message.bytes());
  return 0;
}
