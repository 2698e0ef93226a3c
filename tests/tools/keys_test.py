"""`volley keys dkim`: the files it writes, the records it prints, and what check says of the DNS."""

import datetime
import json
import os
import pathlib
import re
import stat

import dkim_verifiers
import e2e
from dns_server import REFUSED, SERVFAIL, SILENT, DnsServer
from e2e import expect, expect_equal

DOMAIN = "news.sender.example"  # not .test: libunbound answers that by itself


def new(t, *args, code=0):
    """The keys that `keys dkim new --json` says it made."""
    result = t.run("keys", "dkim", "new", *args, "--json").expect_code(code)
    return json.loads(result.out)["keys"]


def check(t, dns, key, *args, code):
    """What `keys dkim check --json` says of one key."""
    result = t.run("keys", "dkim", "check", "--json", "--key", key["key_file"], "--domain", key["domain"],
                   "--selector", key["selector"], "--dns-server", dns.address, *args).expect_code(code)
    found = json.loads(result.out)
    expect_equal((found["ok"], len(found["keys"])), (code == 0, 1), "ok, and keys")
    return found["keys"][0]


def zone_of(*keys):
    return {key["record"]["name"]: {"TXT": [key["record"]["value"]]} for key in keys}


# --- new ---


def test_a_key_file_is_private_and_never_overwritten(t):
    before = os.umask(0)  # what a careless shell has
    try:
        key, = new(t, DOMAIN, "--selector", "s1", "--out", ".")
    finally:
        os.umask(before)
    path = pathlib.Path(key["key_file"])
    expect_equal(path, t.dir / f"{DOMAIN}.s1.pem", "key file")
    expect_equal(stat.S_IMODE(path.stat().st_mode), 0o600, "mode of the key file")
    pem = path.read_text()
    expect(pem.startswith("-----BEGIN PRIVATE KEY-----\n"), "the file is no PKCS#8")
    for flags in ([], ["--ed25519"], ["--dual"]):
        t.run("keys", "dkim", "new", DOMAIN, "--selector", "s1", *flags).expect_code(2) \
            .expect_says(re.escape(str(path)), "is there already", "--selector")
    expect_equal(path.read_text(), pem, "key file after another try")
    expect_equal([p.name for p in t.dir.iterdir()], [path.name], "files")


def test_a_link_in_the_way_is_not_followed(t):
    target = t.dir / "elsewhere"
    (t.dir / f"{DOMAIN}.s1.pem").symlink_to(target)
    t.run("keys", "dkim", "new", DOMAIN, "--selector", "s1").expect_code(2).expect_says("is there already")
    expect(not target.exists(), "the key went through the link")


def test_of_two_keys_none_is_left_when_one_cannot_be_written(t):
    t.write(f"{DOMAIN}.s1-ed25519.pem", "mine")
    t.run("keys", "dkim", "new", DOMAIN, "--selector", "s1", "--dual").expect_code(2) \
        .expect_says("s1-ed25519.pem is there already")
    expect_equal([p.name for p in t.dir.iterdir()], [f"{DOMAIN}.s1-ed25519.pem"], "files")
    t.run("keys", "dkim", "new", DOMAIN, "--out", "no/such/folder").expect_code(2) \
        .expect_says("cannot be written: No such file")


def test_kinds_of_keys_and_the_dated_selector(t):
    months = [datetime.datetime.now(datetime.timezone.utc).strftime("v%Y%m")]
    rsa, ed25519 = new(t, DOMAIN, "--dual")
    months.append(datetime.datetime.now(datetime.timezone.utc).strftime("v%Y%m"))
    expect(rsa["selector"] in months, f"selector {rsa['selector']}")
    expect_equal(ed25519["selector"], rsa["selector"] + "-ed25519", "second selector")
    expect_equal((rsa["algorithm"], rsa["bits"]), ("rsa-sha256", 2048), "first key")
    expect_equal(ed25519["algorithm"], "ed25519-sha256", "second key")
    big, = new(t, DOMAIN, "--selector", "big", "--rsa-bits", "4096")
    expect_equal(big["bits"], 4096, "bits")
    only, = new(t, DOMAIN, "--selector", "only", "--ed25519")
    expect_equal(only["algorithm"], "ed25519-sha256", "the only key")
    idn, = new(t, "bücher.example", "--selector", "s")
    expect_equal(idn["record"]["name"], "s._domainkey.xn--bcher-kva.example", "record of a domain in UTF-8")


def test_the_record_in_every_form(t):
    out = t.run("keys", "dkim", "new", "news.example.co.uk", "--selector", "s1").expect_code(0).out
    value = re.search(r"^ *Value +(v=DKIM1; k=rsa; p=[A-Za-z0-9+/]+={0,2})$", out, re.M).group(1)
    name = "s1._domainkey.news.example.co.uk"
    expect(re.search(rf"^ *Name +{re.escape(name)}$", out, re.M), f"no full name\n{out}")
    # The zone is the registered domain's, not co.uk's.
    expect(re.search(r"^ *Host part +s1\._domainkey\.news +\(", out, re.M), f"no host part\n{out}")
    pieces, = re.findall(r"^ *In pieces +(.*)$", out, re.M)
    zone, = re.findall(rf"^ *Zone file +{re.escape(name)}\. \d+ IN TXT \( (.*) \)$", out, re.M)
    for form in (pieces, zone):
        strings = re.findall(r'"([^"]*)"', form)
        expect_equal("".join(strings), value, "strings put together")
        expect(all(len(s) <= 255 for s in strings), "a string over 255 bytes")
    expect("PRIVATE" not in out, "the private key was printed")
    expect(f"keys dkim check --key {t.dir}" in out, "no command to check it with")


def test_the_printed_lines_sign_and_dkimpy_takes_the_records(t):
    keys = new(t, "sender.example", "--selector", "s1", "--dual")
    flags, _ = t.simple_campaign(1)
    settings = dict(zip((f.lstrip("-") for f in flags[::2]), flags[1::2]))
    lines = ["[campaign]", 'kind = "transactional"', f'from = "{settings["from"]}"',
             f'subject = "{settings["subject"]}"', f'text = "{settings["text"]}"',
             f'recipients = "{settings["to"]}"', ""]
    campaign = t.write("c.toml", "\n".join(lines) + "\n".join(key["campaign_toml"] for key in keys))
    preview = t.run("preview", campaign, "--state", "state").expect_code(0).out
    folder = t.dir / "signed"
    folder.mkdir()
    (folder / "1.eml").write_text(preview)
    verifier = dkim_verifiers.ALL[0]
    if verifier.why_not():
        raise e2e.Skip(verifier.why_not())
    found = verifier.verify(folder, {key["record"]["name"]: key["record"]["value"] for key in keys})
    expect_equal([(s["selector"], s["result"]) for s in found["1.eml"]],
                 [("s1", "pass"), ("s1-ed25519", "pass")], f"signatures ({found})")
    with DnsServer(zone_of(*keys)) as dns:
        t.run("keys", "dkim", "check", campaign, "--dns-server", dns.address).expect_code(0) \
            .expect_says(r"ok +s1\._domainkey.*ok +s1-ed25519\._domainkey")
        dns.zone.pop(keys[1]["record"]["name"])
        t.run("keys", "dkim", "check", campaign, "--dns-server", dns.address).expect_code(1) \
            .expect_says(r"ok +s1\._domainkey.*FAILED +s1-ed25519\._domainkey")


def test_wrong_usage(t):
    for args, words in (((), "DOMAIN"), (("com",), "not a domain"), (("a b.test",), "not a domain"),
                        (("../../etc.test",), "not a domain"), (("a.test\r\nb",), "not a domain"),
                        ((DOMAIN, "--selector", "../x"), "not a selector"),
                        ((DOMAIN, "--selector", "x;y"), "not a selector"),
                        ((DOMAIN, "--selector", "x" * 64), "not a selector"),
                        ((DOMAIN, "--rsa-bits", "1023"), "--rsa-bits"),
                        ((DOMAIN, "--rsa-bits", "4097"), "--rsa-bits"),
                        ((DOMAIN, "--ed25519", "--rsa-bits", "2048"), "excludes"),
                        ((DOMAIN, "--ed25519", "--dual"), "excludes"),
                        ((DOMAIN, "--slector", "x"), "did you mean \"--selector\"")):
        t.run("keys", "dkim", "new", *args).expect_code(2).expect_says(re.escape(words))
    t.run("keys", "dkmi").expect_code(2).expect_says('unknown command "dkmi" .did you mean "dkim"')
    t.run("keys", "dkim", "chekc").expect_code(2).expect_says('did you mean "check"')
    t.run("keys").expect_code(2).expect_says("Subcommands")
    t.run("keys", "dkim").expect_code(2).expect_says("Subcommands")
    expect_equal(list(t.dir.iterdir()), [], "files")
    t.run("keys", "dkim", "new", "--help").expect_code(0).expect_says("Examples:", "--dual", "Exit code")


# --- check ---


def test_check_names_each_difference(t):
    key, = new(t, DOMAIN, "--selector", "s1")
    other, = new(t, DOMAIN, "--selector", "s2")
    ed25519, = new(t, DOMAIN, "--selector", "s3", "--ed25519")
    name, value = key["record"]["name"], key["record"]["value"]
    with DnsServer({}) as dns:
        for problem, texts in (
                ("missing", None), ("missing", []),
                ("other_key", [other["record"]["value"]]),
                ("other_type", [ed25519["record"]["value"]]),
                ("revoked", ["v=DKIM1; p="]),
                ("several_records", [value, other["record"]["value"]]),
                ("not_a_record", ["v=spf1 -all"]), ("not_a_record", [f'"{value}"']),
                ("not_a_record", [value[:-3]]), ("not_a_record", [b"\xff\x00\x1b[2J"]),
                ("forbids_use", [value.replace("k=rsa", "h=sha1")]),
                ("forbids_use", [value.replace("k=rsa", "s=tlsrpt")])):
            dns.zone = {name: {"TXT": texts} if texts else {"A": ["127.0.0.1"]}} if texts is not None else {}
            found = check(t, dns, key, code=1)
            expect_equal(found["problem"], problem, f"problem with {texts}")
            expect_equal(found["record"], key["record"], "what to publish")
            expect_equal(len(found["found"]), len(texts or []), "what was found")
            text = t.run("keys", "dkim", "check", "--key", key["key_file"], "--domain", DOMAIN,
                         "--selector", "s1", "--dns-server", dns.address).expect_code(1)
            text.expect_says(rf"FAILED +{re.escape(name)}", "Publish", re.escape(value))
            expect(text.out.replace("\n", "").isprintable(), f"control characters were printed\n{text}")


def test_check_accepts_what_receivers_accept(t):
    key, = new(t, DOMAIN, "--selector", "s1")
    big, = new(t, DOMAIN, "--selector", "s2", "--rsa-bits", "4096")
    name, value = key["record"]["name"], key["record"]["value"]
    cut = [value[at:at + 40] for at in range(0, len(value), 40)]
    with DnsServer({}) as dns:
        for texts in ([value], [cut], [value.replace("v=DKIM1; ", "")], [value.replace("k=rsa; ", "") + ";"],
                      [value.replace("p=", "n=" + "x" * 3000 + "; p=")]):  # that one comes by TCP
            dns.zone = {name: {"TXT": texts}}
            found = check(t, dns, key, code=0)
            expect_equal((found["problem"], found["note"]), (None, None), f"problem with {texts}")
        dns.zone = {name: {"CNAME": ["keys.provider.example"]}, "keys.provider.example": {"TXT": [value]}}
        check(t, dns, key, code=0)
        dns.zone = {name: {"TXT": [value.replace("k=rsa", "t=y:s")]}}
        expect("t=y" in check(t, dns, key, code=0)["note"], "no note about t=y")
        dns.zone = zone_of(big)
        expect_equal(check(t, dns, big, code=0)["bits"], 4096, "bits")
        expect({("s1._domainkey." + DOMAIN, "TXT")} < set(dns.questions), "it was not asked for")


def test_check_says_when_the_dns_cannot_be_asked(t):
    key, = new(t, DOMAIN, "--selector", "s1")
    with DnsServer({}) as dns:
        for trouble in (SERVFAIL, REFUSED, SILENT):
            dns.zone = {key["record"]["name"]: trouble}
            found = check(t, dns, key, "--timeout", "2s", code=1)
            expect_equal(found["problem"], "dns_failed", f"problem with {trouble}")
            result = t.run("keys", "dkim", "check", "--key", key["key_file"], "--domain", DOMAIN,
                           "--selector", "s1", "--dns-server", dns.address, "--timeout", "2s").expect_code(1)
            expect("Publish" not in result.out, f"advice to publish what may be there\n{result}")


def test_check_refuses_keys_that_others_can_read(t):
    key, = new(t, DOMAIN, "--selector", "s1")
    with DnsServer(zone_of(key)) as dns:
        os.chmod(key["key_file"], 0o644)
        args = ["--domain", DOMAIN, "--selector", "s1", "--dns-server", dns.address]
        t.run("keys", "dkim", "check", "--key", key["key_file"], *args).expect_code(2) \
            .expect_says(re.escape(key["key_file"]), "chmod 600")
        for path, words in (("none.pem", "none.pem"), (".", "folder"), (t.write("x.pem", "hello"), "PEM")):
            if path.endswith("x.pem"):
                os.chmod(path, 0o600)
            t.run("keys", "dkim", "check", "--key", path, *args).expect_code(2).expect_says(words)
        expect_equal(dns.questions, [], "questions to the DNS")


def test_check_wrong_usage(t):
    campaign = t.write("c.toml", '[campaign]\nsubject = "x"\n')
    for args, words in (((), "say what to check"), (("--key", "x"), "belong together"),
                        ((campaign, "--key", "x"), "say what to check"), ((campaign,), "no [[dkim]]"),
                        (("none.toml",), "none.toml")):
        t.run("keys", "dkim", "check", *args).expect_code(2).expect_says(re.escape(words))
    key, = new(t, DOMAIN, "--selector", "s1")
    for flags, words in ((("--dns-server", "nonsense"), "--dns-server"), (("--timeout", "7"), "--timeout"),
                         (("--timeout", "0"), "--timeout")):
        t.run("keys", "dkim", "check", "--key", key["key_file"], "--domain", DOMAIN, "--selector", "s1",
              *flags).expect_code(2).expect_says(words)


if __name__ == "__main__":
    e2e.main()
