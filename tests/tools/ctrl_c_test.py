"""Ctrl-C: the first finishes what is in flight and says what is left, the second stops at once."""

import re
import signal
import time

import e2e
from fault_server import FaultServer

INTERRUPTED = 130  # 128 + SIGINT, as shells report it


def test_the_first_finishes_what_is_in_flight(t):
    flags, addresses = t.simple_campaign(20000)
    sink = e2e.Sink(t, "--reply-latency", "20ms")
    args = ["send", "--json", "--no-progress", "--state", "state", *flags, "--via", sink.url,
            "--connections", "5", "--shards", "2"]
    child = t.start(*args)
    e2e.wait_until(lambda: len(sink.lines()) >= 50, 30, "the first messages")
    child.send_signal(signal.SIGINT)
    result = t.finish(child, args, timeout=30).expect_code(INTERRUPTED)
    counts = sink.stop()
    got = sink.recipients()
    summary = result.summary()
    e2e.expect_equal(len(got), len(set(got)), "different recipients at the sink")
    e2e.expect(set(got) <= set(addresses), "strange recipients")
    # Nothing hangs in between: what the sink took is what the sender knows to be delivered.
    e2e.expect_equal(summary["delivered"], counts["messages"], "delivered against the sink's count")
    for outcome in ("bounced", "deferred", "uncertain"):
        e2e.expect_equal(summary[outcome], 0, outcome)
    e2e.expect(50 <= summary["delivered"] < len(addresses), f"delivered {summary['delivered']}")
    e2e.expect_equal(summary["left"], len(addresses) - summary["delivered"], "left")


def test_it_says_what_is_left(t):
    flags, addresses = t.simple_campaign(20000)
    sink = e2e.Sink(t, "--reply-latency", "20ms")
    args = ["send", "--state", "state", *flags, "--via", sink.url, "--connections", "5"]
    child = t.start(*args)
    e2e.wait_until(lambda: len(sink.lines()) >= 50, 30, "the first messages")
    child.send_signal(signal.SIGINT)
    result = t.finish(child, args, timeout=30).expect_code(INTERRUPTED)
    left = len(addresses) - sink.stop()["messages"]
    result.expect_says(rf"\b{left:,} recipients are left")


class NeverAnswersTheDot(FaultServer):
    def on_content(self, session, content):
        time.sleep(60)
        return "250 2.0.0 at last"


def test_the_second_stops_at_once(t):
    flags, _ = t.simple_campaign(100)
    with NeverAnswersTheDot() as server:
        args = ["send", "--json", "--no-progress", "--state", "state", *flags, "--via", server.url,
                "--connections", "2"]
        child = t.start(*args)
        e2e.wait_until(lambda: server.connections >= 2, 20, "two connections")
        time.sleep(0.5)
        child.send_signal(signal.SIGINT)
        time.sleep(0.5)
        e2e.expect(child.poll() is None, "the first Ctrl-C did not wait for what is in flight")
        started = time.monotonic()
        child.send_signal(signal.SIGINT)
        result = t.finish(child, args, timeout=30).expect_code(INTERRUPTED)
        e2e.expect(time.monotonic() - started < 10, "the second Ctrl-C took over 10 s")
        e2e.expect(not re.search("assert|check failed|sanitizer", result.err, re.I), str(result))


def test_the_sink_ends_with_its_counts(t):
    sink = e2e.Sink(t)
    counts = sink.stop()
    e2e.expect_equal(counts["messages"], 0, "messages")


def test_a_closed_terminal_ends_it_like_ctrl_c(t):
    """SIGTERM (a supervisor, a shutdown) is as orderly as SIGINT."""
    flags, _ = t.simple_campaign(20000)
    sink = e2e.Sink(t, "--reply-latency", "20ms")
    args = ["send", "--json", "--no-progress", "--state", "state", *flags, "--via", sink.url,
            "--connections", "5"]
    child = t.start(*args)
    e2e.wait_until(lambda: len(sink.lines()) >= 50, 30, "the first messages")
    child.send_signal(signal.SIGTERM)
    result = t.finish(child, args, timeout=30)
    e2e.expect(result.code != 0, f"exit code 0 after SIGTERM\n{result}")
    e2e.expect_equal(result.summary()["delivered"], sink.stop()["messages"], "delivered")


if __name__ == "__main__":
    e2e.main()
