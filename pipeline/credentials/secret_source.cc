#include "pipeline/credentials/secret_source.h"

#include <stdlib.h>

#include <algorithm>
#include <array>
#include <utility>

#include "fmt/format.h"
#include "io/base/check.h"
#include "pipeline/credentials/printable.h"
#include "pipeline/credentials/read_once.h"
#include "pipeline/credentials/secret_command.h"
#include "pipeline/credentials/secret_file.h"
#include "pipeline/credentials/secret_reader.h"

namespace volley::pipeline {
namespace {

using engine::Secret;

constexpr size_t kShownBytesMax = 120;  // of a command or a path in a message
constexpr std::string_view kLineEnds = "\r\n";
constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";

struct Place {
  std::string_view suffix;  // of the key: password_file
  const std::string* value;
};

std::array<Place, 4> PlacesOf(const SecretSource& source) {
  return {{{"file", &source.file},
           {"env", &source.env},
           {"command", &source.command},
           {"credential", &source.credential}}};
}

// POSIX.1-2017 §8.1, and lower case, which shells take too.
bool IsVariableName(std::string_view text) {
  if (text.front() >= '0' && text.front() <= '9') return false;
  return std::all_of(text.begin(), text.end(), [](char c) {
    return c == '_' || (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
  });
}

absl::Status CheckPlace(const Place& place, std::string_view what) {
  const std::string& value = *place.value;
  const auto wrong = [&](std::string_view reason) {
    return absl::InvalidArgumentError(fmt::format("{}_{} \"{}\" {}", what, place.suffix,
                                                  Printable(value, kShownBytesMax), reason));
  };
  // The system would see another, shorter name.
  if (value.find('\0') != value.npos) return wrong("has a NUL byte");
  if (place.suffix == "env" && !value.empty() && !IsVariableName(value)) {
    // Not shown: "--password-env $PASSWORD" where "--password-env PASSWORD" was meant.
    return absl::InvalidArgumentError(
        fmt::format("{}_env is not the name of an environment variable (letters, digits, _): give "
                    "the name, without $; the secret itself has no place here",
                    what));
  }
  if (place.suffix == "credential" &&
      (value.find('/') != value.npos || value == "." || value == "..")) {
    return wrong("must be a name without '/', as in LoadCredential=name:/path");
  }
  return absl::OkStatus();
}

absl::Status NoCredentialsDirectory(std::string_view name) {
  return absl::NotFoundError(
      fmt::format("{}: $CREDENTIALS_DIRECTORY is not set; systemd sets it for a service with "
                  "LoadCredential= or SetCredentialEncrypted=",
                  name));
}

// Says more than the name of the file that is missing.
absl::StatusOr<Secret> ReadCredential(const SecretSource& source, std::string_view name,
                                      const WaitLimits& limits) {
  const std::string path = PathOf(source);
  if (path.empty()) return NoCredentialsDirectory(name);
  absl::StatusOr<Secret> bytes = ReadSecretFile(path, name, ModeRule::kAny, limits);
  if (!absl::IsNotFound(bytes.status())) return bytes;
  return absl::NotFoundError(fmt::format("{} is not in {}: add LoadCredential={}:/path to the unit",
                                         name, std::string(getenv("CREDENTIALS_DIRECTORY")),
                                         source.credential));
}

absl::StatusOr<Secret> ReadVariable(const SecretSource& source, std::string_view name) {
  absl::StatusOr<Secret> bytes = TakeFromEnvironment(source.env);
  if (bytes.ok()) return bytes;
  return absl::Status(bytes.status().code(),
                      fmt::format("{} {}", name, std::string(bytes.status().message())));
}

}  // namespace

absl::Status CheckSecretSource(const SecretSource& source, std::string_view what) {
  std::string first;
  for (const Place& place : PlacesOf(source)) {
    if (place.value->empty()) continue;
    if (absl::Status status = CheckPlace(place, what); !status.ok()) return status;
    const std::string key = fmt::format("{}_{}", what, place.suffix);
    if (!first.empty()) {
      return absl::InvalidArgumentError(
          fmt::format("both {} and {} are given: keep one of them", first, key));
    }
    first = key;
  }
  return absl::OkStatus();
}

std::string DescribeSource(const SecretSource& source) {
  const auto shown = [](const std::string& text) { return Printable(text, kShownBytesMax); };
  if (!source.file.empty()) return fmt::format("file {}", shown(source.file));
  if (!source.env.empty()) return fmt::format("environment variable {}", shown(source.env));
  if (!source.command.empty()) return fmt::format("command \"{}\"", shown(source.command));
  if (!source.credential.empty()) {
    return fmt::format("systemd credential {}", shown(source.credential));
  }
  return "nothing";
}

std::string NameForErrors(const SecretSource& source, std::string_view what) {
  return fmt::format("{}: {}", what, DescribeSource(source));
}

std::string PathOf(const SecretSource& source) {
  if (!source.file.empty()) return source.file;
  if (source.credential.empty()) return {};
  const char* folder = getenv("CREDENTIALS_DIRECTORY");
  if (folder == nullptr || *folder == '\0') return {};
  return fmt::format("{}/{}", folder, source.credential);
}

absl::StatusOr<Secret> ReadSecretBytes(const SecretSource& source, std::string_view what,
                                       const WaitLimits& limits) {
  VOLLEY_CHECK(!source.empty());
  if (absl::Status status = CheckSecretSource(source, what); !status.ok()) return status;
  const std::string name = NameForErrors(source, what);
  if (!source.file.empty()) return ReadSecretFile(source.file, name, ModeRule::kPrivate, limits);
  if (!source.env.empty()) return ReadVariable(source, name);
  if (!source.command.empty()) return RunSecretCommand(source.command, name, limits);
  return ReadCredential(source, name, limits);
}

absl::StatusOr<Secret> TakeLine(std::string_view bytes, std::string_view name) {
  const auto wrong = [&](std::string_view reason) {
    return absl::InvalidArgumentError(fmt::format("{} {}", name, reason));
  };
  // Editors on Windows put one in front of a text; no password begins with it.
  if (bytes.starts_with(kByteOrderMark)) bytes.remove_prefix(kByteOrderMark.size());
  const size_t end = std::min(bytes.find('\n'), bytes.size());
  std::string_view line = bytes.substr(0, end);
  if (line.ends_with('\r')) line.remove_suffix(1);
  if (bytes.find_first_not_of(kLineEnds, end) != bytes.npos) {
    return wrong("has several lines: the secret must be the only one");
  }
  if (line.empty()) return wrong("is empty: it must hold the secret");
  if (line.find('\0') != line.npos) {
    return wrong("has a NUL byte: it must be text, in UTF-8, not UTF-16");
  }
  if (line.size() > Secret::kBytesMax) {
    return wrong(fmt::format("has a line of {} bytes: a secret has at most {}", line.size(),
                             Secret::kBytesMax));
  }
  return Secret::Make(line);
}

absl::StatusOr<Secret> ReadSecretLine(const SecretSource& source, std::string_view what,
                                      const WaitLimits& limits) {
  absl::StatusOr<Secret> bytes = ReadSecretBytes(source, what, limits);
  if (!bytes.ok()) return bytes.status();
  return TakeLine(bytes->reveal(), NameForErrors(source, what));
}

absl::StatusOr<Secret> ReadSecret(const SecretSource& source, std::string_view what) {
  return ReadSecretLine(source, what);
}

}  // namespace volley::pipeline
