#include "tools/volley/suppress_common.h"

#include <fmt/format.h>
#include <pwd.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <memory>

#include "engine/message/utf8.h"
#include "pipeline/source/input.h"
#include "pipeline/source/text.h"
#include "pipeline/suppress/time_text.h"

namespace volley::tools {
namespace {

constexpr size_t kLineBytesMax = 64 << 10;

// Bytes of the window's first line with its end; 0: it has no end yet.
size_t LineBytes(std::string_view bytes) { return bytes.find('\n') + 1; }

absl::Status EachLine(
    const std::string& path,
    const std::function<absl::Status(std::string_view address, const std::string& place)>& take) {
  auto input = pipeline::OpenInput(path);
  if (!input.ok()) return input.status();
  const std::string name = path == "-" ? "standard input" : path;
  pipeline::InputWindow window(input->get());
  if (absl::Status s = SkipByteOrderMark(&window); !s.ok()) return s;
  for (uint64_t line = 1;; ++line) {
    size_t bytes;
    while ((bytes = LineBytes(window.bytes())) == 0 && window.bytes().size() <= kLineBytesMax) {
      const auto more = window.Fill();
      if (!more.ok()) return more.status();
      if (!*more) break;
    }
    if (bytes == 0) bytes = window.bytes().size();
    if (bytes == 0) return absl::OkStatus();
    if (bytes > kLineBytesMax) {
      return absl::InvalidArgumentError(
          fmt::format("{}:{}: a line of over {} bytes: this file has not one address a line; "
                      "volley suppress import reads CSV and JSON Lines",
                      name, line, kLineBytesMax));
    }
    std::string_view text = window.bytes().substr(0, bytes);
    while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.remove_suffix(1);
    text = pipeline::TrimBlanks(text);
    if (!text.empty()) {
      const absl::Status status = take(text, fmt::format("line {} of {}", line, name));
      if (!status.ok()) return status;
    }
    window.Consume(bytes);
  }
}

}  // namespace

void AddSuppressFlags(CLI::App* command, SuppressFlags* flags, const char* list, const char* json) {
  command->add_option("--state", flags->state_dir, "State directory (default ./volley-state)")
      ->type_name("FOLDER");
  if (list != nullptr) {
    command->add_option("--list", flags->list, list)->type_name("LIST");
  }
  command->add_flag("--json", flags->json, json);
}

std::string ListOf(const std::optional<std::string>& list) {
  std::string lower = list.value_or("");
  pipeline::LowerAscii(&lower);
  return lower;
}

void AddAddressFlags(CLI::App* command, AddressFlags* flags) {
  command->add_option("address", flags->addresses, "Addresses")->type_name("ADDRESS");
  command->add_option("--file", flags->file, "A file with one address a line; -: standard input")
      ->type_name("FILE");
}

absl::Status EachAddress(
    const AddressFlags& flags,
    const std::function<absl::Status(std::string_view address, const std::string& place)>& take) {
  if (flags.addresses.empty() && flags.file.empty()) {
    return absl::InvalidArgumentError(
        "no address: name some, or a file with one a line (--file FILE, or --file - for standard "
        "input)");
  }
  for (const std::string& address : flags.addresses) {
    if (absl::Status s = take(address, ""); !s.ok()) return s;
  }
  return flags.file.empty() ? absl::OkStatus() : EachLine(flags.file, take);
}

int SuppressError(const absl::Status& status) {
  std::fflush(stdout);
  fmt::print(stderr, "error: {}\n", Words(status));
  return 2;
}

std::string Words(const absl::Status& status) { return std::string(status.message()); }

std::string UserName() {
  const char* sudo = geteuid() == 0 ? std::getenv("SUDO_USER") : nullptr;
  if (sudo != nullptr && *sudo != '\0') return sudo;
  const passwd* user = getpwuid(geteuid());
  return user != nullptr ? user->pw_name : fmt::format("uid {}", geteuid());
}

std::string ShownList(std::string_view list) {
  return list.empty() ? "all lists" : fmt::format("list {}", list);
}

std::string ShownTime(absl::Time time) {
  return absl::FormatTime("%Y-%m-%d %H:%M UTC", time, absl::UTCTimeZone());
}

std::string Described(const pipeline::Suppression& entry) {
  std::string text = fmt::format("{}, {}, since {}", entry.reason, ShownList(entry.list),
                                 ShownTime(entry.created_at));
  if (!entry.source.empty()) text += fmt::format(", from {}", entry.source);
  if (!entry.campaign.empty()) text += fmt::format(", campaign {}", entry.campaign);
  return text;
}

nlohmann::ordered_json EntryJson(const pipeline::Suppression& entry) {
  return {{"address", entry.address},
          {"list", entry.list},
          {"reason", entry.reason},
          {"source", entry.source},
          {"campaign", entry.campaign},
          {"created_at", pipeline::FormatTimeText(absl::ToUnixMillis(entry.created_at))}};
}

std::string Dump(const nlohmann::ordered_json& object) {
  return object.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace volley::tools
