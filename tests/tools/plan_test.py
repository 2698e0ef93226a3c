"""volley plan: what it foretells against what then happens, and what it leaves as it was."""

import datetime
import hashlib
import json
import time

import e2e
from dns_server import DnsServer

KEYS = {"campaign", "begins", "messages", "left", "routes", "first", "end", "duration_s", "messages_per_s",
        "connections", "held_by", "why", "settled", "suppressed", "no_mail", "domains", "guessed_domains",
        "reply_ms", "reply_measured", "notes"}
WITHIN = 0.05
RATES = {"slow": 4, "mid": 12, "fast": 40}
OWN = "".join(f'[[provider]]\nname = "{name}"\ndomains = ["{name}.example"]\nrate = "{rate}/s"\n\n'
              for name, rate in RATES.items())


def campaign(t, domains, name):
    """`domains`: domain -> recipients."""
    rows = [("email",)] + [(f"r{i}@{domain}",) for domain, n in domains.items() for i in range(n)]
    text = t.write("hello.txt", "Hello\n")
    return ["--from", "Sender <sender@example.org>", "--to", t.write_list(rows, f"{name}.csv"), "--subject",
            "Hello", "--text", text, "--kind", "transactional", "--name", name]


def plan(t, *arguments, code=0):
    result = t.run("plan", "--json", "--no-progress", "--state", "state", *arguments).expect_code(code)
    planned = json.loads(result.out)
    e2e.expect_equal(set(planned) - {"relays", "providers"}, KEYS, "keys of the plan")
    return planned


def seconds(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def events(t, name):
    path = t.dir / "state" / "campaigns" / name / "events.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()]


def last_delivery(t, name, *domains):
    """When it was, in seconds since 1970; of these domains, if any are named."""
    return max(seconds(e["time"]) for e in events(t, name)
               if e["event"] == "delivered" and (not domains or e["recipient"].split("@")[1] in domains))


def expect_near(got, planned, what):
    e2e.expect(abs(got - planned) <= WITHIN * got,
               f"{what}: planned {planned:.2f} s, took {got:.2f} s ({planned / got - 1:+.1%})")
    print(f"        {what}: planned {planned:.2f} s, took {got:.2f} s ({planned / got - 1:+.1%})")


def test_predictions_hold(t):
    """Five campaigns at a time, each of about twelve seconds."""
    sink = e2e.Sink(t, "--reply-latency", "80ms", jsonl=False)
    far = ["--reply-latency", "80ms"]
    mx = ["--via", "mx", "--mx-override", f"*=127.0.0.1:{sink.port}", "--preflight-dns", "off"]
    cases = {
        "rate": ({"x.example": 120}, ["--via", sink.url, "--rate", "10/s"], "rate"),
        "connections": ({"x.example": 500}, ["--via", sink.url, "--connections", "4",
                                             "--messages-per-connection", "25"], "connections"),
        "rates": ({"slow.example": 48, "mid.example": 140, "fast.example": 450},
                  [*mx, "--connections", "40", "--providers", t.write("own.toml", OWN)], "rate"),
        # 10/s; five connections; two connections: the built-in provider pack.
        "providers": ({"yahoo.co.jp": 115, "outlook.com": 650, "orange.fr": 260},
                      [*mx, "--connections", "20"], None),
        # That of the campaign is shared by two domains, of which one has another of its own.
        "two": ({"yahoo.co.jp": 90, "x.example": 210}, [*mx, "--rate", "25/s"], "rate"),
    }
    planned, running, begun = {}, {}, {}
    for name, (domains, flags, held) in cases.items():
        arguments = [*campaign(t, domains, name), *flags]
        planned[name] = plan(t, *arguments, *far)
        e2e.expect_equal(planned[name]["messages"], sum(domains.values()), f"messages of {name}")
        if held:
            e2e.expect_equal(planned[name]["held_by"], held, f"what holds {name}")
        args = ["send", "--json", "--no-progress", "--state", "state", *arguments]
        begun[name] = time.time()
        running[name] = (t.start(*args), args)
    for name, (child, args) in running.items():
        summary = t.finish(child, args, timeout=60).expect_code(0).summary()
        e2e.expect_equal(summary["resumed_after"], 0, "settled by an earlier run: there was none")
        print(f"        {name}: the whole run {summary['elapsed_s']:.2f} s")
        expect_near(last_delivery(t, name) - begun[name], planned[name]["duration_s"], name)
    providers = {p["name"]: p for p in planned["providers"]["providers"]}
    e2e.expect_equal({n: p["held_by"] for n, p in providers.items()},
                     {"yahoo-japan": "rate", "outlook": "connections", "orange": "connections"}, "why")
    slow = {p["name"]: (p["held_by"], p["why"]) for p in planned["rates"]["providers"]}
    e2e.expect_equal(slow, {name: ("rate", f"rate {rate}/s") for name, rate in RATES.items()}, "why")
    for name in RATES:
        part = next(p for p in planned["rates"]["providers"] if p["name"] == name)
        expect_near(last_delivery(t, "rates", f"{name}.example") - begun["rates"], part["duration_s"], name)
    for domain, provider in (("yahoo.co.jp", "yahoo-japan"), ("outlook.com", "outlook"), ("orange.fr", "orange")):
        expect_near(last_delivery(t, "providers", domain) - begun["providers"],
                    providers[provider]["duration_s"], provider)
    sink.stop()


def test_the_rest_of_a_campaign_by_its_own_latency(t):
    sink = e2e.Sink(t, "--reply-latency", "70ms")
    arguments = [*campaign(t, {"x.example": 700}, "rest"), "--via", sink.url, "--connections", "4"]
    child = t.start("send", "--no-progress", "--state", "state", *arguments, "--uncertain", "skip")
    e2e.wait_until(lambda: len(sink.lines()) >= 120, 30, "the first messages")
    child.kill()
    child.wait()
    for how in (["rest"], arguments):
        planned = plan(t, *how, "--uncertain", "skip")
        e2e.expect(planned["reply_measured"] and 68 <= planned["reply_ms"] <= 80, f"{planned['reply_ms']} ms")
        e2e.expect(planned["settled"] >= 110, f"settled: {planned['settled']}")
    begun = time.time()
    again = t.send(*arguments, "--uncertain", "skip").summary()
    e2e.expect_equal(planned["messages"], again["delivered"] + again["uncertain"] - planned["settled"],
                     "messages of the rest")
    expect_near(last_delivery(t, "rest") - begun, planned["duration_s"], "the rest")
    done = t.run("plan", "rest", "--state", "state", "--uncertain", "skip").expect_code(0)
    done.expect_says("0 messages to send, 7.. settled before", "nothing is left")
    sink.stop()


def test_nothing_is_sent_or_kept(t):
    sink = e2e.Sink(t)
    arguments = [*campaign(t, {"x.example": 20}, "n"), "--via", sink.url]
    before = sorted(p.name for p in t.dir.iterdir()) + ["n.csv", "hello.txt"]
    planned = plan(t, *arguments, "--rate", "1/s")
    e2e.expect_equal(set(p.name for p in t.dir.iterdir()) - set(before), set(), "what it left behind")
    e2e.expect(19 <= planned["duration_s"] <= 21, f"{planned['duration_s']} s")
    t.send(*arguments).expect_code(0).expect_counts(delivered=20)
    e2e.expect_equal(sink.stop()["messages"], 20, "messages")


def test_a_quota_that_was_used_counts(t):
    sink = e2e.Sink(t)
    arguments = [*campaign(t, {"x.example": 50}, "q"), "--via", sink.url, "--quota", "30/1h"]
    fresh = plan(t, *arguments)
    e2e.expect(3600 <= fresh["duration_s"] <= 3600 * 1.01, f"{fresh['duration_s']} s")
    child = t.start("send", "--no-progress", "--state", "state", *arguments)
    e2e.wait_until(lambda: len(sink.lines()) >= 30, 20, "what the quota allows")
    child.kill()
    child.wait()
    digest = lambda: {p.name: hashlib.sha256(p.read_bytes()).hexdigest()
                      for p in (t.dir / "state" / "quotas").iterdir()}
    quotas = digest()
    e2e.expect_equal(len(quotas), 1, "files of quotas")
    rest = plan(t, "q")
    e2e.expect(3000 <= rest["duration_s"] <= 3600 * 1.01, f"{rest['duration_s']} s")
    e2e.expect_equal((rest["held_by"], rest["messages"]), ("quota", 20), "the rest")
    e2e.expect_equal(digest(), quotas, "the quotas of the state directory")
    t.run("plan", "q", "--state", "state").expect_code(0).expect_says(
        "20 messages to send, 30 settled", "held by the campaign's quota 30/1?h", r"\b(59|60) min|1 h 0 min")
    sink.stop()


def test_what_dns_says_makes_routes(t):
    zone = {
        "a.example": {"MX": [(10, "mx.shared.example")]},
        "b.example": {"MX": [(10, "mx.shared.example")]},
        "mx.shared.example": {"A": ["127.0.0.2"]},
        "company.example": {"MX": [(10, "aspmx.l.google.com")]},
        "aspmx.l.google.com": {"A": ["127.0.0.3"]},
        "null.example": {"MX": [(0, ".")]},
    }
    domains = {"a.example": 30, "b.example": 20, "company.example": 40, "null.example": 5, "gmail.com": 10}
    flags = [*campaign(t, domains, "d"), "--via", "mx", "--mx-loopback", "--mx-override",
             "gmail.com=127.0.0.1:25"]
    with DnsServer(zone) as dns:
        planned = plan(t, *flags, "--dns-server", dns.address)
        e2e.expect({("a.example", "MX"), ("null.example", "MX")} <= set(dns.questions), "questions")
    got = {p["name"]: (p["messages"], p["routes"]) for p in planned["providers"]}
    e2e.expect_equal(got, {"mx.shared.example": (50, 1), "google": (50, 2)}, "providers")
    e2e.expect_equal((planned["no_mail"], planned["guessed_domains"]), (5, 0), "no mail, guessed")
    # Without DNS the domain's name has to do.
    planned = plan(t, *flags, "--preflight-dns", "off")
    got = {p["name"]: p["messages"] for p in planned["providers"]}
    e2e.expect_equal(got, {"a.example": 30, "b.example": 20, "company.example": 40, "null.example": 5,
                           "google": 10}, "providers guessed")
    e2e.expect_equal(planned["guessed_domains"], 4, "guessed")
    own = t.write("own.toml", OWN.replace("fast.example", "a.example"))
    planned = plan(t, *flags, "--preflight-dns", "off", "--providers", own)
    e2e.expect("fast" in {p["name"] for p in planned["providers"]}, "a provider of one's own")


def test_hours_and_ends(t):
    arguments = [*campaign(t, {"x.example": 100}, "h"), "--via", "smtp://127.0.0.1:9", "--rate", "10/s"]
    start = (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=3)).strftime(
        "%Y-%m-%dT%H:%M:%SZ")
    planned = plan(t, *arguments, "--start", start)
    e2e.expect(abs(seconds(planned["begins"]) - seconds(start)) < 1, "begin")
    e2e.expect(9.5 <= planned["duration_s"] <= 10.6, f"{planned['duration_s']} s")
    e2e.expect_equal(planned["held_by"], "rate", "what holds it, once it has begun")
    end = (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=5)).strftime(
        "%Y-%m-%dT%H:%M:%SZ")
    planned = plan(t, *arguments, "--not-after", end, code=1)
    e2e.expect(40 <= planned["left"] <= 65, f"{planned['left']} left")
    t.run("plan", *arguments, "--not-after", end).expect_code(1).expect_says("of them are not sent by not_after")


def test_many_domains_are_planned_in_seconds(t):
    """100,000 recipients of 20,000 domains: those that are small stand together."""
    domains = {f"d{i}.example": 5 for i in range(19_990)} | {f"big{i}.example": 5000 for i in range(10)}
    arguments = [*campaign(t, domains, "many"), "--via", "mx", "--preflight-dns", "off"]
    begin = time.monotonic()
    planned = plan(t, *arguments, "--connections", "100", "--reply-latency", "20ms")
    e2e.expect(time.monotonic() - begin < 30, "it took too long")
    e2e.expect_equal((planned["messages"], planned["left"], planned["routes"]),
                     (sum(domains.values()), 0, len(domains)), "messages, left, routes")
    text = t.run("plan", *arguments, "--no-progress").expect_code(0)
    text.expect_says("other domains", "to 20,000 domains", "guessed by the name")
    e2e.expect(len(text.out.splitlines()) < 45, "one line a domain")


def test_what_cannot_be_planned(t):
    arguments = campaign(t, {"x.example": 1}, "c")
    t.run("plan", *arguments).expect_code(2).expect_says("relay")
    via = ["--via", "smtp://127.0.0.1:9"]
    t.run("plan", *arguments, *via, "--reply-latency", "soon").expect_code(2).expect_says("--reply-latency soon")
    t.run("plan", "spring", "--state", "state").expect_code(2).expect_says("no such file", "no campaign")
    t.run("plan", "spring.toml").expect_code(2).expect_says(r"spring\.toml")
    t.run("plan", *arguments, "--via", "smpt://x").expect_code(2).expect_says("smpt://x")
    t.run("plan", *arguments, "--via", "gmial").expect_code(2).expect_says("gmail")
    t.run("plan", "--help").expect_code(0).expect_says("Examples:", "volley plan newsletter")


if __name__ == "__main__":
    e2e.main()
