"""Kills, Ctrl-C and deferrals: a campaign goes on where it was, nobody is lost, nobody is mailed twice
but where that was asked for.

The books are the sink's journal (who arrived), ledger.bin (docs/formats.md) and events.jsonl.
VOLLEY_KILLS=200 is the long form of the kill tests: 100,000 recipients, VOLLEY_E2E_ROWS for others.
"""

import collections
import contextlib
import json
import os
import random
import resource
import signal
import statistics
import struct
import time

import e2e
from fault_server import FaultServer, Hangup

STATES = ("pending", "in flight", "delivered", "bounced", "deferred", "uncertain", "rejected",
          "suppressed", "cancelled")
INTERRUPTED = 130
REFUSED = 2


class Slot:
    def __init__(self, state, attempts, flags):
        self.state, self.attempts, self.was_uncertain = STATES[state], attempts, bool(flags & 1)


def folder(t):
    """Of the one campaign there is."""
    folders = [p for p in (t.dir / "state" / "campaigns").iterdir() if ".new-" not in p.name]
    e2e.expect_equal(len(folders), 1, "campaigns")
    return folders[0]


def read_ledger(t):
    data = (folder(t) / "ledger.bin").read_bytes()
    magic, version, slot_bytes, slots = struct.unpack_from("<8sIIQ", data)
    e2e.expect_equal((magic, version, slot_bytes), (b"volleyLG", 1, 16), "head of ledger.bin")
    e2e.expect_equal(len(data), 64 + 16 * slots, "bytes of ledger.bin")
    return [Slot(*struct.unpack_from("<BBxB", data, 64 + 16 * i)) for i in range(slots)]


def read_events(t):
    """Every line must be one whole JSON object."""
    lines = (folder(t) / "events.jsonl").read_bytes().decode().split("\n")
    e2e.expect_equal(lines.pop(), "", "what stands behind the last line end")
    return [json.loads(line) for line in lines]


def campaign(t, count):
    """With a name: the next run of the same is the same campaign."""
    flags, addresses = t.simple_campaign(count)
    return [*flags, "--name", "spring"], addresses


def start(t, args):
    return t.start("send", "--json", "--no-progress", "--state", "state", *args)


# --- SIGKILL ---


class Killing:
    """One campaign, killed again and again, then let go to its end."""

    CONNECTIONS = 10

    def __init__(self, t, policy):
        self.t, self.policy = t, policy
        self.kills = int(os.environ.get("VOLLEY_KILLS", 10))
        self.count = e2e.rows_wanted(100_000 if self.kills > 50 else 6000)
        seed = int(os.environ.get("VOLLEY_SEED", random.randrange(10**6)))
        self.random = random.Random(seed)
        print(f"        seed {seed} (VOLLEY_SEED), {self.kills} kills (VOLLEY_KILLS), "
              f"{self.count} recipients", flush=True)
        self.sink = e2e.Sink(t, "--reply-latency", "3ms")
        flags, self.addresses = campaign(t, self.count)
        self.args = [*flags, "--via", self.sink.url, "--connections", str(self.CONNECTIONS),
                     "--uncertain", policy]
        self.first_messages = []  # seconds from the start of a run to its first message
        self.while_sending = 0    # kills

    def journal_bytes(self):
        return self.sink.jsonl.stat().st_size if self.sink.jsonl.exists() else 0

    def run(self):
        for n in range(self.kills):
            self.run_and_kill(self.kills - n)
        done = self.t.send(*self.args, timeout=600)
        self.sink.stop()
        return done

    # Mostly when so many messages have gone that the rest is enough for the kills to come, now and
    # then at any time since the start: while the list is read, the campaign opened, connections made.
    def run_and_kill(self, kills_left):
        before, started = self.journal_bytes(), time.monotonic()
        line = before / max(1, self.arrived(before))
        share = max(1, self.count - self.arrived(before)) / (kills_left + 1)
        until = before + self.random.uniform(0, 1.5) * share * max(line, 150)
        early = self.random.random() < 0.2
        deadline = started + (self.random.uniform(0, 0.1) if early else 60)
        child, first = start(self.t, self.args), None
        while time.monotonic() < deadline:
            now = self.journal_bytes()
            if now > before and first is None:
                first = time.monotonic() - started
            if not early and first is not None and now >= until:
                break
            if child.poll() is not None:
                raise e2e.Failure(f"it ended with {child.returncode} before it was killed: "
                                  f"{child.communicate()}")
            time.sleep(0.0005)
        time.sleep(self.random.uniform(0, 0.03))
        child.kill()
        child.wait()
        child.stdout.close()
        child.stderr.close()
        self.while_sending += first is not None
        if first is not None and before > 0:
            self.first_messages.append(first)

    def arrived(self, journal_bytes):
        """About."""
        return journal_bytes / 150

    def check(self, result):
        arrivals = collections.Counter(self.sink.recipients())
        ledger = read_ledger(self.t)
        by_state = collections.Counter(slot.state for slot in ledger)
        flagged = [a for a, slot in zip(self.addresses, ledger) if slot.was_uncertain]
        lost = [a for a, slot in zip(self.addresses, ledger)
                if slot.state == "delivered" and arrivals[a] == 0]
        twice = [a for a, n in arrivals.items() if n > 1]
        print(f"        killed {self.kills} times, {self.while_sending} while sending; lost {len(lost)}, "
              f"duplicates {len(twice)}, uncertain {len(flagged)} "
              f"({len(flagged) / max(1, self.while_sending):.1f} a kill); "
              f"{self.seconds_to_first_message()}", flush=True)
        e2e.expect(self.while_sending >= self.kills / 2, "most kills came before the first message")
        e2e.expect(set(arrivals) <= set(self.addresses), "strange recipients")
        e2e.expect_equal(len(ledger), self.count, "slots")
        e2e.expect(not lost, f"counted delivered and not arrived: {lost[:5]}")
        unflagged = sorted(set(twice) - set(flagged))
        e2e.expect(not unflagged, f"came twice and were not flagged uncertain: {unflagged[:5]}")
        # One whose final reply is due, and one that rides behind its dot, for each connection.
        in_flight = 2 * self.CONNECTIONS * self.kills
        e2e.expect(len(flagged) <= in_flight, f"{len(flagged)} flagged, {in_flight} in flight at most")
        e2e.expect(flagged, "nothing was in flight at any kill: nothing was tested")
        summary = result.summary()
        for state in ("delivered", "uncertain"):
            e2e.expect_equal(summary[state], by_state[state], state)
        e2e.expect_equal(sum(by_state[s] for s in STATES[2:]), self.count, "the books")
        return arrivals, by_state, flagged, twice

    def seconds_to_first_message(self):
        if not self.first_messages:
            return "no resumed run got as far as a message"
        return (f"a resumed run's first message after {statistics.median(self.first_messages):.3f} s "
                f"(median), {max(self.first_messages):.3f} s (longest)")


def expect_events(t, addresses, ledger):
    """What the events say is what the ledger says. A kill may take the last moments' lines along."""
    delivered = collections.Counter()
    for event in read_events(t):
        e2e.expect_equal(event["recipient"], addresses[event["index"]], "recipient of an event")
        delivered[event["index"]] += event["event"] == "delivered"
    for index, times in delivered.items():
        e2e.expect(times <= 1 or ledger[index].was_uncertain, f"{index} delivered {times} times")
        e2e.expect(times == 0 or ledger[index].state == "delivered",
                   f"{index} was delivered and is {ledger[index].state}")
    return sum(delivered.values())


def test_kills_lose_nobody(t):
    """--uncertain resend: everybody arrives; those flagged may do so twice."""
    killing = Killing(t, "resend")
    result = killing.run().expect_code(0)
    arrivals, by_state, flagged, _ = killing.check(result)
    e2e.expect_equal(by_state["delivered"], killing.count, "delivered")
    e2e.expect_equal(set(arrivals), set(killing.addresses), "who arrived")
    e2e.expect_equal(result.summary()["sent_again"], len(flagged), "sent again")
    told = expect_events(t, killing.addresses, read_ledger(t))
    # A kill takes the events of its last 0.2 s; the last run was not killed.
    in_last_run = killing.count - result.summary()["resumed_after"]
    e2e.expect(in_last_run > 0 and told >= in_last_run, f"{told} events of delivery, {in_last_run} in the last run")


def test_kills_mail_nobody_twice(t):
    """--uncertain skip: nobody arrives twice; those flagged may not have arrived."""
    killing = Killing(t, "skip")
    result = killing.run()
    arrivals, by_state, flagged, twice = killing.check(result)
    result.expect_code(1)
    e2e.expect(not twice, f"mailed twice: {twice[:5]}")
    e2e.expect_equal(by_state["uncertain"], len(flagged), "uncertain")
    e2e.expect_equal(by_state["delivered"] + by_state["uncertain"], killing.count, "the books")
    absent = set(killing.addresses) - set(arrivals)
    e2e.expect(absent <= set(flagged), f"lost: {sorted(absent - set(flagged))[:5]}")


# --- Stopping and going on ---


def interrupted_run(t, count=1000):
    """A campaign stopped by Ctrl-C somewhere in the middle: its arguments, addresses and sink."""
    flags, addresses = campaign(t, count)
    sink = e2e.Sink(t, "--reply-latency", "10ms")
    args = [*flags, "--via", sink.url, "--connections", "4"]
    child = start(t, args)
    e2e.wait_until(lambda: len(sink.lines()) >= 50, 30, "the first messages")
    child.send_signal(signal.SIGINT)
    result = t.finish(child, args, timeout=30).expect_code(INTERRUPTED)
    e2e.expect(result.summary()["left"] > 0, f"nothing is left, nothing was tested\n{result}")
    return args, addresses, sink, result.summary()


def test_ctrl_c_then_again(t):
    args, addresses, sink, first = interrupted_run(t)
    second = t.send(*args).expect_code(0)
    second.expect_counts(delivered=len(addresses))
    e2e.expect_equal(second.summary()["resumed_after"], first["delivered"], "resumed after")
    e2e.expect_equal(second.summary()["found_uncertain"], 0, "found uncertain")
    sink.stop()
    e2e.expect_same_multiset(sink.recipients(), addresses, "recipients at the sink")
    e2e.expect_equal(expect_events(t, addresses, read_ledger(t)), len(addresses),
                     "events of delivery")
    times = [event["ms"] for event in read_events(t)]
    e2e.expect(10 <= min(times) and max(times) < 60_000, f"{min(times)} to {max(times)} ms")


def test_nobody_is_left(t):
    flags, addresses = campaign(t, 50)
    sink = e2e.Sink(t)
    args = [*flags, "--via", sink.url]
    t.send(*args).expect_code(0)
    again = t.send(*args).expect_code(0)
    e2e.expect_equal(again.summary()["resumed_after"], len(addresses), "resumed after")
    t.run("send", "--no-progress", "--state", "state", *args).expect_code(0).expect_says(
        "nobody is left to be mailed")
    e2e.expect_equal(sink.stop()["messages"], len(addresses), "messages")
    # Not even the relay is asked.
    t.send(*args).expect_code(0)


def test_a_second_process_is_refused(t):
    flags, addresses = campaign(t, 1500)
    sink = e2e.Sink(t, "--reply-latency", "10ms")
    args = [*flags, "--via", sink.url, "--connections", "4"]
    first = start(t, args)
    e2e.wait_until(lambda: len(sink.lines()) >= 50, 30, "the first messages")
    for extra in ([], ["--resume"], ["--restart"]):
        t.send(*args, *extra).expect_code(REFUSED).expect_says("another process is sending")
        e2e.expect(first.poll() is None, "the first one ended")
    t.finish(first, args).expect_code(0).expect_counts(delivered=len(addresses))
    sink.stop()
    e2e.expect_same_multiset(sink.recipients(), addresses, "recipients at the sink")
    e2e.expect_equal(sum(e["event"] == "delivered" for e in read_events(t)), len(addresses),
                     "events of delivery")


class KeepsSubjects(FaultServer):
    def __init__(self):
        super().__init__()
        self.subjects = collections.Counter()

    def on_content(self, session, content):
        with self.lock:
            self.subjects.update(line for line in content.split(b"\r\n")
                                 if line.startswith(b"Subject:"))
        return super().on_content(session, content)


def test_another_message_is_refused_unless_told(t):
    args, addresses, sink, first = interrupted_run(t, 500)
    sink.stop()
    with KeepsSubjects() as server:
        at = args.index("--subject") + 1
        changed = [*args[:at], "Another one", *args[at + 1:]]
        changed[changed.index("--via") + 1] = server.url
        t.send(*changed).expect_code(REFUSED).expect_says("subject", "--resume", "--restart")
        e2e.expect_equal(server.connections, 0, "connections")
        t.send(*changed, "--resume").expect_code(0).expect_counts(delivered=len(addresses))
        e2e.expect_same_multiset(server.accepted + sink.recipients(), addresses, "recipients")
        e2e.expect(b"Subject: Another one" not in server.subjects, "it went on with another subject")
        server.accepted.clear()
        t.send(*changed, "--restart").expect_code(0).expect_counts(delivered=len(addresses))
        e2e.expect_same_multiset(server.accepted, addresses, "recipients of the restart")
        e2e.expect_equal(server.subjects[b"Subject: Another one"], len(addresses), "new subject")


def test_resume_needs_a_campaign(t):
    flags, _ = campaign(t, 5)
    t.send(*flags, "--via", "smtp://127.0.0.1:9", "--resume").expect_code(REFUSED).expect_says(
        "no campaign")
    e2e.expect_equal(t.left_behind(), [], "left behind")


# --- Ledgers that are not as they should be ---


def test_a_bad_ledger_is_refused(t):
    args, addresses, sink, first = interrupted_run(t, 500)
    path = folder(t) / "ledger.bin"
    whole = path.read_bytes()
    other = whole[:24] + bytes([whole[24] ^ 1]) + whole[25:]
    bad_slot = whole[:64 + 16 * 3] + b"\xee" + whole[64 + 16 * 3 + 1:]
    for name, content, words in (("cut", whole[:-5], "damaged"), ("empty", b"", "too short"),
                                 ("foreign", b"x" * len(whole), "not a ledger"),
                                 ("bit", other, "damaged"), ("slot", bad_slot, "recipient 3"),
                                 ("missing", None, "missing.*--restart")):
        path.unlink()
        if content is not None:
            path.write_bytes(content)
        t.send(*args).expect_code(REFUSED).expect_says(r"ledger\.bin", words)
        e2e.expect_equal(path.read_bytes() if path.exists() else None, content, f"ledger ({name})")
    time.sleep(0.3)  # the sink's journal is written a little later
    e2e.expect_equal(len(sink.lines()), first["delivered"], "messages meanwhile")
    path.write_bytes(whole)
    t.send(*args).expect_code(0).expect_counts(delivered=len(addresses))
    path.write_bytes(b"rubbish")
    t.send(*args, "--restart").expect_code(0).expect_counts(delivered=len(addresses))
    sink.stop()
    e2e.expect_same_multiset(sink.recipients(), addresses * 2, "recipients, restart included")


def test_a_full_disk_stops_in_order(t):
    """By a limit of the file size: events.jsonl grows over it in the middle."""
    flags, addresses = campaign(t, 8000)
    sink = e2e.Sink(t, "--reply-latency", "1ms")
    args = [*flags, "--via", sink.url, "--connections", "10"]
    limit = 1_200_000

    def with_limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    child = t.start("send", "--json", "--no-progress", "--state", "state", *args,
                    preexec_fn=with_limit)
    result = t.finish(child, args, timeout=60)
    e2e.expect(result.code not in (0, INTERRUPTED) and result.code > 0, f"exit code\n{result}")
    result.expect_says(r"events\.jsonl", "file too large|no space")
    states = collections.Counter(slot.state for slot in read_ledger(t))
    e2e.wait_until(lambda: len(sink.recipients()) == states["delivered"], 10,
                   f"{states['delivered']} in the sink's journal")
    e2e.expect(0 < states["delivered"] < len(addresses), f"{states}: nothing was tested")
    e2e.expect_equal(states["in flight"], 0, "in flight")
    read_events(t)  # whole lines only
    t.send(*args).expect_code(0).expect_counts(delivered=len(addresses))
    sink.stop()
    e2e.expect_same_multiset(sink.recipients(), addresses, "recipients at the sink")


# --- Deferred ones ---


class DefersTheFirstTry(FaultServer):
    """As greylisting does, at RCPT or (every third) at the end of the content."""

    def __init__(self, tries=1):
        super().__init__()
        self.seen, self.tries = collections.Counter(), tries

    def refuses(self, address, at_content):
        with self.lock:
            if at_content == (int(address[1:7]) % 3 == 0):
                self.seen[address] += 1
            return self.seen[address] <= self.tries

    def on_rcpt(self, session, address):
        if int(address[1:7]) % 3 and self.refuses(address, False):
            return "450 4.7.1 greylisted, try again later"
        return super().on_rcpt(session, address)

    def on_content(self, session, content):
        address = session.recipients[0] if session.recipients else self.recipient_of(content)
        if int(address[1:7]) % 3 == 0 and self.refuses(address, True):
            return "451 4.3.0 later, please"
        return super().on_content(session, content)

    @staticmethod
    def recipient_of(content):
        to = next(line for line in content.split(b"\r\n") if line.startswith(b"To:"))
        return to.decode().split("To:")[1].strip(" <>")


RETRY = ("--retry-first", "1s", "--retry-for", "30s")


def test_who_is_deferred_is_tried_again_within_the_run(t):
    flags, addresses = campaign(t, 300)
    with DefersTheFirstTry() as server:
        args = [*flags, "--via", server.url, "--connections", "4", *RETRY]
        result = t.send(*args, timeout=60).expect_code(0)
        result.expect_counts(delivered=len(addresses))
        e2e.expect_same_multiset(server.accepted, addresses, "recipients at the server")
    events = collections.defaultdict(list)
    for event in read_events(t):
        events[event["recipient"]].append(event)
    for address in addresses:
        first, second = events[address]
        e2e.expect_equal((first["event"], second["event"]), ("deferred", "delivered"), address)
        e2e.expect_equal(second["attempt"], first["attempt"] + 1, "attempts")
        e2e.expect(first["next_try"] > first["time"][:19], f"no next try in {first}")
        e2e.expect(first["code"] in (450, 451) and first["reply"], f"no reply in {first}")
    e2e.expect(not (folder(t) / "undelivered.csv").exists(), "undelivered.csv is there")


def test_ctrl_c_while_it_waits_then_again(t):
    flags, addresses = campaign(t, 40)
    with DefersTheFirstTry() as server:
        args = [*flags, "--via", server.url, "--retry-first", "6s"]
        child = start(t, [*args, "--retry-for", "10m"])
        e2e.wait_until(lambda: len(server.seen) == len(addresses), 20, "all first tries")
        time.sleep(0.5)
        child.send_signal(signal.SIGINT)
        stopped = t.finish(child, args, timeout=15).expect_code(INTERRUPTED)
        stopped.expect_counts(deferred=len(addresses))
        e2e.expect_equal({slot.state for slot in read_ledger(t)}, {"deferred"}, "states")
        lines = (folder(t) / "undelivered.csv").read_text().splitlines()
        e2e.expect_equal(len(lines), 1 + len(addresses), "lines of undelivered.csv")
        e2e.expect("greylisted" in lines[2], f"no reply in {lines[2]}")
        # Their due times hold for the next run, too.
        started = time.monotonic()
        t.send(*args, "--retry-for", "10m", timeout=60).expect_code(0).expect_counts(
            delivered=len(addresses))
        e2e.expect(time.monotonic() - started > 2, "it did not wait for the due times")
        e2e.expect_same_multiset(server.accepted, addresses, "recipients at the server")


def test_a_kill_while_it_waits_loses_nobody(t):
    flags, addresses = campaign(t, 40)
    with DefersTheFirstTry() as server:
        args = [*flags, "--via", server.url, "--retry-first", "2s", "--retry-for", "1m"]
        child = start(t, args)
        e2e.wait_until(lambda: len(server.seen) == len(addresses), 20, "all first tries")
        time.sleep(0.3)
        child.kill()
        child.wait()
        result = t.send(*args, timeout=60).expect_code(0).expect_counts(delivered=len(addresses))
        e2e.expect_equal(result.summary()["found_uncertain"], 0, "found uncertain")
        e2e.expect_same_multiset(server.accepted, addresses, "recipients at the server")


def test_what_is_deferred_for_too_long_has_expired(t):
    flags, addresses = campaign(t, 30)
    with DefersTheFirstTry(tries=1000) as server:
        result = t.send(*flags, "--via", server.url, "--retry-first", "1s", "--retry-for", "3s",
                        timeout=60).expect_code(1)
        result.expect_counts(bounced=len(addresses))
        e2e.expect(min(server.seen.values()) >= 2, f"tried once only: {server.seen}")
    last = {event["recipient"]: event for event in read_events(t)}
    e2e.expect_equal({e["event"] for e in last.values()}, {"expired"}, "last events")
    e2e.expect_equal(set(last), set(addresses), "who has expired")
    lines = (folder(t) / "undelivered.csv").read_text().splitlines()
    e2e.expect_equal(len(lines), 1 + len(addresses), "lines of undelivered.csv")
    e2e.expect(all(",bounced," in line for line in lines[1:]), f"outcomes: {lines[1]}")


def test_without_retries_who_is_deferred_is_tried_by_the_next_run(t):
    flags, addresses = campaign(t, 30)
    with DefersTheFirstTry() as server:
        args = [*flags, "--via", server.url, "--retry-for", "0"]
        t.send(*args).expect_code(1).expect_counts(deferred=len(addresses))
        t.send(*args).expect_code(0).expect_counts(delivered=len(addresses))
        e2e.expect_same_multiset(server.accepted, addresses, "recipients at the server")


# --- Uncertain ones ---


class LosesTheReply(FaultServer):
    """Takes the first message of every fifth recipient, and says so to nobody."""

    def __init__(self):
        super().__init__()
        self.lost = []

    def on_content(self, session, content):
        address = DefersTheFirstTry.recipient_of(content)
        with self.lock:
            loses = int(address[1:7]) % 5 == 0 and address not in self.lost
            if loses:
                self.lost.append(address)
                self.accepted.append(address)
        if loses:
            raise Hangup()
        return super().on_content(session, content)


def test_uncertain_ones_are_skipped(t):
    flags, addresses = campaign(t, 60)
    with LosesTheReply() as server:
        args = [*flags, "--via", server.url, "--connections", "3", "--uncertain", "skip", *RETRY]
        uncertain = len(addresses) // 5
        wanted = {"delivered": len(addresses) - uncertain, "uncertain": uncertain}
        t.send(*args).expect_code(1).expect_counts(**wanted)
        t.send(*args).expect_code(1).expect_counts(**wanted)  # and stay so
        e2e.expect_same_multiset(server.accepted, addresses, "recipients at the server")
        events = collections.Counter(e["event"] for e in read_events(t))
        e2e.expect_equal(events, wanted, "events")
        lines = (folder(t) / "undelivered.csv").read_text().splitlines()
        e2e.expect_equal(sum(",uncertain," in line for line in lines), uncertain, "listed")
        # Asked for later, they are sent again.
        args[args.index("skip")] = "resend"
        again = t.send(*args).expect_code(0).expect_counts(delivered=len(addresses))
        e2e.expect_equal(again.summary()["sent_again"], uncertain, "sent again")
        e2e.expect_same_multiset(server.accepted, addresses + server.lost, "recipients at the end")


def test_uncertain_ones_are_sent_again(t):
    flags, addresses = campaign(t, 60)
    with LosesTheReply() as server:
        result = t.send(*flags, "--via", server.url, "--connections", "3", "--uncertain", "resend",
                        *RETRY, timeout=60).expect_code(0)
        result.expect_counts(delivered=len(addresses))
        e2e.expect_equal(result.summary()["sent_again"], len(server.lost), "sent again")
        e2e.expect_same_multiset(server.accepted, addresses + server.lost, "recipients")
    e2e.expect(not (folder(t) / "undelivered.csv").exists(), "undelivered.csv is there")
    flagged = {a for a, slot in zip(addresses, read_ledger(t)) if slot.was_uncertain}
    e2e.expect_equal(flagged, set(server.lost), "flagged in the ledger")


if __name__ == "__main__":
    e2e.main()
