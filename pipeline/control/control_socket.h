// ControlSocket: the Unix socket `control` in a campaign's folder, through which other processes of
// the same user ask a running campaign something or tell it what to do. One line comes, one line
// goes, and the connection is closed.
//
// Threading: a thread of its own accepts and reads; Take() and the reply belong to one other thread
// (the coordinator), which `wake` rouses. Lifetime: the socket goes with the object; one left by a
// killed process is taken over, which the ledger's lock makes safe. Bounds: kLineBytesMax a line,
// one connection at a time, kTimeout for each.
#ifndef VOLLEY_PIPELINE_CONTROL_CONTROL_SOCKET_H_
#define VOLLEY_PIPELINE_CONTROL_CONTROL_SOCKET_H_

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace volley::pipeline {

class ControlSocket {
 public:
  static constexpr size_t kLineBytesMax = 64 * 1024;
  static constexpr absl::Duration kTimeout = absl::Seconds(5);

  static absl::StatusOr<std::unique_ptr<ControlSocket>> Open(const std::string& folder,
                                                             std::function<void()> wake);
  ~ControlSocket();
  ControlSocket(const ControlSocket&) = delete;
  ControlSocket& operator=(const ControlSocket&) = delete;

  // The request that waits for a reply, without its line end; nullopt: none.
  std::optional<std::string> Take();
  // REQUIRES: Take() has given a request. One line; the line end is added.
  void Reply(std::string line);

 private:
  ControlSocket(std::string path, int listener, int stop, std::function<void()> wake);
  void Run();
  void Serve(int connection);
  std::optional<std::string> Answer(std::string request);

  const std::string path_;
  const int listener_, stop_;
  const std::function<void()> wake_;
  std::mutex mutex_;
  std::condition_variable replied_;
  std::optional<std::string> request_, reply_;
  bool stopping_ = false;
  std::thread thread_;
};

// Asks whoever sends the campaign in `folder`. NotFound: nobody does. DeadlineExceeded: no answer.
absl::StatusOr<std::string> AskControlSocket(const std::string& folder, std::string_view line);

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_CONTROL_CONTROL_SOCKET_H_
