// Server: the receiving side of SMTP and LMTP as a sans-I/O state machine, strict about line ends
// (RFC 5321 §2.3.8: a bare CR or LF in a command or in content is refused, so no smuggling).
// Serves the sink, and later the submission listener.
//
// Refused content (bare CR or LF, NUL, an over-long line) is read to its end and answered there
// with 550, so both sides stay in step. Input that comes before the reply it had to wait for (RFC
// 2920 §3.1: EHLO, DATA, NOOP, VRFY ... are the last of a group; anything at all where PIPELINING
// is not offered; before the greeting) is answered 554 and ends the session, as Postfix and Exim
// do: a peer that does not read replies would have its content taken for commands. After a failed
// BDAT only RSET goes on (RFC 3030 §2); a malformed one ends the session, because nobody knows how
// many octets follow.
//
// A driver does: Receive(bytes) -> if no send is in flight: TakeOutput() and send -> when closed()
// and all output is sent: close the connection.
//
// Threading: one thread. Nothing is allocated per message once warm.
#ifndef VOLLEY_ENGINE_SMTP_SERVER_H_
#define VOLLEY_ENGINE_SMTP_SERVER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "engine/smtp/types.h"

namespace volley::engine::smtp {

// LIFETIME: outlives every Server made with it.
struct ServerOptions {
  Protocol protocol = Protocol::kSmtp;
  std::string hostname = "localhost";
  std::string banner_text = "ESMTP volley";
  bool pipelining = true;
  bool chunking = true;
  bool eight_bit_mime = true;
  bool smtputf8 = true;
  bool enhanced_status_codes = true;
  uint64_t size_max = 100u << 20;  // bytes of content; 0: no limit, none advertised
  uint32_t recipients_max = 1000;  // a transaction; over it 452 4.5.3 (RFC 5321 §4.5.3.1.10)
  std::optional<uint32_t> mail_max, rcpt_max;  // RFC 9422 LIMITS, advertised and enforced
  uint32_t text_line_max = 1000;               // octets with CRLF (RFC 5321 §4.5.3.1.6); 0: any
  uint32_t protocol_errors_max = 20;           // at this many 421 and close; 0: never
};

// A reply the handler chose. Empty text: the machine's own words for the code. A code out of 200 to
// 599 is a broken handler and becomes 451.
struct ServerReply {
  ReplyCode code;
  EnhancedCode enhanced;
  std::string_view text;    // one line, no CR or LF
  bool then_close = false;  // say it, then end the session (421 and the like)
};

// MAIL's parameters.
struct MailParameters {
  uint64_t size = 0;       // SIZE=, 0: not given
  bool eight_bit = false;  // BODY=8BITMIME
  bool smtputf8 = false;
};

// Decides and keeps. All views are valid during the call only.
class ServerHandler {
 public:
  virtual ~ServerHandler() = default;
  virtual ServerReply OnHello(std::string_view helo) = 0;
  virtual ServerReply OnMail(std::string_view reverse_path, const MailParameters& parameters) = 0;
  virtual ServerReply OnRcpt(std::string_view forward_path) = 0;
  // A part of the content, dots removed, CRLF line ends kept. Any number of calls a message.
  virtual void OnContent(std::span<const char> bytes) = 0;
  // End of the message. SMTP: called once (recipient 0). LMTP: once for each accepted recipient, in
  // order, and that reply is that recipient's (RFC 2033 §4.2).
  virtual ServerReply OnContentEnd(uint32_t recipient) = 0;
  // The open transaction is over without a message: RSET, a new EHLO, a refused or broken content,
  // or the end of the session.
  virtual void OnReset() = 0;
};

class Server {
 public:
  Server(const ServerOptions* options, ServerHandler* handler);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  void Reset();  // ready for a fresh connection; keeps its buffers
  void Start();  // puts the 220 greeting into the output
  void Receive(std::span<const char> bytes);
  void OnConnectionClosed();

  bool has_output() const;
  // The replies so far, but no more than `max_bytes` of them (a driver that delays replies takes
  // them by the flight, see output_end()). LIFETIME: until OnOutputSent(). What Receive() makes
  // meanwhile is kept apart. REQUIRES: what was taken before has been sent.
  std::string_view TakeOutput(size_t max_bytes = SIZE_MAX);
  void OnOutputSent();
  // Positions in the stream of all replies since Reset(): of what was made, and of what was taken.
  uint64_t output_end() const;
  uint64_t output_taken() const;

  // Says `reply` (a 421: shutting down, idle too long; RFC 5321 §3.8) and ends the session. An open
  // transaction is reset. Nothing happens when the session has ended already.
  void EndSession(const ServerReply& reply);

  bool in_transaction() const;       // a MAIL was accepted and its message is not over
  bool closed() const;               // close once the output is sent
  uint32_t protocol_errors() const;  // commands or line ends that broke the rules, since Reset()

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace volley::engine::smtp

#endif  // VOLLEY_ENGINE_SMTP_SERVER_H_
