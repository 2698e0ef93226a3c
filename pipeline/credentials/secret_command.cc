#include "pipeline/credentials/secret_command.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>

#include "fmt/format.h"
#include "io/base/time.h"
#include "pipeline/credentials/poll_wait.h"

namespace volley::pipeline {
namespace {

using engine::Secret;

// Where the kernel has no pidfd_open (before 5.3, some sandboxes), the end is looked for this
// often.
constexpr absl::Duration kLookForEndInterval = absl::Milliseconds(20);

// The arguments of posix_spawn, which neither copies this process nor runs code of ours in the
// child: what fork() in a process with threads may not do.
class SpawnSetup {
 public:
  explicit SpawnSetup(int output) {
    posix_spawn_file_actions_init(&actions_);
    // In this order: a process without a standard input may have got `output` as descriptor 0.
    posix_spawn_file_actions_adddup2(&actions_, output, STDOUT_FILENO);
    posix_spawn_file_actions_addopen(&actions_, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addclosefrom_np(&actions_, STDERR_FILENO + 1);
    posix_spawnattr_init(&attributes_);
    // Signals that we block or ignore would be blocked or ignored in the command, too.
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setsigmask(&attributes_, &none);
    posix_spawnattr_setsigdefault(&attributes_, &all);
    posix_spawnattr_setflags(
        &attributes_,
        static_cast<short>(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSID));
  }
  ~SpawnSetup() {
    posix_spawnattr_destroy(&attributes_);
    posix_spawn_file_actions_destroy(&actions_);
  }
  SpawnSetup(const SpawnSetup&) = delete;
  SpawnSetup& operator=(const SpawnSetup&) = delete;

  int Spawn(const std::string& command, pid_t* pid) {
    std::string shell = "sh", flag = "-c", text = command;
    char* const arguments[] = {shell.data(), flag.data(), text.data(), nullptr};
    return posix_spawn(pid, "/bin/sh", &actions_, &attributes_, arguments, environ);
  }

 private:
  posix_spawn_file_actions_t actions_;
  posix_spawnattr_t attributes_;
};

// A running command. It is reaped in any case, and killed if it has not ended.
class Command {
 public:
  Command() = default;
  ~Command() {
    if (pid_ > 0) Kill();
    if (pidfd_ >= 0) close(pidfd_);
    if (output_ >= 0) close(output_);
  }
  Command(const Command&) = delete;
  Command& operator=(const Command&) = delete;

  // An errno, or 0.
  int Start(const std::string& command) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) return errno;
    output_ = ends[0];
    fcntl(output_, F_SETFL, O_NONBLOCK);
    const int error = SpawnSetup(ends[1]).Spawn(command, &pid_);
    close(ends[1]);
    if (error != 0) {
      pid_ = -1;
      return error;
    }
    // Not the C library's wrapper: the header of glibc 2.36 cannot be used from C++.
    pidfd_ = static_cast<int>(syscall(SYS_pidfd_open, pid_, 0));
    return 0;
  }

  // Until there is output or the shell has ended.
  PollResult Wait(io::MonoTime deadline, const StopSignal* stop) {
    pollfd polled[3] = {{.fd = at_end_ ? -1 : output_, .events = POLLIN, .revents = 0},
                        {.fd = pidfd_, .events = POLLIN, .revents = 0},
                        StopPoll(stop)};
    return PollUntil(polled, deadline, stop,
                     pidfd_ >= 0 ? absl::InfiniteDuration() : kLookForEndInterval);
  }

  // What is there now, behind the `*have` bytes in `bytes`. False: no room.
  bool Read(Secret* bytes, size_t* have) {
    while (*have < bytes->size()) {
      const ssize_t n = read(output_, bytes->bytes() + *have, bytes->size() - *have);
      if (n < 0 && errno == EINTR) continue;
      if (n == 0) at_end_ = true;
      if (n <= 0) return true;
      *have += static_cast<size_t>(n);
    }
    return false;
  }

  // Its wait status once it has ended. ECHILD, because SIGCHLD is ignored, reads as a status that
  // no command has.
  static constexpr int kStatusLost = -1;
  std::optional<int> TryReap() {
    int status = 0;
    const pid_t reaped = waitpid(pid_, &status, WNOHANG);
    if (reaped == 0 || (reaped < 0 && errno == EINTR)) return std::nullopt;
    pid_ = -1;
    return reaped < 0 ? kStatusLost : status;
  }

 private:
  // The shell leads the group and is not reaped yet, so the number cannot be another's by now.
  void Kill() {
    kill(-pid_, SIGKILL);
    while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
    }
    pid_ = -1;
  }

  pid_t pid_ = -1;
  int pidfd_ = -1;
  int output_ = -1;
  bool at_end_ = false;
};

absl::Status CheckEnd(int status, std::string_view name) {
  if (status == Command::kStatusLost) {
    return absl::FailedPreconditionError(
        fmt::format("{} ended, but how is unknown: SIGCHLD is ignored here", name));
  }
  if (WIFSIGNALED(status)) {
    return absl::FailedPreconditionError(fmt::format(
        "{} was ended by signal {} ({})", name, WTERMSIG(status), strsignal(WTERMSIG(status))));
  }
  const int code = WEXITSTATUS(status);
  if (code == 0) return absl::OkStatus();
  const char* advice = code == 127   ? "no such program; give its full path"
                       : code == 126 ? "the program cannot be run; is it executable?"
                                     : "run it in a shell to see why";
  return absl::FailedPreconditionError(
      fmt::format("{} failed with exit code {}: {}", name, code, advice));
}

absl::Status NoEnd(PollResult result, std::string_view name, const WaitLimits& limits) {
  if (result == PollResult::kStopped) {
    return absl::CancelledError(fmt::format("{} was ended: it is not needed any more", name));
  }
  return absl::DeadlineExceededError(
      fmt::format("{} did not end within {} and was killed; it must not ask anything", name,
                  absl::FormatDuration(limits.timeout)));
}

}  // namespace

absl::StatusOr<Secret> RunSecretCommand(const std::string& command, std::string_view name,
                                        const WaitLimits& limits) {
  const io::MonoTime deadline = io::MonotonicNow() + limits.timeout;
  Command running;
  if (const int error = running.Start(command); error != 0) {
    return absl::FailedPreconditionError(
        fmt::format("{} cannot be started: {}", name, std::strerror(error)));
  }
  Secret bytes = Secret::Sized(kSourceBytesMax + 1);
  size_t have = 0;
  std::optional<int> status;
  while (!status) {
    const PollResult result = running.Wait(deadline, limits.stop);
    if (result != PollResult::kReady) return NoEnd(result, name, limits);
    // Reaped first and read afterwards: all that the shell has written is in the pipe by then. What
    // it left running in the background may hold the pipe open for ever and is not waited for.
    status = running.TryReap();
    if (!running.Read(&bytes, &have)) {
      return absl::InvalidArgumentError(
          fmt::format("{} prints more than {} bytes", name, kSourceBytesMax));
    }
  }
  if (absl::Status end = CheckEnd(*status, name); !end.ok()) return end;
  return Secret::Concat({bytes.reveal().substr(0, have)});
}

}  // namespace volley::pipeline
