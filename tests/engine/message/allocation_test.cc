// Counts allocations in this test program: a warm composer makes none (composer.h).
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>

#include "engine/message/address.h"
#include "tests/engine/message/message_spec.h"

namespace {
std::atomic<uint64_t> g_allocations{0};
}  // namespace

// Not inlined: the compiler takes free() for the wrong partner of the new it sees beside it.
[[gnu::noinline]] void* operator new(size_t bytes) {
  g_allocations.fetch_add(1, std::memory_order_relaxed);
  if (void* memory = std::malloc(bytes == 0 ? 1 : bytes)) return memory;
  std::abort();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, size_t) noexcept { std::free(memory); }

namespace volley::engine::message {
namespace {

TEST(Allocation, ComposingAllocatesNothingOnceWarm) {
  MessageSpec spec = TestSpec();
  spec.to_name = {"to", "{{first_name}}"};
  spec.text = {"t.txt", "Hello {{first_name}} in {{city}}\n{{#items}}- {{n}}\n{{/items}}"};
  spec.html = {"t.html", "<p>{{first_name}}</p>" + std::string(2000, 'x') + "{{token}}"};
  const auto compiled = MessageTemplate::Compile(spec, kTestColumns);
  ASSERT_TRUE(compiled.ok());
  const TestRow plain{.first_name = "Anna-Katharina", .items = R"([{"n":"a\u00e9b"},{"n":2}])"};
  const TestRow quoted{.first_name = "Anna \"the long quoted name\" K., M.D."};
  const TestRow encoded{.first_name =
                            "\xC3\x9Cmit \xC3\x96zt\xC3\xBCrk, Ankara ve \xC4\xB0stanbul"};
  ComposedMessage message;
  for (const TestRow* row : {&plain, &quoted, &encoded}) {
    ASSERT_TRUE(Compose(*compiled, *row, &message).ok());
  }
  const uint64_t before = g_allocations.load();
  for (int i = 0; i < 100; ++i) {
    for (const TestRow* row : {&plain, &quoted, &encoded}) {
      if (!Compose(*compiled, *row, &message).ok()) FAIL();
    }
  }
  EXPECT_EQ(g_allocations.load() - before, 0u);
}

TEST(Allocation, FilesBase64AndSignaturesAllocateNothingOnceWarm) {
  MessageSpec spec = TestSpec();
  std::string cyrillic;
  while (cyrillic.size() < 3000) cyrillic += "\xD0\x9F\xD1\x80\xD0\xB8\xD0\xB2 ";
  spec.text = {"t.txt", cyrillic + "{{first_name}}" + cyrillic};
  spec.recipient_attachments = true;
  const auto compiled = MessageTemplate::Compile(spec, kTestColumns);
  ASSERT_TRUE(compiled.ok());
  const std::string bytes(50000, 'x');
  const PartFileView files[] = {
      {"a long name of a file, \xC3\xA9, that needs segments.pdf", "", bytes},
      {"b.txt", "text/plain", bytes}};
  const FieldView fields[] = {{"Bob"}, {"t"}, {"[]", FieldKind::kJson}, {"Paris"}};
  const std::string signature = "DKIM-Signature: " + std::string(60, 'x') + "\r\n";
  ComposedMessage message;
  auto compose = [&] {
    const bool ok = compiled->Compose({"bob@example.net", 1, fields, files}, &message).ok();
    message.Prepend(signature);
    message.Prepend(signature);
    return ok;
  };
  ASSERT_TRUE(compose());
  const uint64_t before = g_allocations.load();
  for (int i = 0; i < 10; ++i) {
    if (!compose()) FAIL();
  }
  EXPECT_EQ(g_allocations.load() - before, 0u);
}

TEST(Allocation, AnAsciiAddressAllocatesNothing) {
  std::string out;
  out.reserve(300);
  const uint64_t before = g_allocations.load();
  for (int i = 0; i < 100; ++i) {
    out.clear();
    if (!AppendCanonicalAddress("Ann.Example+a-long-tag@Mail.Example.ORG", {}, &out).ok()) FAIL();
  }
  EXPECT_EQ(g_allocations.load() - before, 0u);
}

TEST(Allocation, IsCountedHere) {
  const uint64_t before = g_allocations.load();
  const std::string text(1000, 'x');
  EXPECT_EQ(text.size(), 1000u);
  EXPECT_GT(g_allocations.load(), before);
}

}  // namespace
}  // namespace volley::engine::message
