// Press: turns a shard's jobs into copies, just before they go out: reads the recipient's row,
// looks once more whether the person still wants mail, composes and signs.
//
// While nothing can be sent (no session is ready yet, or the peer holds us off) it signs the copies
// that come next, one at a time from the reactor's timer, so that the wait is not lost.
//
// Threading: the shard's thread. Lifetime: campaigns and reactor outlive it.
#ifndef VOLLEY_PIPELINE_DELIVER_PRESS_H_
#define VOLLEY_PIPELINE_DELIVER_PRESS_H_

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "io/reactor/reactor.h"
#include "pipeline/campaign/campaign.h"
#include "pipeline/compose/copy.h"
#include "pipeline/settle/outcome.h"
#include "pipeline/store/suppression.h"

namespace volley::pipeline {

// What a flow's copies are made of.
struct FlowMail {
  const Campaign* campaign = nullptr;
  std::shared_ptr<const SuppressionSnapshot> suppressed;  // null: nobody is (tests)
};

class Press : private io::Timer {
 public:
  // The job that comes `n` behind the next one; nullptr: not known yet.
  using Peek = std::function<const Job*(size_t n)>;

  // `flows`: by number; not empty.
  Press(io::Reactor* reactor, std::span<const FlowMail> flows, Peek peek);
  ~Press() override;

  struct Made {
    std::optional<Outcome> outcome;  // of a job that is not to be sent; none: send it
    std::string why;
    const RecipientRecord* record = nullptr;  // good until the next call
  };
  Made Make(const Job& job, Copy* out);
  // The copy will be made again.
  void Keep(const Job& job, const Copy& copy) { parts_[job.flow]->maker.Keep(copy); }

  // Nothing can be sent for now: copies are signed ahead until StopAhead().
  void StartAhead();
  void StopAhead();
  uint64_t signed_ahead() const { return signed_ahead_; }

 private:
  struct Part {
    explicit Part(const FlowMail& mail);
    const Campaign* const campaign;
    std::optional<SuppressionReader> suppressed;
    CopyMaker maker;
  };
  void OnTimer() override;
  bool can_keep() const;  // of any flow

  io::Reactor* const reactor_;
  const Peek peek_;
  std::vector<std::unique_ptr<Part>> parts_;  // by flow
  RecipientRecord record_;                    // reused for every copy
  bool ahead_ = false;
  size_t ahead_next_ = 0;  // how far behind the next job
  uint64_t signed_ahead_ = 0;
};

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_DELIVER_PRESS_H_
