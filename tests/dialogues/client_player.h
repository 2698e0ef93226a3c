// ClientPlayer: plays a dialogue against the SMTP client machine. Every byte the client sends and
// every event it reports must be written down, at the place where it happens; anything else fails.
//
// Threading: one thread. Lifetime: one object plays one dialogue once.
#ifndef VOLLEY_TESTS_DIALOGUES_CLIENT_PLAYER_H_
#define VOLLEY_TESTS_DIALOGUES_CLIENT_PLAYER_H_

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/sasl/client.h"
#include "engine/sasl/scram.h"
#include "engine/smtp/client.h"
#include "tests/dialogues/runner.h"

namespace volley::dialogues {

enum class Segmentation {
  kWhole,       // what the server says between two of the client's turns arrives at once
  kByteByByte,  // one byte a Receive(), content in pieces of one byte, one piece a TakeOutput()
};

// Nonces are the one of RFC 5802 §5: fyko+d2lbbFgONRv9qkxdawL.
class RfcRandom final : public engine::sasl::RandomSource {
 public:
  bool Fill(std::span<unsigned char> out) override;
};

class ClientPlayer : public engine::smtp::ClientObserver {
 public:
  ClientPlayer(const Dialogue* dialogue, Segmentation segmentation);

  // Empty when everything was as written; else "file:line: what".
  std::string Play();

 private:
  using Handler = std::string (ClientPlayer::*)(const Words&);

  void OnVerdict(const engine::smtp::Verdict& verdict) override;
  void OnTransactionEnd(uint64_t tag) override;

  std::string PlayStep(size_t index);
  std::string PlayServer(const Step& step, bool last_of_block);
  std::string PlayClient(const Step& step);
  std::string PlayDirective(const Step& step);
  std::string PlayExpect(const Step& step);
  std::string Quiet() const;  // empty when nothing is left over
  void AfterEvent();

  std::string DoOptions(const Words& words);
  std::string DoAdd(const Words& words);
  std::string DoQuit(const Words& words);
  std::string DoClose(const Words& words);
  std::string DoTimeout(const Words& words);
  std::string DoReset(const Words& words);
  std::string DoTls(const Words& words);
  std::string DoTlsFailed(const Words& words);
  std::string DoHold(const Words& words);
  std::string DoTake(const Words& words);
  std::string DoSent(const Words& words);
  std::string DoRelease(const Words& words);
  std::string ExpectState(const Words& words) const;
  std::string DoAuthOptions(const Words& words);

  engine::smtp::Client& client();
  void Pump();
  void Take(size_t pieces);
  std::vector<std::string> ContentOf(const Words& words) const;

  const Dialogue* const dialogue_;
  const Segmentation segmentation_;
  engine::smtp::ClientOptions options_;
  engine::sasl::Credentials credentials_;
  RfcRandom random_;
  std::unique_ptr<engine::smtp::Client> client_;  // made at its first use: after @options
  std::deque<std::string> bytes_;                 // contents: stay where they are
  std::deque<std::vector<iovec>> pieces_;
  std::string server_block_;
  std::string output_;              // sent by the client, not yet written down
  std::deque<std::string> events_;  // reported by it, not yet written down
  bool closed_told_ = false;
  bool holding_ = false;  // the driver does not take output
};

}  // namespace volley::dialogues

#endif  // VOLLEY_TESTS_DIALOGUES_CLIENT_PLAYER_H_
