"""volley providers: the pack, what own files change, and that a campaign keeps to them."""

import json
import time

import e2e
from fault_server import FaultServer

GMAIL = "aspmx.l.google.com"


def lines(result):
    return [json.loads(line) for line in result.expect_code(0).out.splitlines()]


def value(provider, key):
    return provider[key]["value"]


def campaign(t, addresses, *flags):
    to = t.write_list([("email",)] + [(a,) for a in addresses])
    return ["--from", "Sender <sender@example.org>", "--to", to, "--subject", "Hello", "--text",
            t.write("hello.txt", "Hello\n"), "--kind", "transactional", "--via", "mx", "--preflight-dns", "off",
            "--ignore", "dkim-not-signed", *flags]


def test_all_are_listed_with_their_limits(t):
    providers = {p["name"]: p for p in lines(t.run("providers", "--json"))}
    for name in ("google", "yahoo", "ses", "default", "default-relay"):
        e2e.expect(name in providers, f"{name} in the pack")
    e2e.expect_equal(value(providers["google"], "connections"), 5, "Google's connections")
    e2e.expect_equal(value(providers["default"], "quota"), None, "a quota of everybody")
    e2e.expect(providers["mailcom"]["connections"]["inherited"], "connections of who has none are inherited")
    for p in providers.values():
        for key in ("connections", "rate", "quota", "tls", "retry"):
            setting = p[key]
            e2e.expect(setting["place"] == "" or
                       (setting["kind"] in ("published", "folklore") and setting["date"]),
                       f"{p['name']} {key} says who says so")
    text = t.run("providers").expect_code(0)
    rows = {line.split()[0]: line.split() for line in text.out.splitlines() if line.strip()}
    e2e.expect_equal(rows["google"][1:4], ["5~", "50~", "-"], "row of Google")
    e2e.expect(rows["mailcom"][1].startswith("("), "inherited ones stand in brackets")
    e2e.expect_equal(len([r for r in rows if r in providers]), len(providers), "rows")


def test_show_says_who_says_what(t):
    text = t.run("providers", "show", "google").expect_code(0)
    text.expect_says(r"connections +5\n +folklore, kumo 2026-11-24: Google publishes no number",
                     r"tls +required\n +published, google", "unusual-rate: 4.7.28 or 5.7.28",
                     "nothing for 10min, then on with 1 connection", "e.g. 421 4.7.28 .*temporarily rate limited", "https://")
    (google,) = lines(t.run("providers", "show", "google", "--json"))
    rules = {r["name"]: r for r in google["replies"]}
    e2e.expect_equal((rules["unusual-rate"]["action"], rules["unusual-rate"]["duration"],
                      rules["unusual-rate"]["kind"]), ("suspend", "10min", "published"), "rule")
    t.run("providers", "show", "gogle").expect_code(2).expect_says('did you mean "google"')


def test_match_finds_domains_mx_hosts_and_relays(t):
    def match(name, code=0):
        result = json.loads(t.run("providers", "match", name, "--json").expect_code(code).out)
        return {(m["as"], m["provider"]["name"]) for m in result["matches"]}
    e2e.expect_equal(match("gmail.com"), {("domain", "google")}, "domain")
    e2e.expect_equal(match("Ann@GMAIL.com."), {("domain", "google")}, "address")
    e2e.expect_equal(match(GMAIL), {("mx", "google")}, "MX host")
    e2e.expect_equal(match("email-smtp.eu-west-1.amazonaws.com"), {("relay", "ses")}, "relay")
    e2e.expect_equal(match("example.org", 1), set(), "nobody")
    # Labels, not letters; and an address is no MX host.
    e2e.expect_equal(match("notgoogle.com", 1), set(), "another domain of the same end")
    e2e.expect_equal(match("ann@" + GMAIL, 1), set(), "an address at an MX host")
    t.run("providers", "match", "example.org").expect_code(1).expect_says('"default" applies', "dig")
    t.run("providers", "match", "google").expect_code(1).expect_says("volley providers show google")
    t.run("providers", "match", "a b").expect_code(2).expect_says("no host name", "give a domain")


OWN = """
[[provider]]
name = "google"
connections = 2
[[provider.reply]]
name = "unusual-rate"
enhanced = ["4.7.28"]
action = "suspend"
duration = "1h"

[[provider]]
name = "partner"
domains = ["partner.example"]
connections = { value = 1, note = "they asked for it" }
rate = "10/s"
"""


def test_check_says_what_a_file_changes(t):
    own = t.write("own.toml", OWN)
    t.run("providers", "check", own).expect_code(0).expect_says(
        r"google\n  connections: 5 -> 2\n", "reply unusual-rate: nothing for 10min.* -> nothing for 1h",
        r"partner \(new\)", "rate: 10/s")
    checked = json.loads(t.run("providers", "check", own, "--json").expect_code(0).out)
    e2e.expect_equal({(c["provider"], c["key"], c["from"], c["to"]) for c in checked["changes"]
                      if not c["key"].startswith("reply")},
                     {("google", "connections", "5", "2"), ("partner", "domains", None, "partner.example"),
                      ("partner", "connections", None, "1"), ("partner", "rate", None, "10/s")}, "changes")
    (google,) = lines(t.run("providers", "show", "google", "--providers", own, "--json"))
    e2e.expect_equal((value(google, "connections"), google["connections"]["kind"], google["connections"]["own"],
                      google["tls"]["own"]), (2, "own", True, False), "laid over")
    e2e.expect(google["connections"]["place"].endswith("own.toml:4"), "its line")
    t.run("providers", "match", "partner.example", "--providers", own).expect_code(0).expect_says("partner")
    t.run("providers", "check", t.write("none.toml", "")).expect_code(0).expect_says("changes nothing")
    # Also where it is called as the built-in one.
    t.write("providers.toml", OWN)
    t.run("providers", "check", "providers.toml").expect_code(0).expect_says("connections: 5 -> 2")


BAD = [('[[provider]]\nname = "google"\nconections = 2\n', r":3: .*unknown key \"conections\" .*\"connections\""),
       ('[[provider]]\nname = "google"\nconnections = 0\n', ":3: .*connections = 0: nothing could be sent"),
       ('[[provider]]\nname = "google"\n[[provider.reply]]\npattern = "("\naction = "close"\n',
        r":4: .*pattern = \"\(\": no regular expression"),
       ('[[provider]]\nname = "google"\n[[provider.reply]]\npattern = "x"\naction = "wait"\n',
        ":5: .*write slow, suspend, limit_connections, close, ignore"),
       ('[[provider]]\nname = "gogle"\nrate = "1/s"\n', ':1: .*did you mean "google"'),
       ("[[provider]\n", ":1: ")]


def test_bad_files_are_refused_by_line_and_nothing_is_sent(t):
    sink = e2e.Sink(t)
    for i, (text, wanted) in enumerate(BAD):
        path = t.write(f"bad{i}.toml", text)
        t.run("providers", "check", path).expect_code(2).expect_says(f"bad{i}.toml{wanted}")
        found = json.loads(t.run("providers", "check", path, "--json").expect_code(2).out)
        e2e.expect(not found["ok"] and f"bad{i}.toml:" in found["errors"][0], f"errors of {text}")
        t.send(*campaign(t, ["a@x.example"]), "--mx-override", f"*=127.0.0.1:{sink.port}", "--providers",
               path).expect_code(2).expect_says(f"bad{i}.toml{wanted}")
    t.run("providers", "check", "missing.toml").expect_code(2).expect_says("missing.toml: cannot be read")
    # All faults at once.
    text = "".join(f'[[provider]]\nname = "p{i}"\nconnections = 0\n' for i in range(3))
    t.run("providers", "check", t.write("three.toml", text)).expect_code(2).expect_says(
        ":3: ", ":6: ", ":9: ")
    e2e.expect_equal(len(sink.lines()), 0, "messages")
    sink.stop()


RULES = """version = 1
[[rule]]
id = "ours"
category = "recipient_unknown"
text = 'strange words'
example = ["450 4.7.1 strange words"]
"""


def test_check_rules(t):
    rules = t.write("rules.toml", RULES)
    t.run("providers", "check-rules", rules).expect_code(0).expect_says('1 rule, before', '"ours": recipient_unknown')
    e2e.expect_equal(json.loads(t.run("providers", "check-rules", rules, "--json").expect_code(0).out)["rules"][0]["id"],
                     "ours", "id")
    t.run("bounce", "reply", "--rules", rules, "550 strange words").expect_code(0).expect_says("by rule ours")
    for change, wanted in [(("'strange words'", "'('"), 'rules.toml:2: rule "ours": text does not compile'),
                           (("category", "categories"), "unknown key \"categories\".*known keys: id"),
                           (('"ours"', '"full"'), r'there are two rules "full", the other is built-in rules'),
                           (("strange words\"]", "other words\"]"), 'its example "450 4.7.1 other words" is decided by'),
                           (("text =", 'providers = ["gogle"]\ntext ='), 'no provider "gogle".*did you mean "google"')]:
        bad = t.write("rules.toml", RULES.replace(*change))
        t.run("providers", "check-rules", bad).expect_code(2).expect_says(wanted)
    t.run("bounce", "reply", "--providers", t.write("own.toml", OWN), "--provider", "partnr", "550 x").expect_code(
        2).expect_says('did you mean "partner"')


def test_own_limits_are_in_force(t):
    sink = e2e.Sink(t, "--reply-latency", "20ms")
    addresses = [f"r{i}@partner.example" for i in range(20)]
    flags = ["--mx-override", f"*=127.0.0.1:{sink.port}", "--connections", "8"]
    t.send("--name", "free", *campaign(t, addresses), *flags).expect_code(0).expect_counts(delivered=20)
    own = t.write("own.toml", OWN)
    begin = time.monotonic()
    t.send("--name", "own", *campaign(t, addresses), *flags, "--providers", own).expect_code(0).expect_counts(
        delivered=20)
    e2e.expect(time.monotonic() - begin >= 1.8, "20 messages at 10 a second went too fast")
    peers = [{line["peer"] for line in part} for part in (sink.lines()[:20], sink.lines()[20:])]
    e2e.expect(len(peers[0]) > 1, "without the file there are several connections")
    e2e.expect_equal(len(peers[1]), 1, "connections of the provider that allows one")
    sink.stop()


def test_a_campaign_goes_on_with_the_files_it_began_with(t):
    sink = e2e.Sink(t)
    addresses = [f"r{i}@partner.example" for i in range(200)]
    t.write("own.toml", OWN)
    t.write("c.toml", '[policy]\nproviders = "own.toml"\nrules = "rules.toml"\n')
    t.write("rules.toml", RULES)
    arguments = campaign(t, addresses, "--name", "kept", "--mx-override", f"*=127.0.0.1:{sink.port}",
                         "--connections", "8")
    child = t.start("send", "--json", "--no-progress", "--state", "state", "c.toml", *arguments)
    e2e.wait_until(lambda: len(sink.lines()) >= 5, 20, "the first messages")
    child.kill()
    child.wait()
    folder = t.dir / "state/campaigns/kept"
    e2e.expect_equal((folder / "providers.toml").read_text(), OWN, "the copy of the provider file")
    e2e.expect_equal((folder / "bounce-rules.toml").read_text(), RULES, "the copy of the rule file")

    # Without the files: still ten a second and one connection.
    time.sleep(0.5)  # what was under way at the kill may come in yet
    before = len(sink.lines())
    child = t.start("send", "--json", "--no-progress", "--state", "state", "--resume", *arguments)
    e2e.wait_until(lambda: len(sink.lines()) >= before + 20, 20, "more messages")
    child.kill()
    child.wait()
    again = sink.lines()[before:]
    e2e.expect(len(again) < 100, "the limit of the copy holds")
    e2e.expect_equal(len({line["peer"] for line in again}), 1, "connections")

    # Given anew: without the rate it is done in no time.
    anew = t.write("anew.toml", OWN.replace('rate = "10/s"', "") + 'messages_per_connection = 500\n')
    begin = time.monotonic()
    result = t.send("--resume", *arguments, "--providers", anew, "--uncertain", "resend").expect_code(0)
    e2e.expect(time.monotonic() - begin < 8, "the new file is in force")
    e2e.expect_equal(result.summary()["delivered"], 200, "delivered")
    e2e.expect("500" in (folder / "providers.toml").read_text(), "the new file took the copy's place")
    e2e.expect_equal((folder / "bounce-rules.toml").read_text(), RULES, "the other copy stays")
    # A damaged copy is a refusal, not a guess.
    (folder / "providers.toml").write_text("[[provider]]\nname = 1\n")
    t.send("--resume", *arguments).expect_code(2).expect_says("providers.toml:1: ")
    sink.stop()


class StrangeServer(FaultServer):
    """Refuses each recipient in words of its own."""

    def on_rcpt(self, *unused):
        return "450 4.7.1 strange words"


def test_own_rules_decide_in_a_campaign(t):
    rules = t.write("rules.toml", RULES)
    flags, _ = t.simple_campaign(1)
    with StrangeServer() as server:
        t.send(*flags, "--via", server.url, "--name", "own", "--rules", rules, "--retry-for", "0")
    events = [json.loads(line) for line in (t.dir / "state/campaigns/own/events.jsonl").read_text().splitlines()]
    e2e.expect_equal({(e["category"], e["rule"]) for e in events}, {("recipient_unknown", "ours")}, "events")


if __name__ == "__main__":
    e2e.main()
