"""One click while a campaign runs: a POST to the link of a copy that is about to go out keeps it from
going out, a GET changes nothing; what was suppressed stays so for the list's next campaign.
"""

import email
import email.policy
import json
import re
import subprocess
import urllib.request

import e2e
from e2e import expect, expect_equal

COUNT = 60


class Endpoint:
    def __init__(self, t):
        self.process = t.start("unsubscribe", "serve", "--listen", "127.0.0.1:0", "--state", "state")
        line = self.process.stderr.readline()
        port = re.search(r"127\.0\.0\.1:(\d+)", line)
        expect(port, f"no port in what the endpoint says: {line!r}")
        self.url = f"http://127.0.0.1:{port.group(1)}/u/"


def link_of(t, campaign, number):
    """The one-click URL in the headers of one copy, which must be signed."""
    done = subprocess.run([t.volley, "preview", campaign, "--state", "state", "--recipient", str(number)],
                          cwd=t.dir, capture_output=True, timeout=60, check=True)
    message = email.message_from_bytes(done.stdout, policy=email.policy.default)
    expect_equal(message["List-Unsubscribe-Post"], "List-Unsubscribe=One-Click", "List-Unsubscribe-Post")
    signed = re.search(r"h=([^;]+)", message["DKIM-Signature"]).group(1).lower()
    signed = [name.strip() for name in signed.split(":")]
    expect({"list-unsubscribe", "list-unsubscribe-post"} <= set(signed), f"signed fields: {signed}")
    url = re.search(r"<(http[^>]+)>", message["List-Unsubscribe"]).group(1)
    body = message.get_content()
    expect(url in body, f"the same link in the body: {body!r}")
    return url


def one_click(url):
    request = urllib.request.Request(url, data=b"List-Unsubscribe=One-Click", method="POST")
    return urllib.request.urlopen(request, timeout=10).status


def write_campaign(t, name, endpoint, sink):
    return t.write(f"{name}.toml", f"""\
[campaign]
name = "{name}"
from = "News <news@example.test>"
subject = "Hello"
text = "hello.txt"
recipients = "list.csv"
[unsubscribe]
url = "{endpoint.url}"
[[dkim]]
domain = "example.test"
selector = "s1"
key = "example.test.s1.pem"
[relay]
via = "{sink.url}"
[limits]
connections = 1
""")


def test_one_click_counts_for_the_very_next_message(t):
    addresses = [f"r{i:03d}@example.net" for i in range(COUNT)]
    t.write_list([("email",)] + [(a,) for a in addresses])
    t.write("hello.txt", "Hello,\n\nto get no more of these: {{unsubscribe_url}}\n")
    t.run("keys", "dkim", "new", "example.test", "--selector", "s1").expect_code(0)
    endpoint = Endpoint(t)
    sink = e2e.Sink(t, "--reply-latency", "100ms")
    campaign = write_campaign(t, "october", endpoint, sink)
    args = ["send", campaign, "--json", "--no-progress", "--state", "state"]
    child = t.start(*args)
    e2e.wait_until(lambda: len(sink.lines()) >= 5, 30, "the first messages")
    leaver = len(sink.lines()) + 8
    looker = leaver + 1
    with urllib.request.urlopen(link_of(t, campaign, looker + 1), timeout=10) as page:
        expect_equal(page.status, 200, "status of the page")
        expect(b"<form" in page.read(), "the page has no form to confirm with")
    expect_equal(one_click(link_of(t, campaign, leaver + 1)), 200, "status of the POST")
    before = len(sink.lines())
    expect(before < leaver, f"the test was too slow: {before} messages were out")
    t.finish(child, args, timeout=60).expect_code(0).expect_counts(delivered=COUNT - 1, suppressed=1)
    sink.stop()
    wanted = [a for i, a in enumerate(addresses) if i != leaver]
    e2e.expect_same_multiset(sink.recipients(), wanted, "recipients at the sink")

    # The next campaign of this list leaves the same person out; another list's does not.
    sink = e2e.Sink(t)
    t.send(write_campaign(t, "november", endpoint, sink)).expect_code(0).expect_counts(
        delivered=COUNT - 1, suppressed=1)
    t.send(write_campaign(t, "other", endpoint, sink), "--list-id", "other.example.test").expect_code(
        0).expect_counts(delivered=COUNT, suppressed=0)
    sink.stop()


def test_a_row_that_makes_no_message_is_rejected_and_counted(t):
    t.write_list([("email", "name", "subject")] + [(f"r{i}@example.net", "N", "fine") for i in range(20)]
                 + [("bad@example.net", "N", "two\nlines")])
    t.write("hello.txt", "Hello {{name}}\n")
    sink = e2e.Sink(t)
    flags = ["--from", "a@example.test", "--to", "list.csv", "--subject", "{{subject}}", "--text",
             "hello.txt", "--kind", "transactional", "--via", sink.url]
    summary = json.loads(t.send(*flags, "--name", "one").expect_code(1).out)
    expect_equal([summary["delivered"], summary["rejected"]], [20, 1], "delivered and rejected")
    rejected = (t.dir / "state" / "campaigns" / "one" / "rejected.csv").read_text()
    expect(re.search(r"^22,bad@example\.net,.*line break", rejected, re.M), f"in {rejected!r}")
    sink.stop()


def test_too_many_render_failures_stop_the_campaign(t):
    t.write_list([("email", "subject")] + [(f"b{i}@example.net", "two\nlines") for i in range(300)]
                 + [(f"g{i}@example.net", "fine") for i in range(20000)])
    t.write("hello.txt", "Hello\n")
    sink = e2e.Sink(t, "--reply-latency", "50ms")
    result = t.send("--from", "a@example.test", "--to", "list.csv", "--subject", "{{subject}}", "--text",
                    "hello.txt", "--kind", "transactional", "--via", sink.url, "--connections", "1",
                    "--max-render-failures", "10").expect_code(1)
    summary = json.loads(result.out)
    # The run looks a few times a second, so some more than ten may fail before it stops.
    expect(10 < summary["rejected"] <= 300, f"summary {summary}")
    expect_equal(summary["left"], 20300 - summary["rejected"] - summary["delivered"], "left")
    expect(summary["left"] > 0, f"summary {summary}")
    sink.stop()


def test_bulk_without_a_way_out_is_refused(t):
    flags, _ = t.simple_campaign(3)
    sink = e2e.Sink(t)
    flags = [f if f != "transactional" else "bulk" for f in flags] + ["--via", sink.url]
    t.send(*flags).expect_code(2).expect_says("unsubscribe", "--without-unsubscribe")
    t.send(*flags, "--without-unsubscribe").expect_code(0).expect_counts(delivered=3)
    expect_equal(sink.stop()["messages"], 3, "messages at the sink")


if __name__ == "__main__":
    e2e.main()
