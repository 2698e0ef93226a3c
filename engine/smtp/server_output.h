// ReplyBuffer: the replies a server has made and its driver has not sent yet. Two buffers: what was
// taken stays put until Sent(), what is added meanwhile goes to the other one.
// One thread. Keeps its memory; nothing is allocated per reply once warm.
#ifndef VOLLEY_ENGINE_SMTP_SERVER_OUTPUT_H_
#define VOLLEY_ENGINE_SMTP_SERVER_OUTPUT_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "engine/smtp/types.h"

namespace volley::engine::smtp {

class ReplyBuffer {
 public:
  void Clear();
  // "250 2.1.0 text" CRLF; with `more` a hyphen behind the code (RFC 5321 §4.2). Without `enhanced`
  // (class 0) there is none. Control characters in `text` become spaces and it is cut so that the
  // line stays within 512 octets (§4.5.3.1.5): a text may quote what a peer sent.
  void Add(ReplyCode code, EnhancedCode enhanced, std::string_view text, bool more = false);

  bool empty() const { return made_.empty(); }
  size_t pending() const { return made_.size(); }
  uint64_t end() const { return taken_ + made_.size(); }
  uint64_t taken() const { return taken_; }
  std::string_view Take(size_t max_bytes);
  void Sent() { sending_.clear(); }

 private:
  std::string made_;     // not taken yet
  std::string sending_;  // taken; LIFETIME: its bytes are the driver's until Sent()
  uint64_t taken_ = 0;
};

}  // namespace volley::engine::smtp

#endif  // VOLLEY_ENGINE_SMTP_SERVER_OUTPUT_H_
