#include "pipeline/check/diagnosis.h"

#include <cerrno>
#include <fstream>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "engine/smtp/reply.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace volley::pipeline {
namespace {

using engine::sasl::AuthFailure;
using engine::smtp::CloseReason;
using engine::smtp::CommandKind;
using engine::smtp::ReplyCode;
using engine::smtp::TlsPolicy;
using io::TlsFailure;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

CheckTarget Target(TlsPolicy tls = TlsPolicy::kOpportunistic, uint16_t port = 587) {
  CheckTarget target;
  target.host = "mx.example.org";
  target.port = port;
  target.tls = tls;
  return target;
}

std::string IdOf(const Diagnosis& diagnosis) { return std::string(FaultId(diagnosis.fault)); }

// --- The ids ---

TEST(Fault, EachHasAnIdOfItsOwnInSnakeCase) {
  std::set<std::string> ids;
  for (size_t i = 0; i < kFaultCount; ++i) {
    const std::string id(FaultId(static_cast<Fault>(i)));
    EXPECT_THAT(id, testing::MatchesRegex("[a-z][a-z0-9_]+"));
    EXPECT_TRUE(ids.insert(id).second) << id << " is there twice";
  }
}

TEST(Fault, EachHasItsChapterInTheDocsAndNoOtherHas) {
  std::ifstream file(std::string(VOLLEY_TESTS_DIR) + "/../docs/check.md");
  ASSERT_TRUE(file.good());
  std::set<std::string> chapters, ids;
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with("### `")) continue;
    ASSERT_TRUE(line.ends_with("`")) << line;
    EXPECT_TRUE(chapters.insert(line.substr(5, line.size() - 6)).second) << line;
  }
  for (size_t i = 0; i < kFaultCount; ++i) ids.emplace(FaultId(static_cast<Fault>(i)));
  EXPECT_EQ(chapters, ids);
}

// What events and logs call a failure is what `check` calls it.
TEST(Fault, CertificateIdsAreThoseOfIo) {
  for (const TlsFailure failure :
       {TlsFailure::kCertificateExpired, TlsFailure::kCertificateNotYetValid,
        TlsFailure::kCertificateNameMismatch, TlsFailure::kCertificateSelfSigned,
        TlsFailure::kCertificateUntrusted, TlsFailure::kCertificateInvalid,
        TlsFailure::kCertificateRefused, TlsFailure::kProtocolVersion, TlsFailure::kNoCommonCipher,
        TlsFailure::kHandshakeFailed, TlsFailure::kBadRecord}) {
    EXPECT_EQ(IdOf(DiagnoseTls(Target(), {failure, "why", {}}, {})), io::TlsFailureId(failure));
  }
}

TEST(Fault, AuthIdsAreThoseOfSasl) {
  for (size_t i = 1; i <= static_cast<size_t>(AuthFailure::kProtocolError); ++i) {
    ConversationEnd end;
    end.reason = CloseReason::kAuthFailed;
    end.auth = static_cast<AuthFailure>(i);
    end.auth_offered = true;
    const Diagnosis found = DiagnoseEnd(Target(), end, {}, {});
    EXPECT_EQ(IdOf(found), engine::sasl::DiagnosisId(end.auth));
    EXPECT_THAT(found.advice, HasSubstr(std::string(engine::sasl::Advice(end.auth))));
  }
}

// --- The name ---

TEST(DiagnoseName, TellsAMissingNameFromANameServiceThatFails) {
  const auto id = [](io::DnsStatus status) {
    return IdOf(DiagnoseName(Target(), status, "why", {}));
  };
  EXPECT_EQ(id(io::DnsStatus::kNoSuchName), "name_not_found");
  EXPECT_EQ(id(io::DnsStatus::kNoData), "name_has_no_address");
  EXPECT_EQ(id(io::DnsStatus::kFailed), "name_lookup_failed");
  EXPECT_EQ(id(io::DnsStatus::kTimeout), "name_lookup_failed");
}

TEST(DiagnoseName, NamesWhatMayHaveBeenMeant) {
  NameHints hints;
  hints.nearest = "smtp.gmail.com";
  hints.that_exist = {"smtp.example.org", "mail.example.org"};
  const Diagnosis found = DiagnoseName(Target(), io::DnsStatus::kNoSuchName, "", hints);
  EXPECT_THAT(found.what, HasSubstr("mx.example.org"));
  EXPECT_THAT(found.advice, AllOf(HasSubstr("Did you mean smtp.gmail.com?"),
                                  HasSubstr("smtp.example.org, mail.example.org")));
}

// --- The connection ---

TEST(DiagnoseConnect, TellsAClosedPortFromAFilteredOne) {
  EXPECT_EQ(IdOf(DiagnoseConnect(Target(), {ECONNREFUSED, false, {}, "refused"}, {})),
            "connection_refused");
  EXPECT_EQ(IdOf(DiagnoseConnect(Target(), {0, true, absl::Seconds(10), "late"}, {})),
            "connection_timed_out");
  EXPECT_EQ(IdOf(DiagnoseConnect(Target(), {ETIMEDOUT, false, {}, "late"}, {})),
            "connection_timed_out");
  EXPECT_EQ(IdOf(DiagnoseConnect(Target(), {ENETUNREACH, false, {}, "no way"}, {})),
            "network_unreachable");
  EXPECT_EQ(IdOf(DiagnoseConnect(Target(), {ECONNRESET, false, {}, "reset"}, {})),
            "connection_failed");
}

TEST(DiagnoseConnect, NamesTheFirstPortThatWorksAndHowToWriteIt) {
  const std::vector<PortFinding> others = {
      {2525, PortAnswer::kRefused}, {465, PortAnswer::kTls}, {587, PortAnswer::kSmtp}};
  const Diagnosis found = DiagnoseConnect(Target(), {ECONNREFUSED, false, {}, ""}, others);
  EXPECT_THAT(found.advice, HasSubstr("smtps://mx.example.org:465"));
  EXPECT_THAT(found.advice, Not(HasSubstr("587")));
}

TEST(DiagnoseConnect, APortThatSpeaksSomethingElseIsNoAdvice) {
  const std::vector<PortFinding> others = {{80, PortAnswer::kOther}, {81, PortAnswer::kSilent}};
  const Diagnosis found = DiagnoseConnect(Target(), {ECONNREFUSED, false, {}, ""}, others);
  EXPECT_THAT(found.advice, AllOf(HasSubstr("nor on 80, 81"), Not(HasSubstr("write"))));
}

// Only a port that answers shows that it is this port which is blocked, and not the host.
TEST(DiagnoseConnect, Port25IsBlockedWhereAnotherPortAnswers) {
  const std::vector<PortFinding> open = {{587, PortAnswer::kSmtp}};
  const std::vector<PortFinding> shut = {{587, PortAnswer::kTimedOut}};
  const ConnectFailure late{0, true, absl::Seconds(10), ""};
  EXPECT_EQ(IdOf(DiagnoseConnect(Target(TlsPolicy::kOff, 25), late, open)),
            "connection_blocked_port_25");
  EXPECT_EQ(IdOf(DiagnoseConnect(Target(TlsPolicy::kOff, 25), late, shut)), "connection_timed_out");
  EXPECT_EQ(IdOf(DiagnoseConnect(Target(TlsPolicy::kOff, 26), late, open)), "connection_timed_out");
}

TEST(UrlOf, PutsAnIpv6AddressInBrackets) {
  CheckTarget target = Target();
  target.host = "2001:db8::1";
  EXPECT_EQ(UrlOf(target, PortAnswer::kSmtp, 587), "smtp://[2001:db8::1]:587");
}

// --- TLS ---

TEST(DiagnoseTls, PlaintextMeansTheWrongSchemeForImplicitTlsAndABrokenServerForStarttls) {
  const io::TlsError plain{TlsFailure::kPlaintextPeer, "the peer spoke plaintext: \"220 hi\"", {}};
  const Diagnosis implicit =
      DiagnoseTls(Target(TlsPolicy::kImplicit, 2465), plain, {2465, PortAnswer::kSmtp});
  EXPECT_EQ(IdOf(implicit), "plain_on_tls_port");
  EXPECT_THAT(implicit.advice, HasSubstr("smtp://mx.example.org:2465"));
  EXPECT_EQ(IdOf(DiagnoseTls(Target(TlsPolicy::kRequired), plain, {})), "protocol_error");
}

TEST(DiagnoseTls, AWebServerOnTheTlsPortIsNoSmtpServer) {
  const io::TlsError plain{TlsFailure::kPlaintextPeer, "HTTP/1.1 400", {}};
  const Diagnosis found =
      DiagnoseTls(Target(TlsPolicy::kImplicit, 80), plain, {80, PortAnswer::kOther});
  EXPECT_EQ(IdOf(found), "plain_on_tls_port");
  EXPECT_THAT(found.advice, AllOf(HasSubstr("no mail server"), Not(HasSubstr("smtp://"))));
}

// Some servers drop what they do not understand instead of answering it.
TEST(DiagnoseTls, AServerThatHangsUpOnAClientHelloButGreetsIsAPlainOne) {
  for (const TlsFailure failure : {TlsFailure::kPeerClosed, TlsFailure::kTimeout}) {
    const io::TlsError error{failure, "ended", {}};
    EXPECT_EQ(IdOf(DiagnoseTls(Target(TlsPolicy::kImplicit), error, {587, PortAnswer::kSmtp})),
              "plain_on_tls_port");
    EXPECT_NE(IdOf(DiagnoseTls(Target(TlsPolicy::kImplicit), error, {587, PortAnswer::kSilent})),
              "plain_on_tls_port");
  }
}

TEST(DiagnoseTls, NamesWhatTheCertificateIsFor) {
  io::TlsError error{TlsFailure::kCertificateNameMismatch, "for others", {}};
  error.info.peer_names = {"a.test", "b.test", "c.test", "d.test", "e.test"};
  EXPECT_THAT(DiagnoseTls(Target(), error, {}).advice,
              AllOf(HasSubstr("a.test, b.test, c.test, d.test, ..."), HasSubstr("--tls-name")));
}

// --- The session ---

ConversationEnd End(CloseReason reason, CommandKind stage, uint16_t code = 0) {
  ConversationEnd end;
  end.reason = reason;
  end.stage = stage;
  end.code = ReplyCode(code);
  end.words = "words";
  return end;
}

std::string IdOfEnd(const ConversationEnd& end) { return IdOf(DiagnoseEnd(Target(), end, {}, {})); }

TEST(DiagnoseEnd, TellsRefusalsByStageAndCode) {
  EXPECT_EQ(IdOfEnd(End(CloseReason::kRejected, CommandKind::kGreeting, 554)), "greeting_rejected");
  EXPECT_EQ(IdOfEnd(End(CloseReason::kRejected, CommandKind::kGreeting, 450)),
            "service_unavailable");
  EXPECT_EQ(IdOfEnd(End(CloseReason::kServiceClosing, CommandKind::kGreeting, 421)),
            "service_unavailable");
  EXPECT_EQ(IdOfEnd(End(CloseReason::kRejected, CommandKind::kEhlo, 550)), "ehlo_rejected");
  EXPECT_EQ(IdOfEnd(End(CloseReason::kTlsUnavailable, CommandKind::kEhlo)), "starttls_missing");
  EXPECT_EQ(IdOfEnd(End(CloseReason::kTlsUnavailable, CommandKind::kStartTls, 454)),
            "starttls_refused");
  EXPECT_EQ(IdOfEnd(End(CloseReason::kProtocolError, CommandKind::kEhlo)), "protocol_error");
  EXPECT_EQ(IdOfEnd(End(CloseReason::kPeerClosed, CommandKind::kEhlo)), "connection_closed");
  EXPECT_EQ(IdOfEnd(End(CloseReason::kTimeout, CommandKind::kEhlo)), "reply_timed_out");
}

// A login that ends in 421 is about the login.
TEST(DiagnoseEnd, AnAuthFailureGoesBeforeTheWayTheSessionEnded) {
  ConversationEnd end = End(CloseReason::kServiceClosing, CommandKind::kAuth, 421);
  end.auth = AuthFailure::kTemporary;
  EXPECT_EQ(IdOfEnd(end), "auth_temporary");
}

TEST(DiagnoseEnd, SilenceAndTlsOnTheSamePortIsATlsPort) {
  for (const CloseReason reason : {CloseReason::kTimeout, CloseReason::kPeerClosed}) {
    const ConversationEnd end = End(reason, CommandKind::kGreeting);
    const Diagnosis found = DiagnoseEnd(Target(), end, {587, PortAnswer::kTls}, {});
    EXPECT_EQ(IdOf(found), "tls_on_plain_port");
    EXPECT_THAT(found.advice, HasSubstr("smtps://mx.example.org:587"));
    EXPECT_NE(IdOf(DiagnoseEnd(Target(), end, {587, PortAnswer::kSilent}, {})),
              "tls_on_plain_port");
  }
  // Later in the session the server has shown that it does speak in clear.
  EXPECT_EQ(IdOf(DiagnoseEnd(Target(), End(CloseReason::kTimeout, CommandKind::kEhlo),
                             {587, PortAnswer::kTls}, {})),
            "reply_timed_out");
}

TEST(DiagnoseEnd, WithoutAnyAuthAnotherPortIsTheAdvice) {
  ConversationEnd end = End(CloseReason::kAuthUnavailable, CommandKind::kEhlo);
  end.auth = AuthFailure::kMechanismMissing;
  const std::vector<PortFinding> others = {{465, PortAnswer::kTls}};
  EXPECT_THAT(DiagnoseEnd(Target(), end, {}, others).advice,
              HasSubstr("smtps://mx.example.org:465"));
}

TEST(DiagnoseEnd, AProvidersNoteAndTheFateOfATokenAreSaid) {
  CheckTarget target = Target();
  target.note = "user: your address";
  ConversationEnd end = End(CloseReason::kAuthFailed, CommandKind::kAuth, 535);
  end.auth = AuthFailure::kTokenExpired;
  end.renewal = "read again, it is the same one";
  const Diagnosis found = DiagnoseEnd(target, end, {}, {});
  EXPECT_THAT(found.what, HasSubstr("read again, it is the same one"));
  EXPECT_THAT(found.advice, HasSubstr("user: your address"));
}

// --- Before anything is connected to ---

TEST(DiagnoseConfiguration, WhatTheUserMustMendIsNoDiagnosis) {
  RelayDefinition definition;
  definition.via = "smtp://mx.example.org";
  EXPECT_FALSE(DiagnoseConfiguration(definition, absl::InvalidArgumentError("x")).has_value());
  EXPECT_FALSE(DiagnoseConfiguration(definition, absl::NotFoundError("x")).has_value());
  EXPECT_FALSE(DiagnoseConfiguration(definition, absl::PermissionDeniedError("x")).has_value());
}

TEST(DiagnoseConfiguration, TellsTheNameServiceFromTheTokenEndpoint) {
  RelayDefinition definition;
  definition.via = "ann@example.org";
  EXPECT_EQ(IdOf(*DiagnoseConfiguration(definition, absl::NotFoundError("none"))),
            "no_submission_service");
  EXPECT_EQ(IdOf(*DiagnoseConfiguration(definition, absl::UnavailableError("late"))),
            "name_lookup_failed");
  definition.via = "smtp://mx.example.org";
  definition.credentials.oauth2.token_url = "https://id.example.org/token";
  EXPECT_EQ(IdOf(*DiagnoseConfiguration(definition, absl::UnavailableError("late"))),
            "token_unavailable");
  EXPECT_EQ(IdOf(*DiagnoseConfiguration(definition,
                                        absl::PermissionDeniedError("token endpoint x says no"))),
            "token_unavailable");
  EXPECT_FALSE(
      DiagnoseConfiguration(definition, absl::PermissionDeniedError("file x")).has_value());
}

// --- Refusals ---

struct Case {
  CommandKind command;
  std::string_view reply;
  std::string_view id;
};

Refusal RefusalOf(CommandKind command, std::string_view words) {
  Refusal refusal;
  refusal.command = command;
  refusal.reply.code = ReplyCode(static_cast<uint16_t>(std::stoi(std::string(words.substr(0, 3)))));
  refusal.reply.text = words.substr(4);
  refusal.reply.enhanced = engine::smtp::TakeEnhancedCode(&refusal.reply.text, words[0] - '0');
  refusal.from = "ann@example.org";
  refusal.to = "bob@example.net";
  return refusal;
}

// The words are the servers' own: Postfix, Exim, sendmail, Exchange, Gmail, SES, qmail.
constexpr Case kRefusals[] = {
    {CommandKind::kRcpt, "554 5.7.1 <bob@example.net>: Relay access denied", "relay_denied"},
    {CommandKind::kRcpt, "550 relay not permitted", "relay_denied"},
    {CommandKind::kRcpt, "550 5.7.1 <bob@example.net>... Relaying denied", "relay_denied"},
    {CommandKind::kRcpt, "554 5.7.1 <b@example.net>: Recipient address rejected: Access denied",
     "relay_denied"},
    {CommandKind::kRcpt, "550 5.7.54 SMTP; Unable to relay recipient", "relay_denied"},
    {CommandKind::kRcpt, "553 sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)",
     "relay_denied"},
    {CommandKind::kMail, "550 5.7.1 Invalid credentials for relay [192.0.2.1].", "relay_denied"},
    {CommandKind::kRcpt, "553 5.7.1 <a@b>: Sender address rejected: not owned by user x",
     "sender_rejected"},
    {CommandKind::kRcpt, "450 4.1.8 <a@b>: Sender address rejected: Domain not found",
     "sender_rejected"},
    {CommandKind::kContent, "554 Message rejected: Email address is not verified.",
     "sender_rejected"},
    {CommandKind::kContent, "554 5.2.252 SendAsDenied; ann not allowed to send as bob",
     "sender_rejected"},
    {CommandKind::kMail, "550 whatever", "sender_rejected"},
    {CommandKind::kMail, "530 5.7.0 Authentication Required", "auth_required"},
    {CommandKind::kMail, "530 5.7.57 Client not authenticated to send mail.", "auth_required"},
    {CommandKind::kMail, "530 no", "auth_required"},
    {CommandKind::kMail, "550 5.7.1 SMTP AUTH is required", "auth_required"},
    {CommandKind::kMail, "530 5.7.0 Must issue a STARTTLS command first", "encryption_required"},
    {CommandKind::kRcpt, "550 5.4.5 Daily user sending limit exceeded.", "limit_reached"},
    {CommandKind::kContent, "454 Throttling failure: Maximum sending rate exceeded.",
     "limit_reached"},
    {CommandKind::kRcpt, "550 5.1.1 no such user", "recipient_rejected"},
    {CommandKind::kRcpt, "552 5.2.2 mailbox full, quota exceeded", "recipient_rejected"},
    {CommandKind::kRcpt, "451 4.7.1 Greylisting in action", "temporarily_rejected"},
    {CommandKind::kMail, "421 4.3.2 going down", "service_unavailable"},
    {CommandKind::kContent, "550 5.7.1 spam", "message_rejected"},
};

TEST(DiagnoseRefusal, KnowsTheWordsOfServers) {
  for (const Case& c : kRefusals) {
    const Diagnosis found = DiagnoseRefusal(Target(), RefusalOf(c.command, c.reply));
    EXPECT_EQ(FaultId(found.fault), c.id) << c.reply;
    EXPECT_THAT(found.what, HasSubstr(std::string(c.reply.substr(0, 3))));
    EXPECT_FALSE(found.advice.empty());
  }
}

TEST(DiagnoseRefusal, SaysSomethingElseToWhoIsLoggedIn) {
  Refusal refusal = RefusalOf(CommandKind::kRcpt, "554 5.7.1 Relay access denied");
  EXPECT_THAT(DiagnoseRefusal(Target(), refusal).advice, HasSubstr("--user"));
  refusal.authenticated = true;
  EXPECT_THAT(DiagnoseRefusal(Target(), refusal).advice, Not(HasSubstr("--user")));
}

TEST(DiagnoseRefusal, WhatWasNeverSentHasItsOwnReason) {
  Refusal refusal;
  refusal.reply.enhanced = {5, 6, 7};
  refusal.reply.text = "the server does not offer SMTPUTF8";
  EXPECT_EQ(IdOf(DiagnoseRefusal(Target(), refusal)), "smtputf8_missing");
}

}  // namespace
}  // namespace volley::pipeline
