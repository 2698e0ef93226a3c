// The inside of Server: one class, its methods in server.cc (session, input, replies),
// server_commands.cc (one method a command) and server_transfer.cc (message content). For those
// three files only.
#ifndef VOLLEY_ENGINE_SMTP_SERVER_IMPL_H_
#define VOLLEY_ENGINE_SMTP_SERVER_IMPL_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "engine/smtp/command.h"
#include "engine/smtp/server.h"
#include "engine/smtp/server_content.h"
#include "engine/smtp/server_output.h"

namespace volley::engine::smtp {

class Server::Impl {
 public:
  Impl(const ServerOptions* options, ServerHandler* handler)
      : options_(*options), handler_(*handler) {}

  void Reset();
  void Start();
  void Receive(std::span<const char> bytes);
  void OnConnectionClosed();
  void EndSession(const ServerReply& reply);

  ReplyBuffer& replies() { return replies_; }
  bool in_transaction() const { return mail_open_ && !transaction_.chunk_failed; }
  bool closed() const { return closed_; }
  uint32_t protocol_errors() const { return protocol_errors_; }

 private:
  enum class Phase : uint8_t { kCommand, kLongLine, kData, kChunk };
  using Bytes = std::span<const char>;

  // RFC 5321 §4.5.3.1.4: 512 with CRLF; MAIL grows by its parameters: SIZE 26 (RFC 1870 §3), BODY
  // 17 (RFC 6152 §2), SMTPUTF8 10 (RFC 6531 §3.1).
  static constexpr size_t kLineMax = 512;
  static constexpr size_t kMailLineMax = kLineMax + 26 + 17 + 10;

  static constexpr EnhancedCode kOk{2, 0, 0};
  static constexpr EnhancedCode kBadSequence{5, 5, 1};
  static constexpr EnhancedCode kSyntax{5, 5, 2};
  static constexpr EnhancedCode kBadArgument{5, 5, 4};

  // Everything that RSET clears.
  struct Transaction {
    bool mail_refused = false;  // what follows in the group is a consequence, not an error
    uint32_t recipients_seen = 0, recipients = 0;
    bool chunk_started = false;  // a BDAT came: no DATA, no more RCPT
    bool chunk_failed = false;   // only RSET goes on (RFC 3030 §2)
    uint64_t content_bytes = 0;
    bool over_size = false;
    bool smtputf8 = false;
  };

  // Input: each takes its part off the front and returns the rest.
  Bytes ReadLine(Bytes bytes);
  Bytes ReadLongLine(Bytes bytes);
  Bytes ReadData(Bytes bytes);
  Bytes ReadChunk(Bytes bytes);
  void RefuseEarlyInput();
  void KeepPartialLine(Bytes bytes);

  // Commands.
  void HandleLine(std::string_view line);
  void Dispatch(const CommandLine& command);
  void Hello(Verb verb, std::string_view name);
  void SayExtensions();
  void Mail(std::string_view argument);
  bool CheckMailState();
  bool CheckMailArgument(std::string_view argument, PathArgument* path, MailParameters* parameters);
  bool CheckPath(const PathResult& result, EnhancedCode address_code);
  void Rcpt(std::string_view argument);
  bool CheckRcptState();
  void Data(std::string_view argument);
  void Bdat(std::string_view argument);
  bool CheckChunkState();
  void Rset(std::string_view argument);
  void Quit(std::string_view argument);
  void Other(const CommandLine& command);

  // Content.
  void Keep(Bytes content);
  void EndData();
  void EndChunk();
  bool RefuseContent(bool last);
  bool AcceptMessage();
  void SayForMessage(ReplyCode code, EnhancedCode enhanced, std::string_view text, bool last);

  // Replies.
  void Say(ReplyCode code, EnhancedCode enhanced, std::string_view text, bool more = false);
  void Say(uint16_t code, EnhancedCode enhanced, std::string_view text) {
    Say(ReplyCode(code), enhanced, text);
  }
  void Respond(const ServerReply& reply, EnhancedCode own_code, std::string_view own_words);
  void Error(uint16_t code, EnhancedCode enhanced, std::string_view text);
  void CountError();
  void Close(std::string_view why, EnhancedCode enhanced);

  void DropTransaction();
  bool lmtp() const { return options_.protocol == Protocol::kLmtp; }
  bool pipelining() const { return extended_ && options_.pipelining; }

  const ServerOptions& options_;
  ServerHandler& handler_;
  ReplyBuffer replies_;
  ContentScanner scanner_;
  Phase phase_ = Phase::kCommand;
  bool hello_done_ = false;
  bool extended_ = false;      // EHLO or LHLO, not HELO
  bool mail_open_ = false;     // MAIL was accepted, and neither message nor RSET came
  bool handler_open_ = false;  // the handler has a transaction open
  bool closed_ = false;
  bool quit_ = false;
  Transaction transaction_;
  uint32_t mails_seen_ = 0;  // in this session, for LIMITS MAILMAX
  uint32_t protocol_errors_ = 0;
  // No input may come before the replies up to this place have been taken.
  uint64_t sync_end_ = 0;

  // The chunk that is being read. refusal code 0: its octets are kept.
  struct {
    uint64_t left = 0;
    bool last = false;
    ReplyCode refusal;
    EnhancedCode enhanced;
    std::string_view text;
    bool counts_as_error = false;
  } chunk_;

  size_t line_bytes_ = 0;  // of line_, or of the long line so far
  bool long_after_cr_ = false;
  std::array<char, kMailLineMax> line_;
};

}  // namespace volley::engine::smtp

#endif  // VOLLEY_ENGINE_SMTP_SERVER_IMPL_H_
