// The page of `volley report --html`: one file that needs nothing else and loads nothing: totals in
// HTML, and the report's JSON with a script (and Chart.js, from the distribution) that makes charts
// and tables of it. Its Content-Security-Policy allows these scripts only, by their hashes.
//
// What servers and lists say is foreign text: it is in the JSON, where no character can end the
// block, and is shown as text.
//
// Threading: pure functions. Bounds: those of the JSON.
#ifndef VOLLEY_TOOLS_VOLLEY_REPORT_HTML_H_
#define VOLLEY_TOOLS_VOLLEY_REPORT_HTML_H_

#include <string>
#include <string_view>

#include "pipeline/report/report.h"

namespace volley::tools {

// `json`: what --json prints.
std::string ReportHtml(const pipeline::Report& report, std::string_view json);

}  // namespace volley::tools

#endif  // VOLLEY_TOOLS_VOLLEY_REPORT_HTML_H_
