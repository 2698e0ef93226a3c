// Whole messages. The input is cut at 0xFF bytes (which UTF-8 does not have) into subject, name,
// text, html, two values, AMP, and a file's name; every message that comes out keeps the rules of
// the wire.
#include <array>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "engine/message/composer.h"

namespace {

using namespace volley::engine::message;

const std::vector<std::string> kColumns = {"a", "list"};

void Require(bool condition) {
  if (!condition) std::abort();
}

void CheckLines(std::string_view message) {
  size_t fields = 0;
  bool header = true;
  while (!message.empty()) {
    const size_t end = message.find("\r\n");
    Require(end != message.npos);
    const std::string_view line = message.substr(0, end);
    message.remove_prefix(end + 2);
    Require(line.find_first_of(std::string_view("\r\n\0", 3)) == line.npos);
    // A content type is one word and may be long.
    Require(line.size() <= (header || line.starts_with("Content-Type: ") ? 998u : 76u));
    Require(!line.starts_with('.') && !line.starts_with("From "));
    Require(line.empty() || line.find_first_not_of(" \t") != line.npos);
    for (const char c : line) Require(static_cast<unsigned char>(c) < 0x80);
    if (header && !line.empty() && line.front() != ' ' && line.front() != '\t') ++fields;
    if (line.empty()) header = false;
  }
  // Date, From, To, Message-ID, Subject, X-A, MIME-Version, Content-Type, and the encoding of a
  // message with one part: no row or template writes another.
  Require(fields == 8 || fields == 9);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size > 16384) return 0;
  std::string_view input(reinterpret_cast<const char*>(data), size);
  std::array<std::string, 8> parts;
  for (std::string& part : parts) {
    const size_t end = std::min(input.find('\xFF'), input.size());
    part = input.substr(0, end);
    input.remove_prefix(std::min(end + 1, input.size()));
  }
  MessageSpec spec;
  spec.from = "Ann <ann@example.org>";
  spec.subject = {"subject", parts[0]};
  spec.to_name = {"to", parts[1]};
  spec.text = {"t.txt", parts[2]};
  if (!parts[3].empty()) {
    spec.html = {"t.html", parts[3]};
    // Without a text of its own every other time: one is made of the HTML.
    if (parts[3].size() % 2 == 0) spec.text.reset();
  }
  if (!parts[6].empty()) spec.amp = {"t.amp", parts[6]};
  if (!parts[7].empty()) spec.attachments = {{parts[7], "", parts[2]}};
  spec.recipient_attachments = true;
  spec.headers = {{"X-A", {"x", parts[0]}}};
  spec.message_id_key = "key";
  spec.partials = [&parts](std::string_view name) { return parts[name.size() % parts.size()]; };
  const auto compiled = MessageTemplate::Compile(spec, kColumns);
  if (!compiled.ok()) return 0;
  const FieldView fields[] = {{parts[4]}, {parts[5], FieldKind::kJson}};
  ComposedMessage message;
  const PartFileView file{parts[7], parts[6], parts[0]};
  const size_t files = parts[7].size() % 2;
  const absl::Status status =
      compiled->Compose({"bob@example.net", 7, fields, {&file, files}}, &message);
  if (!status.ok()) {
    Require(message.bytes() == 0);
    return 0;
  }
  const std::string all = message.ToString();
  Require(all.size() == message.bytes());
  Require(message.dot_free() && !message.eight_bit() && !message.needs_smtputf8());
  CheckLines(all);
  size_t header_bytes = 0;
  for (const iovec& piece : message.header()) header_bytes += piece.iov_len;
  Require(all.substr(header_bytes - 2, 4) == "\r\n\r\n");
  Require(all.find("\r\n\r\n") == header_bytes - 2);
  return 0;
}
