// A message and a row that compose, for tests that change one thing in them.
#ifndef VOLLEY_TESTS_ENGINE_MESSAGE_MESSAGE_SPEC_H_
#define VOLLEY_TESTS_ENGINE_MESSAGE_MESSAGE_SPEC_H_

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "engine/message/composer.h"

namespace volley::engine::message {

inline const std::vector<std::string> kTestColumns = {"first_name", "token", "items", "city"};

struct TestRow {
  std::string address = "bob@example.net";
  uint64_t index = 1000;
  std::string first_name = "Bob";
  std::string token = "t0k3n";
  std::string items = "[]";
  std::string city = "Paris";
};

inline MessageSpec TestSpec() {
  MessageSpec spec;
  spec.from = "Ann Example <ann@example.org>";
  spec.subject = {"subject", "News for {{first_name}}"};
  spec.text = {"t.txt", "Hello {{first_name}}\n"};
  spec.message_id_key = "key";
  spec.date = absl::FromUnixSeconds(1762185900);
  return spec;
}

inline absl::Status Compose(const MessageTemplate& compiled, const TestRow& row,
                            ComposedMessage* message) {
  const FieldView fields[] = {
      {row.first_name}, {row.token}, {row.items, FieldKind::kJson}, {row.city}};
  return compiled.Compose({row.address, row.index, fields}, message);
}

inline std::string ComposeOne(const MessageTemplate& compiled, const TestRow& row) {
  ComposedMessage message;
  const absl::Status status = Compose(compiled, row, &message);
  EXPECT_TRUE(status.ok()) << status;
  return message.ToString();
}

inline std::string ComposeOne(const MessageSpec& spec, const TestRow& row = {}) {
  const auto compiled = MessageTemplate::Compile(spec, kTestColumns);
  EXPECT_TRUE(compiled.ok()) << compiled.status();
  return compiled.ok() ? ComposeOne(*compiled, row) : "";
}

}  // namespace volley::engine::message

#endif  // VOLLEY_TESTS_ENGINE_MESSAGE_MESSAGE_SPEC_H_
