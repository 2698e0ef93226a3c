// MessageCompiler: a MessageSpec to a Program, step by step in the order of the bytes. The headers
// are in composer_compile.cc, the body in composer_compile_body.cc; nobody else includes this.
//
// Threading: one thread, one use. LIFETIME: spec, columns and program outlive it.
#ifndef VOLLEY_ENGINE_MESSAGE_MESSAGE_COMPILER_H_
#define VOLLEY_ENGINE_MESSAGE_MESSAGE_COMPILER_H_

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/message/cid.h"
#include "engine/message/composer.h"
#include "engine/message/composer_program.h"

namespace volley::engine::message {

// The text of a template without tags.
std::string StaticText(const Template& compiled);

class MessageCompiler {
 public:
  using Program = MessageTemplate::Program;

  // `for_files`: for recipients that bring files.
  MessageCompiler(const MessageSpec& spec, std::span<const std::string> columns, bool for_files,
                  Program* program)
      : spec_(spec), columns_(columns), for_files_(for_files), program_(program) {}

  absl::Status Run();

 private:
  absl::Status CheckSpec() const;
  absl::Status AddSender();
  absl::Status AddTo();
  absl::Status SetMessageId(std::string_view from_address);
  absl::Status AddFurtherFields();
  absl::Status AddField(std::string_view name, const TemplateSource& source, FieldSyntax syntax);

  // The body, from the outermost multipart to the parts:
  // mixed(alternative(text, amp, related(html, images)), files), without those that have one part.
  absl::Status MakeTextFromHtml();
  absl::Status CheckFile(const char* what, const PartFile& file) const;
  absl::Status NameInlineParts();
  absl::Status AddBody();
  absl::Status AddMixed();
  absl::Status AddAlternative();
  absl::Status AddRelated();
  absl::Status AddText(PartType type, const TemplateSource& source, const PartialLoader& partials);
  absl::Status AddHtml();
  absl::StatusOr<Template> CompileHtml(const TemplateSource& source, std::span<CidTarget> targets);
  void AddCompiled(PartType type, Template compiled);
  void AddFixedText(PartType type, std::string_view text);
  void AddVariableText(PartType type, Template compiled);
  void AddFile(const PartFile& file, Disposition disposition, std::string_view content_id);
  std::string OpenMultipart(std::string_view subtype_and_parameters);
  void NextPart(std::string_view boundary);
  void CloseMultipart(std::string_view boundary);
  void EndPartHeaders();
  absl::Status Measure();

  absl::StatusOr<Template> CompileHeader(const TemplateSource& source);
  absl::StatusOr<Template> Compile(std::string_view name, std::string_view text,
                                   const PartialLoader& partials);
  void NoteRequired(const Template& compiled);
  void AddStep(StepKind kind, size_t index) {
    FlushFixed();
    program_->steps.push_back({kind, index});
  }
  void FlushFixed();

  const MessageSpec& spec_;
  std::span<const std::string> columns_;
  const bool for_files_;
  Program* program_;
  std::string fixed_;   // bytes of every copy, not yet a step
  std::string domain_;  // of Message-ID and Content-ID
  std::optional<TemplateSource> text_;
  PartialLoader text_partials_;
  std::vector<CidTarget> inline_;
  size_t multiparts_ = 0;  // opened so far
  bool body_begun_ = false;
};

}  // namespace volley::engine::message

#endif  // VOLLEY_ENGINE_MESSAGE_MESSAGE_COMPILER_H_
