// `volley suppress import` and `export`.
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <utility>

#include "pipeline/source/output_file.h"
#include "pipeline/suppress/suppression_export.h"
#include "pipeline/suppress/suppression_import.h"
#include "tools/volley/progress.h"
#include "tools/volley/suppress_common.h"

namespace volley::tools {
namespace {

constexpr const char* kImportFooter = R"(Examples:
  volley suppress import suppressed.csv                    of volley suppress export
  volley suppress import bounces.csv                       of SendGrid, Mailgun, SES, Postmark, ...
  volley suppress import unsubscribed.csv --reason unsubscribe --list news.example.org
  volley suppress import people.csv --address-column Kontakt --dry-run
  jq -c '.Suppressions[]' dump.json | volley suppress import - --source Postmark

CSV with a header line, or JSON Lines. Recognised: exports of volley, SendGrid, Mailgun, Amazon SES,
Postmark, SparkPost and Mailchimp; of others the columns are found by their names. Running it twice
changes nothing the second time, and running campaigns see what it adds. Exit code: 0 all rows are
on the list, 1 some were rejected (the others are on it), 2 an error.)";

constexpr const char* kExportFooter = R"(Examples:
  volley suppress export > suppressed.csv
  volley suppress export --format jsonl --reason complaint
  volley suppress export --list news.example.org --output news.csv

Importing it gives the same entries, with their lists, reasons and times. Exit code: 0 done, 2 an
error.)";

// --- import ---

struct ImportFlags {
  SuppressFlags common;
  std::string file, rejected;
  std::optional<std::string> reason, source;
  pipeline::ColumnNames columns;
  bool dry_run = false, no_progress = false;
};

// What a mistyped value would do to each of a million rows.
absl::Status CheckGiven(const ImportFlags& flags) {
  return pipeline::CheckSuppressionNames({.address = "",
                                          .list = ListOf(flags.common.list),
                                          .reason = flags.reason.value_or(""),
                                          .source = flags.source.value_or(""),
                                          .campaign = "",
                                          .created_at = absl::UnixEpoch()});
}

void PrintImportJson(const ImportFlags& flags, const pipeline::SuppressionImportResult& r) {
  fmt::print("{}\n", Dump({{"rows", r.rows},
                           {"added", r.added},
                           {"replaced", r.replaced},
                           {"already", r.already},
                           {"rejected", r.rejected},
                           {"times_not_understood", r.times_not_understood},
                           {"format", r.format},
                           {"layout", r.layout},
                           {"address_column", r.address_column},
                           {"dry_run", flags.dry_run},
                           {"rejected_samples", r.rejected_samples}}));
}

void PrintImport(const ImportFlags& flags, const pipeline::SuppressionImportResult& r) {
  fmt::print("{}: {} rows ({}{}{})\n", flags.file == "-" ? "standard input" : flags.file,
             Grouped(r.rows), r.format, r.layout.empty() ? "" : "; ", r.layout);
  fmt::print("{}{} added, {} with a new reason or time, {} were there already, {} rejected\n",
             flags.dry_run ? "dry run, nothing was changed; it would be: " : "", Grouped(r.added),
             Grouped(r.replaced), Grouped(r.already), Grouped(r.rejected));
  for (const std::string& sample : r.rejected_samples) fmt::print("  {}\n", sample);
  if (r.rejected > r.rejected_samples.size()) {
    fmt::print("  and {} more{}\n", Grouped(r.rejected - r.rejected_samples.size()),
               flags.rejected.empty() ? ": --rejected FILE lists them all" : "");
  }
  if (!flags.rejected.empty()) fmt::print("  rejected rows: {}\n", flags.rejected);
  if (r.times_not_understood > 0) {
    fmt::print("note: {} times were not understood; those rows have the time of this import\n",
               Grouped(r.times_not_understood));
  }
  if (!r.has_reason) {
    fmt::print(
        "note: no column says why, so the reason is \"imported\". If these people unsubscribed or "
        "complained, import the file again with --reason unsubscribe or --reason complaint\n");
  }
}

int RunImport(const ImportFlags& flags) {
  if (absl::Status s = CheckGiven(flags); !s.ok()) return SuppressError(s);
  Progress progress(!flags.no_progress && !flags.common.json);
  pipeline::SuppressionImportOptions options;
  options.state_dir = flags.common.state_dir;
  options.path = flags.file;
  if (flags.common.list) options.list = ListOf(flags.common.list);
  options.reason = flags.reason;
  options.source = flags.source;
  options.columns = flags.columns;
  options.rejected_path = flags.rejected;
  options.dry_run = flags.dry_run;
  options.on_progress = [&progress](const pipeline::SuppressionImportProgress& p) {
    progress.Suppressing(p.rows, p.written, p.bytes, p.total_bytes);
  };
  const auto result = pipeline::ImportSuppressions(options);
  progress.Clear();
  if (!result.ok()) return SuppressError(result.status());
  (flags.common.json ? PrintImportJson : PrintImport)(flags, *result);
  return result->rejected == 0 ? 0 : 1;
}

// --- export ---

struct ExportFlags {
  SuppressFlags common;
  std::string output, format = "csv", reason;
};

absl::Status WriteStdout(std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = write(STDOUT_FILENO, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      return absl::InternalError(fmt::format("standard output: {}", std::strerror(errno)));
    }
    text.remove_prefix(static_cast<size_t>(n));
  }
  return absl::OkStatus();
}

int RunExport(const ExportFlags& flags) {
  auto query = pipeline::SuppressionQuery::Open(flags.common.state_dir);
  if (!query.ok()) return SuppressError(query.status());
  pipeline::SuppressionFilter filter{.list = std::nullopt, .reason = flags.reason, .source = ""};
  if (flags.common.list) filter.list = ListOf(flags.common.list);
  std::unique_ptr<pipeline::OutputFile> file;
  if (!flags.output.empty() && flags.output != "-") {
    auto created = pipeline::OutputFile::Create(flags.output);
    if (!created.ok()) return SuppressError(created.status());
    file = *std::move(created);
  }
  const auto count = pipeline::ExportSuppressions(
      &*query, filter,
      flags.format == "jsonl" ? pipeline::ExportFormat::kJsonl : pipeline::ExportFormat::kCsv,
      [&](std::string_view text) {
        return file != nullptr ? file->Append(text) : WriteStdout(text);
      });
  if (!count.ok()) return SuppressError(count.status());
  if (file == nullptr) return 0;
  if (absl::Status s = file->Commit(); !s.ok()) return SuppressError(s);
  fmt::print(stderr, "{} entries in {}\n", Grouped(*count), flags.output);
  return 0;
}

}  // namespace

void AddSuppressImport(CLI::App* suppress, int* exit_code) {
  auto flags = std::make_shared<ImportFlags>();
  CLI::App* command = suppress->add_subcommand("import", "Take a file of suppressed people in");
  command->footer(kImportFooter);
  command->add_option("file", flags->file, "The file; -: standard input")
      ->required()
      ->type_name("FILE");
  command
      ->add_option("--state", flags->common.state_dir, "State directory (default ./volley-state)")
      ->type_name("FOLDER");
  command
      ->add_option("--list", flags->common.list,
                   "Mail of which list, for all rows (default: what the file says, else all lists)")
      ->type_name("LIST");
  command->add_option("--reason", flags->reason,
                      "Why, for all rows (default: what the file says, else imported)");
  command->add_option("--source", flags->source,
                      "Where it comes from, for all rows (default: the file's name)");
  const auto columns = "Columns";
  command->add_option("--address-column", flags->columns.address, "The column of addresses")
      ->group(columns);
  command->add_option("--reason-column", flags->columns.reason, "The column of reasons")
      ->group(columns);
  command->add_option("--time-column", flags->columns.time, "The column of times")->group(columns);
  command->add_option("--list-column", flags->columns.list, "The column of lists")->group(columns);
  const auto output = "Output";
  command->add_flag("--dry-run", flags->dry_run, "Count, change nothing")->group(output);
  command->add_option("--rejected", flags->rejected, "A CSV file for the rows that were rejected")
      ->type_name("FILE")
      ->group(output);
  command->add_flag("--json", flags->common.json, "Counts as one JSON object")->group(output);
  command->add_flag("--no-progress", flags->no_progress, "No progress on standard error")
      ->group(output);
  command->callback([flags, exit_code] { *exit_code = RunImport(*flags); });
}

void AddSuppressExport(CLI::App* suppress, int* exit_code) {
  auto flags = std::make_shared<ExportFlags>();
  CLI::App* command =
      suppress->add_subcommand("export", "Write the list out, as CSV or JSON Lines");
  command->footer(kExportFooter);
  command
      ->add_option("--state", flags->common.state_dir, "State directory (default ./volley-state)")
      ->type_name("FOLDER");
  command
      ->add_option("--list", flags->common.list,
                   "Only of this list; \"\": only those for all lists")
      ->type_name("LIST");
  command->add_option("--reason", flags->reason, "Only with this reason");
  command->add_option("--format", flags->format, "csv or jsonl")
      ->check(CLI::IsMember({"csv", "jsonl"}))
      ->capture_default_str();
  command->add_option("--output", flags->output, "Into this file (default: standard output)")
      ->type_name("FILE");
  command->callback([flags, exit_code] { *exit_code = RunExport(*flags); });
}

}  // namespace volley::tools
