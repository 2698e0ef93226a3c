// Recorder: a StreamHandler that writes down what it hears, checks the order the contract promises
// (reactor.h), and lets a test act from inside a callback.
#ifndef VOLLEY_TESTS_IO_REACTOR_RECORDER_H_
#define VOLLEY_TESTS_IO_REACTOR_RECORDER_H_

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "io/reactor/reactor.h"

namespace volley::io {

class Recorder : public StreamHandler {
 public:
  void OnConnected() override {
    Heard("connected");
    EXPECT_EQ(events.size(), 1u) << "OnConnected comes first and once";
    connected = true;
    if (on_connected) on_connected();
  }
  void OnData(std::span<const char> bytes) override {
    Heard("data");
    EXPECT_FALSE(bytes.empty());
    EXPECT_FALSE(peer_closed) << "OnData after OnPeerClosed";
    data.append(bytes.data(), bytes.size());
    if (on_data) on_data();
  }
  void OnSent() override {
    Heard("sent");
    ++sent;
    if (on_sent) on_sent();
  }
  void OnPeerClosed() override {
    Heard("peer_closed");
    EXPECT_FALSE(peer_closed) << "OnPeerClosed twice";
    peer_closed = true;
    if (on_peer_closed) on_peer_closed();
  }
  void OnClosed(const CloseInfo& info) override {
    Heard("closed");
    closed = info;
    if (on_closed) on_closed();
  }

  bool connected = false;
  bool peer_closed = false;
  int sent = 0;
  std::string data;
  std::optional<CloseInfo> closed;
  std::vector<std::string> events;
  const bool* forbidden = nullptr;  // where it points to true, no callback may come

  std::function<void()> on_connected, on_data, on_sent, on_peer_closed, on_closed;

 private:
  void Heard(std::string event) {
    EXPECT_FALSE(closed.has_value()) << event << " after OnClosed";
    EXPECT_FALSE(forbidden != nullptr && *forbidden) << event << " from inside a call";
    events.push_back(std::move(event));
  }
};

// Accepts with a Recorder for each stream.
class AcceptingRecorder : public ListenHandler {
 public:
  struct Accepted {
    StreamId id;
    Endpoint peer;
    std::unique_ptr<Recorder> handler;
  };

  StreamHandler* OnAccept(StreamId id, const Endpoint& peer) override {
    EXPECT_FALSE(final_told);
    streams.push_back({id, peer, std::make_unique<Recorder>()});
    Recorder* handler = streams.back().handler.get();
    if (on_accept) on_accept(id, *handler);
    return handler;
  }
  void OnAcceptPaused(const absl::Status& status, bool retrying) override {
    EXPECT_FALSE(final_told);
    if (retrying) {
      pauses.push_back(status);
    } else {
      EXPECT_TRUE(status.ok());
      final_told = true;
    }
  }

  std::vector<Accepted> streams;
  std::vector<absl::Status> pauses;
  bool final_told = false;
  std::function<void(StreamId, Recorder&)> on_accept;
};

class TestTimer : public Timer {
 public:
  explicit TestTimer(std::function<void()> action) : action_(std::move(action)) {}

 private:
  void OnTimer() override { action_(); }
  std::function<void()> action_;
};

inline iovec Piece(std::string_view bytes) {
  return {const_cast<char*>(bytes.data()), bytes.size()};
}

inline void SendText(Reactor& reactor, StreamId id, std::string_view bytes) {
  const iovec piece = Piece(bytes);
  reactor.Send(id, {&piece, 1});
}

// Bytes in which every place is told from its neighbours.
inline std::string Pattern(size_t bytes, uint32_t seed = 1) {
  std::string text(bytes, '\0');
  uint32_t state = seed;
  for (char& c : text) {
    state = state * 1664525 + 1013904223;
    c = static_cast<char>(state >> 24);
  }
  return text;
}

}  // namespace volley::io

#endif  // VOLLEY_TESTS_IO_REACTOR_RECORDER_H_
