"""Several campaigns of one command (volley send A B): shares, transactional ones first, each for itself
where it is its own matter."""

import collections
import json
import socket
import time

import e2e
from dns_server import DnsServer
from e2e import expect, expect_equal

FLAGS = ["--preflight-dns", "off", "--ignore", "dkim-not-signed", "--without-unsubscribe"]


def campaign(t, name, count, via, kind="bulk", limits="", domain="example.test"):
    """A campaign file: its path, and its addresses, which begin with its name."""
    addresses = [f"{name}{i:05d}@{domain}" for i in range(count)]
    t.write_list([("email",)] + [(a,) for a in addresses], f"{name}.csv")
    t.write("hello.txt", "Hello\n")
    path = t.write(f"{name}.toml", f"""\
[campaign]
name = "{name}"
from = "Sender <{name}@example.org>"
subject = "{name}"
text = "hello.txt"
recipients = "{name}.csv"
kind = "{kind}"
[relay]
via = "{via}"
[limits]
connections = 2
{limits}
""")
    return path, addresses


def summaries(result):
    return {s["campaign"]: s for s in map(json.loads, result.out.splitlines())}


def whose(recipients):
    return [r.rstrip("0123456789abcdefghijklmnopqrstuvwxyz.").rstrip("@").rstrip("0123456789")
            for r in recipients]


def control(t, name, word):
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(10)
        s.connect(str(t.dir / "state" / "campaigns" / name / "control"))
        s.sendall(word.encode() + b"\n")
        return json.loads(s.makefile().readline())


def test_campaigns_share_by_weight(t):
    sink = e2e.Sink(t, "--reply-latency", "2ms")
    files, addresses = zip(*(campaign(t, name, 1200, sink.url, limits=f"weight = {weight}")
                             for name, weight in (("a", 3), ("b", 1))))
    result = t.send(*files, *FLAGS).expect_code(0)
    for name, summary in summaries(result).items():
        expect_equal(summary["delivered"], 1200, f"delivered of {name}")
        expect_equal(summary["relays"][0]["delivered"], 1200, f"by the relay, of {name}")
    got = sink.recipients()
    e2e.expect_same_multiset(got, [a for one in addresses for a in one], "what came")
    # While both have some: three of a for one of b.
    first = collections.Counter(whose(got)[100:1100])
    expect(720 <= first["a"] <= 780, f"of 1000 messages: {first}")
    # Each message has its own campaign's sender.
    for line in sink.lines():
        expect_equal(line["mail_from"], f"{whose(line['rcpt_to'])[0]}@example.org", "reverse path")
    sink.stop()


def test_transactional_mail_goes_first(t):
    sink = e2e.Sink(t, "--reply-latency", "2ms")
    bulk, _ = campaign(t, "bulk", 1500, sink.url, limits="weight = 100")
    receipts, wanted = campaign(t, "receipt", 300, sink.url, kind="transactional")
    t.send(bulk, receipts, *FLAGS).expect_code(0)
    of = whose(sink.recipients())
    expect_equal(len(of), 1800, "messages")
    last = max(i for i, name in enumerate(of) if name == "receipt")
    expect(last < 320, f"the last of {len(wanted)} receipts was message {last + 1}")
    sink.stop()


def test_the_same_without_a_relay(t):
    sink = e2e.Sink(t, "--reply-latency", "2ms")
    zone = {f"d{i}.example": {"MX": [(10, "mx.d.example")]} for i in range(3)}
    zone["mx.d.example"] = {"A": ["127.0.0.1"]}
    with DnsServer(zone) as dns:
        files, addresses = zip(*(
            campaign(t, name, 800, "mx", kind, f"weight = {weight}", domain=f"d{i}.example")
            for i, (name, weight, kind) in enumerate((("a", 3, "bulk"), ("b", 1, "bulk"),
                                                      ("urgent", 1, "transactional")))))
        result = t.send(*files, *FLAGS, "--mx-port", sink.port, "--mx-loopback", "--dns-server",
                        dns.address).expect_code(0)
    expect_equal({s["delivered"] for s in summaries(result).values()}, {800}, "delivered of each")
    got = sink.recipients()
    e2e.expect_same_multiset(got, [a for one in addresses for a in one], "what came")
    of = whose(got)
    first = collections.Counter(of[:1000])
    expect(first["urgent"] >= 760, f"of the first 1000: {first}")
    after = collections.Counter(of[1000:1600])
    expect(400 <= after["a"] <= 500, f"of 600 after the urgent ones: {after}")
    sink.stop()


def test_the_limit_of_one_holds_no_other(t):
    sink = e2e.Sink(t)
    slow, _ = campaign(t, "slow", 30, sink.url, limits='rate = "10/s"')
    fast, _ = campaign(t, "fast", 2000, sink.url)
    began = time.monotonic()
    result = t.send(slow, fast, *FLAGS).expect_code(0)
    took = time.monotonic() - began
    of = summaries(result)
    expect_equal((of["slow"]["delivered"], of["fast"]["delivered"]), (30, 2000), "delivered")
    expect(2.7 < took < 8, f"30 messages at 10 a second took {took:.1f} s")
    got = whose(sink.recipients())
    last = max(i for i, name in enumerate(got) if name == "fast")
    expect(last <= 2015, f"the fast one's last message was the {last + 1}th")
    sink.stop()


def test_one_is_paused_and_one_cancelled(t):
    sink = e2e.Sink(t, "--reply-latency", "20ms")
    names = ("go", "wait", "end")
    files = [campaign(t, name, 300, sink.url)[0] for name in names]
    child = t.start("send", *files, *FLAGS, "--json", "--no-progress", "--state", "state",
                    "--retry-for", "0")
    e2e.wait_until(lambda: len(sink.lines()) > 30, 20, "first messages")
    expect_equal(control(t, "wait", "pause")["state"], "paused", "of the one that waits")
    control(t, "end", "cancel")
    expect_equal(control(t, "go", "status")["state"], "sending", "of the one that goes on")
    e2e.wait_until(lambda: control(t, "go", "status")["delivered"] == 300, 60, "all of one")
    expect_equal(control(t, "wait", "status")["state"], "paused", "still")
    control(t, "wait", "resume")
    result = t.finish(child, ["send"]).expect_code(1)
    of = summaries(result)
    expect_equal((of["go"]["delivered"], of["wait"]["delivered"]), (300, 300), "delivered")
    ended = of["end"]
    expect(ended["cancelled"] > 200 and ended["delivered"] + ended["cancelled"] == 300, f"{ended}")
    expect_equal(len(sink.recipients()), 600 + ended["delivered"], "messages")
    sink.stop()


def test_what_was_broken_off_goes_on_together(t):
    sink = e2e.Sink(t, "--reply-latency", "5ms")
    files = [campaign(t, name, 1000, sink.url)[0] for name in ("a", "b")]
    child = t.start("send", *files, *FLAGS, "--json", "--no-progress", "--state", "state")
    e2e.wait_until(lambda: len(sink.lines()) > 200, 20, "first messages")
    child.kill()
    child.wait()
    result = t.send(*files, *FLAGS)
    of = summaries(result)
    sent = collections.Counter(sink.recipients())
    for name, s in of.items():
        expect_equal(s["delivered"] + s["uncertain"], 1000, f"books of {name}: {s}")
        expect(s["uncertain"] <= 10, f"uncertain of {name}: {s}")
    lost = 2000 - len(sent)
    expect(lost <= sum(s["uncertain"] for s in of.values()), f"{lost} never came")
    expect_equal(max(sent.values()), 1, "most copies of one")
    sink.stop()


def test_what_cannot_go_together_is_refused(t):
    a, _ = campaign(t, "a", 1, "smtp://127.0.0.1:1")
    b, _ = campaign(t, "b", 1, "smtp://127.0.0.1:2")
    t.send(a, b, *FLAGS).expect_code(2).expect_says('"a" and "b"', "relays", "two commands")
    t.send(a, a, *FLAGS).expect_code(2).expect_says('two campaigns are called "a"')
    t.send(a, b, *FLAGS, "--name", "c").expect_code(2).expect_says("--name", "one campaign")
    c, _ = campaign(t, "c", 1, "smtp://127.0.0.1:1", limits="weight = 0")
    t.send(a, c, *FLAGS).expect_code(2).expect_says("weight", "1 to 1000|1 and 1000|1,000")
    expect_equal(t.left_behind(), [], "left behind")


if __name__ == "__main__":
    e2e.main()
