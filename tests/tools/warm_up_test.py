"""[[warm_up]]: days of a new address, counted over restarts, planned, and refused where it means nothing."""

import datetime
import json
import signal

import e2e
from dns_server import DnsServer
from e2e import expect, expect_equal

FLAGS = ["--preflight-dns", "off", "--ignore", "dkim-not-signed"]


def day(offset):
    return (datetime.date.today() + datetime.timedelta(days=offset)).isoformat()


def campaign(t, name, count, via, *plans, domain="example.test"):
    t.write_list([("email",)] + [(f"{name}{i}@{domain}",) for i in range(count)], f"{name}.csv")
    t.write("hello.txt", "Hello\n")
    tables = "".join(f"[[warm_up]]\n{plan}\n" for plan in plans)
    return t.write(f"{name}.toml", f"""\
[campaign]
from = "Sender <a@example.org>"
subject = "Hello"
text = "hello.txt"
recipients = "{name}.csv"
kind = "transactional"
[relay]
via = "{via}"
{tables}""")


def send_for_a_while(t, sink, wanted, *flags):
    """Until `wanted` came and a while longer; what it was held by."""
    child = t.start("send", "--json", "--no-progress", "--state", "state", *flags, *FLAGS)
    e2e.wait_until(lambda: len(sink.recipients()) >= wanted, 20, f"{wanted} messages")

    def held():
        lines = t.run("status", "--state", "state", "--json").out.splitlines()
        return "".join(json.loads(line).get("held_by", "") for line in lines)

    e2e.wait_until(lambda: held() != "", 20, "to be held")
    why = held()
    child.send_signal(signal.SIGINT)
    t.finish(child, ["send"]).expect_code(130)
    return why


def test_a_day_holds_no_more_also_after_a_restart(t):
    sink = e2e.Sink(t)
    first = campaign(t, "first", 50, sink.url, f'start = "{day(0)}"\ndays = [20, 1000]')
    why = send_for_a_while(t, sink, 20, first)
    expect("warm-up" in why.replace("_", "-"), f"held by {why!r}")
    send_for_a_while(t, sink, 20, first)
    expect_equal(len(sink.recipients()), 20, "messages on day 1, in two runs")
    # Another campaign of the same day; and day 2 of a plan that began yesterday.
    other = campaign(t, "other", 5, sink.url, f'start = "{day(-1)}"\ndays = [1, 22]')
    send_for_a_while(t, sink, 22, other)
    expect_equal(len(sink.recipients()), 22, "messages with another campaign's")
    sink.stop()


def test_a_plan_that_is_over_limits_nothing(t):
    sink = e2e.Sink(t)
    path = campaign(t, "late", 50, sink.url, f'start = "{day(-9)}"\ndays = [1, 2]')
    t.send(path, *FLAGS).expect_code(0).expect_counts(delivered=50)
    sink.stop()


def test_of_one_source_and_provider(t):
    sink = e2e.Sink(t)
    zone = {f"{n}.example": {"MX": [(10, "mx.example")]} for n in ("a", "b")} | {"mx.example": {"A": ["127.0.0.1"]}}
    t.write("own.toml", 'version = 1\n[[provider]]\nname = "mine"\ndomains = ["a.example"]\n')
    plans = (f'provider = "mine"\nsource = "127.0.0.1"\nstart = "{day(0)}"\ndays = [7]',
             f'source = "127.0.0.1"\nstart = "{day(0)}"\ndays = [30]')
    path = campaign(t, "a", 20, "mx", *plans, domain="a.example")
    with DnsServer(zone) as dns:
        flags = ["--mx-port", sink.port, "--mx-loopback", "--dns-server", dns.address, "--source", "127.0.0.1",
                 "--providers", str(t.dir / "own.toml")]
        shown = t.run("providers", "check", "own.toml")
        if shown.code:
            raise e2e.Failure(f"{shown}")
        send_for_a_while(t, sink, 7, path, *flags)
        expect_equal(len(sink.recipients()), 7, "messages to the provider")
        path = campaign(t, "b", 40, "mx", *plans, domain="b.example")
        send_for_a_while(t, sink, 30, path, *flags)
    expect_equal(len(sink.recipients()), 30, "messages from the source")
    sink.stop()


def test_it_is_planned(t):
    path = campaign(t, "p", 3000, "smtp://127.0.0.1:1", f'start = "{day(0)}"\ndays = [1000, 2000]')
    result = t.run("plan", path, "--state", "state", "--json", "--reply-latency", "1ms", "--preflight-dns", "off")
    plan = json.loads(result.expect_code(0).out)
    expect("warm_up" in result.out, result.out)
    seconds = [v for k, v in plan.items() if k in ("seconds", "duration_s", "takes_s")]
    if seconds:
        expect(12 * 3600 < seconds[0] < 49 * 3600, f"{plan}")


def test_what_it_cannot_mean_is_refused(t):
    start = f'start = "{day(0)}"\ndays = [5]'
    for plan, words in ((f'provider = "google"\n{start}', ("without a relay", "leave both out")),):
        t.send(campaign(t, "r", 1, "smtp://127.0.0.1:1", plan), *FLAGS).expect_code(2).expect_says(*words)
    for plan, words in ((f'provider = "gogle"\n{start}', ("gogle", "volley providers list")),
                        (f'source = "127.0.0.9"\n{start}', ("127.0.0.9", "--source"))):
        t.send(campaign(t, "m", 1, "mx", plan), *FLAGS).expect_code(2).expect_says(*words)
    twice = campaign(t, "t", 1, "smtp://127.0.0.1:1", start, start)
    t.send(twice, *FLAGS).expect_code(2).expect_says("two .*warm_up", "everything")


if __name__ == "__main__":
    e2e.main()
