// TextSink: a rendering as plain text, with HTML escaping when asked: what the template tests read.
#ifndef VOLLEY_TESTS_ENGINE_MESSAGE_TEXT_SINK_H_
#define VOLLEY_TESTS_ENGINE_MESSAGE_TEXT_SINK_H_

#include <string>
#include <string_view>

#include "engine/message/template_render.h"

namespace volley::engine::message {

class TextSink final : public TemplateSink {
 public:
  explicit TextSink(const Template& compiled, bool html = false)
      : template_(compiled), html_(html) {}

  void Literal(uint32_t index) override { text_ += template_.literals[index]; }
  std::string_view Value(std::string_view bytes, bool escape) override {
    for (const char c : bytes) {
      const size_t special =
          html_ && escape ? std::string_view("&<>\"'").find(c) : std::string::npos;
      constexpr std::string_view kEntities[] = {"&amp;", "&lt;", "&gt;", "&quot;", "&#39;"};
      if (special == std::string::npos) {
        text_.push_back(c);
      } else {
        text_ += kEntities[special];
      }
    }
    return {};
  }
  uint64_t bytes() const override { return text_.size(); }
  const std::string& text() const { return text_; }

 private:
  const Template& template_;
  bool html_;
  std::string text_;
};

}  // namespace volley::engine::message

#endif  // VOLLEY_TESTS_ENGINE_MESSAGE_TEXT_SINK_H_
