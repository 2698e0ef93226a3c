"""Mail without a relay (--via mx): MX records, servers that are down, domains without mail, sources."""

import collections
import json
import time

import e2e
import mta
from dns_server import SERVFAIL, DnsServer

FLAGS = ["--via", "mx", "--preflight-dns", "off", "--ignore", "dkim-not-signed"]


def campaign(t, addresses):
    to = t.write_list([("email",)] + [(a,) for a in addresses])
    text = t.write("hello.txt", "Hello\n")
    return ["--from", "Sender <sender@example.org>", "--to", to, "--subject", "Hello",
            "--text", text, "--kind", "transactional", *FLAGS]


def at(domain, count):
    return [f"r{i}@{domain}" for i in range(count)]


def events(t, name):
    path = t.dir / "state" / "campaigns" / name / "events.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_mail_goes_to_the_servers_of_each_domain(t):
    port = mta.free_port()
    two, three = (e2e.Sink(t, address=f"127.0.0.{n}", port=port) for n in (2, 3))
    zone = {
        "a.example": {"MX": [(10, "mx.a.example")]}, "mx.a.example": {"A": ["127.0.0.2"]},
        "b.example": {"MX": [(10, "mx.b.example")]}, "mx.b.example": {"A": ["127.0.0.3"]},
        # The best server is down.
        "c.example": {"MX": [(20, "mx.b.example"), (10, "down.c.example")]},
        "down.c.example": {"A": ["127.0.0.4"]},
        # No MX: the domain itself.
        "d.example": {"A": ["127.0.0.2"]},
        "null.example": {"MX": [(0, ".")]},
    }
    wanted = {"a.example": two, "b.example": three, "c.example": three, "d.example": two}
    addresses = [a for domain in wanted for a in at(domain, 25)]
    nobody = at("null.example", 2) + at("gone.example", 3)
    with DnsServer(zone) as dns:
        result = t.send("--name", "mx", *campaign(t, addresses + nobody), "--mx-port", port, "--mx-loopback",
                        "--dns-server", dns.address, "--connections", "4", "--keep-bounced")
    result.expect_code(1).expect_counts(delivered=100, bounced=5)
    for sink in (two, three):
        e2e.expect_same_multiset(
            sink.recipients(), [a for a in addresses if wanted[a.split("@")[1]] is sink],
            f"what came to {sink.address}")
        sink.stop()
    bounced = collections.Counter((e["recipient"].split("@")[1], e["enhanced"], e["category"])
                                  for e in events(t, "mx") if e["event"] == "bounced")
    e2e.expect_equal(bounced, {("null.example", "5.1.10", "domain_invalid"): 2,
                               ("gone.example", "5.1.2", "domain_invalid"): 3}, "bounces")
    asked = [q for q in dns.questions if q == ("a.example", "MX")]
    e2e.expect_equal(len(asked), 1, "questions for one domain of 25 recipients")


def test_addresses_of_domains_that_are_gone_are_suppressed(t):
    with DnsServer({"null.example": {"MX": [(0, ".")]}}) as dns:
        flags = ["--dns-server", dns.address]
        addresses = at("null.example", 1) + at("gone.example", 1)
        t.send("--name", "first", *campaign(t, addresses), *flags).expect_code(1).expect_counts(bounced=2)
        result = t.send("--name", "second", *campaign(t, addresses + at("third.example", 1)), *flags)
        result.expect_counts(bounced=1, suppressed=2)


def test_a_server_that_is_down_holds_nobody_up(t):
    sink = e2e.Sink(t)
    dead = mta.free_port()
    addresses = at("down.example", 40) + at("up.example", 40)
    begin = time.monotonic()
    result = t.send("--name", "down", *campaign(t, addresses), "--mx-override",
                    f"down.example=127.0.0.1:{dead}", "--mx-override", f"*=127.0.0.1:{sink.port}",
                    "--connections", "2", "--retry-first", "1s", "--retry-for", "4s")
    e2e.expect(time.monotonic() - begin < 30, "it took too long")
    result.expect_code(1).expect_counts(delivered=40, bounced=40)
    log = events(t, "down")
    delivered = [e["time"] for e in log if e["event"] == "delivered"]
    expired = [e for e in log if e["event"] == "expired"]
    e2e.expect_equal(len(expired), 40, "expired")
    e2e.expect(max(delivered) < min(e["time"] for e in expired), "the others had to wait")
    e2e.expect_equal({e["category"] for e in expired}, {"connect_failure"}, "category")
    sink.stop()


def test_a_name_service_that_fails_is_asked_again(t):
    sink = e2e.Sink(t)
    with DnsServer({"slow.example": SERVFAIL}) as dns:
        flags = ["--dns-server", dns.address, "--mx-port", sink.port, "--mx-loopback"]
        result = t.send("--name", "dns", *campaign(t, at("slow.example", 3)), *flags)
        result.expect_code(1).expect_counts(deferred=3)
        e2e.expect_equal({(e["event"], e["category"]) for e in events(t, "dns")},
                         {("deferred", "dns_failure")}, "events")
        dns.zone["slow.example"] = {"A": ["127.0.0.1"]}
        t.send("--name", "dns", *campaign(t, at("slow.example", 3)), *flags).expect_code(0).expect_counts(
            delivered=3)
    sink.stop()


def test_domains_that_point_at_us_are_refused(t):
    with DnsServer({"us.example": {"MX": [(1, "mx.us.example")]},
                    "mx.us.example": {"A": ["127.0.0.1"]}}) as dns:
        result = t.send("--name", "us", *campaign(t, at("us.example", 1)), "--dns-server", dns.address)
    result.expect_code(1).expect_counts(bounced=1)
    e2e.expect("mx.us.example is 127.0.0.1" in events(t, "us")[0]["reply"], "reason")


def test_sources_share_the_recipients(t):
    sink = e2e.Sink(t)
    result = t.send("--name", "src", *campaign(t, at("x.example", 60)), "--mx-override",
                    f"*=127.0.0.1:{sink.port}", "--source", "127.0.0.5=five.example.org", "--source",
                    "127.0.0.6=six.example.org")
    result.expect_code(0).expect_counts(delivered=60)
    seen = collections.Counter((line["peer"].rsplit(":", 1)[0], line["helo"]) for line in sink.lines())
    e2e.expect_equal(seen, {("127.0.0.5", "five.example.org"): 30, ("127.0.0.6", "six.example.org"): 30},
                     "peers and names")
    sink.stop()


def test_a_killed_campaign_goes_on(t):
    sink = e2e.Sink(t, "--reply-latency", "5ms")
    addresses = [a for n in range(20) for a in at(f"d{n}.example", 50)]
    arguments = ["--name", "kill", *campaign(t, addresses), "--mx-override", f"*=127.0.0.1:{sink.port}",
                 "--connections", "5", "--uncertain", "skip"]
    child = t.start("send", "--json", "--no-progress", "--state", "state", *arguments)
    e2e.wait_until(lambda: len(sink.recipients()) > 200, 20, "200 messages")
    child.kill()
    child.wait()
    summary = t.send(*arguments).summary()
    e2e.expect_equal(summary["delivered"] + summary["uncertain"], len(addresses), "delivered and uncertain")
    got = collections.Counter(sink.recipients())
    e2e.expect_equal([a for a, n in got.items() if n > 1], [], "who got it twice")
    e2e.expect(len(got) >= summary["delivered"], "who was counted delivered got it")
    sink.stop()


def test_what_cannot_be(t):
    arguments = campaign(t, at("x.example", 1))
    t.send(*arguments, "--user", "ann", "--password-env", "X").expect_code(2).expect_says("a log-in has no meaning")
    t.send(*arguments, "--via", "smtp://127.0.0.1:1").expect_code(2).expect_says("leave the other relays away")
    t.send(*arguments, "--mx-override", "x.example").expect_code(2).expect_says("write DOMAIN=HOST")
    t.send(*arguments, "--source", "mail.example.org").expect_code(2).expect_says("write an address of this host")


if __name__ == "__main__":
    e2e.main()
