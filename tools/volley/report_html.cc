#include "tools/volley/report_html.h"

#include <fmt/format.h>

#include "engine/dkim/sha256.h"
#include "engine/sasl/base64.h"
#include "tools/volley/printable.h"
#include "tools/volley/progress.h"

// The files that CMakeLists.txt puts in (report_files.S.in).
extern "C" {
extern const char volley_chart_js[], volley_chart_js_end[];
extern const char volley_report_js[], volley_report_js_end[];
extern const char volley_report_css[], volley_report_css_end[];
}

namespace volley::tools {
namespace {

// In an HTML text and in a quoted attribute.
std::string Escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out.push_back(c);
    }
  }
  return out;
}

// JSON has these three in strings only, and nothing that ends a script element is without them.
std::string InScript(std::string_view json) {
  std::string out;
  out.reserve(json.size() + json.size() / 16);
  for (const char c : json) {
    if (c == '<' || c == '>' || c == '&') {
      fmt::format_to(std::back_inserter(out), "\\u{:04x}", static_cast<unsigned>(c));
    } else {
      out.push_back(c);
    }
  }
  return out;
}

// 'sha256-...' of a source list (CSP 3, 2.3.1).
std::string HashSource(std::string_view content) {
  engine::dkim::Sha256 hash;
  hash.Start();
  hash.Add(content);
  const auto digest = hash.Finish();
  const std::string_view bytes(reinterpret_cast<const char*>(digest.data()), digest.size());
  return fmt::format("'sha256-{}'", engine::sasl::EncodeBase64(bytes));
}

std::string Time(absl::Time time) {
  return absl::FormatTime("%Y-%m-%d %H:%M:%S %Z", time, absl::LocalTimeZone());
}

std::string Totals(const pipeline::Report& r) {
  std::string rows;
  for (size_t i = 0; i < pipeline::kSlotStates; ++i) {
    if (r.states[i] == 0) continue;
    const double share = 100.0 * static_cast<double>(r.states[i]) /
                         static_cast<double>(std::max<uint64_t>(1, r.recipients));
    rows += fmt::format("<tr><th scope=\"row\">{}</th><td>{}</td><td>{:.1f} %</td></tr>\n",
                        SlotStateName(static_cast<pipeline::SlotState>(i)), Grouped(r.states[i]),
                        share);
  }
  return fmt::format(
      "<table id=\"totals\"><thead><tr><th scope=\"col\">outcome</th><th scope=\"col\">"
      "recipients</th><th scope=\"col\">share</th></tr></thead><tbody>\n{}</tbody></table>",
      rows);
}

std::string When(const pipeline::Report& r) {
  if (r.read.events == 0) return "nothing has been tried yet";
  return fmt::format("{} tries from {} to {} ({})", Grouped(r.read.events), Time(r.first),
                     Time(r.last), FormatSpan(r.last - r.first));
}

}  // namespace

std::string ReportHtml(const pipeline::Report& r, std::string_view json) {
  const std::string_view chart_js(volley_chart_js, volley_chart_js_end);
  const std::string_view page_js(volley_report_js, volley_report_js_end);
  const std::string_view css(volley_report_css, volley_report_css_end);
  const std::string policy = fmt::format(
      "default-src 'none'; script-src {} {}; style-src {}; base-uri 'none'; form-action 'none'",
      HashSource(chart_js), HashSource(page_js), HashSource(css));
  const std::string name = Escaped(Printable(r.campaign));
  return fmt::format(R"(<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"><meta name="referrer" content="no-referrer">
<title>{}: campaign report</title><style>{}</style></head><body>
<header><h1>{}</h1><p>{} recipients &middot; {}</p></header>
<main><section class="first">
{}
<noscript><p>Charts and the other tables need scripts, which are switched off here.</p></noscript>
</section></main>
<footer>Made by volley on {}. This page loads nothing from anywhere.</footer>
<script type="application/json" id="report">{}</script>
<script>{}</script><script>{}</script>
</body></html>
)",
                     policy, name, css, name, Grouped(r.recipients), Escaped(When(r)), Totals(r),
                     Escaped(Time(absl::Now())), InScript(json), chart_js, page_js);
}

}  // namespace volley::tools
