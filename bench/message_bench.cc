// What one copy costs: addresses, plain messages, newsletters; and Mustache rendering beside
// kainjow's library, which docs/adr/0004 decides about.
#include <benchmark/benchmark.h>

#include <string>
#include <vector>

#include "engine/message/address.h"
#include "engine/message/composer.h"
#include "engine/message/html_text.h"

#if __has_include(<kainjow/mustache.hpp>)
#include <kainjow/mustache.hpp>
#endif

namespace {

using namespace volley::engine::message;

const std::vector<std::string> kColumns = {"first_name", "last_name", "city",  "order",
                                           "product",    "amount",    "token", "date"};
const std::vector<std::string> kRow = {"Anna",
                                       "Lindstr\xC3\xB6m",
                                       "Stockholm",
                                       "2025-114411",
                                       "Garden chair & table",
                                       "1,299.00 SEK",
                                       "eyJhbGciOiJIUzI1NiJ9.kq3J0x",
                                       "3 November 2025"};

std::string Filler(size_t bytes, bool html) {
  const std::string line = html ? "<p style=\"margin:0 0 12px\">The quick brown fox jumps over the "
                                  "lazy dog, again.</p>\n"
                                : "The quick brown fox jumps over the lazy dog, again and again.\n";
  std::string out;
  while (out.size() < bytes) out += line;
  return out;
}

// `bytes` of text with `variables` spread over it.
std::string TemplateText(size_t bytes, size_t variables, bool html) {
  std::string out;
  for (size_t i = 0; i < variables; ++i) {
    out += "Dear {{" + kColumns[i % kColumns.size()] + "}}, this is for you.\n";
    out += Filler(bytes / variables, html);
  }
  return out;
}

MessageSpec Spec() {
  MessageSpec spec;
  spec.from = "News <news@example.org>";
  spec.subject = {"subject", "Your order {{order}}"};
  spec.message_id_key = "k3y";
  spec.date = absl::FromUnixSeconds(1762185900);
  return spec;
}

void ComposeAll(benchmark::State& state, const MessageSpec& spec) {
  const auto compiled = MessageTemplate::Compile(spec, kColumns);
  if (!compiled.ok()) {
    state.SkipWithError("the template does not compile");
    return;
  }
  std::vector<FieldView> fields;
  for (const std::string& value : kRow) fields.push_back({value});
  ComposedMessage message;
  uint64_t index = 0;
  uint64_t bytes = 0;
  for (auto _ : state) {
    const absl::Status status = compiled->Compose({"anna@example.net", index++, fields}, &message);
    if (!status.ok()) state.SkipWithError("the message does not compose");
    benchmark::DoNotOptimize(message.pieces().data());
    bytes += message.bytes();
  }
  state.SetBytesProcessed(static_cast<int64_t>(bytes));
  state.counters["message_bytes"] = static_cast<double>(message.bytes());
  state.counters["pieces"] = static_cast<double>(message.pieces().size());
}

void BM_ComposeText1K3Variables(benchmark::State& state) {
  MessageSpec spec = Spec();
  spec.text = {"t.txt", TemplateText(1024, 2, false)};
  ComposeAll(state, spec);
}
BENCHMARK(BM_ComposeText1K3Variables);

void BM_ComposeNewsletter10K8Variables(benchmark::State& state) {
  MessageSpec spec = Spec();
  spec.to_name = {"to", "{{first_name}} {{last_name}}"};
  spec.text = {"t.txt", TemplateText(3000, 4, false)};
  spec.html = {"t.html", TemplateText(7000, 4, true)};
  ComposeAll(state, spec);
}
BENCHMARK(BM_ComposeNewsletter10K8Variables);

// With the text made of the HTML beside it.
void BM_ComposeHtml60KAndItsText(benchmark::State& state) {
  MessageSpec spec = Spec();
  spec.html = {"t.html", TemplateText(60000, 8, true)};
  ComposeAll(state, spec);
}
BENCHMARK(BM_ComposeHtml60KAndItsText);

void BM_ComposeHtml60K(benchmark::State& state) {
  MessageSpec spec = Spec();
  spec.html = {"t.html", TemplateText(60000, 8, true)};
  spec.text_from_html = false;
  ComposeAll(state, spec);
}
BENCHMARK(BM_ComposeHtml60K);

// Mostly beyond ASCII: base64, its fixed text encoded ahead.
void BM_ComposeCyrillicHtml60K(benchmark::State& state) {
  const std::string word = "\xD0\x9F\xD1\x80\xD0\xB8\xD0\xB2\xD0\xB5\xD1\x82 ";
  MessageSpec spec = Spec();
  spec.text_from_html = false;
  std::string text;
  for (size_t i = 0; i < 8; ++i) {
    text += "<p>{{" + kColumns[i] + "}}";
    for (size_t bytes = 0; bytes < 7500; bytes += word.size()) text += word;
  }
  spec.html = {"t.html", text};
  ComposeAll(state, spec);
}
BENCHMARK(BM_ComposeCyrillicHtml60K);

// An image in the HTML, terms for everybody, an invoice of the recipient's own.
void BM_ComposeWithFiles(benchmark::State& state) {
  MessageSpec spec = Spec();
  spec.html = {"t.html", "<img src=\"cid:logo.png\">" + TemplateText(7000, 4, true)};
  spec.inline_parts = {{"logo.png", "", std::string(20000, 'x')}};
  spec.attachments = {{"terms.pdf", "", std::string(100000, 'x')}};
  spec.recipient_attachments = true;
  const auto compiled = MessageTemplate::Compile(spec, kColumns);
  if (!compiled.ok()) {
    state.SkipWithError("the template does not compile");
    return;
  }
  std::vector<FieldView> fields;
  for (const std::string& value : kRow) fields.push_back({value});
  const std::string invoice(static_cast<size_t>(state.range(0)), 'x');
  const PartFileView file{"invoice.pdf", "application/pdf", invoice};
  ComposedMessage message;
  for (auto _ : state) {
    const absl::Status status =
        compiled->Compose({"anna@example.net", 1, fields, {&file, 1}}, &message);
    if (!status.ok()) state.SkipWithError("the message does not compose");
    benchmark::DoNotOptimize(message.pieces().data());
  }
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(BM_ComposeWithFiles)->Arg(1)->Arg(50000);

// What compiling an HTML template without a text costs once.
void BM_HtmlToText60K(benchmark::State& state) {
  const std::string html = TemplateText(60000, 8, true);
  for (auto _ : state) {
    const std::string text = HtmlToText(html);
    benchmark::DoNotOptimize(text.data());
  }
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(html.size()));
}
BENCHMARK(BM_HtmlToText60K);

// A list in the row: JSON is read when a section asks for it.
void BM_ComposeOrderWithTenLines(benchmark::State& state) {
  MessageSpec spec = Spec();
  spec.text = {"t.txt", "Hi {{first_name}}\n{{#lines}}\n- {{count}} x {{name}}\n{{/lines}}\n"};
  const std::vector<std::string> columns = {"first_name", "order", "lines"};
  std::string lines = "[";
  for (int i = 0; i < 10; ++i) {
    lines += std::string(i == 0 ? "" : ",") + R"({"count": 2, "name": "Garden chair"})";
  }
  lines += "]";
  const auto compiled = MessageTemplate::Compile(spec, columns);
  const FieldView fields[] = {{"Anna"}, {"1"}, {lines, FieldKind::kJson}};
  ComposedMessage message;
  for (auto _ : state) {
    const absl::Status status = compiled->Compose({"anna@example.net", 1, fields}, &message);
    if (!status.ok()) state.SkipWithError("the message does not compose");
    benchmark::DoNotOptimize(message.pieces().data());
  }
}
BENCHMARK(BM_ComposeOrderWithTenLines);

void BM_CanonicalAddress(benchmark::State& state) {
  std::string out;
  for (auto _ : state) {
    out.clear();
    auto info = AppendCanonicalAddress("Anna.Lindstrom+news@Mail.Example.ORG", {}, &out);
    benchmark::DoNotOptimize(info.ok());
  }
}
BENCHMARK(BM_CanonicalAddress);

void BM_CanonicalAddressIdna(benchmark::State& state) {
  std::string out;
  for (auto _ : state) {
    out.clear();
    auto info = AppendCanonicalAddress("anna@m\xC3\xBCnchen.example", {}, &out);
    benchmark::DoNotOptimize(info.ok());
  }
}
BENCHMARK(BM_CanonicalAddressIdna);

void BM_CompileNewsletter10K(benchmark::State& state) {
  MessageSpec spec = Spec();
  spec.text = {"t.txt", TemplateText(3000, 4, false)};
  spec.html = {"t.html", TemplateText(7000, 4, true)};
  for (auto _ : state) {
    auto compiled = MessageTemplate::Compile(spec, kColumns);
    benchmark::DoNotOptimize(compiled.ok());
  }
}
BENCHMARK(BM_CompileNewsletter10K);

#if __has_include(<kainjow/mustache.hpp>)
// The same templates as the compose benchmarks above, rendered to a string only: no headers, no
// MIME, no quoted-printable. What they would cost comes on top.
void RenderKainjow(benchmark::State& state, const std::vector<std::string>& templates) {
  std::vector<kainjow::mustache::mustache> compiled;
  for (const std::string& text : templates) compiled.emplace_back(text);
  for (auto _ : state) {
    kainjow::mustache::data row;
    for (size_t i = 0; i < kColumns.size(); ++i) row.set(kColumns[i], kRow[i]);
    for (auto& text : compiled) {
      std::string out = text.render(row);
      benchmark::DoNotOptimize(out.data());
    }
  }
}

void BM_KainjowText1K3Variables(benchmark::State& state) {
  RenderKainjow(state, {"Your order {{order}}", TemplateText(1024, 2, false)});
}
BENCHMARK(BM_KainjowText1K3Variables);

void BM_KainjowNewsletter10K8Variables(benchmark::State& state) {
  RenderKainjow(
      state, {"Your order {{order}}", TemplateText(3000, 4, false), TemplateText(7000, 4, true)});
}
BENCHMARK(BM_KainjowNewsletter10K8Variables);

void BM_KainjowHtml60K(benchmark::State& state) {
  RenderKainjow(state, {"Your order {{order}}", TemplateText(60000, 8, true)});
}
BENCHMARK(BM_KainjowHtml60K);
#endif

}  // namespace
