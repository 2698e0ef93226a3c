// RelayPool: the lanes of one shard to a campaign's relays, and who of them gets the next job.
//
// Each relay gets the share its weight says, counted over what was taken, within kShareSlack jobs.
// A relay that cannot be used has no share: what it gave back and what is left goes to the others,
// at its own share again when it comes back. Weight 0 stands by: it gets jobs only while no relay
// with a weight can be used.
//
// When no relay is left, a campaign's relays and a recipient's mail servers differ: see OnLost.
//
// Threading: the shard's thread. Lifetime: feed, settler, events, press and reactor outlive it.
#ifndef VOLLEY_PIPELINE_DELIVER_RELAY_POOL_H_
#define VOLLEY_PIPELINE_DELIVER_RELAY_POOL_H_

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "io/reactor/reactor.h"
#include "pipeline/deliver/lane.h"
#include "pipeline/deliver/press.h"
#include "pipeline/settle/outcome.h"

namespace volley::pipeline {

// Where the pool's jobs come from.
class JobFeed {
 public:
  virtual ~JobFeed() = default;
  virtual bool TakeJob(uint32_t flow, Job* job) = 0;  // false: none right now
  // Which flows have jobs, and how many; of those that are held none.
  virtual FlowSet flows_waiting() const = 0;
  virtual size_t jobs_waiting() const = 0;
  virtual FlowSet held() const = 0;    // of these none is to be taken for now, also none given back
  virtual bool exhausted() const = 0;  // none now, of any flow, and none will come
};

class RelayPoolEvents {
 public:
  virtual ~RelayPoolEvents() = default;
  virtual void OnPoolReady() = 0;                  // the first lane is
  virtual void OnPoolFailed(std::string why) = 0;  // none ever was: nothing has been sent
  // Those that were are lost, each with a notice: what it was fed is put off, give it no more.
  virtual void OnPoolLost() = 0;
  virtual void OnSessionsOpen(uint32_t open) = 0;
  virtual void OnNotice(std::string notice) = 0;
  virtual bool others_wait() const { return false; }  // as LaneEvents'
  virtual void OnParked(
      const ThrottleAnswer* answer) = 0;  // as LaneEvents::OnLaneParked, of any lane
  virtual void OnPoolDone() = 0;          // every job is settled, or Drain() or the failure is over
};

enum class OnLost : uint8_t {
  // What was not sent is no recipient's fault: put off, due at once, for the next run; nothing at
  // all is done with it when no relay was ever ready.
  kPutOff,
  kDefer,  // his servers cannot be reached: a try like any other
};

class RelayPool : private io::Timer {
 public:
  // `lanes`: one for each relay; not empty.
  RelayPool(io::Reactor* reactor, Press* press, JobFeed* feed, Settler* settler,
            RelayPoolEvents* events, std::vector<LaneOptions> lanes,
            OnLost on_lost = OnLost::kPutOff);
  ~RelayPool() override;

  void Start();
  void OnJobs();  // work has come, or the feed is exhausted
  void OnRoom();  // as Lane's
  void Drain();

  size_t size() const { return members_.size(); }
  const Lane& lane(size_t i) const;
  bool idle() const { return in_flight_ == 0 && given_back_count_ == 0; }  // no job is in its hands

 private:
  class Member;

  void OnTimer() override;
  void Wake();  // OnJobs from the loop, not from inside a callback
  bool TakeJobFor(Member* member, uint32_t flow, Job* job);
  bool TakeGivenBack(uint32_t flow, Job* job);
  void StartLane(Member* member);
  void StartStandby();
  bool MayTake(const Member& member);
  bool IsInShare(const Member& member) const;
  bool WeightedAreLost() const;
  bool AnyWeightedUsable() const;
  void Rejoin(Member* member);
  void OnMemberReady();
  void OnMemberLost(Member* member, const std::string& why);
  void OnMemberDone();
  void SettleRest();
  void Finish();
  void CountSessions();

  io::Reactor* const reactor_;
  JobFeed* const feed_;
  Settler* const settler_;
  RelayPoolEvents* const events_;
  const OnLost on_lost_;
  std::vector<std::unique_ptr<Member>> members_;
  std::vector<std::deque<Job>> given_back_;  // by flow; at most what was in flight
  FlowSet flows_given_back_ = 0;             // that have any
  size_t given_back_count_ = 0;
  uint64_t in_flight_ = 0;      // jobs taken, not settled and not given back
  size_t lost_ = 0, done_ = 0;  // members
  io::MonoTime awaited_until_;  // relays that have not been ready yet keep their share until then
  bool ready_ = false;          // mail has been taken by a relay, here or (proven) in another shard
  bool draining_ = false, finished_ = false;
  bool wake_set_ = false;
  bool starved_ = false;  // somebody was told to wait for his share
  std::string lost_reasons_;
};

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_DELIVER_RELAY_POOL_H_
