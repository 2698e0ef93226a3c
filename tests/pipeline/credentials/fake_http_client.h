// An HttpClient without a network: answers from a function, and remembers what it was asked.
#ifndef VOLLEY_TESTS_PIPELINE_CREDENTIALS_FAKE_HTTP_CLIENT_H_
#define VOLLEY_TESTS_PIPELINE_CREDENTIALS_FAKE_HTTP_CLIENT_H_

#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "pipeline/credentials/http_client.h"

namespace volley::testing {

inline pipeline::HttpReply ReplyOf(int status, std::string_view body) {
  return {.status = status, .body = engine::Secret::Concat({body})};
}

class FakeHttpClient final : public pipeline::HttpClient {
 public:
  // `n` counts from 1. The function is called in the keeper's thread.
  using Answer = std::function<absl::StatusOr<pipeline::HttpReply>(int n, const std::string& form)>;

  explicit FakeHttpClient(Answer answer) : answer_(std::move(answer)) {}

  absl::StatusOr<pipeline::HttpReply> PostForm(const std::string&, const engine::Secret& form,
                                               const pipeline::StopSignal*) override {
    int n = 0;
    {
      const std::lock_guard lock(mutex_);
      forms_.emplace_back(form.reveal());
      n = static_cast<int>(forms_.size());
    }
    return answer_(n, std::string(form.reveal()));
  }

  std::vector<std::string> forms() const {
    const std::lock_guard lock(mutex_);
    return forms_;
  }
  size_t count() const { return forms().size(); }

 private:
  const Answer answer_;
  mutable std::mutex mutex_;
  std::vector<std::string> forms_;
};

}  // namespace volley::testing

#endif  // VOLLEY_TESTS_PIPELINE_CREDENTIALS_FAKE_HTTP_CLIENT_H_
