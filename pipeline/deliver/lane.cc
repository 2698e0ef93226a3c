#include "pipeline/deliver/lane.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "engine/policy/provider_pack.h"
#include "engine/sasl/reply.h"
#include "io/base/check.h"
#include "pipeline/deliver/session.h"

namespace volley::pipeline {

using engine::sasl::AuthFailure;
using engine::smtp::TlsPolicy;

namespace {

std::vector<FlowShare> SharesOf(const LaneOptions& options) {
  std::vector<FlowShare> shares;
  for (const LaneFlow& flow : options.flows) shares.push_back(flow.share);
  return shares;
}

std::vector<std::string> CampaignsOf(const LaneOptions& options) {
  std::vector<std::string> campaigns;
  for (const LaneFlow& flow : options.flows) campaigns.push_back(flow.campaign);
  return campaigns;
}

}  // namespace

Lane::Lane(io::Reactor* reactor, Press* press, JobSource* source, Settler* settler,
           LaneEvents* events, LaneOptions options)
    : reactor_(reactor),
      press_(press),
      source_(source),
      settler_(settler),
      events_(events),
      options_(std::move(options)),
      turn_(SharesOf(options_)),
      parked_until_(options_.flows.size()),
      connections_now_(options_.connections_max),
      addresses_(std::make_shared<const AddressList>(
          AddressList{options_.relay.endpoints, options_.relay.endpoints.size()})),
      ever_ready_(options_.proven) {
  VOLLEY_CHECK(!addresses_->endpoints.empty() && options_.connections_max > 0);
  client_options_ = MakeClientOptions(options_.relay, options_.relay.endpoints[0]);
  client_options_.scram_keys = &scram_keys_;
  if (options_.limits != nullptr) {
    auto set = options_.limits->SetFor(options_.limit_key, CampaignsOf(options_));
    VOLLEY_CHECK(set.ok());  // more limits than a set can hold are refused where they are made
    limits_ = *std::move(set);
  }
}

Lane::~Lane() {
  VOLLEY_CHECK(open_ == 0);
  reactor_->CancelTimer(&park_timer_);
  reactor_->CancelTimer(this);
}

void Lane::Start() {
  if (done_ || takes_no_jobs()) return;
  SetUsable();
  OpenOne();
  press_->StartAhead();
}

void Lane::OnJobs() {
  if (done_) return;
  if (ready() == 0 && !takes_no_jobs()) press_->StartAhead();
  PumpIdle();
  OpenSessions();
  FinishIfDone();
}

void Lane::Drain() {
  draining_ = true;
  reactor_->CancelTimer(this);
  CloseUnready();
  SetUsable();
  OnJobs();
}

// --- Jobs ---

bool Lane::TakeJob(Job* job, Permit* permit) {
  if (takes_no_jobs()) return false;
  FlowSet ready = source_->flows_waiting() & ~parked_;
  while (ready != 0) {
    const uint32_t flow = turn_.Pick(ready);
    const ThrottleAnswer answer = limits_.Take(reactor_->Now(), 1, permit, flow);
    if (!answer.granted()) {
      // What all flows share is asked once: each asking would claim a turn of its own.
      const bool own = !answer.limit->key().campaign.empty();
      Park(own ? FlowBit(flow) : kAllFlows, answer);
    } else if (source_->TakeJob(flow, job)) {
      turn_.Took(flow);
      return true;
    } else {
      limits_.Return(permit);
    }
    ready &= ~(parked_ | FlowBit(flow));
  }
  return false;
}

void Lane::Park(FlowSet flows, const ThrottleAnswer& answer) {
  parked_ |= flows;
  io::MonoTime first = io::MonoTime::Infinite();
  for (uint32_t flow = 0; flow < parked_until_.size(); ++flow) {
    io::MonoTime& until = parked_until_[flow];
    if ((flows & FlowBit(flow)) != 0) until = std::max(until, answer.again);
    if ((parked_ & FlowBit(flow)) != 0) first = std::min(first, until);
  }
  if (!first.is_infinite()) reactor_->SetTimer(&park_timer_, first);
  events_->OnLaneParked(&answer);
}

void Lane::Unpark(io::MonoTime now) {
  io::MonoTime first = io::MonoTime::Infinite();
  const FlowSet before = std::exchange(parked_, 0);
  for (uint32_t flow = 0; flow < parked_until_.size(); ++flow) {
    if ((before & FlowBit(flow)) == 0) continue;
    if (parked_until_[flow] <= now) {
      parked_until_[flow] = {};
      continue;
    }
    parked_ |= FlowBit(flow);
    first = std::min(first, parked_until_[flow]);
  }
  reactor_->CancelTimer(&park_timer_);
  if (!first.is_infinite()) reactor_->SetTimer(&park_timer_, first);
  events_->OnLaneParked(nullptr);
  OnJobs();
}

void Lane::WaitForRoom(const ThrottleAnswer& answer) {
  if (!std::exchange(waits_for_room_, true)) events_->OnLaneParked(&answer);
}

void Lane::OnRoom() {
  if (parked_ != 0) Unpark(io::MonoTime::Infinite());
  if (!std::exchange(waits_for_room_, false)) return;
  events_->OnLaneParked(nullptr);
  if (!ever_ready_ && open_ == 0 && !takes_no_jobs()) {
    OpenOne();
  } else {
    OpenSessions();
  }
}

void Lane::GiveBack(const Job& job, engine::smtp::CommandKind command,
                    const engine::smtp::ReplyView& reply) {
  Job again = job;
  if (++again.free_retries > kFreeRetriesMax) {
    return Settle(job, Outcome::kDeferred, command, reply);
  }
  settler_->TakeBack(job);
  if (reply.code.value() >= 400) TellRefusal(command, reply);
  source_->GiveBack(again);
}

bool Lane::ClosesSession(engine::smtp::CommandKind command,
                         const engine::smtp::ReplyView& reply) const {
  const uint16_t code = reply.code.value();
  if (options_.policy == nullptr || code < 400 || code >= 500) return false;
  const std::string enhanced = EnhancedText(reply.enhanced);
  const auto* rule =
      engine::policy::ProviderPack::Match(*options_.policy, {.provider = options_.provider,
                                                             .stage = StageOf(command),
                                                             .code = code,
                                                             .enhanced = enhanced,
                                                             .text = reply.text});
  return rule != nullptr && rule->action == engine::policy::ReplyAction::kClose;
}

void Lane::TellRefusal(engine::smtp::CommandKind command, const engine::smtp::ReplyView& reply) {
  settler_->TellRefusal(
      {.lane = options_.id, .command = command, .reply = reply, .provider = options_.provider});
}

void Lane::Settle(const Job& job, Outcome outcome, engine::smtp::CommandKind command,
                  const engine::smtp::ReplyView& reply, absl::Duration took) {
  const bool tried = outcome != Outcome::kSuppressed && outcome != Outcome::kUnrenderable;
  settler_->Settle(job,
                   {outcome, tried, options_.id, command, reply, took, options_.provider, retry()});
  if (outcome == Outcome::kDelivered) ++stats_.delivered;
  source_->OnSettled(outcome);
}

void Lane::DeferUnreachable(const Job& job, std::string_view why) {
  settler_->Settle(job, {.outcome = Outcome::kDeferred,
                         .lane = options_.id,
                         .command = engine::smtp::CommandKind::kGreeting,
                         .reply = {refused_with_, {}, why},
                         .provider = options_.provider,
                         .retry = retry()});
}

std::unique_ptr<Copy> Lane::TakeCopy() {
  if (copies_.empty()) return std::make_unique<Copy>();
  auto copy = std::move(copies_.back());
  copies_.pop_back();
  return copy;
}

void Lane::ReturnCopy(std::unique_ptr<Copy> copy) { copies_.push_back(std::move(copy)); }

// --- Sessions ---

// nullptr: there is none, and the lane has gone on without TLS or failed.
io::TlsClientContext* Lane::TlsContext() {
  if (tls_context_ == nullptr) {
    auto config = options_.relay.tls_config->Get();
    if (!config.ok()) return nullptr;
    tls_context_ = std::make_unique<io::TlsClientContext>(*std::move(config));
  }
  return tls_context_.get();
}

void Lane::OnSessionTls(const io::TlsInfo& info) {
  ++stats_.handshakes;
  stats_.resumed += info.resumed;
  if (!info.resumed || !stats_.tls) stats_.tls = info;
}

void Lane::OnSessionReady(const engine::smtp::Client& client) {
  --connecting_;
  press_->StopAhead();
  connecting_now_ = std::min(connecting_now_ + 1, kConnectingMax);
  failures_in_row_ = 0;
  failing_since_ = io::MonoTime::Infinite();
  ++stats_.sessions;
  if (client.authenticated()) stats_.auth = client.auth_mechanism();
  if (hold_ == Hold::kCredentials) EndHold();
  if (hold_ == Hold::kNone) connections_now_ = options_.connections_max;
  const bool first = stats_.sessions == 1;
  ever_ready_ = true;
  SetUsable();
  if (first) events_->OnLaneReady();
  OpenSessions();
}

void Lane::OnSessionIdle(Session* session) { idle_.push_back(session); }

void Lane::PumpIdle() {
  // A pumped session may list itself again: go through those listed now, once.
  std::vector<Session*> idle;
  idle.swap(idle_);
  for (Session* session : idle) session->Pump();
}

void Lane::CloseUnready() {
  for (const auto& session : sessions_) session->CloseUnlessReady();
}

void Lane::OpenSessions() {
  if (takes_no_jobs() || !ever_ready_ || hold_ != Hold::kNone || waits_for_room_) return;
  // Each session not ready yet, or idle, will take one of the waiting jobs.
  size_t wanted = (source_->flows_waiting() & ~parked_) == 0 ? 0 : source_->jobs_waiting();
  if (!limits_.empty()) wanted = std::min<size_t>(wanted, 1);
  wanted -= std::min<size_t>(wanted, connecting_ + idle_.size());
  while (wanted > 0 && open_ < connections_now_ && connecting_ < connecting_now_) {
    if (!OpenOne()) return;
    --wanted;
  }
}

bool Lane::OpenOne() {
  ConnectionLease lease;
  if (limits_.limits_connections()) {
    if (open_ > 0 && events_->others_wait()) return false;
    const ThrottleAnswer answer = limits_.Open(&lease, open_ == 0);
    if (!answer.granted()) {
      if (open_ == 0) WaitForRoom(answer);
      return false;
    }
  }
  if (free_.empty()) {
    sessions_.push_back(std::make_unique<Session>(this));
    free_.push_back(sessions_.back().get());
  }
  Session* session = free_.back();
  free_.pop_back();
  SetOpen(open_ + 1);
  ++connecting_;
  session->Open(NextEndpoint(), std::move(lease));
  return true;
}

// The best in turn; after failures also the others, each once.
const io::Endpoint& Lane::NextEndpoint() {
  if (options_.relay.addresses != nullptr) {
    addresses_ = options_.relay.addresses->Get(io::MonotonicNow());
  }
  const auto& endpoints = addresses_->endpoints;
  const size_t best = addresses_->best, tried = failures_in_row_ % endpoints.size();
  if (tried == 0) return endpoints[next_endpoint_++ % best];
  return endpoints[tried < best ? (next_endpoint_ - 1 + tried) % best : tried];
}

void Lane::SetOpen(uint32_t open) {
  open_ = open;
  events_->OnSessionsOpen(open);
}

// --- When the peer does not want us ---

void Lane::OnSessionEnded(Session* session, const SessionEnd& end) {
  SetOpen(open_ - 1);
  std::erase(idle_, session);
  free_.push_back(session);
  // Those who waited for its place are asked before this lane takes it again.
  if (end.place_was_wanted && open_ == 0) WaitForRoom(limits_.NoRoom());
  if (!end.was_ready) {
    refused_with_ = end.code;
    --connecting_;
    if (!takes_no_jobs()) OnNeverReady(end);
  }
  SetUsable();
  PumpIdle();
  if (!end.place_was_wanted) OpenSessions();
  FinishIfDone();
}

void Lane::OnNeverReady(const SessionEnd& end) {
  if (end.code.value() >= 400) {
    TellRefusal(engine::smtp::CommandKind::kGreeting, {end.code, {}, end.why});
  }
  connecting_now_ = std::max(connecting_now_ / 2, 1u);
  if (end.tls_failed && client_options_.tls == TlsPolicy::kOpportunistic &&
      stats_.handshakes == 0) {
    return GiveUpTls(end.why);
  }
  if (end.auth_failure != AuthFailure::kNone && !engine::sasl::IsTemporary(end.auth_failure)) {
    return HoldForCredentials(end);
  }
  if (hold_ == Hold::kCredentials) return ProbeEndedOtherwise(end);
  ++failures_in_row_;
  const bool every_address_tried = failures_in_row_ % addresses_->endpoints.size() == 0;
  if (ever_ready_) {
    if (every_address_tried) BackOff(end.why);
  } else if (every_address_tried) {
    Fail(end.why);
  } else {
    OpenOne();
  }
}

// RFC 7435: where encryption is a bonus, mail goes without it rather than not at all.
void Lane::GiveUpTls(const std::string& why) {
  client_options_.tls = TlsPolicy::kOff;
  events_->OnLaneNotice(Notice(fmt::format("going on without TLS: {}", why)));
  if (!ever_ready_) OpenOne();
}

// The peer takes no more connections for now: keep those we have, and ask again later.
void Lane::BackOff(const std::string& why) {
  connections_now_ = std::max<uint32_t>(1, ready());
  if (failing_since_.is_infinite()) failing_since_ = reactor_->Now();
  if (open_ == 0 && reactor_->Now() - failing_since_ >= kGiveUpAfter) return GiveUp(why);
  if (hold_ != Hold::kNone) return;
  const size_t doublings = std::min<size_t>(failures_in_row_ / addresses_->endpoints.size(), 7);
  const absl::Duration wait =
      std::min(kBackOffMax, kBackOffMin * static_cast<double>(uint64_t{1} << doublings) / 2);
  hold_ = Hold::kBackOff;
  reactor_->SetTimer(this, reactor_->Now() + wait);
  events_->OnLaneNotice(
      Notice(fmt::format("{}; {} open, trying again in {} s", why, open_,
                         absl::ToInt64Seconds(absl::Ceil(wait, absl::Seconds(1))))));
}

void Lane::OnTimer() {
  if (hold_ == Hold::kCredentials) return PollCredentials();
  EndHold();
  OpenSessions();
}

void Lane::EndHold() {
  hold_ = Hold::kNone;
  reactor_->CancelTimer(this);
  connections_now_ = options_.connections_max;
  refusal_.clear();
  probes_ = 0;
  SetUsable();
}

// --- Credentials ---

// Sessions that would try the same are stopped first: a server counts wrong log-ins. Those that
// are logged in go on.
void Lane::HoldForCredentials(const SessionEnd& end) {
  if (hold_ != Hold::kCredentials) {
    probes_ = 0;
    tried_new_ = probing_ = false;
  }
  probes_ += probing_ ? 1 : 0;
  probing_ = false;
  hold_ = Hold::kCredentials;
  refused_version_ = end.credentials_version;
  CloseUnready();
  if (probes_ >= std::size(kCredentialProbes)) return GiveUp(end.why);
  next_probe_ = reactor_->Now() + kCredentialProbes[probes_];
  if (options_.relay.credentials != nullptr) options_.relay.credentials->Refused(refused_version_);
  if (ever_ready_ && refusal_ != end.why) {
    events_->OnLaneNotice(
        Notice(fmt::format("{} Waiting for other credentials; {} open", end.why, ready())));
  }
  refusal_ = end.why;
  PollCredentials();
}

void Lane::PollCredentials() {
  using Renewal = CredentialKeeper::Renewal;
  if (takes_no_jobs()) return;
  reactor_->SetTimer(this, reactor_->Now() + kCredentialPoll);
  if (connecting_ > 0) return;  // one at a time
  const CredentialKeeper& keeper = *options_.relay.credentials;
  const Renewal renewal = keeper.renewal(refused_version_);
  if (!tried_new_ && keeper.current()->version != refused_version_) {
    tried_new_ = true;
    OpenOne();
  } else if (renewal == Renewal::kPending) {
    return;
  } else if (!ever_ready_) {
    std::string why = refusal_;
    if (renewal == Renewal::kFailed) why += fmt::format(" ({})", keeper.renewal_error());
    // "user: your address; password: an app password, ..."
    for (const std::string& note : options_.relay.notes)
      why += fmt::format(" For this provider: {}.", note);
    Fail(std::move(why));
  } else if (reactor_->Now() >= next_probe_) {
    probing_ = true;
    next_probe_ = reactor_->Now() + kCredentialProbes[0];  // should it end for another reason
    OpenOne();
  }
}

// The connection that was to try the credentials did not get as far: its timer goes on, but not for
// ever.
void Lane::ProbeEndedOtherwise(const SessionEnd& end) {
  probing_ = false;
  if (!ever_ready_) return Fail(end.why);
  if (failing_since_.is_infinite()) failing_since_ = reactor_->Now();
  if (open_ == 0 && reactor_->Now() - failing_since_ >= kGiveUpAfter) GiveUp(end.why);
}

void Lane::OnSessionRefused(std::string_view reply, bool wants_auth) {
  if (takes_no_jobs()) return;
  std::string why = fmt::format("the server takes no mail in this session (530 {})", reply);
  if (wants_auth && options_.relay.credentials == nullptr) {
    why += ": it wants a log-in: give user and password_file (--user, --password-file), or a token";
  } else if (!wants_auth && client_options_.tls == TlsPolicy::kOff) {
    why += ": it wants TLS: write tls=required";
  }
  GiveUp(why);
}

// --- The end ---

void Lane::Fail(std::string why) {
  finished_ = true;
  reactor_->CancelTimer(this);
  CloseUnready();
  SetUsable();
  events_->OnLaneFailed(std::move(why));
}

// The peer has been gone for long, or will not have us: the rest cannot be sent here.
void Lane::GiveUp(const std::string& why) {
  finished_ = true;
  reactor_->CancelTimer(this);
  CloseUnready();
  SetUsable();
  events_->OnLaneGaveUp(why);
}

void Lane::SetUsable() {
  const bool usable = !takes_no_jobs() && ever_ready_ && (ready() > 0 || hold_ == Hold::kNone);
  if (usable == usable_) return;
  usable_ = usable;
  events_->OnLaneUsable(usable);
}

void Lane::FinishIfDone() {
  if (done_ || open_ > 0) return;
  if (!takes_no_jobs() && !source_->all_settled()) return;
  done_ = true;
  reactor_->CancelTimer(this);
  events_->OnLaneDone();
}

std::string Lane::Notice(std::string_view what) const {
  return fmt::format("{}: {}", options_.relay.name, what);
}

}  // namespace volley::pipeline
