#include "io/resolver/resolver.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unbound.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <deque>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>

#include "io/base/check.h"
#include "io/base/time.h"

namespace volley::io {
namespace {

constexpr int kClassIn = 1;
constexpr size_t kRecordsMax = 256;  // more addresses than any host needs
constexpr int kRcodeNoError = 0;

struct UbResultFree {
  void operator()(ub_result* result) const { ub_resolve_free(result); }
};
struct UbContextDelete {
  void operator()(ub_ctx* context) const { ub_ctx_delete(context); }
};

DnsAnswer Failure(DnsStatus status, std::string error) {
  DnsAnswer answer;
  answer.status = status;
  answer.error = std::move(error);
  return answer;
}

DnsAnswer ToAnswer(int error, const ub_result* result) {
  if (error != 0 || result == nullptr) {
    // What libunbound refuses to ask is a name that no DNS message can hold.
    const bool impossible = error == UB_SYNTAX;
    return Failure(impossible ? DnsStatus::kNoSuchName : DnsStatus::kFailed, ub_strerror(error));
  }
  if (result->nxdomain) return Failure(DnsStatus::kNoSuchName, "the name does not exist");
  if (result->bogus) return Failure(DnsStatus::kFailed, "its DNSSEC signature is not valid");
  if (result->rcode != kRcodeNoError) {
    return Failure(DnsStatus::kFailed,
                   fmt::format("the name server failed (code {})", result->rcode));
  }
  if (!result->havedata) return Failure(DnsStatus::kNoData, "the name has no such record");
  DnsAnswer answer;
  answer.status = DnsStatus::kOk;
  answer.ttl = absl::Seconds(result->ttl);
  for (size_t i = 0; result->data[i] != nullptr && i < kRecordsMax; ++i) {
    answer.records.emplace_back(result->data[i], static_cast<size_t>(result->len[i]));
  }
  return answer;
}

absl::Status Check(int error, std::string_view what) {
  if (error == 0) return absl::OkStatus();
  return absl::InternalError(fmt::format("resolver: {}: {}", what, ub_strerror(error)));
}

// A name from wire format, RFC 1035 §3.1, without compression (SRV targets never are, RFC 2782, and
// libunbound unpacks the others). Dots inside a label have no place in a host name.
bool ReadName(std::string_view wire, std::string* name) {
  name->clear();
  while (!wire.empty()) {
    const size_t bytes = static_cast<unsigned char>(wire.front());
    if (bytes == 0) return wire.size() == 1;
    if (bytes > 63 || wire.size() < bytes + 1) return false;
    const std::string_view label = wire.substr(1, bytes);
    const bool plain = std::all_of(label.begin(), label.end(),
                                   [](char c) { return c > ' ' && c < 0x7f && c != '.'; });
    if (!plain || name->size() + bytes + 1 > 255) return false;
    if (!name->empty()) name->push_back('.');
    name->append(label);
    wire.remove_prefix(bytes + 1);
  }
  return false;
}

uint16_t ReadU16(std::string_view wire, size_t at) {
  return static_cast<uint16_t>(static_cast<unsigned char>(wire[at]) << 8 |
                               static_cast<unsigned char>(wire[at + 1]));
}

}  // namespace

std::string_view DnsStatusName(DnsStatus status) {
  switch (status) {
    case DnsStatus::kOk:
      return "ok";
    case DnsStatus::kNoSuchName:
      return "no such name";
    case DnsStatus::kNoData:
      return "no such record";
    case DnsStatus::kFailed:
      return "failed";
    case DnsStatus::kTimeout:
      return "timed out";
    case DnsStatus::kCancelled:
      return "cancelled";
  }
  return "unknown";
}

// The thread owns the libunbound context; other threads only hand questions over.
class Resolver::Impl {
 public:
  ~Impl();
  absl::Status Start(const ResolverOptions& options);
  void Ask(std::string_view name, DnsType type, Callback callback);

 private:
  struct Question {
    Impl* owner = nullptr;
    std::string name;
    DnsType type = DnsType::kA;
    Callback callback;
    int async_id = 0;
    MonoTime deadline;
  };

  void Run();
  void TakeQuestions();
  void Begin(std::unique_ptr<Question> question);
  void Expire(MonoTime now);
  int PollTimeout() const;
  static void OnResult(void* data, int error, ub_result* result);

  std::unique_ptr<ub_ctx, UbContextDelete> context_;
  absl::Duration timeout_;
  int wake_fd_ = -1;
  std::thread thread_;
  std::atomic<bool> stop_{false};

  std::mutex mutex_;
  std::deque<std::unique_ptr<Question>> asked_;  // under mutex_

  std::map<Question*, std::unique_ptr<Question>> open_;  // the thread's
};

absl::Status Resolver::Impl::Start(const ResolverOptions& options) {
  timeout_ = options.timeout;
  context_.reset(ub_ctx_create());
  if (!context_) return absl::InternalError("resolver: no memory for libunbound");
  for (const std::string& server : options.servers) {
    if (absl::Status s = Check(ub_ctx_set_fwd(context_.get(), server.c_str()), server); !s.ok()) {
      return s;
    }
  }
  if (options.servers.empty()) {
    // A host without resolv.conf still has its hosts file; questions will then fail by themselves.
    (void)ub_ctx_resolvconf(context_.get(), nullptr);
  }
  if (options.use_hosts_file) (void)ub_ctx_hosts(context_.get(), nullptr);
  // A local cache or a test's server is as good as any.
  (void)ub_ctx_set_option(context_.get(), "do-not-query-localhost:", "no");
  if (absl::Status s = Check(ub_ctx_async(context_.get(), 1), "threads"); !s.ok()) return s;
  wake_fd_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (wake_fd_ < 0) return absl::ResourceExhaustedError("resolver: no file descriptor left");
  // Signals are the program's; libunbound's own threads inherit this mask too.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &before);
  thread_ = std::thread([this] { Run(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return absl::OkStatus();
}

Resolver::Impl::~Impl() {
  if (thread_.joinable()) {
    stop_.store(true);
    const uint64_t one = 1;
    (void)!write(wake_fd_, &one, sizeof one);
    thread_.join();
  }
  if (wake_fd_ >= 0) close(wake_fd_);
}

void Resolver::Impl::Ask(std::string_view name, DnsType type, Callback callback) {
  auto question = std::make_unique<Question>();
  question->owner = this;
  question->name = std::string(name);
  question->type = type;
  question->callback = std::move(callback);
  question->deadline = MonotonicNow() + timeout_;
  {
    const std::lock_guard lock(mutex_);
    asked_.push_back(std::move(question));
  }
  const uint64_t one = 1;
  (void)!write(wake_fd_, &one, sizeof one);
}

void Resolver::Impl::Run() {
  pthread_setname_np(pthread_self(), "resolver");
  while (!stop_.load()) {
    pollfd fds[2] = {{wake_fd_, POLLIN, 0}, {ub_fd(context_.get()), POLLIN, 0}};
    poll(fds, 2, PollTimeout());
    uint64_t count;
    (void)!read(wake_fd_, &count, sizeof count);
    TakeQuestions();
    ub_process(context_.get());
    Expire(MonotonicNow());
  }
  TakeQuestions();
  Expire(MonoTime::Infinite());
}

void Resolver::Impl::TakeQuestions() {
  std::deque<std::unique_ptr<Question>> taken;
  {
    const std::lock_guard lock(mutex_);
    taken.swap(asked_);
  }
  for (auto& question : taken) Begin(std::move(question));
}

void Resolver::Impl::Begin(std::unique_ptr<Question> question) {
  Question* q = question.get();
  open_.emplace(q, std::move(question));
  const int error = ub_resolve_async(context_.get(), q->name.c_str(), static_cast<int>(q->type),
                                     kClassIn, q, &Impl::OnResult, &q->async_id);
  if (error != 0) OnResult(q, error, nullptr);
}

// libunbound's callback, from ub_process in our thread.
void Resolver::Impl::OnResult(void* data, int error, ub_result* result) {
  const std::unique_ptr<ub_result, UbResultFree> owned(result);
  Question* q = static_cast<Question*>(data);
  Impl* self = q->owner;
  const auto node = self->open_.extract(q);
  if (node.empty()) return;
  q->callback(ToAnswer(error, owned.get()));
}

void Resolver::Impl::Expire(MonoTime now) {
  for (auto it = open_.begin(); it != open_.end();) {
    if (it->second->deadline > now) {
      ++it;
      continue;
    }
    const std::unique_ptr<Question> question = std::move(it->second);
    it = open_.erase(it);
    ub_cancel(context_.get(), question->async_id);
    question->callback(now.is_infinite()
                           ? Failure(DnsStatus::kCancelled, "stopped")
                           : Failure(DnsStatus::kTimeout, "no name server answered in time"));
  }
}

int Resolver::Impl::PollTimeout() const {
  if (open_.empty()) return -1;
  MonoTime first = MonoTime::Infinite();
  for (const auto& [key, question] : open_) first = std::min(first, question->deadline);
  const absl::Duration left = std::max(first - MonotonicNow(), absl::ZeroDuration());
  return static_cast<int>(absl::ToInt64Milliseconds(left)) + 1;
}

Resolver::Resolver(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Resolver::~Resolver() = default;

absl::StatusOr<std::unique_ptr<Resolver>> Resolver::Create(const ResolverOptions& options) {
  auto impl = std::make_unique<Impl>();
  if (absl::Status s = impl->Start(options); !s.ok()) return s;
  return std::unique_ptr<Resolver>(new Resolver(std::move(impl)));
}

void Resolver::Lookup(std::string_view name, DnsType type, Callback callback) {
  impl_->Ask(name, type, std::move(callback));
}

namespace {

Endpoint ToEndpoint(DnsType type, std::string_view record, uint16_t port) {
  if (type == DnsType::kA && record.size() == sizeof(in_addr)) {
    sockaddr_in a{};
    a.sin_family = AF_INET;
    a.sin_port = htons(port);
    std::memcpy(&a.sin_addr, record.data(), sizeof a.sin_addr);
    return Endpoint::FromSockaddr(reinterpret_cast<sockaddr*>(&a), sizeof a);
  }
  if (type == DnsType::kAaaa && record.size() == sizeof(in6_addr)) {
    sockaddr_in6 a{};
    a.sin6_family = AF_INET6;
    a.sin6_port = htons(port);
    std::memcpy(&a.sin6_addr, record.data(), sizeof a.sin6_addr);
    return Endpoint::FromSockaddr(reinterpret_cast<sockaddr*>(&a), sizeof a);
  }
  return Endpoint();
}

void AddEndpoints(const DnsAnswer& answer, DnsType type, uint16_t port, HostAnswer* host) {
  for (const std::string& record : answer.records) {
    Endpoint endpoint = ToEndpoint(type, record, port);
    if (!endpoint.empty()) host->endpoints.push_back(endpoint);
  }
}

HostAnswer Merge(const DnsAnswer& v6, const DnsAnswer& v4, uint16_t port) {
  HostAnswer out;
  AddEndpoints(v6, DnsType::kAaaa, port, &out);
  AddEndpoints(v4, DnsType::kA, port, &out);
  if (!out.endpoints.empty()) {
    out.status = DnsStatus::kOk;
    out.ttl = v6.records.empty() ? v4.ttl : v4.records.empty() ? v6.ttl : std::min(v4.ttl, v6.ttl);
    return out;
  }
  // A failure of either leaves it open whether there are addresses; NXDOMAIN is of the name.
  const DnsAnswer& worse = v4.status >= v6.status ? v4 : v6;
  out.status = worse.status;
  out.error = worse.error;
  return out;
}

// The two questions about a host; the second answer calls back.
struct BothFamilies {
  BothFamilies(uint16_t port_in, Resolver::HostCallback callback_in)
      : port(port_in), callback(std::move(callback_in)) {}
  void Take(DnsAnswer* slot, const DnsAnswer& answer) {
    *slot = answer;
    if (missing.fetch_sub(1, std::memory_order_acq_rel) == 1) callback(Merge(v6, v4, port));
  }
  const uint16_t port;
  const Resolver::HostCallback callback;
  DnsAnswer v6, v4;
  std::atomic<int> missing{2};
};

}  // namespace

DnsAnswer Resolver::LookupNow(std::string_view name, DnsType type) {
  const auto answer = std::make_shared<std::promise<DnsAnswer>>();
  Lookup(name, type, [answer](const DnsAnswer& a) { answer->set_value(a); });
  return answer->get_future().get();
}

void Resolver::LookupHost(std::string_view host, uint16_t port, HostCallback callback) {
  if (auto numeric = Endpoint::FromIp(host, port); numeric.ok()) {
    return callback({DnsStatus::kOk, {*numeric}, absl::InfiniteDuration(), ""});
  }
  const auto both = std::make_shared<BothFamilies>(port, std::move(callback));
  Lookup(host, DnsType::kAaaa, [both](const DnsAnswer& answer) { both->Take(&both->v6, answer); });
  Lookup(host, DnsType::kA, [both](const DnsAnswer& answer) { both->Take(&both->v4, answer); });
}

HostAnswer Resolver::LookupHostNow(std::string_view host, uint16_t port) {
  const auto answer = std::make_shared<std::promise<HostAnswer>>();
  LookupHost(host, port, [answer](const HostAnswer& a) { answer->set_value(a); });
  return answer->get_future().get();
}

std::vector<SrvRecord> ParseSrv(const DnsAnswer& answer) {
  std::vector<SrvRecord> out;
  for (const std::string& wire : answer.records) {
    SrvRecord record;
    if (wire.size() < 7 || !ReadName(std::string_view(wire).substr(6), &record.target)) continue;
    record.priority = ReadU16(wire, 0);
    record.weight = ReadU16(wire, 2);
    record.port = ReadU16(wire, 4);
    out.push_back(std::move(record));
  }
  return out;
}

std::vector<std::string> ParseTxt(const DnsAnswer& answer) {
  std::vector<std::string> out;
  for (std::string_view wire : answer.records) {
    std::string text;
    while (!wire.empty()) {
      const size_t bytes = static_cast<unsigned char>(wire.front());
      if (wire.size() < bytes + 1) break;
      text.append(wire.substr(1, bytes));
      wire.remove_prefix(bytes + 1);
    }
    if (wire.empty()) out.push_back(std::move(text));
  }
  return out;
}

std::vector<MxRecord> ParseMx(const DnsAnswer& answer) {
  std::vector<MxRecord> out;
  for (const std::string& wire : answer.records) {
    MxRecord record;
    if (wire.size() < 3 || !ReadName(std::string_view(wire).substr(2), &record.exchange)) continue;
    record.preference = ReadU16(wire, 0);
    out.push_back(std::move(record));
  }
  std::stable_sort(out.begin(), out.end(), [](const MxRecord& a, const MxRecord& b) {
    return a.preference < b.preference;
  });
  return out;
}

std::vector<std::string> ParsePtr(const DnsAnswer& answer) {
  std::vector<std::string> out;
  for (const std::string& wire : answer.records) {
    std::string name;
    if (ReadName(wire, &name) && !name.empty()) out.push_back(std::move(name));
  }
  return out;
}

std::string ReverseName(const Endpoint& address) {
  std::string out;
  if (address.family() == AF_INET) {
    const auto* a = reinterpret_cast<const sockaddr_in*>(address.address());
    const uint32_t ip = ntohl(a->sin_addr.s_addr);
    for (const int shift : {0, 8, 16, 24}) out += fmt::format("{}.", ip >> shift & 255);
    return out + "in-addr.arpa";
  }
  if (address.family() != AF_INET6) return out;
  const auto* a = reinterpret_cast<const sockaddr_in6*>(address.address());
  for (size_t i = sizeof a->sin6_addr; i-- > 0;) {
    const unsigned byte = a->sin6_addr.s6_addr[i];
    out += fmt::format("{:x}.{:x}.", byte & 15, byte >> 4);
  }
  return out + "ip6.arpa";
}

}  // namespace volley::io
