#include "tools/volley/preflight.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

namespace volley::tools {
namespace {

using engine::preflight::Finding;
using engine::preflight::Severity;
using engine::preflight::SeverityName;
using pipeline::PreflightResult;

constexpr size_t kLineBytes = 96;

// Words in lines under each other. What has no space (a record to publish) stays in one piece.
void PrintWrapped(std::string_view label, std::string_view text, FILE* out) {
  std::string line = fmt::format("  {:<7}", label);
  bool first_word = true;
  while (!text.empty()) {
    const size_t end = std::min(text.find(' ', 1), text.size());
    if (!first_word && line.size() + end > kLineBytes) {
      fmt::print(out, "{}\n", line);
      line.assign(9, ' ');
      text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
      first_word = true;
      continue;
    }
    line += text.substr(0, end);
    text.remove_prefix(end);
    first_word = false;
  }
  fmt::print(out, "{}\n", line);
}

void PrintFinding(const Finding& finding, FILE* out) {
  fmt::print(out, "{}: {}\n", SeverityName(finding.severity), finding.id);
  PrintWrapped("found", finding.found, out);
  PrintWrapped("why", finding.why, out);
  fmt::print(out, "         ({})\n", finding.source);
  // A record to publish is copied from here: it is not wrapped.
  fmt::print(out, "  {:<7}{}\n\n", "mend", finding.mend);
}

std::string Counted(size_t count, std::string_view word) {
  return fmt::format("{} {}{}", count, word, count == 1 ? "" : "s");
}

}  // namespace

void PrintPreflight(const PreflightResult& result, FILE* out, bool verbose) {
  std::vector<const Finding*> order;
  for (const Finding& finding : result.findings) order.push_back(&finding);
  std::stable_sort(order.begin(), order.end(),
                   [](const Finding* a, const Finding* b) { return a->severity > b->severity; });
  for (const Finding* finding : order) PrintFinding(*finding, out);
  if (verbose) {
    for (const std::string& id : result.passed) fmt::print(out, "passed   {}\n", id);
    for (const std::string& what : result.skipped) fmt::print(out, "skipped  {}\n", what);
    fmt::print(out, "\n");
  }
  const size_t notes = result.findings.size() - result.errors() - result.warnings();
  fmt::print(out, "preflight: {}, {}, {}; {} passed, {} not made{}\n",
             Counted(result.errors(), "error"), Counted(result.warnings(), "warning"),
             Counted(notes, "note"), Counted(result.passed.size(), "check"), result.skipped.size(),
             verbose || result.skipped.empty() ? "" : " (--verbose says why)");
}

nlohmann::ordered_json PreflightJson(const PreflightResult& result) {
  nlohmann::ordered_json json;
  json["errors"] = result.errors();
  json["warnings"] = result.warnings();
  json["findings"] = nlohmann::ordered_json::array();
  for (const Finding& finding : result.findings) {
    json["findings"].push_back({{"id", finding.id},
                                {"severity", SeverityName(finding.severity)},
                                {"found", finding.found},
                                {"why", finding.why},
                                {"source", finding.source},
                                {"mend", finding.mend}});
  }
  json["passed"] = result.passed;
  json["skipped"] = nlohmann::ordered_json::array();
  for (const std::string& what : result.skipped) {
    const size_t colon = what.find(": ");
    json["skipped"].push_back({{"id", what.substr(0, colon)}, {"why", what.substr(colon + 2)}});
  }
  return json;
}

}  // namespace volley::tools
