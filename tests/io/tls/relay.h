// Somebody on the way: forwards bytes between two streams of the tested reactor, and damages or
// cuts what goes in one direction at one place.
#ifndef VOLLEY_TESTS_IO_TLS_RELAY_H_
#define VOLLEY_TESTS_IO_TLS_RELAY_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "io/reactor/reactor.h"
#include "tests/io/reactor/recorder.h"

namespace volley::io {

struct Damage {
  enum class Kind { kNone, kFlip, kCut, kInsert, kRepeat };
  Kind kind = Kind::kNone;
  bool to_client = true;  // which direction
  size_t offset = 0;      // in the bytes of that direction
  uint8_t mask = 0x01;    // kFlip
};

class Relay : public ListenHandler {
 public:
  Relay(Reactor* reactor, const Endpoint& server, Damage damage)
      : reactor_(reactor), server_(server), damage_(damage) {}

  StreamHandler* OnAccept(StreamId id, const Endpoint&) override {
    sides_.push_back(std::make_unique<Side>(this));
    sides_.push_back(std::make_unique<Side>(this));
    Side& client = *sides_[sides_.size() - 2];
    Side& server = *sides_.back();
    client.other = &server;
    server.other = &client;
    server.from_server = true;
    client.id = id;
    client.connected = true;
    server.id = reactor_->Connect(server_, {}, &server);
    return &client;
  }
  void OnAcceptPaused(const absl::Status&, bool) override {}
  uint64_t bytes_to_client() const { return to_client_; }
  uint64_t bytes_to_server() const { return to_server_; }

 private:
  struct Side : public StreamHandler {
    explicit Side(Relay* owner) : relay(owner) {}
    void OnConnected() override {
      connected = true;
      Flush();
    }
    void OnData(std::span<const char> bytes) override { relay->Forward(*this, bytes); }
    void OnSent() override {
      sending.clear();
      Flush();
    }
    void OnPeerClosed() override {
      other->end_wanted = true;
      other->Flush();
    }
    void OnClosed(const CloseInfo&) override {
      open = false;
      relay->reactor_->Close(other->id);
    }
    void Flush() {
      if (!open || !connected || !sending.empty()) return;
      if (!waiting.empty()) {
        sending = std::exchange(waiting, "");
        return SendText(*relay->reactor_, id, sending);
      }
      if (end_wanted && !std::exchange(ended, true)) relay->reactor_->ShutdownWrite(id);
    }
    Relay* const relay;
    Side* other = nullptr;
    StreamId id;
    std::string waiting, sending;
    bool from_server = false, connected = false, open = true, end_wanted = false, ended = false;
  };

  void Forward(Side& from, std::span<const char> bytes) {
    uint64_t& passed = from.from_server ? to_client_ : to_server_;
    std::string text(bytes.data(), bytes.size());
    const bool here = damage_.kind != Damage::Kind::kNone &&
                      damage_.to_client == from.from_server && damage_.offset >= passed &&
                      damage_.offset < passed + text.size();
    passed += text.size();
    if (here) DoDamage(from, damage_.offset - (passed - text.size()), &text);
    if (from.other->end_wanted) return;
    from.other->waiting += text;
    if (here && damage_.kind == Damage::Kind::kCut) from.other->end_wanted = true;
    from.other->Flush();
  }

  void DoDamage(Side&, size_t at, std::string* text) {
    switch (damage_.kind) {
      case Damage::Kind::kNone:
        return;
      case Damage::Kind::kFlip:
        (*text)[at] = static_cast<char>((*text)[at] ^ damage_.mask);
        return;
      case Damage::Kind::kCut:
        text->resize(at);
        return;
      case Damage::Kind::kInsert:
        text->insert(at, "\x17\x03\x03\x00\x05hello");
        return;
      case Damage::Kind::kRepeat:
        text->insert(at, text->substr(0, at));
        return;
    }
  }

  Reactor* const reactor_;
  const Endpoint server_;
  const Damage damage_;
  std::vector<std::unique_ptr<Side>> sides_;
  uint64_t to_client_ = 0, to_server_ = 0;
};

}  // namespace volley::io

#endif  // VOLLEY_TESTS_IO_TLS_RELAY_H_
