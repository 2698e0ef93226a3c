"""`volley preflight`, and what `volley send` makes of it: a campaign and a zone nobody could object to,
broken one thing at a time; each check's words, severity and exit code; --strict, --ignore, --json.
"""

import json
import pathlib
import re
import time

import e2e
from dns_server import REFUSED, SERVFAIL, SILENT, DnsServer, reverse_name
from e2e import expect, expect_equal

DOCS = pathlib.Path(__file__).resolve().parents[2] / "docs" / "preflight.md"
DOMAIN = "sender.example"
KEY_NAME = f"s1._domainkey.{DOMAIN}"
DMARC_NAME = f"_dmarc.{DOMAIN}"
BULK = 5000  # recipients from which on the big providers' demands on bulk senders are errors
KEYS = {"id", "severity", "found", "why", "source", "mend"}


class Good:
    """A campaign and a zone that pass every check. Tests change what they are made of."""

    def __init__(self, t, recipients=BULK):
        self.t = t
        t.write_list([("email", "name")] + [(f"r{i}@reader.example", f"Reader {i}")
                                            for i in range(recipients)])
        self.text = "Hello {{name}},\n\nnews.\n\nUnsubscribe: {{unsubscribe_url}}\n"
        self.html = '<p>Hello {{name}}</p><p><a href="{{unsubscribe_url}}">Unsubscribe</a></p>\n'
        self.campaign = {"from": f"News <news@{DOMAIN}>", "subject": "News of the week",
                         "text": "letter.txt", "html": "letter.html", "recipients": "list.csv",
                         "to_name": "{{name}}", "feedback_id": "week48:news:sender-example"}
        self.unsubscribe = {"url": f"https://{DOMAIN}/u/"}
        self.attachments = {}
        self.headers = {}
        self.key = self.new_key("s1")
        self.dkim = [("s1", DOMAIN)]
        self.via = None
        self.zone = {
            DOMAIN: {"MX": [(10, f"mx.{DOMAIN}")], "TXT": ["v=spf1 ip4:198.18.0.1 -all"]},
            f"mx.{DOMAIN}": {"A": ["198.18.0.1"]},
            DMARC_NAME: {"TXT": [f"v=DMARC1; p=none; rua=mailto:dmarc@{DOMAIN}"]},
            KEY_NAME: {"TXT": [self.key["value"]]},
        }

    def new_key(self, selector, *flags, domain=DOMAIN):
        out = self.t.run("keys", "dkim", "new", domain, "--selector", selector, "--json", *flags)
        return json.loads(out.expect_code(0).out)["keys"][0]["record"]

    def write(self):
        self.t.write("letter.txt", self.text)
        self.t.write("letter.html", self.html)

        def table(values):
            return "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items())

        headers = ", ".join(f"{name} = {json.dumps(value)}" for name, value in self.headers.items())
        toml = "[campaign]\n" + table(self.campaign) + f"headers = {{ {headers} }}\n"
        if self.unsubscribe:
            toml += "[unsubscribe]\n" + table(self.unsubscribe)
        if self.attachments:
            toml += "[attachments]\n" + table(self.attachments)
        for selector, domain in self.dkim:
            toml += (f'[[dkim]]\ndomain = "{domain}"\nselector = "{selector}"\n'
                     f'key = "{domain}.{selector}.pem"\n')
        if self.via:
            toml += f'[relay]\nvia = "{self.via}"\n'
        return self.t.write("campaign.toml", toml)

    def preflight(self, *flags, code):
        """(the JSON object, what people are told) of two runs, which agree."""
        campaign = self.write()
        with DnsServer(self.zone) as dns:
            args = ["preflight", campaign, "--state", "state", "--dns-server", dns.address, *flags]
            result = self.t.run(*args, "--json").expect_code(code)
            for_people = self.t.run(*args).expect_code(code)
        found = parse(result)
        expect_equal(result.err, "", "standard error")
        for finding in found["findings"]:
            words = " ".join(for_people.out.split())
            for key in ("found", "why", "source", "mend"):
                expect(" ".join(finding[key].split()) in words,
                       f"{key} of {finding['id']} is not told to people\n{for_people}")
            expect(re.search(rf"^{finding['severity']}: {finding['id']}$", for_people.out, re.M),
                   f"no heading of {finding['id']}\n{for_people}")
        expect(for_people.out.isprintable() or "\x1b" not in for_people.out, "control characters")
        return found, for_people


def parse(result):
    """The object --json prints, with all that the documents say it has."""
    try:
        found = json.loads(result.out)
    except ValueError as e:
        raise e2e.Failure(f"no JSON ({e})\n{result}") from None
    expect_equal(set(found), {"errors", "warnings", "findings", "passed", "skipped"}, "keys")
    for finding in found["findings"]:
        expect_equal(set(finding), KEYS, "keys of a finding")
        expect(all(finding.values()), f"something is empty in {finding}")
        expect(finding["severity"] in ("error", "warning", "note"), f"severity of {finding}")
    for name, severity in (("errors", "error"), ("warnings", "warning")):
        counted = sum(f["severity"] == severity for f in found["findings"])
        expect_equal(found[name], counted, name)
    return found


def severities(found):
    return {finding["id"]: finding["severity"] for finding in found["findings"]}


def ids_of(found):
    return ([f["id"] for f in found["findings"]] + found["passed"] +
            [s["id"] for s in found["skipped"]])


def documented():
    return re.findall(r"^### `([a-z0-9-]+)`$", DOCS.read_text(), re.M)



def broken(t, cases, recipients=BULK):
    """Each case: (what is broken: a function of a Good, {id: severity}, words found, words to mend)."""
    for change, wanted, found_words, mend_words in cases:
        good = Good(t, recipients)
        change(good)
        code = 1 if "error" in wanted.values() else 0
        found, text = good.preflight(code=code)
        expect_equal(severities(found), wanted, f"found\n{text}")
        first = found["findings"][0]
        for words, where in ((found_words, "found"), (mend_words, "mend")):
            expect(re.search(words, first[where]), f"no /{words}/ in {where}: {first[where]!r}")
        clean = set(found["passed"])
        expect(not clean & set(wanted), f"found and passed: {clean & set(wanted)}")
        for path in t.dir.glob("*.pem"):
            path.unlink()


def set_txt(name, *texts):
    def change(good):
        good.zone.setdefault(name, {})["TXT"] = list(texts)
    return change


def without(name):
    return lambda good: good.zone.pop(name)


def change(**values):
    return lambda good: good.campaign.update(values)


# --- Everything right ---


def test_a_campaign_that_is_in_order_passes_and_says_so(t):
    for recipients in (BULK, 5):
        found, text = Good(t, recipients).preflight("--strict", code=0)
        expect_equal((found["findings"], found["errors"], found["warnings"]), ([], 0, 0), "found")
        text.expect_says(rf"0 errors, 0 warnings, 0 notes; {len(found['passed'])} checks passed, "
                         rf"{len(found['skipped'])} not made \(--verbose says why\)")
        for path in t.dir.glob("*.pem"):
            path.unlink()


def test_addresses_to_send_from_without_a_relay(t):
    good = Good(t)
    good.via = "mx"
    good.zone[reverse_name("198.18.0.1")] = {"PTR": [f"mx.{DOMAIN}"]}
    found, _ = good.preflight("--source", f"198.18.0.1=mx.{DOMAIN}", code=0)
    e2e.expect({"ptr-missing", "ptr-not-forward-confirmed", "helo-not-matching"} <= set(found["passed"]),
               f"passed: {found['passed']}")
    found, _ = good.preflight("--source", f"198.18.0.1=other.{DOMAIN}", code=0)
    e2e.expect("helo-not-matching" in severities(found), f"found {severities(found)}")
    del good.zone[reverse_name("198.18.0.1")]
    found, _ = good.preflight("--source", f"198.18.0.1=mx.{DOMAIN}", code=1)
    e2e.expect_equal(severities(found).get("ptr-missing"), "error", "PTR record that is missing")


def test_every_check_has_a_chapter_and_every_chapter_a_check(t):
    """Each check is in the outcome once: found, passed, or skipped with its reason."""
    found, _ = Good(t).preflight(code=0)
    ids = ids_of(found)
    expect_equal(len(ids), len(set(ids)), "checks that are there once")
    expect_equal(sorted(ids), sorted(documented()), "checks, and chapters of docs/preflight.md")
    expect(len(ids) > 30, f"so few checks: {ids}")


# --- One thing wrong at a time ---


def test_dmarc_broken_one_way_at_a_time(t):
    broken(t, [
        (without(DMARC_NAME), {"dmarc-missing": "error"}, f"no DMARC record at {DMARC_NAME}",
         rf'publish +{DMARC_NAME}\. +TXT +"v=DMARC1; p=none'),
        (set_txt(DMARC_NAME, "v=DMARC1; p=none", "v=DMARC1; p=reject"),
         {"dmarc-several-records": "error"}, "2 DMARC records", "keep one"),
        (set_txt(DMARC_NAME, "v=DMARC1; p=rejekt"), {"dmarc-syntax": "error"}, "rejekt.*quarantine",
         'TXT +"v=DMARC1; p='),
    ])


def test_from_not_aligned(t):
    """From is at a domain that nothing signs for and that bounces do not go to."""
    def elsewhere(good):
        good.campaign.update({"from": "News <news@other.example>", "bounces": f"bounces@{DOMAIN}"})
        good.zone["other.example"] = {"MX": [(10, f"mx.{DOMAIN}")]}
        good.zone["_dmarc.other.example"] = {"TXT": ["v=DMARC1; p=reject"]}

    def subdomain(good):
        elsewhere(good)
        good.campaign["from"] = f"News <news@news.{DOMAIN}>"
        good.zone[f"news.{DOMAIN}"] = {"MX": [(10, f"mx.{DOMAIN}")]}
        good.zone[DMARC_NAME] = {"TXT": ["v=DMARC1; p=reject; adkim=s; aspf=s"]}

    words = rf"policy reject.*DKIM can pass for {DOMAIN} and SPF for {DOMAIN}"
    broken(t, [(elsewhere, {"dmarc-not-aligned": "error"}, f"other.example.*{words}",
                "sign with d=other.example"),
               (subdomain, {"dmarc-not-aligned": "error"}, "strict alignment",
                rf"sign with d=news.{DOMAIN}")])
    # A policy that asks for the mail to be refused is an error for the smallest sender, too.
    broken(t, [(elsewhere, {"dmarc-not-aligned": "error"}, words, "sign with d=other.example")], 5)


def test_from_broken_one_way_at_a_time(t):
    def gmail(good):
        good.campaign["from"] = "News <news@gmail.com>"
        good.zone["gmail.com"] = {"MX": [(10, f"mx.{DOMAIN}")], "TXT": ["v=spf1 -all"]}

    def null_mx(good):
        good.zone[DOMAIN]["MX"] = [(0, ".")]

    def no_host(good):
        del good.zone[DOMAIN]["MX"]

    broken(t, [(gmail, {"from-domain-public-provider": "error"}, r"gmail\.com, which is Gmail's",
                "domain of your own"),
               (null_mx, {"from-domain-missing": "error"}, "takes no mail", rf"{DOMAIN}\. +MX"),
               (no_host, {"from-domain-missing": "error"}, "neither an MX nor", rf"{DOMAIN}\. +MX")])


def test_dkim_broken_one_way_at_a_time(t):
    publish = rf'publish +{re.escape(KEY_NAME)}\. +TXT +"v=DKIM1; k=rsa; p=MII'

    def other_key(good):
        good.zone[KEY_NAME] = {"TXT": [good.new_key("other")["value"]]}

    def two(good):
        good.zone[KEY_NAME]["TXT"].append(good.new_key("other")["value"])

    def cut(good):
        good.zone[KEY_NAME] = {"TXT": [good.key["value"][:200]]}

    def testing(good):
        good.zone[KEY_NAME] = {"TXT": [good.key["value"] + "; t=y"]}

    def short(good):
        good.zone[f"short._domainkey.{DOMAIN}"] = {"TXT": [good.new_key("short", "--rsa-bits",
                                                                        "1024")["value"]]}
        good.dkim = [("short", DOMAIN)]

    broken(t, [
        (without(KEY_NAME), {"dkim-record-missing": "error"}, f"no TXT record at {KEY_NAME}", publish),
        (other_key, {"dkim-record-mismatch": "error"}, "not the public half of the one that signs",
         publish),
        (set_txt(KEY_NAME, "v=DKIM1; p="), {"dkim-record-revoked": "error"}, "empty p=", publish),
        (cut, {"dkim-record-malformed": "error"}, KEY_NAME, publish),
        (set_txt(KEY_NAME, "v=DKIM1; k=rsa; h=sha1; p=MIIB"), {"dkim-record-malformed": "error"}, KEY_NAME,
         publish),
        (two, {"dkim-several-records": "error"}, "2 DKIM records", publish),
        (testing, {"dkim-testing-flag": "warning"}, "t=y", "remove t=y"),
        (short, {"dkim-key-short": "warning"}, "1024 bits", f"keys dkim new {DOMAIN}"),
        (lambda good: good.dkim.clear(), {"dkim-not-signed": "error"}, "no key to sign with",
         rf"keys dkim new {DOMAIN}.*\[\[dkim\]\]"),
    ])


def test_the_record_to_publish_is_the_one_that_mends_it(t):
    """What `mend` says, put into the zone as it stands there, is what the check wants."""
    good = Good(t)
    good.zone.pop(KEY_NAME)
    good.zone.pop(DMARC_NAME)
    found, _ = good.preflight(code=1)
    expect_equal(severities(found), {"dkim-record-missing": "error", "dmarc-missing": "error"}, "found")
    for finding in found["findings"]:
        name, strings = re.fullmatch(r'publish +(\S+)\. +TXT +(".*")', finding["mend"]).groups()
        pieces = re.findall(r'"([^"]*)"', strings)
        expect(all(len(piece) <= 255 for piece in pieces), f"too long for the DNS: {pieces}")
        good.zone[name] = {"TXT": [pieces]}
    expect_equal(severities(good.preflight("--strict", code=0)[0]), {}, "found afterwards")


def test_one_bad_signature_beside_a_good_one_is_a_warning(t):
    good = Good(t)
    good.new_key("s2")
    good.dkim.append(("s2", DOMAIN))
    found, _ = good.preflight(code=0)
    expect_equal(severities(found), {"dkim-record-missing": "warning"}, "found")


def test_spf_broken_one_way_at_a_time(t):
    def includes(count):
        def change_it(good):
            good.zone[DOMAIN]["TXT"] = ["v=spf1 " + " ".join(
                f"include:s{i}.{DOMAIN}" for i in range(count)) + " -all"]
            for i in range(count):
                good.zone[f"s{i}.{DOMAIN}"] = {"TXT": [f"v=spf1 ip4:198.18.1.{i} -all"]}
        return change_it

    broken(t, [
        (set_txt(DOMAIN, "google-site-verification=x"), {"spf-missing": "error"}, f"{DOMAIN} has no SPF",
         rf'publish.* {DOMAIN}\. +TXT +"v=spf1 '),
        (set_txt(DOMAIN, "v=spf1 -all", "v=spf1 ~all"), {"spf-several-records": "error"}, "2 SPF records",
         "merge them"),
        (set_txt(DOMAIN, "v=spf1 ipv4:198.18.0.1 -all"), {"spf-syntax": "error"}, "ipv4:198.18.0.1",
         "mend or remove that term"),
        (includes(11), {"spf-too-many-lookups": "error"}, "lookup number 11; 10 are allowed",
         "remove includes"),
        (set_txt(DOMAIN, "v=spf1 +all"), {"spf-allows-all": "warning"}, r"\+all", "~all or -all"),
    ])
    good = Good(t)
    includes(10)(good)
    expect_equal(severities(good.preflight("--strict", code=0)[0]), {}, "found with 10 lookups")


def test_unsubscribing_broken_one_way_at_a_time(t):
    def own(**headers):
        def change_it(good):
            good.unsubscribe = {}
            good.text = good.text.replace("{{unsubscribe_url}}", f"https://{DOMAIN}/leave")
            good.html = good.html.replace("{{unsubscribe_url}}", f"https://{DOMAIN}/leave")
            good.headers = {name.replace("_", "-"): value for name, value in headers.items()}
        return change_it

    def no_link(good):
        good.html = "<p>Hello</p>\n"

    post, uri = "List-Unsubscribe=One-Click", f"<https://{DOMAIN}/u/{{{{email}}}}>"
    setup = r"\[unsubscribe\] url"
    missing, not_https = {"one-click-missing": "error"}, {"one-click-not-https": "error"}
    broken(t, [
        (own(), missing, "no List-Unsubscribe$", setup),
        (own(List_Unsubscribe=uri), missing, "no List-Unsubscribe-Post", setup),
        (own(List_Unsubscribe=uri, List_Unsubscribe_Post="yes"), missing, 'is "yes"', post),
        (own(List_Unsubscribe=f"<mailto:leave@{DOMAIN}>", List_Unsubscribe_Post=post), not_https,
         "no https URI", "exactly one https"),
        (own(List_Unsubscribe=f"<http://{DOMAIN}/u>", List_Unsubscribe_Post=post), not_https,
         "plain http", "exactly one https"),
        (own(List_Unsubscribe=f"{uri}, {uri}", List_Unsubscribe_Post=post), not_https, "several https",
         "exactly one https"),
        (no_link, {"body-link-missing": "warning"}, "no link in the body", "{{unsubscribe_url}}"),
    ])
    # Neither is asked of small senders, nor at all of mail that somebody waits for.
    broken(t, [(own(), {"one-click-missing": "warning"}, "no List-Unsubscribe$", setup)], 5)
    good = Good(t)
    own()(good)
    good.campaign["kind"] = "transactional"
    expect_equal(severities(good.preflight(code=0)[0]), {}, "found in transactional mail")
    good.campaign["kind"] = "bulk"
    found, _ = good.preflight("--without-unsubscribe", code=0)
    expect({"id": "one-click-missing", "why": "left out by request"} in found["skipped"],
           f"skipped: {found['skipped']}")


def test_the_message_broken_one_way_at_a_time(t):
    def attach(megabytes, **more):
        def change_it(good):
            t.write("big.bin", bytes(megabytes << 20))
            good.attachments = {"files": ["big.bin"], **more}
        return change_it

    def html(text):
        def change_it(good):
            good.html += text
        return change_it

    def feedback(good):
        good.headers["Feedback-ID"] = "week48:news:news:sender-example"

    broken(t, [
        (change(subject="Re: your order"), {"subject-fake-reply": "warning"}, "Re: your order",
         "begin the subject"),
        (change(**{"from": f"Reader 0 at News <news@{DOMAIN}>"}), {"display-name-is-recipient": "warning"},
         "Reader 0 at News", "display name"),
        (html(f"<!-- {'x' * 110_000} -->"), {"size-over-limit": "warning"}, "HTML has 107 KB", "shorten"),
        (html('<a href="https://x.example/">x</a>' * 100), {"too-many-links": "warning"}, "101 links",
         "100 at most"),
        (feedback, {"feedback-id-malformed": "warning"}, "same identifier twice", "SenderId"),
    ])
    broken(t, [
        (attach(9), {"size-over-limit": "warning"}, r"12\.\d MB", "web server"),
        (attach(20, message_mb_max=40), {"size-over-limit": "error"}, r"27\.\d MB", "web server"),
    ], 5)


def test_a_header_given_twice_never_gets_as_far_as_the_preflight(t):
    good = Good(t, 5)
    good.headers = {"List-Unsubscribe": "<https://sender.example/a>",
                    "list-unsubscribe": "<https://sender.example/b>"}
    t.run("preflight", good.write(), "--state", "state", "--preflight-dns", "off").expect_code(2) \
        .expect_says("header list-unsubscribe is there twice")


def test_a_link_to_unsubscribe_without_a_setup_says_what_is_missing(t):
    good = Good(t, 5)
    good.unsubscribe = {}
    t.run("preflight", good.write(), "--state", "state", "--preflight-dns", "off").expect_code(2) \
        .expect_says(r"letter\.txt:5:14", "unsubscribe_url", r"\[unsubscribe\]", "--unsubscribe-url")


def test_rows_that_make_no_copy_are_passed_over_for_the_samples(t):
    good = Good(t, 5)
    good.campaign["subject"] = "News for {{name}}"
    rows = [("email", "name")] + [(f"r{i}@reader.example", "two\nlines") for i in range(3)]
    t.write_list(rows + [("r3@reader.example", "Reader 3"), ("r4@reader.example", "Reader 4")])
    expect_equal(severities(good.preflight(code=0)[0]), {}, "found with two good rows")
    t.write_list(rows)
    found, _ = good.preflight(code=0)
    expect_equal(severities(found), {"message-malformed": "warning"}, "found without a good row")
    expect(re.search(r"line 2, r0@reader\.example: (subject|to_name).*line break",
                     found["findings"][0]["found"]), f"found: {found['findings'][0]}")
    expect("--dry-run" in found["findings"][0]["mend"], f"mend: {found['findings'][0]}")


def test_tls_switched_off_on_the_way_to_a_relay(t):
    def off(good):
        good.via = "smtp://198.18.0.1:25?tls=off"  # is not contacted

    broken(t, [(off, {"tls-off": "warning"}, r"198\.18\.0\.1", 'tls = "required"')])


# --- The name service ---


def test_a_server_that_does_not_know_is_no_record_that_is_not_there(t):
    for trouble in (SERVFAIL, REFUSED):
        good = Good(t)
        good.zone = {name: trouble for name in good.zone}
        found, text = good.preflight(code=0)
        expect_equal(severities(found), {"dns-unreachable": "warning"}, f"found\n{text}")
        expect(re.search(rf'no answer to .*TXT "{DMARC_NAME}"|and \d+ more',
                         found["findings"][0]["found"]), f"found: {found['findings'][0]['found']}")
        skipped = {s["id"]: s["why"] for s in found["skipped"]}
        for check in ("spf-missing", "dkim-record-missing", "dmarc-missing", "from-domain-missing"):
            expect("name server" in skipped.get(check, ""), f"why {check} was skipped: {skipped}")
        good.preflight("--strict", code=1)
        (t.dir / f"{DOMAIN}.s1.pem").unlink()


def test_a_server_that_says_nothing_is_named_and_waited_for_so_long(t):
    good = Good(t)
    good.zone = {name: SILENT for name in good.zone}
    campaign = good.write()
    with DnsServer(good.zone) as dns:
        started = time.monotonic()
        result = t.run("preflight", campaign, "--state", "state", "--json", "--dns-server", dns.address)
        took = time.monotonic() - started
        expect(dns.questions, "nothing was asked")
    found = parse(result.expect_code(0))
    expect(took < 40, f"it took {took:.0f} s")  # 15 s are allowed; the machine may be busy
    expect_equal(severities(found), {"dns-unreachable": "warning"}, "found")
    expect(re.search("time", found["findings"][0]["found"]), f"found: {found['findings'][0]['found']}")


def test_nothing_is_asked_when_the_dns_is_off(t):
    good = Good(t)
    with DnsServer({}) as dns:
        args = ["preflight", good.write(), "--state", "state", "--dns-server", dns.address]
        found = parse(t.run(*args, "--json", "--preflight-dns", "off").expect_code(0))
        expect_equal(dns.questions, [], "questions")
    expect_equal(found["findings"], [], "found")
    skipped = {s["id"]: s["why"] for s in found["skipped"]}
    expect_equal(skipped["dmarc-missing"], "the DNS was not asked", "why")
    t.run(*args[:4], "--preflight-dns", "no").expect_code(2).expect_says("--preflight-dns", "no", "off")
    t.run(*args[:4], "--dns-server", "nonsense").expect_code(2).expect_says("--dns-server", "nonsense")


# --- Flags and forms ---


def test_what_is_said_is_the_same_each_time(t):
    good = Good(t)
    good.zone.pop(DMARC_NAME)
    good.zone[DOMAIN]["TXT"] = ["v=spf1 +all"]
    good.campaign["subject"] = "Re: your order"
    before = good.preflight(code=1)
    for _ in range(3):
        after = good.preflight(code=1)
        expect_equal(json.dumps(after[0]), json.dumps(before[0]), "JSON")
        expect_equal(after[1].out, before[1].out, "words for people")
    order = [f["severity"] for f in before[0]["findings"]]
    expect_equal(order, ["error", "warning", "warning"], "order of the findings")


def test_ignoring_a_check_lets_through_exactly_that_one(t):
    good = Good(t)
    good.zone.pop(DMARC_NAME)
    good.zone.pop(KEY_NAME)
    ignore = ["--ignore", "dmarc-missing", "--ignore", "dkim-record-missing"]
    found, _ = good.preflight(*ignore[:2], code=1)
    expect_equal(severities(found), {"dkim-record-missing": "error", "dmarc-missing": "note"}, "found")
    expect_equal([f["severity"] for f in found["findings"]], ["error", "note"], "order: worst first")
    found, text = good.preflight(*ignore, "--strict", code=0)
    expect_equal(severities(found), {"dkim-record-missing": "note", "dmarc-missing": "note"}, "found")
    text.expect_says("0 errors, 0 warnings, 2 notes")


def test_a_check_to_ignore_that_is_none_is_refused_with_the_nearest_name(t):
    campaign = Good(t, 5).write()
    for command in (["preflight"], ["send", "--via", "smtp://127.0.0.1:9"]):
        for wrong, words in (("dmark-missing", 'did you mean "dmarc-missing"'),
                             ("zzz", r'no check "zzz".*docs/preflight\.md'),
                             ("DMARC-MISSING", "dmarc-missing"),
                             ("a\x1b[2Jb", r"no check"), ("", "no check")):
            result = t.run(*command, campaign, "--state", "state", "--ignore", wrong).expect_code(2)
            result.expect_says("--ignore", words)
            expect("\x1b" not in result.err + result.out, f"control characters\n{result}")
    expect_equal(t.left_behind(), [], "files left behind")


def test_verbose_names_every_check_and_why_one_was_not_made(t):
    good = Good(t)
    _, text = good.preflight("--verbose", code=0)
    for check in documented():
        line = rf"^(passed   {check}|skipped  {check}: .+)$"
        expect(re.search(line, text.out, re.M), f"no {check}\n{text}")


def test_a_campaign_that_cannot_be_made_is_wrong_usage(t):
    good = Good(t, 5)
    good.campaign["text"] = "gone.txt"
    result = t.run("preflight", good.write(), "--state", "state").expect_code(2)
    result.expect_says(r"gone\.txt", "no such file")
    expect(not (t.dir / "state").exists(), "the preflight left a state folder")


# --- Before sending ---


def sending(t, good, sink, *flags):
    good.via = sink.url
    with DnsServer(good.zone) as dns:
        return t.send(good.write(), "--preflight-dns", "on", "--dns-server", dns.address, *flags)


def test_an_error_keeps_anything_from_being_sent(t):
    good, sink = Good(t, 5), e2e.Sink(t)
    good.campaign["from"] = "News <news@gmail.com>"
    good.zone["gmail.com"] = {"MX": [(10, f"mx.{DOMAIN}")]}
    result = sending(t, good, sink).expect_code(2)
    result.expect_says("error: from-domain-public-provider", "nothing was sent", "--ignore")
    expect_equal(result.out, "", "standard output")
    expect_equal(t.left_behind(), [], "files left behind")
    ignored = sending(t, good, sink, "--ignore", "from-domain-public-provider")
    ignored.expect_code(0).expect_counts(delivered=5)
    expect_equal(sink.stop()["messages"], 5, "messages at the sink")


def test_a_warning_stops_sending_with_strict_only(t):
    good, sink = Good(t, 5), e2e.Sink(t)
    good.zone.pop(DMARC_NAME)
    strict = sending(t, good, sink, "--strict").expect_code(2)
    strict.expect_says("warning: dmarc-missing", rf'mend +publish +{DMARC_NAME}\. +TXT', "nothing was sent")
    expect_equal(len(sink.lines()), 0, "messages at the sink")
    expect_equal(t.left_behind(), [], "files left behind")
    ignored = sending(t, good, sink, "--strict", "--ignore", "dmarc-missing", "--name", "ignored")
    ignored.expect_code(0).expect_counts(delivered=5)
    expect_equal(severities(ignored.summary()["preflight"]), {"dmarc-missing": "note"}, "found")
    loose = sending(t, good, sink, "--name", "loose").expect_code(0).expect_counts(delivered=5)
    loose.expect_says("preflight: dmarc-missing: there is no DMARC record", "volley preflight")
    summary = loose.summary()["preflight"]
    expect_equal((severities(summary), summary["warnings"]), ({"dmarc-missing": "warning"}, 1), "found")
    expect_equal(sink.stop()["messages"], 10, "messages at the sink")


def test_a_campaign_in_order_is_sent_without_a_word(t):
    good, sink = Good(t, 5), e2e.Sink(t)
    result = sending(t, good, sink, "--strict").expect_code(0).expect_counts(delivered=5)
    expect_equal(result.err, "", "standard error")
    expect_equal(result.summary()["preflight"]["findings"], [], "found")
    expect_equal(sink.stop()["messages"], 5, "messages at the sink")


def test_to_a_relay_on_this_machine_the_dns_is_asked_on_demand_only(t):
    good, sink = Good(t, 5), e2e.Sink(t)
    good.zone = {}
    good.via = sink.url
    with DnsServer(good.zone) as dns:
        t.send(good.write(), "--dns-server", dns.address).expect_code(0).expect_counts(delivered=5)
        expect_equal(dns.questions, [], "questions")
        t.send(good.write(), "--dns-server", dns.address, "--preflight-dns", "on", "--name", "asked",
               "--strict").expect_code(2)
        expect(dns.questions, "nothing was asked")
    expect_equal(sink.stop()["messages"], 5, "messages at the sink")


if __name__ == "__main__":
    e2e.main()
