#include "tools/volley/suppress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "engine/message/utf8.h"
#include "pipeline/suppress/time_text.h"
#include "tools/volley/progress.h"
#include "tools/volley/suppress_common.h"

namespace volley::tools {
namespace {

using pipeline::Suppression;
using pipeline::SuppressionQuery;

constexpr size_t kEntriesShown = 20;  // of an `add` or `remove` of many, the rest is counted
constexpr size_t kAddBatch = 10'000;

constexpr const char* kFooter = R"(Examples:
  volley suppress add ann@example.org --reason manual --source 'asked by phone'
  volley suppress lookup ann@example.org
  volley suppress import sendgrid-bounces.csv
  volley suppress export --output suppressed.csv
  volley suppress stats

Exit codes, as grep has them: 0 done, or found; 1 not all of it, or not found; 2 an error.)";

constexpr const char* kAddFooter = R"(Examples:
  volley suppress add ann@example.org
  volley suppress add ann@example.org --list news.example.org --reason unsubscribe
  volley suppress add --file people.txt --reason complaint --source 'Yahoo feedback loop'

Running campaigns know it before their next message. Exit code: 0 all are on the list now, 1 some
were no addresses (the others are on it), 2 an error.)";

constexpr const char* kRemoveFooter = R"(Examples:
  volley suppress remove ann@example.org                          the entry for all lists
  volley suppress remove ann@example.org --list news.example.org
  volley suppress remove ann@example.org --all-lists --yes --why 'subscribed again, form of 3 May'

Somebody who unsubscribed or complained gets mail again only with their consent: removing such an
entry asks first, or needs --yes. Who removed what, when and why is kept (lookup shows it).
Exit code: 0 all removed, 1 some were not there or were kept, 2 an error.)";

constexpr const char* kLookupFooter = R"(Examples:
  volley suppress lookup ann@example.org
  volley suppress lookup ann@example.org --list news.example.org && echo 'gets no mail of that list'
  volley suppress lookup --file people.txt --json

Exit code: 0 one of them is suppressed, 1 none is, 2 an error.)";

constexpr const char* kListFooter = R"(Examples:
  volley suppress list
  volley suppress list --reason complaint --since 2026-11-01 --limit 0 --json)";

constexpr const char* kStatsFooter = R"(Examples:
  volley suppress stats
  volley suppress stats --json)";

// --- add ---

struct AddFlags {
  SuppressFlags common;
  AddressFlags who;
  std::string reason{pipeline::kReasonManual};
  std::string source, campaign;
};

class Adder {
 public:
  Adder(const AddFlags& flags, std::unique_ptr<pipeline::SuppressionList> list)
      : flags_(flags),
        list_(std::move(list)),
        list_name_(ListOf(flags.common.list)),
        source_(flags.source.empty() ? "user " + UserName() : flags.source) {}

  absl::Status Take(std::string_view address, const std::string& place) {
    auto canonical = pipeline::CanonicalForSuppression(address);
    if (!canonical.ok()) {
      ++rejected_;
      fmt::print(stderr, "{}{}: {}\n", place.empty() ? "" : place + ": ",
                 engine::message::Quoted(address), Words(canonical.status()));
      return absl::OkStatus();
    }
    if (shown_.size() < kEntriesShown) shown_.push_back(*canonical);
    batch_.push_back(*std::move(canonical));
    return batch_.size() < kAddBatch ? absl::OkStatus() : Flush();
  }
  absl::Status Flush();
  int Report() const;

 private:
  const AddFlags& flags_;
  const std::unique_ptr<pipeline::SuppressionList> list_;
  const std::string list_name_, source_;
  const int64_t now_ms_ = absl::ToUnixMillis(absl::Now());
  std::vector<std::string> batch_, shown_;
  pipeline::SuppressionChanges changes_;
  uint64_t rejected_ = 0;
};

absl::Status Adder::Flush() {
  std::vector<pipeline::SuppressionView> views;
  for (const std::string& address : batch_) {
    views.push_back({.address = address,
                     .list = list_name_,
                     .reason = flags_.reason,
                     .source = source_,
                     .campaign = flags_.campaign,
                     .created_ms = now_ms_});
  }
  const auto changes = list_->AddBatch(views);
  if (!changes.ok()) return changes.status();
  changes_.added += changes->added;
  changes_.replaced += changes->replaced;
  changes_.kept += changes->kept;
  batch_.clear();
  return absl::OkStatus();
}

int Adder::Report() const {
  if (flags_.common.json) {
    fmt::print("{}\n", Dump({{"added", changes_.added},
                             {"replaced", changes_.replaced},
                             {"already", changes_.kept},
                             {"rejected", rejected_}}));
  } else {
    const uint64_t on_it = changes_.added + changes_.replaced + changes_.kept;
    if (on_it <= kEntriesShown) {
      for (const std::string& address : shown_) fmt::print("{}\n", address);
    }
    fmt::print("suppressed for {} ({}): {} added, {} with a new reason, {} were there already{}\n",
               list_name_.empty() ? "all lists" : list_name_, flags_.reason,
               Grouped(changes_.added), Grouped(changes_.replaced), Grouped(changes_.kept),
               rejected_ == 0 ? "" : fmt::format(", {} were no addresses", Grouped(rejected_)));
  }
  return rejected_ == 0 ? 0 : 1;
}

int RunAdd(const AddFlags& flags) {
  if (flags.who.addresses.empty() && flags.who.file.empty()) {
    return SuppressError(EachAddress(flags.who, nullptr));
  }
  const Suppression names{.address = "",
                          .list = ListOf(flags.common.list),
                          .reason = flags.reason,
                          .source = flags.source,
                          .campaign = flags.campaign,
                          .created_at = absl::UnixEpoch()};
  if (absl::Status s = pipeline::CheckSuppressionNames(names); !s.ok()) return SuppressError(s);
  auto list = pipeline::SuppressionList::Open(flags.common.state_dir);
  if (!list.ok()) return SuppressError(list.status());
  Adder adder(flags, *std::move(list));
  absl::Status status = EachAddress(flags.who, [&](std::string_view address, const auto& place) {
    return adder.Take(address, place);
  });
  if (status.ok()) status = adder.Flush();
  if (!status.ok()) return SuppressError(status);
  return adder.Report();
}

// --- remove ---

struct RemoveFlags {
  SuppressFlags common;
  AddressFlags who;
  std::string why;
  bool all_lists = false, yes = false;
};

// The entries of an address that the flags mean.
std::vector<Suppression> Meant(const RemoveFlags& flags, std::vector<Suppression> entries) {
  const std::string list = ListOf(flags.common.list);
  std::erase_if(entries, [&](const Suppression& e) { return !flags.all_lists && e.list != list; });
  return entries;
}

// What else there is of the address, a line each.
std::string OtherEntries(const std::vector<Suppression>& entries) {
  std::string text;
  for (const Suppression& entry : entries) {
    text += fmt::format("\n  but: {}", Described(entry));
  }
  return text;
}

// Asks on the terminal. Nobody there to ask is a no.
bool Confirmed(const std::vector<Suppression>& entries, const RemoveFlags& flags) {
  std::vector<const Suppression*> said_no;
  for (const Suppression& entry : entries) {
    if (pipeline::NeedsConsent(entry.reason)) said_no.push_back(&entry);
  }
  if (said_no.empty() || flags.yes) return true;
  for (size_t i = 0; i < said_no.size() && i < kEntriesShown; ++i) {
    fmt::print(stderr, "{}: {}\n", said_no[i]->address, Described(*said_no[i]));
  }
  fmt::print(stderr,
             "{} of these entries are of people who unsubscribed or complained. They may get mail "
             "again only if they have asked for it since.\n",
             said_no.size());
  if (isatty(STDIN_FILENO) != 1 || flags.who.file == "-") {
    fmt::print(stderr, "nothing was removed: --yes removes them\n");
    return false;
  }
  fmt::print(stderr, "Do you have their consent, and shall they be removed? [y/N] ");
  std::string answer;
  std::getline(std::cin, answer);
  if (answer == "y" || answer == "Y" || answer == "yes") return true;
  fmt::print(stderr, "nothing was removed\n");
  return false;
}

struct ToRemove {
  std::vector<Suppression> entries;
  uint64_t not_there = 0;
};

absl::StatusOr<ToRemove> FindToRemove(const RemoveFlags& flags) {
  auto query = SuppressionQuery::Open(flags.common.state_dir);
  if (!query.ok()) return query.status();
  ToRemove out;
  const absl::Status status =
      EachAddress(flags.who, [&](std::string_view address, const auto& place) -> absl::Status {
        const auto entries = query->Lookup(address);
        if (!entries.ok()) {
          return absl::Status(
              entries.status().code(),
              fmt::format("{}{}: {}", place.empty() ? "" : place + ": ",
                          engine::message::Quoted(address), Words(entries.status())));
        }
        std::vector<Suppression> meant = Meant(flags, *entries);
        if (meant.empty()) {
          ++out.not_there;
          fmt::print(stderr, "{}: not suppressed for {}{}\n", address,
                     ShownList(ListOf(flags.common.list)), OtherEntries(*entries));
        }
        for (Suppression& entry : meant) out.entries.push_back(std::move(entry));
        return absl::OkStatus();
      });
  if (!status.ok()) return status;
  return out;
}

int RunRemove(const RemoveFlags& flags) {
  const auto found = FindToRemove(flags);
  if (!found.ok()) return SuppressError(found.status());
  const bool confirmed = Confirmed(found->entries, flags);
  uint64_t removed = 0;
  if (confirmed && !found->entries.empty()) {
    auto list = pipeline::SuppressionList::Open(flags.common.state_dir, {.create = false});
    if (!list.ok()) return SuppressError(list.status());
    const pipeline::RemovedBy by{.who = UserName(), .why = flags.why};
    for (const Suppression& entry : found->entries) {
      const auto was_there = (*list)->Remove(entry.address, entry.list, by);
      if (!was_there.ok()) return SuppressError(was_there.status());
      removed += *was_there ? 1 : 0;
      if (!flags.common.json && removed <= kEntriesShown) {
        fmt::print("{}: removed ({})\n", entry.address, Described(entry));
      }
    }
  }
  const uint64_t kept = found->entries.size() - removed;
  if (flags.common.json) {
    fmt::print("{}\n", Dump({{"removed", removed}, {"kept", kept}, {"absent", found->not_there}}));
  } else if (removed > kEntriesShown) {
    fmt::print("{} entries removed\n", Grouped(removed));
  }
  return kept == 0 && found->not_there == 0 ? 0 : 1;
}

// --- lookup ---

struct LookupFlags {
  SuppressFlags common;
  AddressFlags who;
};

void PrintLookupJson(std::string_view address, const std::vector<Suppression>& entries,
                     const std::vector<pipeline::RemovedSuppression>& removals,
                     const std::vector<pipeline::CountedBounces>& bounces) {
  nlohmann::ordered_json out = {{"address", std::string(address)},
                                {"suppressed", !entries.empty()},
                                {"entries", nlohmann::ordered_json::array()},
                                {"removed", nlohmann::ordered_json::array()},
                                {"bounces", nlohmann::ordered_json::array()}};
  for (const Suppression& entry : entries) out["entries"].push_back(EntryJson(entry));
  for (const auto& removal : removals) {
    nlohmann::ordered_json object = EntryJson(removal.entry);
    object["removed_at"] = pipeline::FormatTimeText(absl::ToUnixMillis(removal.removed_at));
    object["removed_by"] = removal.removed_by;
    object["why"] = removal.why;
    out["removed"].push_back(std::move(object));
  }
  for (const auto& b : bounces) {
    out["bounces"].push_back({{"category", b.category},
                              {"count", b.count},
                              {"last", pipeline::FormatTimeText(absl::ToUnixMillis(b.last))}});
  }
  fmt::print("{}\n", Dump(out));
}

void PrintLookup(std::string_view address, const std::vector<Suppression>& entries,
                 const std::vector<pipeline::RemovedSuppression>& removals,
                 const std::vector<pipeline::CountedBounces>& bounces) {
  if (entries.empty()) fmt::print("{}: not suppressed\n", address);
  for (const Suppression& entry : entries) fmt::print("{}: {}\n", address, Described(entry));
  for (const auto& b : bounces) {
    fmt::print("  counted: {} {}, last {}\n", b.count, b.category, ShownTime(b.last));
  }
  for (const auto& r : removals) {
    fmt::print("  removed {} by {}{}: {}\n", ShownTime(r.removed_at),
               r.removed_by.empty() ? "somebody" : r.removed_by,
               r.why.empty() ? "" : fmt::format(" ({})", r.why), Described(r.entry));
  }
}

int RunLookup(const LookupFlags& flags) {
  auto query = SuppressionQuery::Open(flags.common.state_dir);
  if (!query.ok()) return SuppressError(query.status());
  bool found = false;
  const absl::Status status =
      EachAddress(flags.who, [&](std::string_view address, const auto& place) -> absl::Status {
        auto entries = query->Lookup(address);
        if (!entries.ok()) {
          return absl::Status(
              entries.status().code(),
              fmt::format("{}{}: {}", place.empty() ? "" : place + ": ",
                          engine::message::Quoted(address), Words(entries.status())));
        }
        if (flags.common.list) {
          const std::string list = ListOf(flags.common.list);
          std::erase_if(*entries,
                        [&](const Suppression& e) { return !e.list.empty() && e.list != list; });
        }
        const auto removals = query->Removals(address);
        if (!removals.ok()) return removals.status();
        const auto bounces = query->Bounces(address);
        if (!bounces.ok()) return bounces.status();
        found = found || !entries->empty();
        (flags.common.json ? PrintLookupJson : PrintLookup)(address, *entries, *removals, *bounces);
        return absl::OkStatus();
      });
  if (!status.ok()) return SuppressError(status);
  return found ? 0 : 1;
}

// --- list ---

struct ListFlags {
  SuppressFlags common;
  std::string reason, source, since;
  uint64_t limit = 50;
};

int RunList(const ListFlags& flags) {
  pipeline::SuppressionFilter filter{
      .list = std::nullopt, .reason = flags.reason, .source = flags.source};
  if (flags.common.list) filter.list = ListOf(flags.common.list);
  if (!flags.since.empty()) {
    const auto since = pipeline::ParseTimeText(flags.since);
    if (!since) {
      return SuppressError(absl::InvalidArgumentError(fmt::format(
          "--since {}: write a day or a time, like 2026-11-24 or 2026-11-24T08:00Z", flags.since)));
    }
    filter.since = absl::FromUnixMillis(*since);
  }
  auto query = SuppressionQuery::Open(flags.common.state_dir);
  if (!query.ok()) return SuppressError(query.status());
  const auto entries = query->Newest(filter, flags.limit == 0 ? UINT64_MAX : flags.limit);
  if (!entries.ok()) return SuppressError(entries.status());
  for (const Suppression& entry : *entries) {
    if (flags.common.json) {
      fmt::print("{}\n", Dump(EntryJson(entry)));
    } else {
      fmt::print("{}  {}\n", entry.address, Described(entry));
    }
  }
  if (!flags.common.json && entries->size() == flags.limit) {
    fmt::print(stderr, "these are the newest {}: --limit 0 shows all\n", flags.limit);
  }
  return entries->empty() ? 1 : 0;
}

// --- stats ---

int RunStats(const SuppressFlags& flags) {
  auto query = SuppressionQuery::Open(flags.state_dir);
  if (!query.ok()) return SuppressError(query.status());
  const auto totals = query->Totals();
  if (!totals.ok()) return SuppressError(totals.status());
  const auto removed = query->RemovedCount();
  if (!removed.ok()) return SuppressError(removed.status());
  uint64_t entries = 0;
  auto rows = nlohmann::ordered_json::array();
  for (const auto& total : *totals) {
    entries += total.count;
    rows.push_back({{"list", total.list},
                    {"reason", total.reason},
                    {"count", total.count},
                    {"newest", pipeline::FormatTimeText(absl::ToUnixMillis(total.newest))}});
  }
  if (flags.json) {
    fmt::print("{}\n", Dump({{"entries", entries}, {"removed", *removed}, {"totals", rows}}));
    return 0;
  }
  fmt::print("entries: {}, removed by hand: {}\n", Grouped(entries), Grouped(*removed));
  for (const auto& total : *totals) {
    fmt::print("{:>12}  {:<20} {}, newest {}\n", Grouped(total.count), total.reason,
               ShownList(total.list), ShownTime(total.newest));
  }
  return 0;
}

// --- Flags ---

constexpr const char* kForWhichList = "Mail of which list (default: all lists)";

void AddAdd(CLI::App* suppress, int* exit_code) {
  auto flags = std::make_shared<AddFlags>();
  CLI::App* command = suppress->add_subcommand("add", "Put people on the list");
  command->footer(kAddFooter);
  AddAddressFlags(command, &flags->who);
  AddSuppressFlags(command, &flags->common, kForWhichList, "Counts as one JSON object");
  command
      ->add_option("--reason", flags->reason,
                   "Why: unsubscribe, complaint, manual, hard_bounce, or your own word")
      ->capture_default_str();
  command->add_option("--source", flags->source, "Where it comes from (default: your user name)");
  command->add_option("--campaign", flags->campaign, "The campaign it is about");
  command->callback([flags, exit_code] { *exit_code = RunAdd(*flags); });
}

void AddRemove(CLI::App* suppress, int* exit_code) {
  auto flags = std::make_shared<RemoveFlags>();
  CLI::App* command = suppress->add_subcommand("remove", "Take people off the list");
  command->footer(kRemoveFooter);
  AddAddressFlags(command, &flags->who);
  AddSuppressFlags(command, &flags->common,
                   "The entry of this list (default: the one for all lists)",
                   "Counts as one JSON object");
  command->add_flag("--all-lists", flags->all_lists, "Every entry of the address")
      ->excludes(command->get_option("--list"));
  command->add_flag("--yes", flags->yes,
                    "Also people who unsubscribed or complained: you have their consent");
  command->add_option("--why", flags->why, "Kept with the record of the removal");
  command->callback([flags, exit_code] { *exit_code = RunRemove(*flags); });
}

void AddLookup(CLI::App* suppress, int* exit_code) {
  auto flags = std::make_shared<LookupFlags>();
  CLI::App* command =
      suppress->add_subcommand("lookup", "Say whether, why and since when people get no mail");
  command->footer(kLookupFooter);
  AddAddressFlags(command, &flags->who);
  AddSuppressFlags(command, &flags->common,
                   "Only what keeps mail of this list away (default: everything)",
                   "A JSON object for each address");
  command->callback([flags, exit_code] { *exit_code = RunLookup(*flags); });
}

void AddList(CLI::App* suppress, int* exit_code) {
  auto flags = std::make_shared<ListFlags>();
  CLI::App* command = suppress->add_subcommand("list", "Show entries, those that came last first");
  command->footer(kListFooter);
  AddSuppressFlags(command, &flags->common, "Only of this list; \"\": only those for all lists",
                   "A JSON object for each entry");
  command->add_option("--reason", flags->reason, "Only with this reason");
  command->add_option("--source", flags->source, "Only from this source");
  command->add_option("--since", flags->since, "Only since this time: 2026-11-24")
      ->type_name("TIME");
  command->add_option("--limit", flags->limit, "How many at most; 0: all")->capture_default_str();
  command->callback([flags, exit_code] { *exit_code = RunList(*flags); });
}

void AddStats(CLI::App* suppress, int* exit_code) {
  auto flags = std::make_shared<SuppressFlags>();
  CLI::App* command = suppress->add_subcommand("stats", "Count entries by list and reason");
  command->footer(kStatsFooter);
  AddSuppressFlags(command, flags.get(), nullptr, "One JSON object");
  command->callback([flags, exit_code] { *exit_code = RunStats(*flags); });
}

}  // namespace

void AddSuppressCommand(CLI::App& app, int* exit_code) {
  CLI::App* command =
      app.add_subcommand("suppress", "The suppression list: who gets no mail, and why.");
  command->footer(kFooter);
  command->require_subcommand(1);
  AddAdd(command, exit_code);
  AddRemove(command, exit_code);
  AddLookup(command, exit_code);
  AddSuppressImport(command, exit_code);
  AddSuppressExport(command, exit_code);
  AddList(command, exit_code);
  AddStats(command, exit_code);
}

}  // namespace volley::tools
