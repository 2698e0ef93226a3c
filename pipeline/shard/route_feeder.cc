#include "pipeline/shard/route_feeder.h"

#include <algorithm>
#include <array>

namespace volley::pipeline {
namespace {

constexpr uint32_t kSortAtOnce = 16384;  // jobs, before the shards are fed again
// Of one lane, before it is another's turn: what a connection takes before it is renewed, or a
// session would sit idle in the middle.
constexpr size_t kPushAtOnce = 128;

std::string_view DomainOf(std::string_view address) {
  return address.substr(address.rfind('@') + 1);
}

}  // namespace

RouteFeeder::RouteFeeder(uint8_t flow, const RecipientFile* list, const Ledger* ledger,
                         Feeder* feeder, RouteTable* table, Settler* settler)
    : flow_(flow),
      list_(list),
      ledger_(ledger),
      feeder_(feeder),
      table_(table),
      settler_(settler),
      next_(ledger->size(), kNone),
      offsets_(ledger->size(), 0) {
  table->AddFeeder(this);
}

absl::StatusOr<bool> RouteFeeder::Step(UnixSeconds now) {
  if (stopped_) return false;
  auto sorted = Sort(now);
  if (!sorted.ok()) return sorted;
  const bool pushed = Push();
  if (!status_.ok()) return status_;
  return *sorted || pushed;
}

// --- Sorting ---

absl::StatusOr<bool> RouteFeeder::Sort(UnixSeconds now) {
  for (uint32_t sorted = 0; sorted < kSortAtOnce;) {
    const auto jobs = feeder_->Peek(now);
    if (!jobs.ok()) return jobs.status();
    if (jobs->empty()) return sorted > 0;
    for (const Job& job : *jobs) {
      if (absl::Status s = Place(job); !s.ok()) return s;
    }
    sorted += static_cast<uint32_t>(jobs->size());
    feeder_->Pop(jobs->size());
  }
  return true;
}

absl::Status RouteFeeder::Place(const Job& job) {
  if (const auto next = list_->ReadAt(job.offset, &record_); !next.ok()) return next.status();
  offsets_[job.index] = job.offset;
  const std::string_view domain = DomainOf(record_.address);
  const RouteAnswer answer = table_->Find(domain);
  Queue one;
  Append(&one, job.index);
  ++waiting_;
  if (answer.state == RouteAnswer::State::kAsking) {
    Join(&asking_[std::string(domain)], one);
  } else {
    Apply(answer, one);
  }
  return status_;
}

void RouteFeeder::OnAnswer(std::string_view domain) {
  const auto waiting = asking_.find(absl::string_view(domain.data(), domain.size()));
  if (waiting == asking_.end()) return;
  const RouteAnswer answer = table_->Find(domain);
  if (answer.state == RouteAnswer::State::kAsking) return;
  const Queue queue = waiting->second;
  asking_.erase(waiting);
  Apply(answer, queue);
}

void RouteFeeder::Apply(const RouteAnswer& answer, const Queue& queue) {
  Queue rest = queue;
  if (answer.state == RouteAnswer::State::kKnown) {
    return ToRoute(answer.route, &rest);
  }
  const bool never = answer.state == RouteAnswer::State::kNoMail;
  SettleAll(&rest, {.outcome = never ? Outcome::kBounced : Outcome::kDeferred,
                    .lane = kNone,
                    .command = engine::smtp::CommandKind::kGreeting,
                    .reply = {answer.code, answer.enhanced, answer.text}});
}

void RouteFeeder::ToRoute(const std::shared_ptr<const Route>& route, Queue* queue) {
  const auto sources = static_cast<uint32_t>(table_->sources());
  while (queue->count > 0) {
    const auto lane = table_->LaneOf(route, queue->head % sources);
    if (!lane.ok()) return status_.Update(lane.status());
    if (sources == 1) {
      Join(&QueueOf(*lane).queue, *queue);
      queue->count = 0;
    } else {
      Append(&QueueOf(*lane).queue, TakeFirst(queue));
    }
    List(*lane);
  }
}

RouteFeeder::LaneQueue& RouteFeeder::QueueOf(uint32_t lane) {
  while (lanes_.size() <= lane) {
    lanes_.push_back({.queue = {},
                      .with_shard = std::vector<uint32_t>(table_->shards().size()),
                      .turn = lanes_.size()});
  }
  return lanes_[lane];
}

// --- Feeding ---

void RouteFeeder::List(uint32_t id) {
  LaneQueue& lane = QueueOf(id);
  if (lane.listed || lane.queue.count == 0 || table_->rests(id)) return;
  lane.listed = true;
  listed_.push_back(id);
}

// Every listed route gets its turn once.
bool RouteFeeder::Push() {
  bool more = false;
  for (size_t n = listed_.size(); n > 0; --n) {
    const uint32_t id = listed_.front();
    listed_.pop_front();
    lanes_[id].listed = false;
    bool ring_full = false;
    const bool pushed = PushLane(id, &ring_full);
    // Who has all he may have is listed again by news of what was taken of it; news of anybody come
    // when a ring has room again.
    if (pushed || ring_full) List(id);
    more = more || pushed;
  }
  return more;
}

bool RouteFeeder::PushLane(uint32_t id, bool* ring_full) {
  LaneQueue& lane = lanes_[id];
  if (table_->rests(id)) return false;
  const size_t shards = table_->shards().size();
  for (size_t tried = 0; tried < shards; ++tried) {
    const size_t shard = lane.turn++ % shards;
    if (lane.queue.count > 0 && PushTo(&lane, id, shard, ring_full) > 0) return true;
  }
  return false;
}

size_t RouteFeeder::PushTo(LaneQueue* lane, uint32_t id, size_t shard, bool* ring_full) {
  uint32_t& with = lane->with_shard[shard];
  const uint32_t credit = table_->credit();
  if (with >= credit || table_->shards()[shard]->state() == Shard::State::kDone) return 0;
  const size_t want = std::min<size_t>({kPushAtOnce, credit - with, lane->queue.count});
  std::array<Job, kPushAtOnce> jobs;
  const Queue before = lane->queue;
  for (size_t i = 0; i < want; ++i) jobs[i] = JobOf(TakeFirst(&lane->queue), id);
  const size_t pushed = table_->shards()[shard]->Push({jobs.data(), want});
  if (pushed < want) {  // the rest stays first in its queue
    *ring_full = true;
    lane->queue = before;
    for (size_t i = 0; i < pushed; ++i) TakeFirst(&lane->queue);
  }
  with += static_cast<uint32_t>(pushed);
  waiting_ -= pushed;
  handed_out_ += pushed;
  return pushed;
}

void RouteFeeder::OnTaken(uint32_t id, size_t shard, uint32_t jobs) {
  LaneQueue& lane = QueueOf(id);
  lane.with_shard[shard] -= std::min(jobs, lane.with_shard[shard]);
  List(id);
}

void RouteFeeder::SettleWaiting(uint32_t lane, const TryEnd& end) {
  if (lane < lanes_.size() && !stopped_) SettleAll(&lanes_[lane].queue, end);
}

// --- Queues ---

void RouteFeeder::Append(Queue* queue, uint32_t index) {
  next_[index] = kNone;
  (queue->count++ == 0 ? queue->head : next_[queue->tail]) = index;
  queue->tail = index;
}

void RouteFeeder::Join(Queue* queue, const Queue& more) {
  if (more.count == 0) return;
  (queue->count == 0 ? queue->head : next_[queue->tail]) = more.head;
  queue->tail = more.tail;
  queue->count += more.count;
}

uint32_t RouteFeeder::TakeFirst(Queue* queue) {
  const uint32_t index = queue->head;
  queue->head = next_[index];
  --queue->count;
  return index;
}

Job RouteFeeder::JobOf(uint32_t index, uint32_t lane) const {
  return {.offset = offsets_[index],
          .lane = lane,
          .index = index,
          .was = ledger_->StateAt(index),
          .flow = flow_};
}

void RouteFeeder::SettleAll(Queue* queue, const TryEnd& end) {
  while (queue->count > 0) {
    settler_->Settle(JobOf(TakeFirst(queue), 0), end);
    --waiting_;
    ++handed_out_;
  }
}

// --- For people ---

std::vector<RouteStatus> RouteFeeder::Status() const {
  std::vector<RouteStatus> all;
  for (uint32_t id = 0; id < lanes_.size(); ++id) {
    RouteStatus status;
    status.name = table_->NameOf(id);
    status.provider = table_->ProviderOf(id);
    status.waiting = lanes_[id].queue.count;
    for (const uint32_t with : lanes_[id].with_shard) status.with_shards += with;
    status.down = table_->rests(id);
    status.why = table_->WhyItRests(id);
    status.adapted = table_->AdaptedOf(id);
    all.push_back(std::move(status));
  }
  return all;
}

}  // namespace volley::pipeline
