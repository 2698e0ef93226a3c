// TlsStream: the TLS half of a Channel: an engine, driven by a reactor stream.
//
// States: kConnecting -> kHandshake -> kOpen -> kEnding -> kClosing. In kEnding a last alert is on
// its way (bounded by kTlsCloseLinger), in kClosing the reactor's OnClosed.
//
// What a Send becomes: records of up to 16 KiB, encrypted into output() as far as kTlsSendBytesMax
// allows, all that waits given to the reactor in one Send, and on when that was taken. Each record
// is remembered by the offset of its end, which makes unsent_bytes exact.
//
// LIFETIME: owned by its channel from Install to OnClosed, where it destroys itself.
#ifndef VOLLEY_IO_TLS_TLS_STREAM_H_
#define VOLLEY_IO_TLS_TLS_STREAM_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "io/reactor/reactor.h"
#include "io/reactor/send_pieces.h"
#include "io/tls/channel.h"
#include "io/tls/limits.h"
#include "io/tls/tls_engine.h"
#include "io/tls/tls_info.h"

namespace volley::io {

class TlsStream final : public StreamHandler, private Timer {
 public:
  TlsStream(Channel* channel, TlsClientContext* context, const TlsConnectOptions& options);
  TlsStream(Channel* channel, TlsServerContext* context, const TlsAcceptOptions& options);
  ~TlsStream() override;

  // The stream is connected: the handshake begins.
  void Begin();
  void Send(std::span<const iovec> pieces);
  void ShutdownWrite();
  void Close();
  bool IsOpen() const { return state_ <= State::kOpen; }

  // StreamHandler
  void OnConnected() override;
  void OnData(std::span<const char> bytes) override;
  void OnSent() override;
  void OnPeerClosed() override;
  void OnClosed(const CloseInfo& info) override;

 private:
  enum class State : uint8_t { kConnecting, kHandshake, kOpen, kEnding, kClosing };
  struct Record {
    uint64_t end = 0;    // offset in the output behind it
    uint32_t bytes = 0;  // plaintext in it
  };

  void OnTimer() override;
  ChannelHandler& handler() { return *channel_->handler_; }
  Reactor& reactor() { return *channel_->reactor_; }

  void DriveHandshake();
  void ReadAll();
  void EncryptMore();
  bool EncryptRecord();
  iovec NextPlaintext();
  void FinishSend();
  void Fail(TlsFailure failure, std::string message);
  void BeginEnd();
  // The last thing every event and call does: whatever waits goes out, and the end follows it.
  void Settle();
  void FlushOutput();
  void CloseStream();
  uint64_t UnsentBytes(const CloseInfo& info) const;
  absl::Status CloseStatus(const CloseInfo& info);

  Channel* const channel_;
  TlsEngine engine_;
  const absl::Duration handshake_timeout_;
  State state_ = State::kConnecting;
  bool corked_ = false;        // in an event: Settle() comes at its end
  bool sending_ = false;       // the user's Send
  bool write_ended_ = false;   // the user's ShutdownWrite; with sending_: to be done after it
  bool half_closed_ = false;   // close_notify is in the output or gone
  bool fin_sent_ = false;      // nothing may follow
  bool peer_ended_ = false;    // OnPeerClosed was told
  bool closed_by_us_ = false;  // Close() was called
  SendPieces plaintext_;       // of the user's Send, not yet encrypted
  std::array<Record, kTlsSendRecordsMax> records_;  // encrypted, not yet taken by the kernel
  uint32_t record_count_ = 0;
};

}  // namespace volley::io

#endif  // VOLLEY_IO_TLS_TLS_STREAM_H_
