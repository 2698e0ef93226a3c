// CrashableReactor: a process's end of a SimReactor, which can be killed: Crash() resets its
// connections (what was on its way still arrives) and cancels its timers, and nothing in the
// process is told. What it leaves must not be destroyed, as nothing of a killed process is: see
// Graveyard.
#ifndef VOLLEY_TESTS_PIPELINE_SHARD_CRASHABLE_REACTOR_H_
#define VOLLEY_TESTS_PIPELINE_SHARD_CRASHABLE_REACTOR_H_

#include <functional>
#include <memory>
#include <set>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "io/reactor/sim_reactor.h"

namespace volley::pipeline {

class CrashableReactor final : public io::Reactor {
 public:
  explicit CrashableReactor(io::SimReactor* sim) : sim_(sim) {}

  void Crash() {
    for (const io::StreamId id : streams_) {
      sim_->SetHandler(id, nullptr);
      sim_->Reset(id);
    }
    for (io::Timer* timer : timers_) sim_->CancelTimer(timer);
    sim_->SetWakeHandler({});
  }

  std::string_view name() const override { return sim_->name(); }
  io::MonoTime Now() const override { return sim_->Now(); }
  io::StreamId Connect(const io::Endpoint& peer, const io::ConnectOptions& options,
                       io::StreamHandler* handler) override {
    streams_.push_back(sim_->Connect(peer, options, handler));
    return streams_.back();
  }
  void SetHandler(io::StreamId id, io::StreamHandler* handler) override {
    sim_->SetHandler(id, handler);
  }
  void Send(io::StreamId id, std::span<const iovec> pieces) override { sim_->Send(id, pieces); }
  void ShutdownWrite(io::StreamId id) override { sim_->ShutdownWrite(id); }
  void Close(io::StreamId id) override { sim_->Close(id); }
  bool IsOpen(io::StreamId id) const override { return sim_->IsOpen(id); }
  io::Endpoint LocalEndpoint(io::StreamId id) const override { return sim_->LocalEndpoint(id); }
  absl::StatusOr<io::ListenerId> Listen(const io::Endpoint& local,
                                        io::ListenHandler* handler) override {
    return sim_->Listen(local, handler);
  }
  io::Endpoint ListenEndpoint(io::ListenerId id) const override { return sim_->ListenEndpoint(id); }
  void CloseListener(io::ListenerId id) override { sim_->CloseListener(id); }
  void SetTimer(io::Timer* timer, io::MonoTime deadline) override {
    timers_.insert(timer);
    sim_->SetTimer(timer, deadline);
  }
  void CancelTimer(io::Timer* timer) override {
    timers_.erase(timer);  // it may go now
    sim_->CancelTimer(timer);
  }
  void SetWakeHandler(std::function<void()> handler) override {
    sim_->SetWakeHandler(std::move(handler));
  }
  void Wake() override { sim_->Wake(); }
  void Run() override { sim_->Run(); }
  void RunOnce(absl::Duration max_wait) override { sim_->RunOnce(max_wait); }
  void Stop() override { sim_->Stop(); }
  size_t open_streams() const override { return sim_->open_streams(); }

 private:
  io::SimReactor* const sim_;
  std::vector<io::StreamId> streams_;
  std::set<io::Timer*> timers_;
};

// Keeps, for the rest of the test program, what a killed process had in memory.
template <typename T>
void Bury(std::unique_ptr<T> dead) {
  static auto* const graveyard = new std::vector<std::unique_ptr<T>>;
  graveyard->push_back(std::move(dead));
}

}  // namespace volley::pipeline

#endif  // VOLLEY_TESTS_PIPELINE_SHARD_CRASHABLE_REACTOR_H_
