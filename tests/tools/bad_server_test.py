"""Servers that refuse, hang up, talk nonsense: what the sender does and says, and that nobody is
lost or mailed twice."""

import time

import e2e
import mta
from fault_server import FaultServer, Hangup


def send(t, server, count, *flags, timeout=120):
    arguments, addresses = t.simple_campaign(count)
    result = t.send(*arguments, "--via", server.url, "--connections", "3", *flags, timeout=timeout)
    return result, addresses


def test_refused_connection(t):
    """Nothing listens: exit code 1, the address is named, no campaign is left behind."""
    flags, _ = t.simple_campaign(20)
    port = mta.free_port()
    result = t.send(*flags, "--via", f"smtp://127.0.0.1:{port}")
    result.expect_code(1).expect_says(rf"127\.0\.0\.1:{port}", "refused")
    e2e.expect_equal(t.left_behind(), [], "files left behind")


class TalksNonsense(FaultServer):
    def talk(self, session):
        session.socket.sendall(b"\x00\xff\xfeHTTP/1.1 200 OK\r\nServer: nonsense\r\n\r\n<html>")
        time.sleep(0.2)


def test_server_that_talks_nonsense(t):
    with TalksNonsense() as server:
        result, _ = send(t, server, 20)
        result.expect_code(1).expect_says(rf"127\.0\.0\.1:{server.port}")
        e2e.expect_equal(server.accepted, [], "messages accepted")


class NonsenseLater(FaultServer):
    """Replies like a server should, then something that is no reply to a RCPT."""

    def on_rcpt(self, session, address):
        return "banana" if session.messages == 3 else "250 2.1.5 ok"


def test_nonsense_in_mid_session(t):
    """The session is over, what was accepted counts, and no recipient gets two copies."""
    with NonsenseLater() as server:
        result, addresses = send(t, server, 30)
        summary = result.summary()
        e2e.expect(len(server.accepted) == len(set(server.accepted)), "somebody got two copies")
        e2e.expect_equal(summary["delivered"], len(server.accepted), "delivered")
        e2e.expect(set(server.accepted) <= set(addresses), "strange recipients")
        e2e.expect_equal(result.code, 0 if summary["delivered"] == 30 else 1, "exit code")


class WantsTlsFirst(FaultServer):
    def on_mail(self, session, *unused):
        return "530 5.7.0 Must issue a STARTTLS command first"


def test_530_is_about_the_relay_and_no_recipients_fault(t):
    """Nobody bounces; it is said once what to do."""
    with WantsTlsFirst() as server:
        arguments, _ = t.simple_campaign(30)
        result = t.send(*arguments, "--via", server.url + "?tls=off", "--connections", "3")
        result.expect_code(1).expect_counts(deferred=30).expect_says("tls=required")
        e2e.expect_equal(result.err.count("tls=required"), 1, "times it was said")


class ClosesAtOnce(FaultServer):
    def talk(self, session):
        raise Hangup(gently=False)


def test_server_that_closes_at_once(t):
    with ClosesAtOnce() as server:
        result, _ = send(t, server, 20)
        result.expect_code(1).expect_says(rf"127\.0\.0\.1:{server.port}")
        e2e.expect(server.connections < 200, f"{server.connections} connections for 20 recipients")


class NotToday(FaultServer):
    def on_greeting(self, session):
        return "554 5.7.1 no mail from you"


def test_server_that_refuses_in_its_greeting(t):
    with NotToday() as server:
        result, _ = send(t, server, 20)
        result.expect_code(1).expect_says("no mail from you")


class Says421After(FaultServer):
    """Ends every session with 421 when it has taken `messages`, at the next MAIL."""

    messages = 5

    def on_mail(self, session, address):
        if session.messages >= self.messages:
            session.say("421 4.3.2 enough for one connection")
            raise Hangup()
        return "250 2.1.0 ok"


def test_421_on_a_reused_connection_costs_nothing(t):
    """A server's own limit of messages per connection: all arrive, nothing is deferred."""
    with Says421After() as server:
        result, addresses = send(t, server, 200)
        result.expect_code(0).expect_counts(delivered=200)
        e2e.expect_same_multiset(server.accepted, addresses, "recipients at the server")
        e2e.expect(server.connections >= 40, f"only {server.connections} connections")


class ClosesSilently(FaultServer):
    """Takes 20 messages on a connection, then is gone without a word."""

    def after_content(self, session):
        if session.messages >= 20:
            raise Hangup()


def test_silent_close_on_a_reused_connection_costs_nothing(t):
    with ClosesSilently() as server:
        result, addresses = send(t, server, 200)
        result.expect_code(0).expect_counts(delivered=200)
        e2e.expect_same_multiset(server.accepted, addresses, "recipients at the server")


class Picky(FaultServer):
    """No such user for each address that ends in 3, try later for each in 7."""

    def on_rcpt(self, session, address):
        number = int(address[1:7])
        if number % 10 == 3:
            return "550 5.1.1 no such user"
        if number % 10 == 7:
            return "451 4.2.1 mailbox busy"
        return "250 2.1.5 ok"


def test_rejected_recipients_are_counted_and_named(t):
    with Picky() as server:
        result, addresses = send(t, server, 100)
        result.expect_code(1).expect_counts(delivered=80, bounced=10, deferred=10)
        good = [a for a in addresses if int(a[1:7]) % 10 not in (3, 7)]
        e2e.expect_same_multiset(server.accepted, good, "recipients at the server")


def test_the_summary_says_why(t):
    with Picky() as server:
        flags, _ = t.simple_campaign(100)
        result = t.run("send", "--retry-for", "0", "--state", "state", *flags, "--via", server.url)
        result.expect_code(1).expect_says("bounced 10", "deferred 10", "550 5.1.1 no such user",
                                          "451 4.2.1 mailbox busy", r"undelivered\.csv")


def test_rejected_recipients_are_in_the_file(t):
    with Picky() as server:
        send(t, server, 20)
        (path,) = (t.dir / "state/campaigns").glob("*/undelivered.csv")
        lines = path.read_text().splitlines()
        e2e.expect_equal(len(lines), 1 + 4, f"lines of undelivered.csv ({lines})")
        for number, code in ((3, "550"), (13, "550"), (7, "451"), (17, "451")):
            e2e.expect(any(f"r{number:06d}@" in line and code in line for line in lines),
                       f"r{number:06d} with {code} is not in {lines}")


class RefusesContent(FaultServer):
    def on_content(self, session, content):
        return "554 5.6.0 content refused"


def test_refused_content_bounces(t):
    with RefusesContent() as server:
        result, _ = send(t, server, 10)
        result.expect_code(1).expect_counts(bounced=10)
        (path,) = (t.dir / "state/campaigns").glob("*/undelivered.csv")
        e2e.expect_equal(path.read_text().count("content refused"), 10, "lines with the reason")


class SwallowsTheLastReply(FaultServer):
    """Takes a whole message and hangs up without saying whether it has it."""

    def __init__(self):
        super().__init__()
        self.swallowed = []

    def on_content(self, session, content):
        with self.lock:
            if not self.swallowed:
                self.swallowed = list(content[:1])
                raise Hangup()
        return "250 2.0.0 taken"


def test_a_lost_final_reply_is_uncertain_and_not_sent_again(t):
    """RFC 5321 4.5.3.2.6: the server may have it, so a second copy would be a duplicate."""
    with SwallowsTheLastReply() as server:
        result, addresses = send(t, server, 30)
        result.expect_code(1).expect_counts(delivered=29, uncertain=1)
        e2e.expect_equal(len(set(server.accepted)), 29, "different recipients at the server")
        e2e.expect(set(server.accepted) < set(addresses), "strange recipients")


class OneAtATime(FaultServer):
    """No PIPELINING offered; notes when a second command comes before the first is answered."""

    extensions = ("8BITMIME", "SMTPUTF8")

    def __init__(self):
        super().__init__()
        self.early = 0

    def on_mail(self, session, address):
        session.socket.settimeout(0)
        early = bool(session.file.peek(1))  # buffered already, or waiting in the socket
        session.socket.settimeout(60)
        with self.lock:
            self.early += early
        return "250 ok"


def test_no_pipelining_means_one_command_at_a_time(t):
    with OneAtATime() as server:
        result, addresses = send(t, server, 50)
        result.expect_code(0).expect_counts(delivered=50)
        e2e.expect_equal(server.early, 0, "commands sent before the reply to MAIL")
        e2e.expect_same_multiset(server.accepted, addresses, "recipients at the server")


class Dripping(FaultServer):
    """Sends every reply in single bytes, each a segment of its own (TCP_NODELAY)."""

    def talk(self, session):
        def drip(reply):
            for byte in reply.encode() + b"\r\n":
                session.socket.sendall(bytes([byte]))

        session.say = drip
        super().talk(session)


def test_replies_that_come_byte_by_byte(t):
    with Dripping() as server:
        result, addresses = send(t, server, 50)
        result.expect_code(0).expect_counts(delivered=50)
        e2e.expect_same_multiset(server.accepted, addresses, "recipients at the server")


if __name__ == "__main__":
    e2e.main()
