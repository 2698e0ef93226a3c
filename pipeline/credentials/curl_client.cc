#include <arpa/inet.h>
#include <curl/curl.h>
#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <string_view>
#include <utility>

#include "fmt/format.h"
#include "pipeline/credentials/http_client.h"
#include "pipeline/credentials/printable.h"

namespace volley::pipeline {
namespace {

using engine::Secret;

constexpr size_t kCurlWordsMax = 200;

struct FreeEasy {
  void operator()(CURL* easy) const { curl_easy_cleanup(easy); }
};
struct FreeMulti {
  void operator()(CURLM* multi) const { curl_multi_cleanup(multi); }
};
struct FreeList {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
struct FreeUrl {
  void operator()(CURLU* url) const { curl_url_cleanup(url); }
};
struct FreeText {
  void operator()(char* text) const { curl_free(text); }
};

bool InitCurl() {
  // Once a process; libcurl 7.84 and later make this safe in any thread.
  static const bool ready = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
  return ready;
}

// A peer that is gone is an error and not a signal: OpenSSL's writes raise SIGPIPE, and libcurl
// would ignore it for all threads (or, with CURLOPT_NOSIGNAL, not at all).
class WithoutSigpipe {
 public:
  WithoutSigpipe() {
    sigset_t pending;
    sigpending(&pending);
    was_pending_ = sigismember(&pending, SIGPIPE) == 1;
    sigemptyset(&sigpipe_);
    sigaddset(&sigpipe_, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &sigpipe_, &before_);
  }
  ~WithoutSigpipe() {
    const timespec now{};
    if (!was_pending_) sigtimedwait(&sigpipe_, nullptr, &now);
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  WithoutSigpipe(const WithoutSigpipe&) = delete;
  WithoutSigpipe& operator=(const WithoutSigpipe&) = delete;

 private:
  sigset_t sigpipe_, before_;
  bool was_pending_ = false;
};

// The body, bounded and in memory that is wiped.
struct Body {
  Secret bytes = Secret::Sized(HttpReply::kBodyBytesMax);
  size_t size = 0;
  bool too_big = false;
};

size_t TakeBody(char* data, size_t one, size_t count, void* user) {
  auto* body = static_cast<Body*>(user);
  const size_t size = one * count;
  if (size > body->bytes.size() - body->size) {
    body->too_big = true;
    return 0;  // ends the transfer
  }
  std::memcpy(body->bytes.bytes() + body->size, data, size);
  body->size += size;
  return size;
}

// One request: easy handle and multi handle, the latter because its wait can be ended from outside.
class Transfer {
 public:
  Transfer() : easy_(curl_easy_init()), multi_(curl_multi_init()) {}
  ~Transfer() {
    if (added_) curl_multi_remove_handle(multi_.get(), easy_.get());
  }
  Transfer(const Transfer&) = delete;
  Transfer& operator=(const Transfer&) = delete;

  bool Set(const std::string& url, const Secret& form, const CurlOptions& options);
  // CURLE_OK also when it was stopped.
  CURLcode Run(const StopSignal* stop);
  absl::StatusOr<HttpReply> Result(CURLcode code, const CurlOptions& options);

 private:
  template <typename T>
  void Option(CURLoption option, T value) {
    set_ &= curl_easy_setopt(easy_.get(), option, value) == CURLE_OK;
  }
  std::string Words(CURLcode code) const;

  // The handles go first: they write into the others to their end.
  std::array<char, CURL_ERROR_SIZE> words_{};
  Body body_;
  std::unique_ptr<curl_slist, FreeList> headers_;
  std::unique_ptr<CURL, FreeEasy> easy_;
  std::unique_ptr<CURLM, FreeMulti> multi_;
  bool set_ = true;
  bool added_ = false;
};

bool Transfer::Set(const std::string& url, const Secret& form, const CurlOptions& options) {
  if (easy_ == nullptr || multi_ == nullptr) return false;
  const bool clear = url.starts_with("http://");
  Option(CURLOPT_ERRORBUFFER, words_.data());
  Option(CURLOPT_URL, url.c_str());
  Option(CURLOPT_PROTOCOLS_STR, clear ? "http" : "https");
  Option(CURLOPT_FOLLOWLOCATION, 0L);  // the form must not go where somebody else says
  // A proxy would get in clear what is to stay on this machine.
  if (clear) Option(CURLOPT_PROXY, "");
  Option(CURLOPT_NOSIGNAL, 1L);
  Option(CURLOPT_QUICK_EXIT, 1L);  // a name service that hangs holds up nobody
  Option(CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  Option(CURLOPT_SSL_VERIFYPEER, 1L);
  Option(CURLOPT_SSL_VERIFYHOST, 2L);
  Option(CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
  if (!options.ca_file.empty()) Option(CURLOPT_CAINFO, options.ca_file.c_str());
  Option(CURLOPT_CONNECTTIMEOUT_MS,
         static_cast<long>(absl::ToInt64Milliseconds(options.connect_timeout)));
  Option(CURLOPT_TIMEOUT_MS, static_cast<long>(absl::ToInt64Milliseconds(options.total_timeout)));
  // "Expect:" off: a server that does not know it would cost a second.
  headers_.reset(curl_slist_append(nullptr, "Accept: application/json"));
  if (curl_slist* longer = curl_slist_append(headers_.get(), "Expect:")) {
    (void)headers_.release();
    headers_.reset(longer);
  }
  Option(CURLOPT_HTTPHEADER, headers_.get());
  Option(CURLOPT_USERAGENT, "volley");
  Option(CURLOPT_POST, 1L);
  Option(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(form.size()));
  Option(CURLOPT_POSTFIELDS, form.reveal().data());  // not copied here
  Option(CURLOPT_WRITEFUNCTION, &TakeBody);
  Option(CURLOPT_WRITEDATA, static_cast<void*>(&body_));
  return set_;
}

CURLcode Transfer::Run(const StopSignal* stop) {
  if (curl_multi_add_handle(multi_.get(), easy_.get()) != CURLM_OK) return CURLE_FAILED_INIT;
  added_ = true;
  curl_waitfd waited = {
      .fd = stop == nullptr ? -1 : stop->fd(), .events = CURL_WAIT_POLLIN, .revents = 0};
  const unsigned extra = waited.fd >= 0 ? 1 : 0;
  const int look_ms = static_cast<int>(absl::ToInt64Milliseconds(StopSignal::kLookInterval));
  for (int running = 1;;) {
    if (stop != nullptr && stop->stopped()) return CURLE_OK;
    if (curl_multi_perform(multi_.get(), &running) != CURLM_OK) return CURLE_FAILED_INIT;
    if (running == 0) break;
    if (curl_multi_poll(multi_.get(), &waited, extra, look_ms, nullptr) != CURLM_OK) {
      return CURLE_FAILED_INIT;
    }
  }
  int left = 0;
  const CURLMsg* message = curl_multi_info_read(multi_.get(), &left);
  return message == nullptr ? CURLE_FAILED_INIT : message->data.result;
}

std::string Transfer::Words(CURLcode code) const {
  const char* words = words_[0] != '\0' ? words_.data() : curl_easy_strerror(code);
  return Printable(words, kCurlWordsMax);
}

absl::StatusOr<HttpReply> Transfer::Result(CURLcode code, const CurlOptions& options) {
  if (body_.too_big) {
    return absl::UnavailableError(fmt::format(
        "its answer has more than {} bytes: is it the right token_url?", HttpReply::kBodyBytesMax));
  }
  if (code == CURLE_PEER_FAILED_VERIFICATION) {
    return absl::UnavailableError(
        fmt::format("its certificate cannot be trusted ({}); nothing was sent to it", Words(code)));
  }
  if (code == CURLE_OPERATION_TIMEDOUT) {
    return absl::UnavailableError(fmt::format(
        "no answer within {} ({})", absl::FormatDuration(options.total_timeout), Words(code)));
  }
  if (code != CURLE_OK) return absl::UnavailableError(fmt::format("no answer: {}", Words(code)));
  long status = 0;
  curl_easy_getinfo(easy_.get(), CURLINFO_RESPONSE_CODE, &status);
  return HttpReply{.status = static_cast<int>(status),
                   .body = Secret::Concat({body_.bytes.reveal().substr(0, body_.size)})};
}

class CurlClient final : public HttpClient {
 public:
  explicit CurlClient(const CurlOptions& options) : options_(options) {}

  absl::StatusOr<HttpReply> PostForm(const std::string& url, const Secret& form,
                                     const StopSignal* stop) override {
    const WithoutSigpipe guard;  // outlives the transfer, whose end may write, too
    Transfer transfer;
    if (!InitCurl() || !transfer.Set(url, form, options_)) {
      return absl::UnavailableError("libcurl cannot be set up: is it older than 7.87?");
    }
    const CURLcode code = transfer.Run(stop);
    if (stop != nullptr && stop->stopped())
      return absl::CancelledError("ended: not needed any more");
    return transfer.Result(code, options_);
  }

 private:
  const CurlOptions options_;
};

bool IsLoopback(std::string_view host) {
  const std::string text(host);
  in_addr v4{};
  if (inet_pton(AF_INET, text.c_str(), &v4) == 1) return (ntohl(v4.s_addr) >> 24) == 127;
  return text == "[::1]" || text == "localhost";  // libcurl asks nobody about that name
}

std::string UrlPart(CURLU* url, CURLUPart part) {
  char* text = nullptr;
  if (curl_url_get(url, part, &text, 0) != CURLUE_OK) return {};
  const std::unique_ptr<char, FreeText> owner(text);
  return text;
}

}  // namespace

std::shared_ptr<HttpClient> MakeCurlClient(const CurlOptions& options) {
  return std::make_shared<CurlClient>(options);
}

// Read with the parser that will be asked to connect: two parsers could see two hosts in one URL.
absl::Status CheckTokenUrl(const std::string& url, std::string_view what) {
  const auto wrong = [&](std::string_view reason) {
    return absl::InvalidArgumentError(
        fmt::format("{} \"{}\" {}; an example: https://oauth2.googleapis.com/token", what,
                    Printable(url, kCurlWordsMax), reason));
  };
  if (!IsVisibleAscii(url)) return wrong("has a space or another character that no URL has");
  const std::unique_ptr<CURLU, FreeUrl> parsed(curl_url());
  if (parsed == nullptr || curl_url_set(parsed.get(), CURLUPART_URL, url.c_str(), 0) != CURLUE_OK) {
    return wrong("is not a URL");
  }
  const std::string scheme = UrlPart(parsed.get(), CURLUPART_SCHEME);
  const std::string host = UrlPart(parsed.get(), CURLUPART_HOST);
  // RFC 6749 §3.2: no fragment. A login in a URL shows in messages.
  if (!UrlPart(parsed.get(), CURLUPART_FRAGMENT).empty()) return wrong("has a fragment (#)");
  if (!UrlPart(parsed.get(), CURLUPART_USER).empty() ||
      !UrlPart(parsed.get(), CURLUPART_PASSWORD).empty()) {
    return absl::InvalidArgumentError(
        fmt::format("{} has a login in it: give client_id and a client_secret instead", what));
  }
  if (scheme == "https") return absl::OkStatus();
  if (scheme != "http") return wrong("must begin with https://");
  if (IsLoopback(host)) return absl::OkStatus();
  return wrong("would send secrets unencrypted: it must begin with https://");
}

}  // namespace volley::pipeline
