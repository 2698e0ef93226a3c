"""A campaign through a real server: Postfix (DATA or BDAT) and Exim with CHUNKING.

1,000 rows; every recipient arrives exactly once, and each message is byte for byte what `volley
preview` prints, but for the headers that the server puts before it.
"""

import email.parser
import email.policy
import re
import subprocess
import time

import e2e
import mta

COUNT = 1000
# Every message is compared with `volley preview`, one process each. A sanitizer's build is slow at
# that: after so many seconds it stops, with these (spread over the list) done in any case.
COMPARE_SECONDS = 60
COMPARE_AT_LEAST = 25

CAMPAIGN = """\
[campaign]
name = "through a real server"
from = "Zoë Example <news@sender.test>"
reply_to = "answers@sender.test"
subject = "Grüße an {{name}}"
text = "letter.txt"
html = "letter.html"
recipients = "list.csv"
headers = { "X-Campaign" = "e2e {{city}}" }
[unsubscribe]
url = "https://sender.test/u/"
[[dkim]]
domain = "sender.test"
selector = "s1"
key = "sender.test.s1.pem"
[relay]
via = "RELAY"
[limits]
connections = 8
"""

# Lines that begin with dots, a long line, non-ASCII text, trailing blanks, an empty end.
TEXT = ("Dear {{name}},\n\n.\n..\n. dot and blank \n" + "long " * 300 +
        "\nÄrger in {{city}}? – nein\n\tTab\n\n\n")
HTML = ("<html><body>\n<p>Dear {{name}},</p>\n<p>" + "x" * 2000 +
        "</p>\n.\n<p>{{city}} &amp; more</p></body></html>\n")

TRACE = {"return-path", "x-original-to", "delivered-to", "received", "envelope-to", "delivery-date"}


def make_campaign(t, url):
    names = ["Ann", "Jörg", "O'Neil <x> & \"y\"", "李雷", "A" * 120, "=?odd?=", "dot."]
    rows = [("email", "name", "city")]
    for i in range(COUNT):
        rows.append((f"user{i:04d}@dest{i % 20}.test", names[i % len(names)], f"Town {i}"))
    t.write_list(rows)
    t.run("keys", "dkim", "new", "sender.test", "--selector", "s1").expect_code(0)
    t.write("letter.txt", TEXT)
    t.write("letter.html", HTML)
    return t.write("campaign.toml", CAMPAIGN.replace("RELAY", url)), [row[0] for row in rows[1:]]


def without_trace(raw):
    """Strips the headers a server put in front. `raw` has the Maildir's LF line ends."""
    lines = raw.split(b"\n")
    at = 0
    while at < len(lines):
        name = lines[at].split(b":", 1)[0].decode("latin-1").lower()
        folded = lines[at][:1] in (b" ", b"\t")
        if not folded and name not in TRACE:
            break
        at += 1
    return b"\n".join(lines[at:])


def recipient_of(raw):
    found = re.search(rb"^(?:X-Original-To|Envelope-to): (\S+)$", raw, re.M)
    e2e.expect(found, f"no envelope recipient in {raw[:500]!r}")
    return found.group(1).decode()


def preview(t, campaign, number):
    args = [t.volley, "preview", campaign, "--state", "state", "--recipient", str(number)]
    done = subprocess.run(args, cwd=t.dir, capture_output=True, timeout=60, check=False)
    e2e.expect_equal(done.returncode, 0, f"exit code of preview ({done.stderr.decode()})")
    return done.stdout


def compare_with_preview(t, campaign, addresses, mails):
    step = COUNT // COMPARE_AT_LEAST
    stop = time.monotonic() + COMPARE_SECONDS
    numbers = [n for first in range(1, step + 1) for n in range(first, COUNT + 1, step)]
    for done, number in enumerate(numbers):
        if done >= COMPARE_AT_LEAST and time.monotonic() > stop:
            print(f"compared {done} of {COUNT} messages with preview")
            return
        wanted = preview(t, campaign, number)
        e2e.expect(b"\n" not in wanted.replace(b"\r\n", b""), "preview prints a bare LF")
        e2e.expect(b"\r" not in wanted.replace(b"\r\n", b""), "preview prints a bare CR")
        got = without_trace(mails[addresses[number - 1]])
        e2e.expect_equal(got, wanted.replace(b"\r\n", b"\n"), f"message of recipient {number}")


def check_mails(t, server, campaign, addresses):
    paths = server.wait_for(COUNT, 90)
    raws = [p.read_bytes() for p in paths]
    e2e.expect_same_multiset([recipient_of(raw) for raw in raws], addresses,
                             "recipients in the Maildir")
    mails = {recipient_of(raw): raw for raw in raws}
    ids = [re.search(rb"^Message-ID: (<\S+>)$", raw, re.M | re.I).group(1) for raw in raws]
    e2e.expect_equal(len(set(ids)), COUNT, "different Message-IDs")
    for raw in raws:
        message = email.parser.BytesParser(policy=email.policy.default).parsebytes(raw)
        e2e.expect_equal([d for part in message.walk() for d in part.defects], [], "MIME defects")
        e2e.expect_equal(message["To"].addresses[0].addr_spec, recipient_of(raw), "To")
        e2e.expect_equal([p.get_content_type() for p in message.walk()],
                         ["multipart/alternative", "text/plain", "text/html"], "MIME structure")
    compare_with_preview(t, campaign, addresses, mails)
    for number in (2, 4):  # names with non-ASCII characters survive subject and text
        message = email.parser.BytesParser(policy=email.policy.default).parsebytes(
            mails[addresses[number - 1]])
        name = ["Ann", "Jörg", "O'Neil <x> & \"y\"", "李雷"][number - 1]
        e2e.expect_equal(message["Subject"], f"Grüße an {name}", "Subject")
        text = message.get_body(("plain",)).get_content()
        e2e.expect_equal(text.splitlines()[:5], [f"Dear {name},", "", ".", "..", ". dot and blank "],
                         "the first lines of the text")


def campaign_through(t, make_server, *flags):
    with make_server(t.dir / "mta") as server:
        campaign, addresses = make_campaign(t, f"smtp://127.0.0.1:{server.port}")
        result = t.send(campaign, *flags, timeout=240)
        try:
            result.expect_code(0).expect_counts(delivered=COUNT)
            check_mails(t, server, campaign, addresses)
        except e2e.Failure as failure:
            raise e2e.Failure(f"{failure}\n--- the server's log ends\n{server.log()[-2000:]}") from None
        return server.log()


def make(kind):
    def make_in(folder):
        folder.mkdir()
        return kind(folder)
    return make_in


def test_postfix_uring(t):
    e2e.need_uring()
    campaign_through(t, make(mta.Postfix), "--io", "uring")


def test_postfix_epoll(t):
    campaign_through(t, make(mta.Postfix), "--io", "epoll")


def check_chunking_was_used(log):
    """Exim notes "K" for a message that came by BDAT."""
    arrivals = re.findall(r" <= news@sender\.test .*", log)
    e2e.expect_equal(len(arrivals), COUNT, "arrivals in Exim's log")
    e2e.expect_equal(sum(" K " in a for a in arrivals), COUNT, "of them by CHUNKING")
    e2e.expect("protocol" not in re.sub(r"P=\S+", "", log).lower(), "Exim noted a protocol error")


def test_exim_chunking_uring(t):
    e2e.need_uring()
    check_chunking_was_used(campaign_through(t, make(mta.Exim), "--io", "uring"))


def test_exim_chunking_epoll(t):
    check_chunking_was_used(campaign_through(t, make(mta.Exim), "--io", "epoll"))


if __name__ == "__main__":
    e2e.main()
