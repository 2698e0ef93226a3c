"""`volley check`: every way a relay can be wrong has a diagnosis, said to people and in JSON, with exit
code 1; and a relay that is right has none."""

import base64
import contextlib
import json
import re
import signal
import socket
import ssl
import time

import e2e
import mta
import pki
from fault_server import FaultServer, Hangup

SECRET = "s3cr:et w{o}rd%41"
TOKEN = "ya29.A0ARrda-the_first~one+that/has-ended=="
NEW_TOKEN = "ya29.B1BSseb-the_second~one+that/is-good=="
QUICK = ["--connect-timeout", "2s", "--reply-timeout", "4s"]


def write_secret(t, secret, name="password"):
    path = t.dir / name
    path.touch(mode=0o600)
    path.write_text(secret + "\n")
    return str(path)


def login(t, secret=SECRET):
    return ["--user", "ann@example.test", "--password-file", write_secret(t, secret)]


def check_json(t, *args, code):
    result = t.run("check", "--json", *QUICK, *args, timeout=60).expect_code(code)
    try:
        found = json.loads(result.out)
    except ValueError as e:
        raise e2e.Failure(f"not one JSON object ({e})\n{result}") from None
    e2e.expect_equal(list(found), ["ok", "diagnosis", "advice", "steps"], "keys")
    for step in found["steps"]:
        e2e.expect_equal(list(step), ["step", "ok", "ms", "detail"], "keys of a step")
        e2e.expect(step["ms"] >= 0, f"time of {step}")
    e2e.expect_equal(found["ok"], code == 0, "ok")
    for secret in (SECRET, TOKEN, NEW_TOKEN):
        e2e.expect(secret not in result.out + result.err, f"a secret was shown\n{result}")
    return found


def steps(found, name):
    return [s for s in found["steps"] if s["step"] == name]


def expect_diagnosis(t, diagnosis, *args, advice="", ports=()):
    """The same answer for people and for programs; returns the JSON object."""
    ports = ["--ports", ",".join(map(str, ports))] if ports else ["--ports", str(mta.free_port())]
    found = check_json(t, *args, *ports, code=1)
    e2e.expect_equal(found["diagnosis"], diagnosis, f"diagnosis ({found})")
    e2e.expect(re.search(advice, found["advice"]), f"advice {found['advice']!r}, wanted {advice!r}")
    e2e.expect(any(not s["ok"] for s in found["steps"]), f"no step failed: {found}")
    people = t.run("check", *QUICK, *args, *ports, timeout=60).expect_code(1)
    people.expect_says(rf"^FAILED |\nFAILED ", rf"\n{diagnosis}\n", "What to try:")
    for secret in (SECRET, TOKEN, NEW_TOKEN):
        e2e.expect(secret not in people.out + people.err, f"a secret was shown\n{people}")
    return found


def certificates(t):
    return pki.Pki(t.dir / "pki")


class WantsLogin(FaultServer):
    mechanisms = ("PLAIN", "LOGIN")

    def on_auth(self, session, mechanism, user, secret):
        return "235 2.7.0 welcome" if secret == SECRET else "535 5.7.8 no"


class ImplicitLogin(WantsLogin):
    implicit = True


# --- All is well ---


def test_a_relay_that_is_right(t):
    """STARTTLS, a log-in, MAIL and RCPT: each step is there, nothing is sent."""
    made = certificates(t)
    with WantsLogin(made.server) as server:
        args = [server.url, *login(t), "--ca-file", made.ca.pem, "--from", "ann@example.test",
                "--to", "Bob <bob@example.test>"]
        found = check_json(t, *args, code=0)
        e2e.expect_equal((found["diagnosis"], found["advice"]), (None, None), "diagnosis, advice")
        e2e.expect_equal([s["step"] for s in found["steps"]],
                         ["relay", "resolve", "connect", "greeting", "ehlo", "tls", "ehlo", "auth",
                          "mail", "rcpt", "resumption"], "steps")
        e2e.expect(all(s["ok"] for s in found["steps"]), f"a step failed: {found}")
        tls = steps(found, "tls")[0]["detail"]
        for words in ("TLSv1.3", "smtp.test", "volley test CA", "days left", "verified"):
            e2e.expect(words in tls, f"{words!r} is not in {tls!r}")
        e2e.expect("yes" in steps(found, "resumption")[0]["detail"], f"resumption: {found}")
        e2e.expect("PIPELINING" in steps(found, "ehlo")[1]["detail"], f"EHLO: {found}")
        e2e.expect_equal(server.accepted, [], "messages accepted")
        e2e.expect_equal(len(server.attempts), 1, "log-ins")
        t.run("check", *args).expect_code(0).expect_says("all is well", "round trip", "days left")


def test_tls_from_the_first_byte(t):
    made = certificates(t)
    with ImplicitLogin(made.server) as server:
        found = check_json(t, server.url, *login(t), "--ca-file", made.ca.pem, code=0)
        e2e.expect_equal([s["step"] for s in found["steps"]],
                         ["relay", "resolve", "connect", "tls", "greeting", "ehlo", "auth",
                          "resumption"], "steps")


def test_both_backends(t):
    with FaultServer() as server:
        check_json(t, server.url, "--io", "epoll", code=0)
        e2e.need_uring()
        check_json(t, server.url, "--io", "uring", code=0)


class KeepsContent(FaultServer):
    def __init__(self):
        super().__init__()
        self.content = b""

    def on_content(self, session, content):
        self.content = content
        return "250 2.0.0 taken"


def test_a_test_message_is_sent_when_told_so_only(t):
    with KeepsContent() as server:
        args = [server.url, "--from", "ann@example.test", "--to", "bob@example.test"]
        check_json(t, *args, code=0)
        e2e.expect_equal(server.accepted, [], "accepted without --send-test")
        found = check_json(t, *args, "--send-test", code=0)
        e2e.expect_equal(server.accepted, ["bob@example.test"], "accepted")
        e2e.expect("2.0.0 taken" in steps(found, "message")[0]["detail"], f"message: {found}")
        for field in (rb"Date: ", rb"Message-ID: <[^@>]+@example\.test>", rb"Subject: volley check\r",
                      rb"From: <ann@example\.test>", rb"To: <bob@example\.test>",
                      rb"Auto-Submitted: auto-generated\r"):
            e2e.expect(re.search(rb"(?m)^" + field, server.content), f"no {field} in {server.content}")


def test_an_lmtp_socket(t):
    path = t.dir / "lmtp.sock"
    sink = t.start("sink", "--lmtp", "--listen", f"unix:{path}")
    e2e.wait_until(path.exists, 20, "the socket")
    found = check_json(t, f"lmtp+unix://{path}", "--from", "<>", "--to", "bob@example.test", code=0)
    e2e.expect_equal([s["step"] for s in found["steps"]],
                     ["relay", "connect", "greeting", "ehlo", "mail", "rcpt"], "steps")
    sink.kill()


def test_a_campaign_file_with_two_relays(t):
    """All are checked; the diagnosis is the first one's that has any."""
    closed = mta.free_port()
    with FaultServer() as server:
        path = t.write("two.toml", f"""[campaign]
name = "two"
[[relay]]
via = "{server.url}"
[[relay]]
via = "smtp://127.0.0.1:{closed}"
""")
        found = check_json(t, path, "--ports", str(mta.free_port()), code=1)
        e2e.expect_equal(found["diagnosis"], "connection_refused", "diagnosis")
        e2e.expect_equal([s["ok"] for s in steps(found, "connect")], [True, False], "connects")


def test_the_second_address_is_taken(t):
    """As `send` would; what is wrong with the first one is said all the same."""
    with FaultServer() as server:
        found = check_json(t, f"smtp://localhost:{server.port}", code=0)
        if "::1" not in steps(found, "resolve")[0]["detail"]:
            raise e2e.Skip("localhost has one address only here")
        e2e.expect_equal([s["ok"] for s in steps(found, "connect")], [False, True], "connects")
        e2e.expect_equal(len(steps(found, "greeting")), 1, "greetings")


class BreaksTls(FaultServer):
    """Says 220 to STARTTLS and then goes on in clear."""

    def on_starttls(self, session):
        session.say("220 go ahead")
        session.socket.recv(1)
        session.say("500 what is this")
        raise Hangup()


def test_opportunistic_tls_that_fails(t):
    """RFC 7435: mail goes in clear, and so `send` would; with required TLS it does not."""
    with BreaksTls(certificates(t).server) as server:
        found = check_json(t, server.url, code=0)
        e2e.expect_equal([s["ok"] for s in steps(found, "tls")], [False], "tls")
        expect_diagnosis(t, "protocol_error", f"{server.url}?tls=required", advice="smtps://")


# --- Names and connections ---


def test_name_not_found(t):
    """RFC 6761: .invalid never exists, and no question about it leaves the host."""
    expect_diagnosis(t, "name_not_found", "smtp://smtp.nowhere.invalid")


def test_closed_port(t):
    """And another port that works is found and named."""
    port = mta.free_port()
    with FaultServer() as server:
        found = expect_diagnosis(t, "connection_refused", f"smtp://127.0.0.1:{port}",
                                 ports=[mta.free_port(), server.port],
                                 advice=rf"smtp://127\.0\.0\.1:{server.port}")
        e2e.expect(f"{server.port} speaks SMTP" in steps(found, "other_ports")[0]["detail"],
                   f"other ports: {found}")


def test_closed_port_and_tls_elsewhere(t):
    with ImplicitLogin(certificates(t).server) as server:
        expect_diagnosis(t, "connection_refused", f"smtp://127.0.0.1:{mta.free_port()}",
                         ports=[server.port], advice=rf"smtps://127\.0\.0\.1:{server.port}")


@contextlib.contextmanager
def filtered_port(port=0):
    """A port that drops SYNs: a listener whose queue is full."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(0)
        for _ in range(4):
            s = stack.enter_context(socket.socket())
            s.setblocking(False)
            s.connect_ex(listener.getsockname())
        time.sleep(0.2)
        yield listener.getsockname()[1]


def test_filtered_port(t):
    with filtered_port() as port:
        began = time.monotonic()
        expect_diagnosis(t, "connection_timed_out", f"smtp://127.0.0.1:{port}")
        e2e.expect(time.monotonic() - began < 30, "it took too long")


def test_filtered_port_and_another_works(t):
    with filtered_port() as port, FaultServer() as server:
        expect_diagnosis(t, "connection_timed_out", f"smtp://127.0.0.1:{port}",
                         ports=[server.port], advice=rf"smtp://127\.0\.0\.1:{server.port}")


def test_port_25_blocked(t):
    try:
        with filtered_port(25), FaultServer() as server:
            expect_diagnosis(t, "connection_blocked_port_25", "smtp://127.0.0.1", ports=[server.port],
                             advice=rf"block outgoing port 25.*:{server.port}")
    except OSError as e:
        raise e2e.Skip(f"port 25 cannot be used here: {e}") from None


def test_no_socket_there(t):
    expect_diagnosis(t, "connection_failed", f"lmtp+unix://{t.dir}/none.sock", advice="path")


# --- TLS ---


def test_expired_certificate(t):
    made = certificates(t)
    with ImplicitLogin(made.expired) as server:
        expect_diagnosis(t, "certificate_expired", server.url, *login(t), "--ca-file", made.ca.pem)
        e2e.expect_equal(server.attempts, [], "log-ins that the server saw")


def test_wrong_host_name(t):
    made = certificates(t)
    with WantsLogin(made.wrong_name) as server:
        expect_diagnosis(t, "certificate_name_mismatch", server.url, *login(t), "--ca-file",
                         made.ca.pem, advice=r"other\.test")
        check_json(t, server.url, *login(t), "--ca-file", made.ca.pem, "--tls-name", "other.test",
                   code=0)


def test_self_signed(t):
    made = certificates(t)
    with WantsLogin(made.self_signed) as server:
        expect_diagnosis(t, "certificate_self_signed", server.url, *login(t), advice="--ca-file")


def test_untrusted_authority(t):
    made = certificates(t)
    with WantsLogin(made.server) as server:
        expect_diagnosis(t, "certificate_untrusted", server.url, *login(t), "--ca-file",
                         made.other_ca.pem)


class WantsCertificate(FaultServer):
    implicit = True

    def __init__(self, made):
        super().__init__(made.server)
        self.tls.verify_mode = ssl.CERT_REQUIRED
        self.tls.load_verify_locations(made.ca.pem)


def test_client_certificate_wanted(t):
    made = certificates(t)
    with WantsCertificate(made) as server:
        expect_diagnosis(t, "certificate_refused", server.url, "--ca-file", made.ca.pem,
                         advice="--client-certificate")


def test_plain_server_on_the_tls_port(t):
    with FaultServer() as server:
        expect_diagnosis(t, "plain_on_tls_port", f"smtps://127.0.0.1:{server.port}",
                         advice=rf"smtp://127\.0\.0\.1:{server.port}")


def test_tls_server_on_the_plain_port(t):
    with ImplicitLogin(certificates(t).server) as server:
        expect_diagnosis(t, "tls_on_plain_port", f"smtp://127.0.0.1:{server.port}",
                         advice=rf"smtps://127\.0\.0\.1:{server.port}")


def test_starttls_missing(t):
    with FaultServer() as server:
        expect_diagnosis(t, "starttls_missing", f"{server.url}?tls=required")


class RefusesStartTls(FaultServer):
    def on_starttls(self, session):
        return "454 4.7.0 TLS not available"


def test_starttls_refused(t):
    with RefusesStartTls(certificates(t).server) as server:
        expect_diagnosis(t, "starttls_refused", f"{server.url}?tls=required")
        found = check_json(t, server.url, code=0)
        e2e.expect(any("clear" in s["detail"] for s in steps(found, "tls")), f"tls: {found}")


class PlaintextAfterStartTls(FaultServer):
    """CVE-2011-0411 from the server's side: what comes in clear behind 220 must not count."""

    def on_starttls(self, session):
        return "220 go ahead\r\n250 injected"


def test_early_bytes(t):
    with PlaintextAfterStartTls(certificates(t).server) as server:
        expect_diagnosis(t, "protocol_error", f"{server.url}?tls=required")


# --- Sessions ---


class Greets(FaultServer):
    greeting = b""

    def talk(self, session):
        session.socket.sendall(self.greeting)
        with contextlib.suppress(OSError):
            while session.socket.recv(4096):
                pass


def greets(words):
    return type("GreetsSo", (Greets,), {"greeting": words})()


def test_greeting_421(t):
    with greets(b"421 4.3.2 too busy\r\n") as server:
        expect_diagnosis(t, "service_unavailable", server.url, advice="later")


def test_greeting_554(t):
    with greets(b"554 5.7.1 your address is on a list\r\n") as server:
        expect_diagnosis(t, "greeting_rejected", server.url)


def test_garbage_greeting(t):
    with greets(b"\x00\xff\x1b[2J<html>hello\r\n") as server:
        found = expect_diagnosis(t, "protocol_error", server.url)
        e2e.expect("\x1b" not in json.dumps(found), "a terminal's control characters were shown")


def test_oversize_greeting(t):
    with greets(b"220-" + b"x" * 100_000 + b"\r\n") as server:
        expect_diagnosis(t, "protocol_error", server.url)


def test_endless_greeting(t):
    with greets(b"220-go on\r\n" * 20_000) as server:
        expect_diagnosis(t, "protocol_error", server.url)


def test_commands_nobody_asked_for(t):
    with greets(b"220 hi\r\n250 early\r\n250 bytes\r\n") as server:
        expect_diagnosis(t, "protocol_error", server.url)


def test_silence(t):
    with greets(b"") as server:
        expect_diagnosis(t, "reply_timed_out", server.url)


class Hangs(FaultServer):
    def talk(self, session):
        raise Hangup(gently=False)


def test_closed_before_the_greeting(t):
    with Hangs() as server:
        expect_diagnosis(t, "connection_closed", server.url)


class SlowGreeting(FaultServer):
    """As long as postscreen's; a client that is asked nothing must wait and say nothing."""

    def on_greeting(self, session):
        time.sleep(3)
        return "220 fault.test ESMTP at last"


def test_a_slow_greeting_is_waited_for(t):
    with SlowGreeting() as server:
        found = check_json(t, server.url, code=0)
        e2e.expect(steps(found, "greeting")[0]["ms"] > 2500, f"greeting: {found}")


class RefusesEhlo(FaultServer):
    def talk(self, session):
        session.say("220 hi")
        session.read_line()
        session.say("554 5.7.1 what a name")
        session.read_line()
        session.say("221 bye")


def test_ehlo_rejected(t):
    with RefusesEhlo() as server:
        expect_diagnosis(t, "ehlo_rejected", server.url, advice="--helo")


# --- Logging in ---


def test_wrong_password(t):
    made = certificates(t)
    with WantsLogin(made.server) as server:
        expect_diagnosis(t, "auth_rejected", server.url, *login(t, "wrong"), "--ca-file", made.ca.pem)
        e2e.expect_equal(len(server.attempts), 2, "log-ins, of two checks")


class SaysNo(WantsLogin):
    words = ""

    def on_auth(self, session, mechanism, user, secret):
        return self.words


def refused_with(made, words):
    return type("SaysSo", (SaysNo,), {"words": words})(made.server)


def test_providers_refusals(t):
    """What Gmail and Microsoft say for an account password, and what a busy server says."""
    made = certificates(t)
    for words, diagnosis in (
            ("534 5.7.9 Application-specific password required", "app_password_required"),
            ("535 5.7.139 Authentication unsuccessful, basic authentication is disabled.",
             "oauth_required"),
            ("454 4.7.0 Temporary authentication failure", "auth_temporary"),
            ("535 5.4.5 Daily user sending limit exceeded.", "limit_reached")):
        with refused_with(made, words) as server:
            expect_diagnosis(t, diagnosis, server.url, *login(t), "--ca-file", made.ca.pem)


def test_a_server_that_repeats_the_login(t):
    made = certificates(t)
    repeated = base64.b64encode(f"\0ann@example.test\0{SECRET}".encode()).decode()
    for words in (f"535 5.7.8 wrong: {SECRET}", f"535 5.7.8 AUTH PLAIN {repeated}?"):
        with refused_with(made, words) as server:
            found = expect_diagnosis(t, "auth_rejected", server.url, *login(t), "--ca-file",
                                     made.ca.pem)
            e2e.expect(repeated not in json.dumps(found), "the login was shown")


class RepeatsLater(WantsLogin):
    def on_mail(self, session, address):
        return f"550 5.7.1 {SECRET} may not send"


def test_a_server_that_repeats_the_password_to_mail(t):
    made = certificates(t)
    with RepeatsLater(made.server) as server:
        expect_diagnosis(t, "sender_rejected", server.url, *login(t), "--ca-file", made.ca.pem,
                         "--from", "ann@example.test")


def test_no_auth_offered(t):
    """And the port that has it is named."""
    made = certificates(t)
    with FaultServer(made.server) as server, WantsLogin(made.server) as other:
        expect_diagnosis(t, "auth_mechanism_missing", server.url, *login(t), "--ca-file", made.ca.pem,
                         ports=[other.port], advice=rf":{other.port}")


class WantsToken(FaultServer):
    mechanisms = ("XOAUTH2",)

    def on_auth(self, session, mechanism, user, secret):
        return "235 2.7.0 welcome" if secret == NEW_TOKEN else "535 5.7.8 token expired"


def token_login(command):
    return ["--user", "ann@example.test", "--token-command", command]


def test_no_mechanism_for_a_password(t):
    made = certificates(t)
    with WantsToken(made.server) as server:
        expect_diagnosis(t, "oauth_required", server.url, *login(t), "--ca-file", made.ca.pem)


def test_token_expired(t):
    made = certificates(t)
    with WantsToken(made.server) as server:
        expect_diagnosis(t, "token_expired", server.url, *token_login(f"echo '{TOKEN}'"), "--ca-file",
                         made.ca.pem)


def test_token_expired_and_renewed(t):
    """The command gives the ended token first, a good one when it is asked again."""
    made = certificates(t)
    command = f"if test -e again; then echo '{NEW_TOKEN}'; else touch again; echo '{TOKEN}'; fi"
    with WantsToken(made.server) as server:
        found = check_json(t, server.url, *token_login(command), "--ca-file", made.ca.pem, code=0)
        e2e.expect_equal([s["ok"] for s in steps(found, "auth")], [False, True], "auth")
        e2e.expect_equal(len(steps(found, "token")), 1, "token steps")
        e2e.expect_equal([a[3] for a in server.attempts], [TOKEN, NEW_TOKEN], "tokens seen")


# --- Mail ---


class Answers(FaultServer):
    """One reply to MAIL, one to RCPT."""

    mail, rcpt, content_reply = "250 2.1.0 ok", "250 2.1.5 ok", "250 2.0.0 taken"

    def on_mail(self, session, address):
        return self.mail

    def on_rcpt(self, session, address):
        return self.rcpt

    def on_content(self, session, content):
        return self.content_reply


def answers(**replies):
    return type("AnswersSo", (Answers,), replies)()


ENVELOPE = ["--from", "ann@example.test", "--to", "bob@example.net"]


def test_refusals_of_mail(t):
    for replies, diagnosis, advice in (
            ({"rcpt": "554 5.7.1 <bob@example.net>: Relay access denied"}, "relay_denied", "--user"),
            ({"rcpt": "550 relay not permitted"}, "relay_denied", ""),
            ({"mail": "550 5.7.1 not from you"}, "sender_rejected", "ann@example.test"),
            ({"rcpt": "553 5.7.1 <ann@example.test>: Sender address rejected: not owned by user"},
             "sender_rejected", ""),
            ({"mail": "530 5.7.0 Authentication required"}, "auth_required", "--user"),
            ({"mail": "530 5.7.0 Must issue a STARTTLS command first"}, "encryption_required",
             "tls=required"),
            ({"rcpt": "550 5.4.5 Daily user sending limit exceeded."}, "limit_reached", ""),
            ({"rcpt": "550 5.1.1 no such user"}, "recipient_rejected", "bob@example.net"),
            ({"rcpt": "451 4.7.1 greylisted"}, "temporarily_rejected", ""),
            ({"mail": "421 4.3.2 going down"}, "service_unavailable", "")):
        with answers(**replies) as server:
            expect_diagnosis(t, diagnosis, server.url, *ENVELOPE, advice=advice)
            e2e.expect_equal(server.accepted, [], "messages accepted")


def test_refusals_of_the_test_message(t):
    for replies, diagnosis in (({"content_reply": "554 5.6.0 I do not like it"}, "message_rejected"),
                               ({"rcpt": "554 5.7.1 Relay access denied"}, "relay_denied")):
        with answers(**replies) as server:
            expect_diagnosis(t, diagnosis, server.url, *ENVELOPE, "--send-test")


class SwallowsTheLastReply(FaultServer):
    def on_content(self, session, content):
        raise Hangup()


def test_no_final_reply(t):
    with SwallowsTheLastReply() as server:
        expect_diagnosis(t, "delivery_unknown", server.url, *ENVELOPE, "--send-test")


class Ascii(FaultServer):
    extensions = ("PIPELINING", "8BITMIME")


def test_smtputf8_missing(t):
    with Ascii() as server:
        expect_diagnosis(t, "smtputf8_missing", server.url, "--from", "jürgen@example.test")


# --- Wrong usage, and the end ---


def test_wrong_usage(t):
    """Exit code 2, the reason on standard error, nothing contacted, nothing on standard output."""
    with FaultServer() as server:
        for args, words in ((["smtp//x"], "smtp//x"),
                            (["smtp://u:p@127.0.0.1"], "password"),
                            ([server.url, "--ca-file", "/none.pem"], "/none.pem"),
                            ([server.url, "--user", "ann", "--password-file", "/none"], "/none"),
                            ([server.url, "--user", "ann", "--token-command", "exit 3"], "exit 3"),
                            ([server.url, "--to", "bob@example.test"], "--from"),
                            ([server.url, "--send-test"], "--to"),
                            ([server.url, "--from", "no address"], "--from"),
                            ([server.url, "--timeout", "7"], "--timeout"),
                            ([server.url, "--timeout", "0"], "--timeout"),
                            ([server.url, "--ports", "0"], "--ports"),
                            ([server.url, "--io", "kqueue"], "--io"),
                            ([server.url, "--tsl-name", "x"], "did you mean"),
                            (["none.toml"], "none.toml"), (["gmial"], "gmail"), ([], "WHERE")):
            result = t.run("check", *args).expect_code(2).expect_says(re.escape(words))
            e2e.expect_equal(result.out, "", f"standard output of {args}")
        e2e.expect_equal(server.connections, 0, "connections")


def test_ctrl_c_stops_at_once(t):
    with greets(b"") as server:
        child = t.start("check", server.url)
        e2e.wait_until(lambda: server.connections, 20, "the connection")
        began = time.monotonic()
        child.send_signal(signal.SIGINT)
        t.finish(child, ["check"], timeout=10).expect_code(130)
        e2e.expect(time.monotonic() - began < 2, "it did not stop at once")


def test_the_whole_check_is_bounded(t):
    with greets(b"220-still thinking\r\n") as server:
        began = time.monotonic()
        found = json.loads(t.run("check", "--json", server.url, "--timeout", "2s",
                                 timeout=30).expect_code(1).out)
        e2e.expect_equal(found["diagnosis"], "reply_timed_out", "diagnosis")
        e2e.expect(time.monotonic() - began < 8, "it took too long")


def test_help_has_examples(t):
    t.run("check", "--help").expect_code(0).expect_says("Examples:", "--send-test", "Exit code")


if __name__ == "__main__":
    e2e.main()
