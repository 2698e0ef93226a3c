#include "tests/dialogues/client_player.h"

#include <algorithm>
#include <iterator>
#include <optional>
#include <utility>

#include "engine/sasl/base64.h"
#include "engine/sasl/mechanism.h"
#include "engine/sasl/reply.h"
#include "fmt/format.h"

namespace volley::dialogues {
namespace {

using engine::smtp::Client;
using engine::smtp::ClientOptions;
using engine::smtp::CloseReason;
using engine::smtp::CommandKind;
using engine::smtp::Protocol;
using engine::smtp::TlsPolicy;
using engine::smtp::Transaction;
using engine::smtp::Verdict;
using engine::smtp::VerdictKind;

constexpr std::string_view kDefaultContent = "Subject: test\r\n\r\nhello\r\n";

std::string_view KindName(VerdictKind kind) {
  switch (kind) {
    case VerdictKind::kDelivered:
      return "delivered";
    case VerdictKind::kRetry:
      return "retry";
    case VerdictKind::kFailed:
      return "failed";
    case VerdictKind::kUnknown:
      return "unknown";
  }
  return "?";
}

std::string_view ReasonName(CloseReason reason) {
  switch (reason) {
    case CloseReason::kNone:
      return "none";
    case CloseReason::kQuit:
      return "quit";
    case CloseReason::kRejected:
      return "rejected";
    case CloseReason::kServiceClosing:
      return "service-closing";
    case CloseReason::kPeerClosed:
      return "peer-closed";
    case CloseReason::kProtocolError:
      return "protocol-error";
    case CloseReason::kTimeout:
      return "timeout";
    case CloseReason::kTlsUnavailable:
      return "tls-unavailable";
    case CloseReason::kAuthUnavailable:
      return "auth-unavailable";
    case CloseReason::kAuthFailed:
      return "auth-failed";
  }
  return "?";
}

std::string OnWhat(CommandKind kind) {
  return kind == CommandKind::kContent ? "content" : std::string(engine::smtp::CommandName(kind));
}

// Each its own length, so that a dialogue can name the one that runs.
struct NamedTimeout {
  std::string_view name;
  absl::Duration engine::smtp::ClientTimeouts::*member;
};
constexpr NamedTimeout kTimeouts[] = {
    {"greeting", &engine::smtp::ClientTimeouts::greeting},
    {"ehlo", &engine::smtp::ClientTimeouts::ehlo},
    {"starttls", &engine::smtp::ClientTimeouts::starttls},
    {"tls_handshake", &engine::smtp::ClientTimeouts::tls_handshake},
    {"auth", &engine::smtp::ClientTimeouts::auth},
    {"mail", &engine::smtp::ClientTimeouts::mail},
    {"rcpt", &engine::smtp::ClientTimeouts::rcpt},
    {"data", &engine::smtp::ClientTimeouts::data},
    {"data_block", &engine::smtp::ClientTimeouts::data_block},
    {"content", &engine::smtp::ClientTimeouts::content},
    {"rset", &engine::smtp::ClientTimeouts::rset},
    {"quit", &engine::smtp::ClientTimeouts::quit},
};

std::string TimeoutName(const Client& client, const ClientOptions& options) {
  const auto timeout = client.reply_timeout();
  if (!timeout.has_value()) return "none";
  for (const NamedTimeout& named : kTimeouts) {
    if (options.timeouts.*named.member == *timeout) return std::string(named.name);
  }
  return "?";
}

constexpr std::pair<std::string_view, TlsPolicy> kTlsPolicies[] = {
    {"off", TlsPolicy::kOff},
    {"opportunistic", TlsPolicy::kOpportunistic},
    {"required", TlsPolicy::kRequired},
    {"implicit", TlsPolicy::kImplicit},
};

}  // namespace

bool RfcRandom::Fill(std::span<unsigned char> out) {
  const std::optional<std::string> bytes = engine::sasl::DecodeBase64("fyko+d2lbbFgONRv9qkxdawL");
  std::copy_n(bytes->begin(), std::min(bytes->size(), out.size()), out.begin());
  return bytes->size() == out.size();
}

ClientPlayer::ClientPlayer(const Dialogue* dialogue, Segmentation segmentation)
    : dialogue_(dialogue), segmentation_(segmentation) {
  options_.helo_name = "client.example";
  options_.random = &random_;
  int seconds = 1;
  for (const NamedTimeout& named : kTimeouts) {
    options_.timeouts.*named.member = absl::Seconds(seconds++);
  }
}

Client& ClientPlayer::client() {
  if (client_ == nullptr) client_ = std::make_unique<Client>(&options_, this);
  return *client_;
}

void ClientPlayer::OnVerdict(const Verdict& v) {
  std::string event = fmt::format("verdict tag={} rcpt={} {} on={}", v.tag, v.recipient,
                                  KindName(v.kind), OnWhat(v.command));
  if (v.reply.code.value() != 0) event += fmt::format(" {}", v.reply.code.value());
  if (v.reply.enhanced.present()) {
    event += fmt::format(" {}.{}.{}", v.reply.enhanced.klass, v.reply.enhanced.subject,
                         v.reply.enhanced.detail);
  }
  if (!v.counts_as_attempt) event += " uncounted";
  events_.push_back(std::move(event));
}

void ClientPlayer::OnTransactionEnd(uint64_t tag) {
  events_.push_back(fmt::format("end tag={}", tag));
}

std::string ClientPlayer::Play() {
  for (size_t i = 0; i < dialogue_->steps.size(); ++i) {
    if (std::string fault = PlayStep(i); !fault.empty()) {
      return dialogue_->At(dialogue_->steps[i], fault);
    }
  }
  const std::string left = Quiet();
  if (left.empty() && client().closed()) return "";
  const Step& last = dialogue_->steps.back();
  if (!left.empty()) return dialogue_->At(last, "after the last line: " + left);
  // A session left open has said so by its last line.
  if (last.kind == StepKind::kExpect && last.text == "open") return "";
  return dialogue_->At(last, "the dialogue ends with the session neither closed nor '= open'");
}

std::string ClientPlayer::PlayStep(size_t index) {
  const Step& step = dialogue_->steps[index];
  switch (step.kind) {
    case StepKind::kServer: {
      const bool more = index + 1 < dialogue_->steps.size() &&
                        dialogue_->steps[index + 1].kind == StepKind::kServer;
      return PlayServer(step, !more);
    }
    case StepKind::kClient:
      return PlayClient(step);
    case StepKind::kDirective:
      return PlayDirective(step);
    case StepKind::kExpect:
      return PlayExpect(step);
  }
  return "?";
}

std::string ClientPlayer::PlayServer(const Step& step, bool last_of_block) {
  client();
  if (server_block_.empty()) {
    if (std::string left = Quiet(); !left.empty()) return left;
  }
  server_block_ += step.text;
  if (!last_of_block) return "";
  const std::string block = std::move(server_block_);
  server_block_.clear();
  if (segmentation_ == Segmentation::kWhole) {
    client().Receive(block);
  } else {
    for (const char& byte : block) client().Receive({&byte, 1});
  }
  AfterEvent();
  return "";
}

std::string ClientPlayer::PlayClient(const Step& step) {
  client();
  const std::string_view sent = std::string_view(output_).substr(0, step.text.size());
  if (sent != step.text) {
    return fmt::format("the client should send\n{}but sends\n{}", Escape(step.text),
                       output_.empty() ? "nothing" : Escape(output_));
  }
  output_.erase(0, step.text.size());
  return "";
}

std::string ClientPlayer::PlayDirective(const Step& step) {
  static const std::map<std::string, Handler, std::less<>> kHandlers = {
      {"options", &ClientPlayer::DoOptions}, {"add", &ClientPlayer::DoAdd},
      {"quit", &ClientPlayer::DoQuit},       {"close", &ClientPlayer::DoClose},
      {"timeout", &ClientPlayer::DoTimeout}, {"reset", &ClientPlayer::DoReset},
      {"hold", &ClientPlayer::DoHold},       {"take", &ClientPlayer::DoTake},
      {"sent", &ClientPlayer::DoSent},       {"release", &ClientPlayer::DoRelease},
      {"tls", &ClientPlayer::DoTls},         {"tls-failed", &ClientPlayer::DoTlsFailed},
  };
  if (std::string left = Quiet(); !left.empty()) return left;
  const absl::StatusOr<Words> words = SplitWords(step.text);
  if (!words.ok()) return std::string(words.status().message());
  const auto handler = kHandlers.find(words->verb);
  if (handler == kHandlers.end()) return "unknown directive @" + words->verb;
  if (std::string fault = (this->*handler->second)(*words); !fault.empty()) return fault;
  if (words->verb != "options") AfterEvent();
  return "";
}

std::string ClientPlayer::Quiet() const {
  if (!output_.empty()) return "before this the client also sends\n" + Escape(output_);
  if (!events_.empty()) return "before this the client also reports '" + events_.front() + "'";
  return "";
}

void ClientPlayer::AfterEvent() {
  if (!holding_) Pump();
  if (client().closed() && !closed_told_) {
    closed_told_ = true;
    std::string event = fmt::format("closed {}", ReasonName(client().close_reason()));
    if (client().close_code().value() != 0) {
      event += fmt::format(" {}", client().close_code().value());
    }
    events_.push_back(std::move(event));
  }
}

void ClientPlayer::Pump() {
  while (client().has_output()) {
    Take(segmentation_ == Segmentation::kWhole ? 64 : 1);
    client().OnOutputSent();
  }
}

void ClientPlayer::Take(size_t pieces) {
  std::vector<iovec> out(pieces);
  out.resize(client().TakeOutput(out));
  for (const iovec& piece : out) {
    output_.append(static_cast<const char*>(piece.iov_base), piece.iov_len);
  }
}

// --- Directives ---

std::string ClientPlayer::DoOptions(const Words& words) {
  if (client_ != nullptr) return "@options comes first";
  if (words.Get("protocol") == "lmtp") options_.protocol = Protocol::kLmtp;
  if (words.Get("pipelining") == "off") options_.use_pipelining = false;
  if (words.Get("chunking") == "off") options_.use_chunking = false;
  options_.helo_name = words.Get("helo", options_.helo_name);
  const std::string discard = words.Get("discard");
  if (!discard.empty()) options_.discard_ehlo_keywords = SplitAt(discard, ',');
  if (words.values.contains("tls")) {
    const auto* policy = std::find_if(std::begin(kTlsPolicies), std::end(kTlsPolicies),
                                      [&](const auto& p) { return p.first == words.Get("tls"); });
    if (policy == std::end(kTlsPolicies)) return "unknown tls policy";
    options_.tls = policy->second;
  }
  return DoAuthOptions(words);
}

std::string ClientPlayer::DoAuthOptions(const Words& words) {
  options_.auth_insecure = options_.auth_insecure || words.Has("insecure");
  options_.server_name = words.Get("host");
  options_.server_port = static_cast<uint16_t>(std::stoul(words.Get("port", "0")));
  if (words.values.contains("auth")) {
    options_.auth_mechanism = engine::sasl::ParseMechanism(words.Get("auth"));
    if (!options_.auth_mechanism) return "unknown mechanism";
  }
  if (!words.values.contains("user")) return "";
  credentials_.user = words.Get("user");
  std::string token = words.Get("token");
  if (words.values.contains("token_bytes")) {
    token.assign(std::stoul(words.Get("token_bytes")), 't');
  }
  credentials_.password = *engine::Secret::Make(words.Get("password"));
  credentials_.token = *engine::Secret::Make(token);
  options_.credentials = &credentials_;
  return "";
}

std::vector<std::string> ClientPlayer::ContentOf(const Words& words) const {
  if (words.values.contains("pieces")) return SplitAt(words.Get("pieces"), '|');
  std::string content = words.Get("content", std::string(kDefaultContent));
  if (words.values.contains("bytes")) {
    content.assign(std::stoul(words.Get("bytes")) - 2, 'x');
    content += "\r\n";
  }
  if (segmentation_ == Segmentation::kWhole) return {content};
  std::vector<std::string> single;
  for (const char c : content) single.emplace_back(1, c);
  return single;
}

std::string ClientPlayer::DoAdd(const Words& words) {
  if (!client().wants_transaction()) return "the client wants no transaction now";
  Transaction transaction;
  transaction.tag = std::stoull(words.Get("tag", "1"));
  const std::string from = words.Get("from", "sender@client.example");
  const std::vector<std::string> to = SplitAt(words.Get("to", "a@mx.example"), ',');
  const std::vector<std::string_view> recipients(to.begin(), to.end());
  std::vector<iovec>& pieces = pieces_.emplace_back();
  for (std::string& piece : ContentOf(words)) {
    std::string& kept = bytes_.emplace_back(std::move(piece));
    if (kept.empty()) continue;
    pieces.push_back({kept.data(), kept.size()});
    transaction.content_bytes += kept.size();
  }
  transaction.reverse_path = from;
  transaction.recipients = recipients;
  transaction.content = pieces;
  transaction.eight_bit = words.Has("eight_bit");
  transaction.smtputf8 = words.Has("smtputf8");
  transaction.dot_free = words.Has("dot_free");
  client().Add(transaction);
  return "";
}

std::string ClientPlayer::DoQuit(const Words&) {
  client().Quit();
  return "";
}

std::string ClientPlayer::DoClose(const Words& words) {
  client().OnConnectionClosed(std::stoull(words.Get("unsent", "0")),
                              words.Get("why", "connection reset by peer"));
  return "";
}

std::string ClientPlayer::DoTimeout(const Words&) {
  client().OnTimeout();
  return "";
}

std::string ClientPlayer::DoReset(const Words&) {
  client().Reset();
  closed_told_ = false;
  return "";
}

std::string ClientPlayer::DoTls(const Words&) {
  if (!client().wants_tls()) return "the client wants no TLS now";
  client().OnTlsEstablished();
  return "";
}

std::string ClientPlayer::DoTlsFailed(const Words& words) {
  client().OnTlsFailed(words.Get("why", "the certificate has expired"));
  return "";
}

std::string ClientPlayer::DoHold(const Words&) {
  holding_ = true;
  return "";
}

std::string ClientPlayer::DoTake(const Words& words) {
  if (!holding_) return "@take comes after @hold";
  Take(words.flags.empty() ? 64 : std::stoul(words.flags[0]));
  return "";
}

std::string ClientPlayer::DoSent(const Words&) {
  client().OnOutputSent();
  return "";
}

std::string ClientPlayer::DoRelease(const Words&) {
  holding_ = false;
  client().OnOutputSent();
  return "";
}

// --- Expectations ---

std::string ClientPlayer::PlayExpect(const Step& step) {
  client();
  const absl::StatusOr<Words> words = SplitWords(step.text);
  if (!words.ok()) return std::string(words.status().message());
  if (words->verb != "verdict" && words->verb != "end" && words->verb != "closed") {
    return ExpectState(*words);
  }
  if (events_.empty()) return "the client reports nothing here";
  const std::string event = std::move(events_.front());
  events_.pop_front();
  return event == step.text ? "" : "the client reports '" + event + "'";
}

std::string ClientPlayer::ExpectState(const Words& words) const {
  const bool negated = words.Has("not");
  const auto expect = [&](bool value) -> std::string {
    return value != negated ? "" : fmt::format("'{}' is {}", words.verb, value);
  };
  if (words.verb == "wants") return expect(client_->wants_transaction());
  if (words.verb == "ready") return expect(client_->ready());
  if (words.verb == "idle") return expect(client_->idle());
  if (words.verb == "open") return expect(!client_->closed());
  if (words.verb == "wants-tls") return expect(client_->wants_tls());
  if (words.verb == "tls") return expect(client_->tls());
  if (words.verb == "authenticated") return expect(client_->authenticated());
  if (words.verb == "auth-required") return expect(client_->auth_required());
  if (words.verb == "renewal") return expect(client_->token_renewal_may_help());
  if (words.verb == "starttls-offered") return expect(client_->capabilities().starttls);
  if (words.flags.empty()) return "unknown expectation '" + words.verb + "'";
  std::string actual;
  if (words.verb == "timeout") actual = TimeoutName(*client_, options_);
  if (words.verb == "mechanism") {
    const auto mechanism = client_->auth_mechanism();
    actual = mechanism ? engine::sasl::MechanismName(*mechanism) : "none";
  }
  if (words.verb == "failure") {
    actual = engine::sasl::DiagnosisId(client_->auth_failure());
    if (actual.empty()) actual = "none";
  }
  if (words.verb == "done") actual = std::to_string(client_->transactions_done());
  if (words.verb == "error") {
    const std::string error(client_->error());
    const bool found = error.find(words.flags.back()) != error.npos;
    return found != negated ? "" : "the error is '" + error + "'";
  }
  if (actual.empty()) return "unknown expectation '" + words.verb + "'";
  return actual == words.flags[0] ? "" : fmt::format("'{}' is {}", words.verb, actual);
}

}  // namespace volley::dialogues
