"""Through a Postfix that slows its clients down, with a relay and without: 421 after k messages,
greylisting, "too many recipients", "too many connections". Every recipient gets the mail, once; none is
counted as failed; what the server allows is kept to.

Postfix asks a policy service of this test (SMTPD_POLICY_README of Postfix) what to answer; how many came
on a connection is in its log.
"""

import collections
import contextlib
import json
import re
import socket
import socketserver
import threading
import time

import e2e
import mta
from dns_server import DnsServer

DOMAINS = ("a.example", "b.example", "c.example")
MX = "mx.slow.example"  # of all of them, so that they are one route


# --- What Postfix asks ---


class Policy(socketserver.ThreadingTCPServer):
    """Answers DUNNO ("go on") to everything; a subclass overrides decide()."""

    daemon_threads = True
    block_on_close = False

    def __init__(self):
        super().__init__(("127.0.0.1", 0), PolicyHandler)
        self.lock = threading.Lock()

    def __enter__(self):
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *unused):
        self.shutdown()
        self.server_close()

    @property
    def port(self):
        return self.server_address[1]

    def settings(self):
        """Lines of main.cf that have Postfix ask at RCPT."""
        return f"smtpd_recipient_restrictions = check_policy_service inet:127.0.0.1:{self.port}, permit"

    def decide(self, request):
        """With the lock held; an action of access(5)."""
        return "DUNNO"


class PolicyHandler(socketserver.StreamRequestHandler):
    """name=value lines up to an empty one, many requests a connection."""

    def handle(self):
        request = {}
        for line in self.rfile:
            name, equals, value = line.decode("latin-1").rstrip("\n").partition("=")
            if equals:
                request[name] = value
                continue
            with self.server.lock:
                action = self.server.decide(request)
            self.wfile.write(f"action={action}\n\n".encode())
            request = {}


class ClosesAfter(Policy):
    """421 to the message after the k-th of a connection, at the stage that is asked about."""

    ASKED_AT = {
        # Without the delay MAIL itself is answered, not the RCPT after it.
        "MAIL": "smtpd_delay_reject = no\nsmtpd_sender_restrictions = ",
        "RCPT": "smtpd_recipient_restrictions = ",
        "END-OF-MESSAGE": "smtpd_end_of_data_restrictions = ",
    }

    def __init__(self, most, stage):
        super().__init__()
        self.most, self.stage = most, stage
        self.taken = collections.Counter()  # by the client's port
        self.closed = 0

    def settings(self):
        return f"{self.ASKED_AT[self.stage]}check_policy_service inet:127.0.0.1:{self.port}, permit"

    def decide(self, request):
        e2e.expect_equal(request["protocol_state"], self.stage, "stage that Postfix asks about")
        connection = request["client_port"]
        if self.taken[connection] >= self.most:
            self.closed += 1
            del self.taken[connection]  # a later connection may have that port
            return "421 4.7.0 That is enough for one connection"
        self.taken[connection] += 1
        return "DUNNO"


class Greylists(Policy):
    """450 until a triplet has been known for so many seconds."""

    def __init__(self, seconds, words):
        super().__init__()
        self.seconds, self.words = seconds, words
        self.first, self.tries = {}, collections.Counter()

    def decide(self, request):
        triplet = request["client_address"], request["sender"], request["recipient"]
        self.tries[triplet] += 1
        known = time.monotonic() - self.first.setdefault(triplet, time.monotonic())
        return "DUNNO" if known >= self.seconds else f"450 {self.words}"


class TooManyRecipients(Policy):
    """452 to those who come when `most` have come within the last second."""

    def __init__(self, most):
        super().__init__()
        self.most, self.times, self.refused = most, collections.deque(), 0

    def decide(self, request):
        now = time.monotonic()
        while self.times and now - self.times[0] >= 1:
            self.times.popleft()
        if len(self.times) >= self.most:
            self.refused += 1
            return "452 4.5.3 Too many recipients"
        self.times.append(now)
        return "DUNNO"


# --- Postfix ---


class SlowPostfix(mta.Postfix):
    def __init__(self, folder, settings):
        self.settings = settings
        super().__init__(folder)

    def more_settings(self):
        """Its own delay after a client's tenth error is not what is tested."""
        return f"{self.settings}\nsmtpd_error_sleep_time = 0"

    def sessions(self):
        """Of each that has ended, how many of which command were taken: "disconnect from
        unknown[127.0.0.1] ehlo=1 mail=3 rcpt=2/3 bdat=2 commands=8/9"."""
        ends = re.findall(r"disconnect from \S+\[127\.0\.0\.1\] (.*)", self.log())
        return [{verb: int(taken) for verb, taken in re.findall(r"(\w+)=(\d+)", end)} for end in ends]

    def most_messages_of_a_session(self):
        return max(s.get("data", 0) + s.get("bdat", 0) for s in self.sessions())


def postfix(t, settings):
    return SlowPostfix(t.dir / "mta", settings)


def recipients_in(server, count):
    found = []
    for path in server.wait_for(count, 60):
        found += re.findall(rb"^X-Original-To: (\S+)$", path.read_bytes(), re.M)
    return [address.decode() for address in found]


# --- Sending ---


@contextlib.contextmanager
def way_to(server, how):
    """Flags that lead to the server: as a relay, or as the mail server of the recipients' domains."""
    if how == "relay":
        yield ["--via", f"smtp://127.0.0.1:{server.port}"]
        return
    zone = {domain: {"MX": [(10, MX)]} for domain in DOMAINS} | {MX: {"A": ["127.0.0.1"]}}
    with DnsServer(zone) as dns:
        yield ["--via", "mx", "--dns-server", dns.address, "--mx-port", server.port, "--mx-loopback",
               "--preflight-dns", "off", "--ignore", "dkim-not-signed"]


def expect_all_delivered(t, server, how, count, *flags):
    """Returns the events."""
    addresses = [f"r{i:04d}@{DOMAINS[i % len(DOMAINS)]}" for i in range(count)]
    to = t.write_list([("email",)] + [(a,) for a in addresses])
    text = t.write("hello.txt", "Hello\n")
    arguments = ["--name", "c", "--from", "Sender <sender@example.org>", "--to", to, "--subject",
                 "Hello", "--text", text, "--kind", "transactional", *flags]
    try:
        with way_to(server, how) as way:
            result = t.send(*arguments, *way, timeout=100)
        result.expect_code(0).expect_counts(delivered=count)
        e2e.expect_same_multiset(recipients_in(server, count), addresses, "recipients in the Maildir")
    except e2e.Failure as failure:
        raise e2e.Failure(f"{failure}\n--- Postfix's log ends\n{server.log()[-3000:]}") from None
    path = t.dir / "state/campaigns/c/events.jsonl"
    events = [e for e in map(json.loads, path.read_text().splitlines()) if e["event"] != "throttled"]
    delivered = [e["recipient"] for e in events if e["event"] == "delivered"]
    e2e.expect_same_multiset(delivered, addresses, "who was delivered, by the events")
    e2e.expect_equal({e["event"] for e in events} - {"delivered", "deferred"}, set(), "other events")
    return events


def expect_no_attempt_lost(events):
    """A limit costs none."""
    attempts = {(e["event"], e["attempt"]) for e in events}
    e2e.expect(attempts <= {("delivered", 1), ("deferred", 0)}, f"attempts of events: {attempts}")


# --- 421 after so many messages of a connection ---

MOST_MESSAGES = 7


def closes_after(t, stage, how, *flags):
    with ClosesAfter(MOST_MESSAGES, stage) as policy, postfix(t, policy.settings()) as server:
        events = expect_all_delivered(t, server, how, 200, "--connections", "4", *flags)
        closed, sessions, most = policy.closed, len(server.sessions()), server.most_messages_of_a_session()
    print(f"        {sessions} connections, {closed} ended with 421, {most} messages at most", flush=True)
    # That a used connection ends defers nobody.
    e2e.expect_equal({e["event"] for e in events}, {"delivered"}, "events")
    expect_no_attempt_lost(events)
    return closed, most


def expect_closed(answer):
    closed, most = answer
    e2e.expect(closed >= 20, f"only {closed} connections ended with 421")
    e2e.expect(most <= MOST_MESSAGES, f"{most} messages of one connection")


def test_421_to_mail_through_a_relay(t):
    expect_closed(closes_after(t, "MAIL", "relay"))


def test_421_to_rcpt_through_a_relay(t):
    expect_closed(closes_after(t, "RCPT", "relay"))


def test_421_to_the_content_through_a_relay(t):
    expect_closed(closes_after(t, "END-OF-MESSAGE", "relay"))


def test_421_to_mail_by_mx(t):
    expect_closed(closes_after(t, "MAIL", "mx"))


def test_421_to_rcpt_by_mx(t):
    expect_closed(closes_after(t, "RCPT", "mx"))


def test_421_to_the_content_by_mx(t):
    expect_closed(closes_after(t, "END-OF-MESSAGE", "mx"))


def test_who_knows_the_limit_never_hears_421(t):
    closed, most = closes_after(t, "RCPT", "mx", "--messages-per-connection", str(MOST_MESSAGES))
    e2e.expect_equal((closed, most), (0, MOST_MESSAGES), "connections ended with 421, messages at most")


class ClosesAtFirst(Policy):
    """421 to everybody for so many seconds."""

    def __init__(self, seconds):
        super().__init__()
        self.seconds, self.begin, self.closed = seconds, None, 0

    def decide(self, request):
        self.begin = self.begin or time.monotonic()
        if time.monotonic() - self.begin >= self.seconds:
            return "DUNNO"
        self.closed += 1
        return "421 4.3.2 Not now"


def closed_at_first(t, how):
    """On a new connection 421 is asked again twice (another server may take it), then later."""
    with ClosesAtFirst(3) as policy, postfix(t, policy.settings()) as server:
        events = expect_all_delivered(t, server, how, 20, "--connections", "4", "--retry-first", "1s",
                                      "--retry-for", "30s")
    deferred = sum(e["event"] == "deferred" for e in events)
    e2e.expect(policy.closed <= 3 * deferred,
               f"421 was said {policy.closed} times, {deferred} tries were told of")


def test_421_at_first_through_a_relay(t):
    closed_at_first(t, "relay")


def test_421_at_first_by_mx(t):
    closed_at_first(t, "mx")


# --- Greylisting ---


def greylisted(t, how, policy, *flags):
    with policy, postfix(t, policy.settings()) as server:
        events = expect_all_delivered(t, server, how, 60, "--connections", "4", "--retry-for", "40s",
                                      *flags)
    deferred = [e for e in events if e["event"] == "deferred"]
    e2e.expect_equal({e["category"] for e in deferred}, {"greylisted"}, "categories")
    e2e.expect_equal(len({e["recipient"] for e in deferred}), 60, "how many were deferred")
    return policy


def expect_patience(t, how):
    """Who is told when to come does not come before, nor more than once."""
    words = "4.2.0 Greylisted, try again in 3 seconds"
    policy = greylisted(t, how, Greylists(3, words), "--retry-first", "1s")
    e2e.expect_equal(set(policy.tries.values()), {2}, "tries of a triplet")


def expect_persistence(t, how):
    """Who is not told tries again as scheduled."""
    words = "4.7.1 Greylisted, please come back later"
    policy = greylisted(t, how, Greylists(4, words), "--retry-first", "2s")
    most = max(policy.tries.values())
    e2e.expect(most <= 3, f"{most} tries of one triplet")


def test_greylisting_with_a_time_through_a_relay(t):
    expect_patience(t, "relay")


def test_greylisting_with_a_time_by_mx(t):
    expect_patience(t, "mx")


def test_greylisting_without_a_time_through_a_relay(t):
    expect_persistence(t, "relay")


def test_greylisting_without_a_time_by_mx(t):
    expect_persistence(t, "mx")


# --- Too many recipients ---


def too_many_recipients(t, how):
    """Each transaction has one recipient, which even a limit of one allows; more a second than the policy
    has it get 452."""
    with TooManyRecipients(20) as policy, \
            postfix(t, f"smtpd_recipient_limit = 1\n{policy.settings()}") as server:
        events = expect_all_delivered(t, server, how, 80, "--connections", "4", "--retry-first", "1s",
                                      "--retry-for", "60s")
        said = server.log().count(": 452 4.5.3 ")
    e2e.expect(policy.refused >= 20, f"only {policy.refused} were answered with 452")
    # Whatever Postfix counts by itself came on top.
    e2e.expect_equal(said, policy.refused, "replies 452 4.5.3 in the log, against the policy's")
    deferred = [e for e in events if e["event"] == "deferred"]
    why = {(e["code"], e["category"]) for e in deferred}
    e2e.expect_equal(why, {(452, "rate_limited")}, "codes and categories of those deferred")
    expect_no_attempt_lost(events)


def test_too_many_recipients_through_a_relay(t):
    too_many_recipients(t, "relay")


def test_too_many_recipients_by_mx(t):
    too_many_recipients(t, "mx")


# --- Too many connections ---

MOST_CONNECTIONS = 2
CONNECTIONS_SETTINGS = f"""
smtpd_client_connection_count_limit = {MOST_CONNECTIONS}
smtpd_client_event_limit_exceptions =
"""


def too_many_connections(t, how):
    with postfix(t, CONNECTIONS_SETTINGS) as server:
        begin = time.monotonic()
        events = expect_all_delivered(t, server, how, 600, "--connections", "8", "--retry-first", "1s",
                                      "--retry-for", "60s")
        seconds = time.monotonic() - begin
        refused = len(re.findall(r"Connection concurrency limit exceeded", server.log()))
    print(f"        {refused} connections refused in {seconds:.1f} s", flush=True)
    e2e.expect(refused >= 1, "no connection was refused")
    # All that may be are tried once; after that as often as the growing wait lets them.
    e2e.expect(refused <= 8 + 4 * seconds, f"{refused} connections were refused in {seconds:.1f} s")
    # The connections that are open go on.
    e2e.expect_equal({e["event"] for e in events}, {"delivered"}, "events")
    expect_no_attempt_lost(events)


def test_no_connection_at_first_by_mx(t):
    """Somebody else has all that this address may have."""
    with postfix(t, CONNECTIONS_SETTINGS) as server:
        held = [socket.create_connection(("127.0.0.1", server.port), 5)
                for _ in range(MOST_CONNECTIONS)]
        for each in held:
            e2e.expect(each.recv(100).startswith(b"220 "), "a connection of ours was refused")
        release = threading.Timer(3, lambda: [each.close() for each in held])
        release.start()
        events = expect_all_delivered(t, server, "mx", 50, "--retry-first", "1s", "--retry-for",
                                      "60s")
        release.join()
    deferred = [e for e in events if e["event"] == "deferred"]
    why = {(e["code"], e["category"]) for e in deferred}
    e2e.expect_equal(why, {(421, "rate_limited")}, "codes and categories of those deferred")
    expect_no_attempt_lost(events)


def test_too_many_connections_through_a_relay(t):
    too_many_connections(t, "relay")


def test_too_many_connections_by_mx(t):
    too_many_connections(t, "mx")


if __name__ == "__main__":
    e2e.main()
