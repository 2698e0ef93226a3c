// EpollReactor: the backend for where io_uring cannot be had. Level-triggered; a stream is watched
// for reading until its end and for writing only while a send is blocked, so a turn of a busy
// stream is one recv and one send.
//
// Send() tries the system call at once; its OnSent is queued to the turn.
#ifndef VOLLEY_IO_REACTOR_EPOLL_REACTOR_H_
#define VOLLEY_IO_REACTOR_EPOLL_REACTOR_H_

#include <sys/epoll.h>

#include <memory>
#include <span>
#include <string_view>

#include "absl/status/statusor.h"
#include "io/reactor/socket_reactor.h"

namespace volley::io {

class EpollReactor final : public SocketReactor {
 public:
  static absl::StatusOr<std::unique_ptr<EpollReactor>> Create();
  ~EpollReactor() override;

  std::string_view name() const override { return "epoll"; }

 private:
  EpollReactor();

  void StartConnect(Stream& stream) override;
  void StartReceive(Stream& stream) override;
  void StartSend(Stream& stream) override;
  void CancelOperations(Stream& stream) override;
  void StartAccept(Listener& listener) override;
  void CancelAccept(Listener& listener) override;
  void Poll(absl::Duration max_wait) override;

  int Wait(std::span<epoll_event> events, absl::Duration max_wait);
  void OnStreamEvent(Stream& stream, uint32_t events);
  void OnConnectEvent(Stream& stream);
  void OnListenerEvent(Listener& listener);
  void OnWakeEvent();
  void ReadSome(Stream& stream);
  void WriteSome(Stream& stream);
  // Watches for what the stream needs now. False: the kernel could not (errno).
  bool Watch(Stream& stream, uint32_t interest);

  int epoll_fd_ = -1;
  bool has_pwait2_ = true;
  const std::unique_ptr<char[]> receive_buffer_;
};

}  // namespace volley::io

#endif  // VOLLEY_IO_REACTOR_EPOLL_REACTOR_H_
