// ModelServer: a server for the property test and the fuzzer of the client machine. It follows the
// RFCs where they bind a server, chooses its replies by a caller's coin, remembers what it really
// accepted, and says what the client did that no client may do.
//
// A transaction is known by its addresses: MAIL FROM:<t7@c.example>, RCPT TO:<r0.t7@d.example>.
//
// Threading: one thread.
#ifndef VOLLEY_TESTS_ENGINE_SMTP_MODEL_SERVER_H_
#define VOLLEY_TESTS_ENGINE_SMTP_MODEL_SERVER_H_

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace volley::engine::smtp {

struct ModelServerOptions {
  bool lmtp = false;
  bool pipelining = true;
  bool chunking = false;
  std::string limits;  // "LIMITS MAILMAX=3", or empty
};

class ModelServer {
 public:
  // What to do instead of going on as usual.
  enum class Mood { kFine, kTransient, kPermanent, kTooMany, kClosing, kHangUp, kNonsense };
  using Coin = std::function<Mood()>;

  ModelServer(ModelServerOptions options, Coin coin) : options_(options), coin_(std::move(coin)) {
    Say("220 model\r\n", coin_());
    wait_for_bytes_ = said_bytes_;
  }

  // Takes bytes the client sent. Ignored once it has hung up.
  void Receive(std::string_view bytes);
  std::string TakeReplies() { return std::exchange(replies_, ""); }
  // The client was given that many bytes more of the replies.
  void OnRepliesDelivered(size_t bytes) { delivered_bytes_ += bytes; }
  bool hung_up() const { return hung_up_; }

  // (tag, recipient) of what was accepted: the model holds these messages.
  const std::set<std::pair<uint64_t, uint32_t>>& delivered() const { return delivered_; }
  const std::string& fault() const { return fault_; }
  uint32_t mails() const { return mails_; }
  void Expect(uint64_t tag, std::string content) { contents_[tag] = std::move(content); }
  // Refuse the message now being received, in mid-content. False when none is.
  bool RefuseEarly();

 private:
  void TakeLine(std::string_view line);
  void OnHello(std::string_view line);
  void OnMail(std::string_view line);
  void OnRcpt(std::string_view line);
  void OnData();
  void OnBdat(std::string_view line);
  void TakeDataLine(std::string_view line);
  void EndContent();
  void Clear();
  // True when the reply was the positive one.
  bool Say(std::string_view positive, Mood mood);
  static std::string_view Words(std::string_view positive, Mood mood);
  void Fault(std::string what) {
    if (fault_.empty()) fault_ = std::move(what);
  }

  const ModelServerOptions options_;
  Coin coin_;
  std::string input_, replies_, fault_;
  // Bytes of replies said, known to the client, and said when it had to wait last: for the
  // greeting, or the reply to a command that is last in its group.
  uint64_t said_bytes_ = 0, delivered_bytes_ = 0, wait_for_bytes_ = 0;
  bool pipelining_ = false, chunking_ = false;  // as the last hello's reply said
  bool hung_up_ = false, quit_ = false;
  bool in_data_ = false, in_mail_ = false, refused_early_ = false, bdat_failed_ = false;
  uint64_t bdat_left_ = 0;
  bool in_bdat_ = false;
  uint64_t tag_ = 0;
  uint32_t mails_ = 0;
  std::vector<uint32_t> accepted_;
  std::string content_;
  std::map<uint64_t, std::string> contents_;
  std::set<std::pair<uint64_t, uint32_t>> delivered_;
};

}  // namespace volley::engine::smtp

#endif  // VOLLEY_TESTS_ENGINE_SMTP_MODEL_SERVER_H_
