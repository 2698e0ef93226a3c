"""Servers that refuse a connection, STARTTLS or a log-in in the middle of a campaign: 421, 454, 535.

None of these replies says anything about a recipient: every message arrives exactly once, none is
counted failed or deferred, and no password is tried over and over.
"""

import os
import signal
import time

import e2e
import pki
from fault_server import FaultServer, Hangup, TokenEndpoint

COUNT = 200
CONNECTIONS = 4
PER_CONNECTION = 10
USER = "relay@sender.test"


class Relay(FaultServer):
    """Takes `password` and notes what it did wrong, so that a test cannot pass without a fault."""

    mechanisms = ("PLAIN",)
    query = ""  # of the URL to send to

    def __init__(self, t):
        self.certificates = pki.Pki(t.dir / "pki")
        super().__init__(self.certificates.server)
        self.password = "first password"
        self.file = t.dir / "password"
        self.write_password(self.password)
        self.faults = 0

    def write_password(self, password):
        """In one step, as a secret store does."""
        new = self.file.with_suffix(".new")
        new.touch(mode=0o600)
        new.write_text(password + "\n")
        os.replace(new, self.file)

    def fault(self, reply):
        with self.lock:
            self.faults += 1
        return reply

    def is_right(self, secret):
        return secret == self.password

    def on_auth(self, session, mechanism, user, secret):
        right = user == USER and self.is_right(secret)
        return "235 2.7.0 welcome" if right else self.fault("535 5.7.8 no")

    def closing(self):
        """Says 421 and hangs up (RFC 5321 3.8)."""
        return Closing(self.fault("421 4.3.2 not now"))


class Closing(Hangup):
    def __init__(self, reply):
        super().__init__()
        self.reply = reply


def flags(t, server, *more, count=COUNT):
    campaign, addresses = t.simple_campaign(count)
    return [*campaign, "--via", server.url + server.query, "--ca-file",
            server.certificates.ca.pem, "--connections", CONNECTIONS,
            "--messages-per-connection", PER_CONNECTION, *more], addresses


def with_password(server):
    return ["--user", USER, "--password-file", server.file]


def all_arrive(t, server, *more, login=None, faults=1, count=COUNT):
    """Sends through `server`, which must have misbehaved at least `faults` times. `login`: flags
    instead of user and password file."""
    with server:
        login = with_password(server) if login is None else login
        args, addresses = flags(t, server, *login, *more, count=count)
        result = t.send(*args, timeout=120)
        result.expect_code(0).expect_counts(delivered=count)
        e2e.expect_same_multiset(server.accepted, addresses, "recipients at the server")
        e2e.expect(server.faults >= faults, f"only {server.faults} faults: nothing was tested")
        return result


# --- 421 ---


class Says421(Relay):
    """Ends a session that has taken 7 messages, at one of its next commands."""

    at = "MAIL"

    def talk(self, session):
        try:
            super().talk(session)
        except Closing as closing:
            session.say(closing.reply)
            raise

    def unless_full(self, session, at, reply):
        if at == self.at and session.messages >= 7:
            raise self.closing()
        return reply

    def on_mail(self, session, address):
        return self.unless_full(session, "MAIL", "250 2.1.0 ok")

    def on_rcpt(self, session, address):
        return self.unless_full(session, "RCPT", "250 2.1.5 ok")

    def on_content(self, session, content):
        return self.unless_full(session, "content", "250 2.0.0 taken")


def says_421_at(t, command, *more):
    server = Says421(t)
    server.at = command
    all_arrive(t, server, *more, faults=20)


def test_421_to_mail_uring(t):
    e2e.need_uring()
    says_421_at(t, "MAIL", "--io", "uring")


def test_421_to_mail_epoll(t):
    says_421_at(t, "MAIL", "--io", "epoll")


def test_421_to_rcpt(t):
    says_421_at(t, "RCPT")


def test_421_to_the_content(t):
    """The server says that it does not have the message: it is no duplicate to send it again."""
    says_421_at(t, "content")


class ForSomeConnections(Says421):
    """A fault for a few connections after the first three."""

    bad = range(4, 8)

    def is_bad(self, session):
        return session.number in self.bad


class Says421AtOnce(ForSomeConnections):
    def on_greeting(self, session):
        if self.is_bad(session):
            raise self.closing()
        return super().on_greeting(session)


def test_421_instead_of_a_greeting(t):
    all_arrive(t, Says421AtOnce(t), faults=4)


class ClosesAtOnce(ForSomeConnections):
    def on_greeting(self, session):
        if self.is_bad(session):
            self.fault("")
            raise Hangup()
        return super().on_greeting(session)


def test_connections_closed_without_a_word(t):
    all_arrive(t, ClosesAtOnce(t), faults=4)


class Says421ToStarttls(ForSomeConnections):
    def on_starttls(self, session):
        if self.is_bad(session):
            raise self.closing()
        return super().on_starttls(session)


def test_421_to_starttls(t):
    all_arrive(t, Says421ToStarttls(t), faults=4)


class Says421ToAuth(ForSomeConnections):
    def on_auth(self, session, *login):
        if self.is_bad(session):
            raise self.closing()
        return super().on_auth(session, *login)


def test_421_to_auth(t):
    all_arrive(t, Says421ToAuth(t), faults=4)


# --- 454 ---


class Says454ToStarttls(ForSomeConnections):
    in_clear = 0

    def on_starttls(self, session):
        if self.is_bad(session):
            return self.fault("454 4.7.0 TLS not available due to temporary reason")
        return super().on_starttls(session)

    def on_mail(self, session, address):
        if not session.in_tls:
            self.in_clear += 1
        return super().on_mail(session, address)


def test_454_to_starttls(t):
    all_arrive(t, Says454ToStarttls(t), faults=4)


def test_454_to_starttls_is_no_reason_to_send_in_clear(t):
    server = Says454ToStarttls(t)
    server.mechanisms = ()  # it would take mail from anybody
    server.query = "?tls=required"
    all_arrive(t, server, login=[], faults=4)
    e2e.expect_equal(server.in_clear, 0, "messages in clear text")


class Says454ToAuth(ForSomeConnections):
    def on_auth(self, session, *login):
        if self.is_bad(session):
            return self.fault("454 4.7.0 Temporary authentication failure")
        return super().on_auth(session, *login)


def test_454_to_auth(t):
    all_arrive(t, Says454ToAuth(t), faults=4)


def test_454_to_auth_where_sessions_are_long(t):
    """All that is refused is to open more: one session is enough to send everything."""
    server = Says454ToAuth(t)
    server.bad = range(2, 10**9)
    server.at = None
    with server:
        campaign, addresses = t.simple_campaign(COUNT)
        result = t.send(*campaign, "--via", server.url, "--ca-file", server.certificates.ca.pem,
                        "--connections", "4", "--messages-per-connection", "0",
                        *with_password(server))
        result.expect_code(0).expect_counts(delivered=COUNT)
        e2e.expect_same_multiset(server.accepted, addresses, "recipients at the server")
        e2e.expect(server.faults >= 1, "nothing was tested")


# --- 535 ---


class ForgetsThePassword(Relay):
    """Its password database is away for a second: refusals of what is right."""

    back_at = None

    def on_auth(self, session, *login):
        with self.lock:
            if session.number > 3 and self.back_at is None:
                self.back_at = time.monotonic() + 1
            away = self.back_at is not None and time.monotonic() < self.back_at
        if away:
            return self.fault("535 5.7.8 authentication failed")
        return super().on_auth(session, *login)


def test_535_for_a_moment(t):
    """A password that was good is tried again after a while."""
    server = ForgetsThePassword(t)
    all_arrive(t, server)
    e2e.expect(server.faults <= CONNECTIONS, f"{server.faults} log-ins were refused")


class TakesTheNewOneOnly(Relay):
    """From the fourth log-in on, when the file has the new password, too."""

    def on_auth(self, session, *login):
        with self.lock:
            if session.number > 3 and self.password == "first password":
                self.password = "second password"
                self.write_password(self.password)
        return super().on_auth(session, *login)


def test_the_password_is_changed(t):
    server = TakesTheNewOneOnly(t)
    all_arrive(t, server)
    refused = [a for a in server.attempts if a[0] > 3 and a[3] == "first password"]
    e2e.expect(1 <= len(refused) <= CONNECTIONS, f"the old password was refused: {refused}")
    e2e.expect_equal(server.attempts[-1][3], "second password", "the last password tried")


class TakesBoth(Relay):
    """Slow from the change of the file until the new password was seen: there is time for it."""

    def __init__(self, t):
        super().__init__(t)
        self.seen = False

    def is_right(self, secret):
        self.seen = self.seen or secret == "second password"
        return secret in ("first password", "second password")

    def on_content(self, session, content):
        with self.lock:
            if len(self.accepted) >= 50 and self.faults == 0:
                self.faults = 1
                self.write_password("second password")
            slow = self.faults and not self.seen
        if slow:
            time.sleep(0.1)
        return super().on_content(session, content)


def test_a_changed_password_file_is_noticed_without_a_refusal(t):
    server = TakesBoth(t)
    all_arrive(t, server, count=1000)
    e2e.expect(server.seen, "the new password was never used")


class RefusesForGood(Relay):
    def on_auth(self, session, *login):
        if session.number > 3:
            return self.fault("535 5.7.8 this account is closed")
        return super().on_auth(session, *login)


def test_535_for_good_is_not_asked_a_thousand_times(t):
    """The rest is left to do, and counted so; the account is not locked by our guessing."""
    server = RefusesForGood(t)
    with server:
        args, addresses = flags(t, server, *with_password(server))
        args = ["send", "--json", "--no-progress", "--state", "state", *args]
        child = t.start(*args)
        # Those of the first three that were logged in when the fourth was refused finish their ten.
        e2e.wait_until(lambda: server.faults > 0 and len(server.accepted) >= PER_CONNECTION, 30,
                       "a refusal, and what the sessions before it take")
        time.sleep(3)
        taken = len(server.accepted)
        child.send_signal(signal.SIGINT)
        result = t.finish(child, args, timeout=30).expect_code(130)
        e2e.expect_equal(len(server.accepted), taken, "taken after the sessions had ended")
        e2e.expect(taken in (10, 20, 30), f"{taken} taken by up to three sessions of ten")
        result.expect_counts(delivered=taken, left=COUNT - taken)
        e2e.expect(server.faults <= CONNECTIONS, f"{server.faults} log-ins were refused")
        e2e.expect(set(server.accepted) < set(addresses), "strange recipients")


# --- Tokens ---


class TakesTokens(Relay):
    """token-1 for three connections, from then on token-2 only: as one that has expired."""

    mechanisms = ("XOAUTH2",)

    def on_auth(self, session, *login):
        self.password = "token-2" if session.number > 3 else "token-1"
        return super().on_auth(session, *login)


def expect_old_token_refused(server):
    refused = [a for a in server.attempts if a[0] > 3 and a[3] == "token-1"]
    e2e.expect(1 <= len(refused) <= CONNECTIONS, f"the ended token was refused: {refused}")
    e2e.expect_equal({a[1] for a in server.attempts}, {"XOAUTH2"}, "mechanisms")


def test_a_token_that_ends_is_fetched_anew_by_its_command(t):
    server = TakesTokens(t)
    counter = t.dir / "counter"
    script = t.write("token.sh", f"echo x >> {counter}\necho token-$(grep -c x {counter})\n")
    all_arrive(t, server, login=["--user", USER, "--token-command", f"sh {script}"])
    expect_old_token_refused(server)
    e2e.expect_equal(counter.read_text().count("x"), 2, "runs of the token command")


CAMPAIGN = """\
[campaign]
from = "sender@example.test"
subject = "Hello"
text = "hello.txt"
recipients = "list.csv"
kind = "transactional"
[relay]
via = "{relay}"
user = "{user}"
ca_file = "{ca}"
[relay.oauth2]
token_url = "{token_url}"
client_id = "volley-test"
client_secret_file = "client-secret"
refresh_token_file = "refresh-token"
[limits]
connections = 4
messages_per_connection = 10
"""


def test_a_token_that_ends_is_refreshed(t):
    with TokenEndpoint() as endpoint, TakesTokens(t) as server:
        _, addresses = t.simple_campaign(COUNT)
        for name in ("client-secret", "refresh-token"):
            (t.dir / name).touch(mode=0o600)
            (t.dir / name).write_text(f"the {name}\n")
        result = t.send(t.write("campaign.toml", CAMPAIGN.format(
            relay=server.url, user=USER, ca=server.certificates.ca.pem, token_url=endpoint.url)))
        result.expect_code(0).expect_counts(delivered=COUNT)
        e2e.expect_same_multiset(server.accepted, addresses, "recipients at the server")
        expect_old_token_refused(server)
        e2e.expect_equal(len(endpoint.requests), 2, "requests to the token endpoint")
        for request in endpoint.requests:
            e2e.expect_equal((request["grant_type"], request["refresh_token"]),
                             ("refresh_token", "the refresh-token"), "what was asked for")


if __name__ == "__main__":
    e2e.main()
