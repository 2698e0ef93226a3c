"""Limits that follow what servers say: the breaker, volley top, volley undo, what report says of it."""

import json
import time

import e2e
from fault_server import FaultServer

FLAGS = ["--via", "mx", "--preflight-dns", "off", "--ignore", "dkim-not-signed", "--kind", "transactional",
         "--retry-first", "1s", "--retry-for", "20s"]


def campaign(t, server, addresses, *more):
    to = t.write_list([("email",)] + [(a,) for a in addresses])
    text = t.write("hello.txt", "Hello\n")
    return ["--from", "Sender <sender@example.org>", "--to", to, "--subject", "Hello", "--text", text, *FLAGS,
            "--mx-override", f"*=127.0.0.1:{server.port}", *more]


def events(t, name):
    path = t.dir / "state" / "campaigns" / name / "events.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()]


class BlockingServer(FaultServer):
    """Takes mail, but answers `refusal` to RCPT while there is one."""
    refusal = None

    def on_rcpt(self, session, address):
        return self.refusal or super().on_rcpt(session, address)


def addresses(count):
    return [f"r{i}@a.example" for i in range(count)]


def wait_for(what, found, seconds=15):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = found()
        if value:
            return value
        time.sleep(0.1)
    raise e2e.Failure(f"waited {seconds} s in vain for {what}")


def top(t, name):
    result = t.run("top", name, "--state", t.dir / "state", "--once", "--json")
    return json.loads(result.out) if result.code == 0 else None


def test_a_pause_is_shown_and_undone_by_hand(t):
    with BlockingServer() as server:
        server.refusal = "421 4.7.28 unusual rate of mail from your address"
        args = ["send", "--name", "pause", "--state", t.dir / "state", "--json", "--no-progress",
                *campaign(t, server, addresses(60), "--connections", "4")]
        child = t.start(*args)
        paused = wait_for("a pause", lambda: [lane for lane in (top(t, "pause") or {"lanes": []})["lanes"]
                                              if lane.get("paused_s")])
        e2e.expect(500 < paused[0]["paused_s"] <= 600, f"Gmail's ten minutes: {paused}")
        e2e.expect_equal(paused[0]["connections"], 1, "connections to go on with")
        e2e.expect("4.7.28" in paused[0]["why"], f"why it waits: {paused}")
        t.run("top", "pause", "--state", t.dir / "state", "--once").expect_code(0).expect_says("unusual rate")
        server.refusal = None
        t.run("undo", "pause", "nobody", "--state", t.dir / "state").expect_code(1).expect_says("none of that name")
        t.run("undo", "pause", "all", "--state", t.dir / "state").expect_code(0).expect_says("as configured again")
        t.finish(child, args).expect_code(0).expect_counts(delivered=60)
    changes = [e for e in events(t, "pause") if e["event"] == "throttled"]
    e2e.expect_equal([e["what"] for e in changes][:2], ["pause", "connections"], "what changed")
    e2e.expect("undone" in {e["what"] for e in changes}, f"undone is told: {changes}")
    report = json.loads(t.run("report", "pause", "--state", t.dir / "state", "--json").expect_code(0).out)
    e2e.expect_equal(report["limit_changes"], len(changes), "changes in the report")
    e2e.expect("4.7.28" in report["last_limit_changes"][0]["cause"], str(report["last_limit_changes"]))
    t.run("report", "pause", "--state", t.dir / "state").expect_says("Limits changed by what servers said")
    t.run("top", "pause", "--state", t.dir / "state", "--once").expect_code(2).expect_says("no process is sending it")
    t.run("undo", "pause", "all", "--state", t.dir / "state").expect_code(2).expect_says("no process is sending it")


def test_limits_can_be_left_alone(t):
    class Busy(FaultServer):
        def on_rcpt(self, session, address):
            first = address not in self.__dict__.setdefault("seen", set())
            self.seen.add(address)
            return "421 4.7.28 unusual rate of mail" if first else super().on_rcpt(session, address)

    with Busy() as server:
        t.send("--name", "fixed", *campaign(t, server, addresses(5), "--connections", "1", "--fixed-limits"))
    e2e.expect_equal([e for e in events(t, "fixed") if e["event"] == "throttled"], [], "changes of limits")


def test_the_breaker_stops_what_is_refused_as_spam(t):
    class Judge(FaultServer):
        count = 0

        def on_content(self, session, content):
            Judge.count += 1
            if Judge.count % 3 == 0:
                return "550 5.7.1 This message has been rejected as spam"
            return super().on_content(session, content)

    for name, flags, goes_on in (("stops", [], False), ("goes-on", ["--breaker", "off"], True)):
        Judge.count = 0
        with Judge() as server:
            more = ["--connections", "1", "--keep-bounced", *flags]
            result = t.send("--name", name, *campaign(t, server, addresses(300), *more)).expect_code(1)
        summary = result.summary()
        if goes_on:
            e2e.expect_equal((summary["breaker"], summary["left"], summary["bounced"]), ("", 0, 100), "all are tried")
        else:
            e2e.expect("spam" in summary["breaker"], f"why it stopped: {summary['breaker']}")
            e2e.expect(10 <= summary["bounced"] < 60, f"it stopped early: {summary['bounced']} bounced")
            e2e.expect(summary["left"] > 100, f"the rest is left: {summary['left']}")


def test_a_session_that_takes_no_more_is_left_for_a_new_one(t):
    class Few(FaultServer):
        def on_mail(self, session, address):
            if session.__dict__.get("taken", 0) >= 5:
                return "452 4.7.0 Too many messages for this session"
            return super().on_mail(session, address)

        def on_content(self, session, content):
            session.taken = session.__dict__.get("taken", 0) + 1
            return super().on_content(session, content)

    with Few() as server:
        result = t.send("--name", "few", *campaign(t, server, addresses(50), "--connections", "1"))
        result.expect_code(0).expect_counts(delivered=50)
        # Ten with five each, and none for who is left with nothing to send.
        e2e.expect(10 <= server.connections <= 12, f"connections: {server.connections}")
    e2e.expect_equal({e["event"] for e in events(t, "few")}, {"delivered"}, "events")


def test_what_breaker_takes(t):
    for text in ("10", "0%", "101%", "-3%", "nan%", "ten%"):
        t.run("send", "--breaker", text).expect_code(2).expect_says("10%, or off")


if __name__ == "__main__":
    e2e.main()
