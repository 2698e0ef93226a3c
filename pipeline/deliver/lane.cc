#include "pipeline/deliver/lane.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "io/base/check.h"
#include "pipeline/deliver/session.h"

namespace volley::pipeline {

Lane::Lane(io::Reactor* reactor, const Campaign* campaign, JobSource* source, Settler* settler,
           LaneEvents* events, LaneOptions options)
    : reactor_(reactor),
      campaign_(campaign),
      source_(source),
      settler_(settler),
      events_(events),
      options_(std::move(options)),
      connections_now_(options_.connections_max) {
  VOLLEY_CHECK(!options_.endpoints.empty() && options_.connections_max > 0);
}

Lane::~Lane() { VOLLEY_CHECK(open_ == 0); }

void Lane::Start() { OpenOne(); }

void Lane::OnJobs() {
  if (done_) return;
  PumpIdle();
  OpenSessions();
  FinishIfDone();
}

void Lane::Drain() {
  draining_ = true;
  reactor_->CancelTimer(this);
  for (const auto& session : sessions_) session->CloseUnlessReady();
  OnJobs();
}

bool Lane::TakeJob(Job* job) {
  if (draining_) return false;
  if (!given_back_.empty()) {
    *job = given_back_.front();
    given_back_.pop_front();
  } else if (!source_->TakeJob(job)) {
    return false;
  }
  ++in_flight_;
  return true;
}

bool Lane::no_more_jobs() const {
  return draining_ || (given_back_.empty() && source_->exhausted());
}

void Lane::GiveBack(const Job& job, engine::smtp::CommandKind command,
                    const engine::smtp::ReplyView& reply) {
  --in_flight_;
  Job again = job;
  if (++again.free_retries > kFreeRetriesMax) {
    return settler_->Settle(job, Outcome::kDeferred, command, reply);
  }
  given_back_.push_back(again);
}

std::unique_ptr<engine::message::ComposedMessage> Lane::TakeMessage() {
  if (messages_.empty()) return std::make_unique<engine::message::ComposedMessage>();
  auto message = std::move(messages_.back());
  messages_.pop_back();
  return message;
}

void Lane::ReturnMessage(std::unique_ptr<engine::message::ComposedMessage> message) {
  messages_.push_back(std::move(message));
}

void Lane::OnSessionReady() {
  --connecting_;
  connecting_now_ = std::min(connecting_now_ + 1, kConnectingMax);
  failures_in_row_ = 0;
  failing_since_ = io::MonoTime::Infinite();
  if (!backing_off_) connections_now_ = options_.connections_max;
  if (!ever_ready_) {
    ever_ready_ = true;
    events_->OnLaneReady();
  }
  OpenSessions();
}

void Lane::OnSessionIdle(Session* session) { idle_.push_back(session); }

void Lane::PumpIdle() {
  // A pumped session may list itself again: go through those listed now, once.
  std::vector<Session*> idle;
  idle.swap(idle_);
  for (Session* session : idle) session->Pump();
}

void Lane::OnSessionEnded(Session* session, bool was_ready, std::string why) {
  SetOpen(open_ - 1);
  std::erase(idle_, session);
  free_.push_back(session);
  if (!was_ready) {
    --connecting_;
    connecting_now_ = std::max(connecting_now_ / 2, 1u);
    ++failures_in_row_;
    const bool every_address_tried = failures_in_row_ % options_.endpoints.size() == 0;
    if (!ever_ready_) {
      if (!every_address_tried && !draining_) return OpenOne();
      if (!draining_ && !failed_) {
        failed_ = true;
        events_->OnLaneFailed(std::move(why));
      }
    } else if (every_address_tried && !draining_) {
      BackOff(why);
    }
  }
  PumpIdle();
  OpenSessions();
  FinishIfDone();
}

// The peer takes no more connections for now: keep those we have, and ask again later.
void Lane::BackOff(const std::string& why) {
  connections_now_ = std::max<uint32_t>(1, open_ - connecting_);
  if (failing_since_.is_infinite()) failing_since_ = reactor_->Now();
  if (open_ == 0 && reactor_->Now() - failing_since_ >= kGiveUpAfter) return GiveUp(why);
  if (backing_off_) return;
  const size_t doublings = std::min<size_t>(failures_in_row_ / options_.endpoints.size(), 7);
  const absl::Duration wait =
      std::min(kBackOffMax, kBackOffMin * static_cast<double>(uint64_t{1} << doublings) / 2);
  backing_off_ = true;
  reactor_->SetTimer(this, reactor_->Now() + wait);
  events_->OnLaneNotice(fmt::format("{}: {}; {} open, trying again in {} s", options_.peer_name,
                                    why, open_,
                                    absl::ToInt64Seconds(absl::Ceil(wait, absl::Seconds(1)))));
}

void Lane::OnTimer() {
  backing_off_ = false;
  connections_now_ = options_.connections_max;
  OpenSessions();
}

// The peer has been gone for long: the rest cannot be sent now.
void Lane::GiveUp(const std::string& why) {
  events_->OnLaneNotice(fmt::format("{}: {}; giving up", options_.peer_name, why));
  Job job;
  while (TakeJob(&job)) {
    --in_flight_;
    settler_->Settle(job, Outcome::kDeferred, engine::smtp::CommandKind::kGreeting, {{}, {}, why});
  }
}

void Lane::OpenSessions() {
  if (draining_ || !ever_ready_ || backing_off_) return;
  // Each session not ready yet, or idle, will take one of the waiting jobs.
  size_t wanted = work_waiting();
  wanted -= std::min<size_t>(wanted, connecting_ + idle_.size());
  while (wanted > 0 && open_ < connections_now_ && connecting_ < connecting_now_) {
    OpenOne();
    --wanted;
  }
}

void Lane::OpenOne() {
  if (free_.empty()) {
    sessions_.push_back(std::make_unique<Session>(this));
    free_.push_back(sessions_.back().get());
  }
  Session* session = free_.back();
  free_.pop_back();
  SetOpen(open_ + 1);
  ++connecting_;
  session->Open(options_.endpoints[next_endpoint_++ % options_.endpoints.size()]);
}

void Lane::SetOpen(uint32_t open) {
  open_ = open;
  events_->OnSessionsOpen(open);
}

void Lane::FinishIfDone() {
  if (done_ || open_ > 0 || in_flight_ > 0 || !no_more_jobs()) return;
  done_ = true;
  reactor_->CancelTimer(this);
  events_->OnLaneDone();
}

}  // namespace volley::pipeline
