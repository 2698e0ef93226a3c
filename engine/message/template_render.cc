#include "engine/message/template_render.h"

#include <fmt/format.h>

#include <array>

#include "engine/message/json_view.h"
#include "engine/message/utf8.h"

namespace volley::engine::message {
namespace {

// What a name stands for. kEscaped: the inside of a JSON string with escapes in it.
struct Value {
  enum class Kind : uint8_t { kMissing, kFalse, kText, kEscaped, kJson };
  std::string_view bytes;
  Kind kind = Kind::kMissing;
  bool column = false;  // a whole column of the row, not a part of a JSON value
};
using Kind = Value::Kind;

Value FromJson(const JsonView& json) {
  switch (json.type()) {
    case JsonType::kNull:
      return {};
    case JsonType::kFalse:
      return {json.text(), Kind::kFalse};
    case JsonType::kString:
      return {json.raw_string(), json.escaped() ? Kind::kEscaped : Kind::kText};
    case JsonType::kArray:
    case JsonType::kObject:
      return {json.text(), Kind::kJson};
    default:
      return {json.text(), Kind::kText};
  }
}

bool IsObject(const Value& value) {
  return value.kind == Kind::kJson && JsonView(value.bytes).type() == JsonType::kObject;
}
bool IsArray(const Value& value) {
  return value.kind == Kind::kJson && JsonView(value.bytes).type() == JsonType::kArray;
}

// False, null, nothing, an empty text (a list's empty cell) and an empty array.
bool IsFalsey(const Value& value) {
  switch (value.kind) {
    case Kind::kMissing:
    case Kind::kFalse:
      return true;
    case Kind::kJson:
      return IsArray(value) && !JsonView::Elements(JsonView(value.bytes)).Next().has_value();
    default:
      return value.bytes.empty();
  }
}

class Renderer {
 public:
  Renderer(const Template& compiled, const TemplateRow& row, RenderScratch* scratch,
           TemplateSink* sink)
      : template_(compiled), row_(row), scratch_(scratch), sink_(sink) {}

  absl::Status Run() {
    Range(template_.bodies[0], 0, template_.bodies[0].size());
    return status_;
  }

 private:
  using Ops = std::vector<TemplateOp>;

  // All return false when status_ has an error.
  bool Range(const Ops& ops, size_t begin, size_t end);
  bool One(const Ops& ops, size_t i);
  bool Variable(const TemplateOp& op);
  bool Section(const Ops& ops, size_t i);
  bool List(const Ops& ops, size_t i, const Value& list);
  bool Inverted(const Ops& ops, size_t i);
  bool Partial(const TemplateOp& op);
  bool Round(const Ops& ops, size_t i, const Value& context);
  bool Step(const TemplateOp& op, uint64_t steps);
  bool Fail(const TemplateOp& op, std::string_view what);

  bool Lookup(const TemplateOp& op, Value* value);
  bool LookupFirst(const TemplateOp& op, const TemplateName& name, Value* value);
  bool Column(const TemplateOp& op, size_t column, Value* value);
  bool ToValue(const TemplateOp& op, const FieldView& field, uint8_t* checked, Value* value);

  const Template& template_;
  const TemplateRow& row_;
  RenderScratch* scratch_;
  TemplateSink* sink_;
  absl::Status status_;
  std::array<Value, kMaxContextDepth> contexts_;
  size_t depth_ = 0;     // contexts_ in use
  size_t partials_ = 0;  // entered
  uint64_t steps_ = 0;
  bool json_seen_ = false;
};

bool Renderer::Fail(const TemplateOp& op, std::string_view what) {
  status_ = absl::InvalidArgumentError(fmt::format("{}: {}", template_.Where(op.at), what));
  return false;
}

bool Renderer::Step(const TemplateOp& op, uint64_t steps) {
  steps_ += steps;
  if (steps_ <= kMaxRenderSteps && sink_->bytes() <= kMaxRenderedBytes) return true;
  return Fail(op, "this makes the message too long: lists in lists, or a partial in itself");
}

bool Renderer::Range(const Ops& ops, size_t begin, size_t end) {
  for (size_t i = begin; i < end;) {
    if (!One(ops, i)) return false;
    i = ops[i].end != 0 ? ops[i].end : i + 1;
  }
  return true;
}

bool Renderer::One(const Ops& ops, size_t i) {
  const TemplateOp& op = ops[i];
  switch (op.kind) {
    case OpKind::kLiteral:
      sink_->Literal(op.arg);
      return true;
    case OpKind::kValue:
      return Variable(op);
    case OpKind::kSection:
      return Section(ops, i);
    case OpKind::kInvertedSection:
      return Inverted(ops, i);
    case OpKind::kPartial:
      return Partial(op);
    case OpKind::kTooDeep:
      break;
  }
  return Fail(op, "partials include each other without end");
}

bool Renderer::Variable(const TemplateOp& op) {
  Value value;
  if (!Lookup(op, &value)) return false;
  const std::string& name = template_.names[op.arg].text;
  if (value.kind == Kind::kJson) {
    return Fail(op,
                fmt::format("{0} is a list or an object: use {{{{#{0}}}}}...{{{{/{0}}}}}", name));
  }
  if (value.kind == Kind::kEscaped) {
    scratch_->decoded.clear();
    AppendDecodedString(value.bytes, &scratch_->decoded);
    value.bytes = scratch_->decoded;
  }
  if (value.bytes.empty()) {
    if (op.fallback < 0) {
      if (!row_.strict || !value.column) return true;
      return Fail(op, fmt::format("column {} is empty: fill it or write a default, {{{{{}|...}}}}",
                                  Quoted(name), name));
    }
    value.bytes = template_.fallbacks[static_cast<size_t>(op.fallback)];
  }
  const std::string_view refused = sink_->Value(value.bytes, op.escape);
  if (refused.empty()) return true;
  return Fail(op, fmt::format("{} {} is {}: it {}", value.column ? "column" : "value", Quoted(name),
                              Quoted(value.bytes), refused));
}

bool Renderer::Section(const Ops& ops, size_t i) {
  Value value;
  if (!Lookup(ops[i], &value)) return false;
  if (IsFalsey(value)) return true;
  return IsArray(value) ? List(ops, i, value) : Round(ops, i, value);
}

bool Renderer::List(const Ops& ops, size_t i, const Value& list) {
  if (!Step(ops[i], list.bytes.size() / 1024)) return false;
  JsonView::Elements elements{JsonView(list.bytes)};
  while (const std::optional<JsonView> element = elements.Next()) {
    if (!Round(ops, i, FromJson(*element))) return false;
  }
  return true;
}

bool Renderer::Round(const Ops& ops, size_t i, const Value& context) {
  if (!Step(ops[i], 1)) return false;
  if (depth_ == contexts_.size()) return Fail(ops[i], "sections nested too deep");
  contexts_[depth_++] = context;
  const bool ok = Range(ops, i + 1, ops[i].end);
  --depth_;
  return ok;
}

bool Renderer::Inverted(const Ops& ops, size_t i) {
  Value value;
  if (!Lookup(ops[i], &value)) return false;
  return !IsFalsey(value) || Range(ops, i + 1, ops[i].end);
}

bool Renderer::Partial(const TemplateOp& op) {
  if (!Step(op, 1)) return false;
  if (partials_ == kMaxContextDepth) return Fail(op, "partials include each other without end");
  ++partials_;
  const Ops& body = template_.bodies[op.arg];
  const bool ok = Range(body, 0, body.size());
  --partials_;
  return ok;
}

bool Renderer::Lookup(const TemplateOp& op, Value* value) {
  const TemplateName& name = template_.names[op.arg];
  if (!LookupFirst(op, name, value)) return false;
  for (size_t i = 1; i < name.parts.size(); ++i) {
    if (!IsObject(*value)) {
      *value = {};
      break;
    }
    if (!Step(op, value->bytes.size() / 1024)) return false;
    const std::optional<JsonView> member = JsonView(value->bytes).Member(name.parts[i]);
    *value = member.has_value() ? FromJson(*member) : Value{};
  }
  return true;
}

// The name's first part, in the innermost context that has it; the row is the outermost.
bool Renderer::LookupFirst(const TemplateOp& op, const TemplateName& name, Value* value) {
  if (name.parts.empty()) {
    if (depth_ == 0) return ToValue(op, row_.dot, nullptr, value);
    *value = contexts_[depth_ - 1];
    value->column = false;
    return true;
  }
  for (size_t i = depth_; i-- > 0;) {
    if (!IsObject(contexts_[i])) continue;
    if (!Step(op, contexts_[i].bytes.size() / 1024)) return false;
    const auto member = JsonView(contexts_[i].bytes).Member(name.parts[0]);
    if (member.has_value()) {
      *value = FromJson(*member);
      return true;
    }
  }
  if (name.column >= 0) return Column(op, static_cast<size_t>(name.column), value);
  return true;
}

bool Renderer::Column(const TemplateOp& op, size_t column, Value* value) {
  const FieldView& field = row_.fields[column];
  uint8_t* checked = nullptr;
  if (field.kind == FieldKind::kJson) {
    if (!json_seen_) scratch_->json_checked.assign(row_.fields.size(), 0);
    json_seen_ = true;
    checked = &scratch_->json_checked[column];
  }
  if (!ToValue(op, field, checked, value)) return false;
  value->column = true;
  return true;
}

bool Renderer::ToValue(const TemplateOp& op, const FieldView& field, uint8_t* checked,
                       Value* value) {
  switch (field.kind) {
    case FieldKind::kText:
      *value = {field.bytes, Kind::kText};
      return true;
    case FieldKind::kFalse:
      *value = {"false", Kind::kFalse};
      return true;
    case FieldKind::kMissing:
      *value = {};
      return true;
    case FieldKind::kJson:
      break;
  }
  // Checked once a rendering: a name in a loop asks for its column again each time.
  if (checked == nullptr || *checked == 0) {
    if (!Step(op, field.bytes.size() / 1024)) return false;
    if (!IsJson(field.bytes)) {
      return Fail(op, fmt::format("column {} is {}, which is not valid JSON",
                                  Quoted(template_.names[op.arg].text), Quoted(field.bytes)));
    }
    if (checked != nullptr) *checked = 1;
  }
  *value = FromJson(JsonView(field.bytes));
  return true;
}

}  // namespace

absl::Status RenderTemplate(const Template& compiled, const TemplateRow& row,
                            RenderScratch* scratch, TemplateSink* sink) {
  return Renderer(compiled, row, scratch, sink).Run();
}

}  // namespace volley::engine::message
