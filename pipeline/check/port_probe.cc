#include "pipeline/check/port_probe.h"

#include <algorithm>
#include <cerrno>

#include "io/base/check.h"

namespace volley::pipeline {
namespace {

// "220 " or "220-", with any code that a greeting may have.
constexpr size_t kGreetingFormBytes = 4;

bool LooksLikeSmtp(std::string_view heard) {
  const auto digit = [](char c) { return c >= '0' && c <= '9'; };
  return heard.size() >= kGreetingFormBytes && heard[0] >= '2' && heard[0] <= '5' &&
         digit(heard[1]) && digit(heard[2]) &&
         (heard[3] == ' ' || heard[3] == '-' || heard[3] == '\r');
}

PortAnswer AnswerOfFailure(const io::CloseInfo& info) {
  if (info.status.code() == absl::StatusCode::kDeadlineExceeded || info.sys_errno == ETIMEDOUT) {
    return PortAnswer::kTimedOut;
  }
  return info.sys_errno == ECONNREFUSED ? PortAnswer::kRefused : PortAnswer::kFailed;
}

}  // namespace

std::string_view PortAnswerWords(PortAnswer answer) {
  switch (answer) {
    case PortAnswer::kPending:
      return "no answer yet";
    case PortAnswer::kRefused:
      return "refused";
    case PortAnswer::kTimedOut:
      return "timed out";
    case PortAnswer::kFailed:
      return "cannot be reached";
    case PortAnswer::kOpen:
      return "open";
    case PortAnswer::kSmtp:
      return "speaks SMTP";
    case PortAnswer::kTls:
      return "speaks TLS";
    case PortAnswer::kOther:
      return "speaks something else";
    case PortAnswer::kSilent:
      return "open, but says nothing";
  }
  return "";
}

PortProbe::PortProbe(io::Reactor* reactor, io::TlsClientContext* tls, const io::Endpoint& peer,
                     Question question, const Options& options)
    : reactor_(reactor),
      tls_(tls),
      peer_(peer),
      question_(question),
      options_(options),
      channel_(reactor, this) {
  finding_.port = peer.port();
}

void PortProbe::Start() {
  VOLLEY_CHECK(!open_ && !answered());
  started_ = reactor_->Now();
  if (question_ == Question::kTls && tls_ == nullptr) return Answer(PortAnswer::kSilent);
  Connect(question_ == Question::kTls);
}

void PortProbe::Connect(bool with_tls) {
  open_ = true;
  with_tls_ = with_tls;
  io::ConnectOptions connect;
  connect.timeout = options_.connect_timeout;
  if (!with_tls) return channel_.Connect(peer_, connect);
  io::TlsConnectOptions tls;
  tls.verify = io::TlsVerify::kNone;  // the question is the language
  tls.handshake_timeout = options_.patience;
  channel_.ConnectTls(peer_, connect, tls_, tls);
}

void PortProbe::OnConnected() {
  if (!connected_) connect_time_ = reactor_->Now() - started_;
  connected_ = true;
  if (question_ == Question::kConnect) return Answer(PortAnswer::kOpen);
  if (!with_tls_) reactor_->SetTimer(this, reactor_->Now() + options_.patience);
}

void PortProbe::OnData(std::span<const char> bytes) {
  if (answered() || with_tls_ || tls_next_) return;
  heard_.append(bytes.data(), std::min(bytes.size(), kGreetingFormBytes - heard_.size()));
  if (heard_.size() == kGreetingFormBytes) AnswerByGreeting();
}

void PortProbe::AnswerByGreeting() {
  Answer(LooksLikeSmtp(heard_) ? PortAnswer::kSmtp : PortAnswer::kOther);
}

void PortProbe::OnTlsReady(const io::TlsInfo&) { Answer(PortAnswer::kTls); }

void PortProbe::OnTimer() {
  if (answered()) return;
  if (heard_.empty()) return TryTlsNext();
  AnswerByGreeting();
}

void PortProbe::OnPeerClosed() {
  if (answered() || with_tls_) return channel_.Close();
  if (heard_.empty()) return TryTlsNext();
  AnswerByGreeting();
}

void PortProbe::TryTlsNext() {
  if (tls_ == nullptr) return Answer(PortAnswer::kSilent);
  tls_next_ = true;
  reactor_->CancelTimer(this);
  channel_.Close();
}

void PortProbe::Answer(PortAnswer answer) {
  finding_.answer = answer;
  reactor_->CancelTimer(this);
  if (open_) channel_.Close();
}

void PortProbe::OnClosed(const io::CloseInfo& info) {
  open_ = false;
  reactor_->CancelTimer(this);
  if (answered()) return;
  if (tls_next_) {
    tls_next_ = false;
    return Connect(/*with_tls=*/true);
  }
  if (!connected_) {
    connect_time_ = reactor_->Now() - started_;
    sys_errno_ = info.sys_errno;
    connect_error_ = std::string(info.status.message());
    finding_.answer = AnswerOfFailure(info);
    return;
  }
  const io::TlsError* error = channel_.tls_error();
  const bool spoke = error != nullptr && (error->failure == io::TlsFailure::kPlaintextPeer);
  // Everything a handshake can fail of but these is said in TLS: by an alert, a certificate, a
  // version that we do not take.
  const bool nothing = error == nullptr || error->failure == io::TlsFailure::kPeerClosed ||
                       error->failure == io::TlsFailure::kTimeout;
  finding_.answer = spoke ? PortAnswer::kOther : nothing ? PortAnswer::kSilent : PortAnswer::kTls;
}

}  // namespace volley::pipeline
