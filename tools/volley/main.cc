// The volley program: one file a subcommand.
#include <absl/base/config.h>
#include <fmt/format.h>
#include <idn2.h>
#include <openssl/crypto.h>
#include <signal.h>
#include <toml++/toml.h>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "engine/base/nearest_name.h"
#include "io/reactor/reactor.h"
#include "tools/volley/bounce.h"
#include "tools/volley/check.h"
#include "tools/volley/keys.h"
#include "tools/volley/plan.h"
#include "tools/volley/preflight_command.h"
#include "tools/volley/preview.h"
#include "tools/volley/providers.h"
#include "tools/volley/report.h"
#include "tools/volley/send.h"
#include "tools/volley/sink.h"
#include "tools/volley/status.h"
#include "tools/volley/suppress.h"
#include "tools/volley/top.h"
#include "tools/volley/unsubscribe.h"

namespace {

std::string VersionText() {
  const auto why_not = volley::io::WhyNoUring();
  return fmt::format(
      "volley {} ({}, {})\n"
      "backends: {}epoll{}\n"
      "libraries: liburing {}, {}, abseil {}, fmt {}.{}.{}, CLI11 {}, toml++ {}.{}.{}, "
      "nlohmann-json {}.{}.{}, libidn2 {}",
      VOLLEY_VERSION, VOLLEY_BUILD_TYPE, VOLLEY_COMPILER, why_not ? "" : "uring, ",
      why_not ? fmt::format(" (no uring: {})", *why_not) : "", VOLLEY_LIBURING_VERSION,
      OpenSSL_version(OPENSSL_VERSION), ABSL_LTS_RELEASE_VERSION, FMT_VERSION / 10000,
      FMT_VERSION / 100 % 100, FMT_VERSION % 100, CLI11_VERSION, TOML_LIB_MAJOR, TOML_LIB_MINOR,
      TOML_LIB_PATCH, NLOHMANN_JSON_VERSION_MAJOR, NLOHMANN_JSON_VERSION_MINOR,
      NLOHMANN_JSON_VERSION_PATCH, idn2_check_version(nullptr));
}

// "unknown command "sned" (did you mean "send"?)": CLI11 has no such hint.
int ReportUnknownWords(const CLI::App& app) {
  const CLI::App* deepest = &app;  // of `volley keys dkim new`: new
  std::string path = "volley";
  for (auto used = app.get_subcommands(); !used.empty(); used = deepest->get_subcommands()) {
    deepest = used.front();
    path += " " + deepest->get_name();
  }
  const CLI::App& command = *deepest;
  std::vector<std::string> known;
  for (const CLI::App* sub : command.get_subcommands([](const CLI::App*) { return true; })) {
    known.push_back(sub->get_name());
  }
  const bool takes_no_commands = known.empty();
  for (const CLI::Option* option : command.get_options()) {
    for (const std::string& name : option->get_lnames()) known.push_back("--" + name);
  }
  for (const std::string& word : app.remaining(true)) {
    fmt::print(stderr, "error: unknown {} \"{}\"{}; see {} --help\n",
               word.starts_with('-') || takes_no_commands ? "option" : "command", word,
               volley::engine::DidYouMean(word, known), path);
  }
  return 2;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"volley sends mail: newsletters, bursts and load tests, fast and accountably.",
               "volley"};
  app.require_subcommand(0, 1);
  app.set_version_flag("--version", VersionText);
  app.footer("volley COMMAND --help shows each command's options, with examples.");
  // At a limit of the file size (ulimit -f) a write fails, as on a full disk: an orderly stop.
  signal(SIGXFSZ, SIG_IGN);
  int exit_code = 0;
  volley::tools::AddSendCommand(app, &exit_code);
  volley::tools::AddPlanCommand(app, &exit_code);
  volley::tools::AddStatusCommands(app, &exit_code);
  volley::tools::AddTopCommands(app, &exit_code);
  volley::tools::AddReportCommand(app, &exit_code);
  volley::tools::AddPreviewCommand(app, &exit_code);
  volley::tools::AddPreflightCommand(app, &exit_code);
  volley::tools::AddCheckCommand(app, &exit_code);
  volley::tools::AddKeysCommand(app, &exit_code);
  volley::tools::AddSuppressCommand(app, &exit_code);
  volley::tools::AddUnsubscribeCommand(app, &exit_code);
  volley::tools::AddBounceCommand(app, &exit_code);
  volley::tools::AddProvidersCommand(app, &exit_code);
  volley::tools::AddSinkCommand(app, &exit_code);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ExtrasError&) {
    return ReportUnknownWords(app);
  } catch (const CLI::ParseError& e) {
    // 0 for --help and --version, 2 for whatever is wrong with the command line.
    return app.exit(e) == 0 ? 0 : 2;
  }
  if (app.get_subcommands().empty()) {
    fmt::print(stderr, "{}", app.help());
    return 2;
  }
  return exit_code;
}
