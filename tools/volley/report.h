// volley report: what became of a campaign.
#ifndef VOLLEY_TOOLS_VOLLEY_REPORT_H_
#define VOLLEY_TOOLS_VOLLEY_REPORT_H_

#include <CLI/CLI.hpp>

namespace volley::tools {

void AddReportCommand(CLI::App& app, int* exit_code);

}  // namespace volley::tools

#endif  // VOLLEY_TOOLS_VOLLEY_REPORT_H_
