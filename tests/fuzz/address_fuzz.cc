// Addresses from lists: what is taken is canonical, within the limits and safe in a command or a
// header line.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "engine/message/address.h"
#include "engine/message/header.h"

namespace {

using namespace volley::engine::message;

void Require(bool condition) {
  if (!condition) std::abort();
}

void CheckCanonical(const std::string& address, const AddressInfo& info) {
  Require(address.size() <= 254 && info.local_part_bytes <= 64);
  Require(address.size() > info.local_part_bytes && address[info.local_part_bytes] == '@');
  bool ascii_local = true;
  for (size_t i = 0; i < address.size(); ++i) {
    const auto c = static_cast<unsigned char>(address[i]);
    Require(c >= 0x20 && c != 0x7F);
    Require(c < 0x80 || i < info.local_part_bytes);
    Require(c != ' ' || address[0] == '"');
    if (c >= 0x80) ascii_local = false;
  }
  Require(info.needs_smtputf8 == !ascii_local);
  // Canonical once, canonical always.
  std::string again;
  const AddressOptions strict{
      .allow_literal = true, .require_dot = false, .trim_white_space = false};
  Require(AppendCanonicalAddress(address, strict, &again).ok());
  Require(again == address);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const AddressOptions options{.allow_literal = (data[0] & 1) != 0,
                               .require_dot = (data[0] & 2) != 0,
                               .trim_white_space = (data[0] & 4) != 0};
  const std::string text(reinterpret_cast<const char*>(data + 1), size - 1);
  std::string out = "kept";
  const auto info = AppendCanonicalAddress(text, options, &out);
  Require(out.substr(0, 4) == "kept");
  if (info.ok()) {
    CheckCanonical(out.substr(4), *info);
  } else {
    Require(out.size() == 4);
  }
  if (const auto mailbox = ParseHeaderMailbox(text); mailbox.ok()) {
    std::string field;
    Require(AppendMailboxField("From", mailbox->display_name, mailbox->address, &field).ok());
    // One field, whatever was in the name: each line end is followed by a space but the last.
    for (size_t at = field.find('\n'); at + 1 != field.size(); at = field.find('\n', at + 1)) {
      Require(at != std::string::npos && field[at - 1] == '\r' && field[at + 1] == ' ');
    }
  }
  return 0;
}
