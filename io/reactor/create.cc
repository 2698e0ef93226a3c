// CreateReactor and WhyNoUring: which backend this machine gets.
#include <variant>

#include "fmt/format.h"
#include "io/reactor/epoll_reactor.h"
#include "io/reactor/reactor.h"
#include "io/reactor/uring_reactor.h"
#include "io/reactor/uring_setup.h"

namespace volley::io {
namespace {

absl::StatusOr<CreatedReactor> CreateEpoll(std::string fallback_reason) {
  absl::StatusOr<std::unique_ptr<EpollReactor>> epoll = EpollReactor::Create();
  if (!epoll.ok()) return epoll.status();
  return CreatedReactor{*std::move(epoll), std::move(fallback_reason)};
}

}  // namespace

absl::StatusOr<CreatedReactor> CreateReactor(const ReactorOptions& options) {
  if (options.backend == BackendChoice::kEpoll) return CreateEpoll("");
  auto uring = UringReactor::Create(options);
  if (auto* reactor = std::get_if<std::unique_ptr<UringReactor>>(&uring)) {
    return CreatedReactor{std::move(*reactor), ""};
  }
  const std::string reason = ExplainUringFailure(std::get<UringFailure>(uring));
  if (options.backend == BackendChoice::kUring) return absl::UnavailableError(reason);
  return CreateEpoll(fmt::format("using epoll instead of io_uring: {}", reason));
}

std::optional<std::string> WhyNoUring() {
  const std::optional<UringFailure> failure = TryUring();
  if (!failure) return std::nullopt;
  return ExplainUringFailure(*failure);
}

}  // namespace volley::io
