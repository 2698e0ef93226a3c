"""What bad input gets: values that would write headers, addresses or messages of their own, text that
is none, images and attachments that are missing or too big, keys that others can read. Each is refused
with row or file and the reason; what can be sent is sent; nothing injected arrives; the books balance.
"""

import csv
import email
import email.header
import email.policy
import email.utils
import json
import os
import re

import e2e
from e2e import expect, expect_equal

EVE = "eve@example.net"  # whom nobody wrote into a list: whatever has her was injected
# Each would end a header line for one reader or another, or steer a terminal that shows it.
HOSTILE = [f"x\r\nBcc: {EVE}", f"x\nBcc: {EVE}", f"x\rBcc: {EVE}", f"x\r\n\r\nDear {EVE}", f"x\x00{EVE}",
           f"x\x0bBcc: {EVE}", f"x\x0cBcc: {EVE}", f"x\x85Bcc: {EVE}", f"x\x1b[2J{EVE}", f"x\x7f{EVE}",
           f"\n {EVE}"]
SHORT_KEY = """\
-----BEGIN PRIVATE KEY-----
MIIB5QIBADANBgkqhkiG9w0BAQEFAASCAc8wggHLAgEAAmEAxygWdx6dk7PnXbOM
RreSRtue5xikilA2cgoZwXrBUpMl7bQ39h46jhwEXBypVLzvpFfYnGczOVb4zs5E
hrPhdSE0Mbf7eMGPo2RcPD2xPbFgwBhMbc38oGJU5PyZ/h+jAgMBAAECYQCNefDb
ligisP5/FflkkyuaopFzYZIhn3HN+VbqlyWWX2nmPswyTq8SHN0MAmBYDg58cLG0
1hQ3yfqipjXbFhqKflv4paV225BAqDYeowTIXtzQJLsg1sJ/bGWP+7o0SoECMQD7
Rad5umDG92ASTqA9fGUioSU463TkZ4ZMu7cZN4vwOVkT0qSi2QZl8RdQCEKtU7EC
MQDK52Za35/vmdkcvoAvX3EOuoeZFveb7zCITIliq9v/H+OxzmypXDAmsmgHt6UR
YZMCMAbBbqlFK4jt6bVUS9abW5S8xGVtXy0s4114xol1BtwkjpKL3UVLlHJ1Mu1B
65kBYQIxAIVEqVjEioLQFOcpRH5Y/KQE5e0qRaXY25KaWp5BbPTL2Dy/7WTrlQDF
q0huWW/qGwIwHahsCHOQub6A3oW1vKkP63GmdxDHnkc6edLPEMB+zB5Q+GHerzPD
dK0uIcG7EFiG
-----END PRIVATE KEY-----
"""
DKIM = '[[dkim]]\ndomain = "example.test"\nselector = "s1"\nkey = "%s"\n'
ONE_CLICK = '[unsubscribe]\nurl = "https://example.test/u/"\n'


class Sent:
    """What became of one campaign: volley's result, what is in rejected.csv, what the sink got."""

    def __init__(self, t, result, sink):
        self.result = result
        counts = sink.stop()
        expect_equal(counts["protocol_errors"], 0, "protocol errors at the sink")
        self.envelopes = sink.lines()
        self.mails = [path.read_bytes() for path in (t.dir / "in").rglob("*") if path.is_file()]
        self.rejected = []
        for path in (t.dir / "state/campaigns").glob("*/rejected.csv"):
            raw = path.read_bytes()
            expect(not re.search(rb"[\x00-\x09\x0b\x0c\x0e-\x1f\x7f]", raw), f"controls in {raw!r}")
            with open(path, newline="", encoding="utf-8") as f:
                self.rejected = list(csv.DictReader(f))

    def recipients(self):
        return [address for envelope in self.envelopes for address in envelope["rcpt_to"]]

    def messages(self):
        """{recipient: the parsed message}; one a recipient, without a defect."""
        found = {}
        for raw in self.mails:
            message = email.message_from_bytes(raw, policy=email.policy.default)
            expect_equal(message.defects, [], f"defects of {raw!r}")
            message.raw = raw
            (to,) = message["To"].addresses
            found[to.addr_spec] = message
        expect_equal(sorted(found), sorted(self.recipients()), "recipients of the messages")
        return found

    def books(self, rows, delivered):
        """Every row is in one count, and what is counted is there: at the sink, in rejected.csv."""
        summary = self.result.summary()
        outcomes = ("delivered", "bounced", "deferred", "suppressed", "uncertain", "cancelled", "left",
                    "rejected", "duplicates")
        expect_equal(sum(summary.get(k, 0) for k in outcomes), rows, f"rows in the books of {summary}")
        expect_equal(summary["delivered"], len(delivered), "delivered")
        expect_equal(sorted(self.recipients()), sorted(delivered), "recipients at the sink")
        expect_equal(len(self.mails), len(delivered), "messages at the sink")
        expect_equal(len(self.rejected), summary["rejected"] + summary["duplicates"], "rejected.csv")

    def nothing_injected(self):
        for mail in self.mails:
            expect(EVE.encode() not in mail, f"injected: {mail!r}")
        expect(EVE not in json.dumps(self.envelopes), f"injected: {self.envelopes}")
        shown = self.result.out + self.result.err
        expect(not re.search(r"[\x00-\x08\x0b-\x1f\x7f\x85]", shown), f"controls were printed: {shown!r}")


def write(t, rows=None, *, extra="", files=None, via="smtp://127.0.0.1:9", **campaign):
    """A campaign file. `rows`: objects for JSON Lines, or the bytes of a list.csv; `campaign`: TOML."""
    t.write("hello.txt", "Hello\n")
    if rows is None or isinstance(rows, bytes):
        t.write("list.csv", rows or b"email,name\nann@example.net,Ann\n")
    else:
        t.write("list.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    for name, content in (files or {}).items():
        t.write(name, content)
    values = {"from": '"News <news@example.test>"', "subject": '"hi"', "text": '"hello.txt"',
              "kind": '"transactional"',
              "recipients": '"list.csv"' if rows is None or isinstance(rows, bytes) else '"list.jsonl"'}
    values.update({key.rstrip("_"): value for key, value in campaign.items()})
    toml = "[campaign]\n" + "".join(f"{key} = {value}\n" for key, value in values.items())
    return t.write("campaign.toml", toml + extra + f'\n[relay]\nvia = "{via}"\n')


def send(t, rows=None, *, flags=(), sink_flags=(), code=0, **campaign):
    for folder in ("in", "state"):
        e2e.shutil.rmtree(t.dir / folder, ignore_errors=True)
    sink = e2e.Sink(t, "--maildir", str(t.dir / "in"), *sink_flags)
    path = write(t, rows, via=sink.url, **campaign)
    return Sent(t, t.send(path, "--name", "it", *flags).expect_code(code), sink)


def refused(t, *patterns, rows=None, **campaign):
    """Wrong usage, said in so many words; no campaign is begun and no server is asked."""
    result = t.send(write(t, rows, **campaign), timeout=30).expect_code(2).expect_says(*patterns)
    expect_equal(result.out, "", "standard output")
    expect(result.err.startswith("error: "), f"not an error message\n{result}")
    expect(not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", result.err), f"controls were printed\n{result}")
    expect_equal(t.left_behind(), [], "files left behind")


def list_of(values, column="name", good=2):
    """A good row first and last, the values in between, each for its own recipient."""
    rows = [{"email": f"r{i}@example.net", column: value} for i, value in enumerate(values)]
    goods = [{"email": f"good{i}@example.net", column: "Good"} for i in range(good)]
    return goods[:1] + rows + goods[1:], [row["email"] for row in goods]


# --- Values that would be more than a value ---


def test_no_row_can_write_a_header_of_its_own(t):
    """Whatever ends a line is refused in every place of the header that a row can reach."""
    for place in ({"subject": '"Hi {{name}}"'}, {"subject": '"{{{name}}}"'}, {"to_name": '"{{name}}"'},
                  {"headers": '{ X-Team = "a {{name}}" }'}, {"headers": '{ X-Team = "{{&name}}" }'},
                  {"headers": '{ List-Id = "{{name}} <news.example.test>" }'},
                  {"headers": '{ Feedback-ID = "a:b:{{name}}:sender" }'},
                  {"headers": '{ Sender = "{{name}} <news@example.test>" }'},
                  {"subject": '"{{#name}}{{.}}{{/name}}"'}):
        rows, good = list_of(HOSTILE)
        sent = send(t, rows, code=1, **place)
        sent.nothing_injected()
        sent.books(len(rows), good)
        expect_equal(sorted(int(r["line"]) for r in sent.rejected), list(range(2, 2 + len(HOSTILE))),
                     f"lines rejected with {place}")
        for row in sent.rejected:
            expect(re.search(r'column "name"|value "\."', row["reason"]), f"no column in {row}")
            expect(re.search("line break or control character|NUL byte", row["reason"]),
                   f"no reason in {row}")
        for message in sent.messages().values():
            expect(message["Bcc"] is None, "a Bcc")


def test_no_row_can_add_an_address_to_a_list_header(t):
    """Between < and > of List-Unsubscribe a row fills in one address and cannot begin another."""
    headers = ('{ List-Unsubscribe = "<{{unsubscribe_url}}>", '
               'List-Unsubscribe-Post = "List-Unsubscribe=One-Click" }')
    values = [f"https://x.test/>, <mailto:{EVE}", f"https://x.test/ {EVE}", f"https://x.test/<{EVE}",
              f"https://x.test/\r\nBcc: {EVE}"]
    rows, _ = list_of(values, "unsubscribe_url", good=0)
    rows.append({"email": "good@example.net", "unsubscribe_url": "https://x.test/?a=1,2&b=%20"})
    sent = send(t, rows, code=1, kind='"bulk"', headers=headers)
    sent.nothing_injected()
    sent.books(len(rows), ["good@example.net"])
    for row in sent.rejected:
        wanted = r'header List-Unsubscribe.*"unsubscribe_url".*(white space|line break)'
        expect(re.search(wanted, row["reason"]), f"no place and reason in {row}")
    message = sent.messages()["good@example.net"]
    expect_equal(message["List-Unsubscribe"], "<https://x.test/?a=1,2&b=%20>", "List-Unsubscribe")


def test_a_column_may_not_take_the_place_of_the_unsubscribe_link(t):
    rows = b"email,unsubscribe_url\nann@example.net,https://evil.test/\n"
    refused(t, 'column "unsubscribe_url"', "rename", rows=rows, kind='"bulk"', extra=ONE_CLICK)


def test_no_address_can_write_into_the_envelope(t):
    """The list's addresses go into RCPT TO, To and, by way of the token, the reverse-path (VERP)."""
    bad = [f"a@example.net\r\nRCPT TO:<{EVE}>", f"a@example.net>\nRCPT TO:<{EVE}", f"a@example.net, {EVE}",
           f"<{EVE}> SIZE=1", f"a@example.net> NOTIFY=NEVER ORCPT=rfc822;{EVE}",
           f"a@example.net\r\n.\r\n{EVE}", f"Eve <{EVE}>, b@example.net", "a@example.net\x00",
           f"a\r\n {EVE}", f'"a>\r\nRCPT TO:<{EVE}"@example.net']
    rows = [{"email": "good@example.net"}] + [{"email": address} for address in bad]
    t.run("keys", "dkim", "new", "example.test", "--selector", "s1").expect_code(0)
    for extra in ({}, {"bounces": '"bounces@example.test"', "kind": '"bulk"',
                       "extra": ONE_CLICK + DKIM % "example.test.s1.pem"}):
        sent = send(t, rows, **extra)
        sent.nothing_injected()
        sent.books(len(rows), ["good@example.net"])
        expect_equal(sorted(int(r["line"]) for r in sent.rejected), list(range(2, 2 + len(bad))), "lines")
        reverse_path = sent.envelopes[0]["mail_from"]
        wanted = r"bounces\+[\w.=-]+@example\.test" if extra else r"news@example\.test"
        expect(re.fullmatch(wanted, reverse_path), f"reverse-path {reverse_path!r}")


def test_no_body_can_end_the_message_and_begin_another(t):
    """The end of DATA (RFC 5321 §4.1.1.4) in any spelling, in a value: it arrives as text."""
    ends = ["\r\n.\r\n", "\n.\n", "\r.\r", "\n.\r\n", "\r\n.\n", "\r\n.\r"]
    values = [f"x{end}MAIL FROM:<{EVE}>\r\nRCPT TO:<{EVE}>\r\nDATA\r\n" for end in ends]
    rows, good = list_of(values)
    for flags in ([], ["--no-chunking"], ["--no-chunking", "--no-pipelining"]):
        sent = send(t, rows, sink_flags=flags, files={"body.txt": "{{name}}\n"}, text='"body.txt"')
        sent.books(len(rows), good + [f"r{i}@example.net" for i in range(len(ends))])
        expect_equal({e["mail_from"] for e in sent.envelopes}, {"news@example.test"}, "reverse-paths")
        for address, message in sent.messages().items():
            if address not in good:
                expect_equal(message.get_content().splitlines(),
                             ["x", ".", f"MAIL FROM:<{EVE}>", f"RCPT TO:<{EVE}>", "DATA", ""],
                             f"text to {address}")


def test_the_campaign_file_cannot_write_headers_either(t):
    injected = f"x\\r\\nBcc: {EVE}"
    for campaign, patterns in (
            ({"subject": f'"{injected}"'}, ["subject", "line break"]),
            ({"to_name": f'"{injected}"'}, ["to_name", "line break"]),
            ({"from_": f'"{injected} <news@example.test>"'}, ["from ", "line break"]),
            ({"from_": f'"News <news@example.test>{injected}"'}, ["from ", "line break"]),
            ({"reply_to": f'"r@example.test{injected}"'}, ["reply-to", "line break"]),
            ({"headers": f'{{ X-A = "{injected}" }}'}, ["header X-A", "line break"]),
            ({"headers": f'{{ "X-A\\r\\nBcc" = "{EVE}" }}'}, ["no header name"]),
            ({"headers": f'{{ "X-A: b\\nBcc" = "{EVE}" }}'}, ["no header name"]),
            ({"headers": f'{{ Bcc = "{EVE}" }}'}, ["header Bcc may not be set"]),
            ({"bounces": f'"b@example.test>\\r\\nRCPT TO:<{EVE}"'}, ["bounces", "b@example.test"]),
            ({"kind": '"bulk"', "feedback_id": f'"a:b:c:sender{injected}"'}, ["feedback_id"]),
            ({"kind": '"bulk"', "extra": f'[unsubscribe]\nurl = "https://e.test/{injected}"\n'},
             ["unsubscribe URL", "0x0d"]),
            ({"kind": '"bulk"', "extra": f'[unsubscribe]\nurl = "https://e.test/>, <mailto:{EVE}"\n'},
             ["unsubscribe URL", "0x3e"]),
            ({"kind": '"bulk"', "extra": ONE_CLICK + f'mailto = "u@e.test>, <mailto:{EVE}"\n'}, ["mailto"]),
            ({"kind": '"bulk"', "extra": ONE_CLICK + f'list_id = "{injected} <news.e.test>"\n'},
             ["list_id"]),
            ({"extra": DKIM.replace("example.test", f"example.test{injected}") % "k.pem"},
             ["domain to sign for"]),
    ):
        refused(t, *patterns, **campaign)


def name_in_to(message):
    """By the older parser: the newer one of Python 3.11 puts a blank between two encoded words."""
    name, _ = email.utils.parseaddr(email.message_from_bytes(message.raw)["To"])
    return str(email.header.make_header(email.header.decode_header(name)))


def test_names_with_quotes_and_commas_come_out_as_they_are(t):
    """They are quoted or encoded, never taken for syntax: one mailbox, with the very same name."""
    names = [f'Ann "The Boss" O\'Hara, Jr. <{EVE}>', "back\\slash", "(comment)", "semi;colon: group",
             f"=?utf-8?Q?=0D=0ABcc:_{EVE.replace('@', '=40')}?=", "Zoë, Ltd.", '"quoted"',
             EVE, "山田 太郎", "مرحبا", "👩‍👩‍👧 family", "x" * 300, "Mr. " + "ü" * 200, ".", ",", '"', "\\", "<", ">"]
    rows = [{"email": f"r{i}@example.net", "name": name} for i, name in enumerate(names)]
    sent = send(t, rows, subject='"{{name}}"', to_name='"{{name}}"')
    sent.books(len(rows), [row["email"] for row in rows])
    for row in rows:
        message = sent.messages()[row["email"]]
        expect_equal(name_in_to(message), row["name"], "name in To")
        expect_equal(message["Subject"], row["name"], "Subject")
        expect(not {"bcc", "cc"} & {field.lower() for field in message.keys()}, "more recipients")


# --- Text that is none ---


def test_a_lone_surrogate_is_refused(t):
    """JSON can spell what UTF-8 cannot hold; a pair of two halves is a character like others."""
    rows = [{"email": "a@example.net", "name": "x\ud800y"}, {"email": "b@example.net", "name": "\udc00"},
            {"email": "c@example.net", "name": "x\ud83d\ude00y"},
            {"email": "d@example.net\udfff", "name": "x"},
            {"email": "e@example.net", "name": "x", "items": [{"n": "\ud800"}]},
            {"email": "f@example.net", "name": "x", "items": [{"n": "ok"}]}]
    rows = [{"items": [], **row} for row in rows]
    sent = send(t, rows, subject='"{{name}}{{#items}}{{n}}{{/items}}"')
    sent.books(len(rows), ["c@example.net", "f@example.net"])
    expect_equal(sent.messages()["c@example.net"]["Subject"], "x\U0001f600y", "Subject")
    reasons = {int(row["line"]): row["reason"] for row in sent.rejected}
    expect_equal(sorted(reasons), [1, 2, 4, 5], "lines rejected")
    for line, column in ((1, "name"), (2, "name"), (4, "email")):
        expect(f'"{column}"' in reasons[line] and "ud800" in reasons[line],
               f"line {line}: {reasons[line]!r}")
    expect("items" in reasons[5], f"line 5: {reasons[5]!r}")


def test_bytes_that_are_not_utf8_are_refused_row_by_row(t):
    csv_list = b"email,name\na@example.net,ok\nb@example.net,x\xff\nc@example.net,\xed\xa0\x80\n" \
               b"d@example.net,\xc0\xaf\ne@example.net,Zo\xc3\xab\n"
    lines = [b'{"email":"%c@example.net","name":"%s"}\n' % (ord("a") + i, name) for i, name in
             enumerate((b"ok", b"x\xff", b"\xed\xa0\x80", b"\xc0\xaf", b"Zo\xc3\xab"))]
    for rows, first in ((csv_list, 3), (b"".join(lines), 2)):
        sent = send(t, rows, subject='"{{name}}"')
        sent.books(5, ["a@example.net", "e@example.net"])
        expect_equal(sent.messages()["e@example.net"]["Subject"], "Zoë", "Subject")
        expect_equal([int(row["line"]) for row in sent.rejected], [first, first + 1, first + 2], "lines")
        for row in sent.rejected:
            expect(re.search("not UTF-8.* at byte", row["reason"]), f"no reason in {row}")


def test_a_list_in_another_encoding_is_said_to_be_one(t):
    rows = "email,name\n" + "".join(f"r{i}@example.net,Jürgen\n" for i in range(20))
    refused(t, r"list\.csv", "all 20 rows", "line 2", "iconv -f WINDOWS-1252 -t UTF-8",
            rows=rows.encode("latin-1"))
    refused(t, r"list\.csv:1", "UTF-16", "iconv -f UTF-16", rows=rows.encode("utf-16"))


def test_a_template_that_is_not_utf8_is_refused(t):
    refused(t, r"letter\.txt:3", "UTF-8", files={"letter.txt": b"Hello\n\nZo\xeb\n"}, text='"letter.txt"')
    refused(t, r"letter\.html:2", "UTF-8", files={"letter.html": b"<p>\n\xff</p>\n"}, html='"letter.html"')


# --- Images and attachments ---


def test_images_that_are_missing_are_named(t):
    def image(html, inline, *patterns, **more):
        refused(t, *patterns, html='"h.html"', files={"h.html": html, "logo.png": b"png", **more},
                extra=f"[attachments]\ninline = {inline}\n")

    shown = '<p>x</p>\n<img src="cid:logo.png">\n'
    image(shown, "[]", r"h\.html:2", r"cid:logo\.png")
    image(shown, '["gone.png"]', r"gone\.png", "no such file")
    image(shown, '["lgoo.png"]', r"h\.html:2", r"cid:logo\.png", **{"lgoo.png": b"png"})
    image("<p>x</p>", '["logo.png"]', r"logo\.png", r"shown nowhere", r"cid:logo\.png")
    image('<img src="cid:{{name}}">', '["logo.png"]', r"h\.html:1", "cid: with a variable")
    image(shown, '["logo.png", "other/logo.png"]', r"other/logo\.png", "two of the name",
          **{"other/logo.png": b"x"})


def test_a_file_name_cannot_write_a_header(t):
    name = f"a\r\nBcc: {EVE}"
    for table, more in (("files", {}), ("inline", {"html": '"h.html"'})):
        refused(t, "control character", files={name: b"x", "h.html": f'<img src="cid:{name}">'},
                extra=f"[attachments]\n{table} = [{json.dumps(name)}]\n", **more)
    # Quotes and words beyond ASCII are no reason: RFC 2231.
    names = ['a"b;c.txt', "Rechnung für Zoë.txt", "x" * 200 + ".txt"]
    sent = send(t, extra=f"[attachments]\nfiles = {json.dumps(names, ensure_ascii=False)}\n",
                files={name: b"file" for name in names})
    (message,) = sent.messages().values()
    got = [part.get_filename() for part in message.iter_attachments()]
    expect_equal(got, names, "names of attachments")


def test_attachments_over_the_limit_are_refused(t):
    limit = "[attachments]\nmessage_mb_max = 1\nfiles = %s\n"
    refused(t, r"attachment .*big\.bin: has 2097152 bytes", "1048576", "message_mb_max",
            files={"big.bin": bytes(2 << 20)}, extra=limit % '["big.bin"]')
    # It is the encoded size that counts, and that of all together.
    refused(t, r'attachment "big\.bin"', "921600 bytes, 1261136 as it is sent", "1048576",
            files={"big.bin": bytes(900 << 10)}, extra=limit % '["big.bin"]')
    refused(t, "message has at least", "1048576",
            files={"a.bin": bytes(500 << 10), "b.bin": bytes(500 << 10)}, extra=limit % '["a.bin", "b.bin"]')
    refused(t, r"attachment .*gone\.pdf", "no such file", extra=limit % '["gone.pdf"]')
    refused(t, "attachment .*folder", extra=limit % '["."]')
    sent = send(t, extra=limit % '["a.bin"]', files={"a.bin": bytes(700 << 10)})
    sent.books(1, ["ann@example.net"])


def test_files_of_recipients_come_from_their_folder_only(t):
    """Whoever writes the list must not choose which of this host's files are mailed."""
    os.makedirs(t.dir / "files/sub")
    os.mkfifo(t.dir / "files/fifo")
    os.symlink(t.dir / "secret.txt", t.dir / "files/link")
    files = {"secret.txt": f"secret of {EVE}", "files/.hidden": EVE, "files/sub/x.txt": EVE,
             "files/ok.txt": "fine", "files/big.bin": bytes(2 << 20), f"files/a\r\nBcc: {EVE}": EVE}
    folder_only, plain = "not the name of a file in this folder", "no plain file"
    bad = {"../secret.txt": folder_only, str(t.dir / "secret.txt"): folder_only, "sub/x.txt": folder_only,
           "sub/../ok.txt": folder_only, ".hidden": folder_only, "..": folder_only,
           "..\\secret.txt": folder_only,
           f"a\r\nBcc: {EVE}": folder_only, "x" * 300: folder_only, "sub": plain, "fifo": plain,
           "link": "symbolic link", "gone.txt": "No such file", "big.bin": "2097152 bytes; at most 1048576"}
    rows, _ = list_of(bad, "file", good=0)
    rows += [{"email": "with@example.net", "file": "ok.txt"}, {"email": "without@example.net", "file": ""}]
    own = '[attachments]\ncolumn = "file"\nfolder = "files"\nmessage_mb_max = 1\n'
    sent = send(t, rows, files=files, extra=own, code=1)
    sent.nothing_injected()
    sent.books(len(rows), ["with@example.net", "without@example.net"])
    reasons = {int(row["line"]): (row["value"], row["reason"]) for row in sent.rejected}
    for line, (name, words) in enumerate(bad.items(), 1):
        value, reason = reasons[line]
        expect_equal(value, f"r{line - 1}@example.net", f"recipient in line {line}")
        expect("attachment" in reason and words in reason, f"{name!r}: {reason!r}")
    files_of = {address: [part.get_content() for part in message.iter_attachments()]
                for address, message in sent.messages().items() if message.is_multipart()}
    expect_equal(files_of, {"with@example.net": ["fine"]}, "attachments")


def test_a_setup_for_files_of_recipients_that_cannot_be_is_refused(t):
    for own, patterns in (('column = "name"\n', ["column", "folder"]),
                          ('folder = "f"\n', ["column", "folder"]),
                          ('column = "name"\nfolder = "gone"\n', ["gone", "no such file"]),
                          ('column = "nmae"\nfolder = "."\n', ['column "nmae"', "email, name"])):
        refused(t, *patterns, extra="[attachments]\n" + own)


# --- Keys ---


def private(t, name, text, mode=0o600):
    path = t.write(name, text)
    os.chmod(path, mode)
    return path


def test_dkim_keys_that_others_can_read_are_refused(t):
    t.run("keys", "dkim", "new", "example.test", "--selector", "s1").expect_code(0)
    path = t.dir / "example.test.s1.pem"
    for mode in (0o644, 0o604, 0o660, 0o622, 0o666):
        os.chmod(path, mode)
        refused(t, r"DKIM key .*example\.test\.s1\.pem", f"mode 0{mode:o}",
                r"chmod 600 .*example\.test\.s1\.pem", extra=DKIM % path.name)
    os.chmod(path, 0o600)
    send(t, extra=DKIM % path.name).books(1, ["ann@example.net"])


def test_dkim_keys_that_cannot_sign_are_refused(t):
    private(t, "short.pem", SHORT_KEY)
    private(t, "public.pem", "-----BEGIN PUBLIC KEY-----\nMFwwDQYJ\n-----END PUBLIC KEY-----\n")
    private(t, "nonsense.pem", "hello\n")
    (t.dir / "folder.pem").mkdir()
    for name, patterns in (("short.pem", ["768 bits", "1024", "2048"]),
                           ("public.pem", ["public key", "private key"]), ("nonsense.pem", ["PEM"]),
                           ("gone.pem", ["no such file"]), ("folder.pem", ["folder"])):
        refused(t, f"DKIM key .*{name}", *patterns, extra=DKIM % name)


def test_unsubscribe_keys_that_others_can_read_are_refused(t):
    setup = ONE_CLICK + 'key = "u.key"\n'
    refused(t, "unsubscribe key .*u\\.key", "no such file", kind='"bulk"', extra=setup)
    send(t, kind='"bulk"', extra=ONE_CLICK).books(1, ["ann@example.net"])
    key = (t.dir / "state/unsubscribe.key").read_bytes()
    e2e.shutil.rmtree(t.dir / "state")
    for mode in (0o644, 0o604, 0o660, 0o622):
        private(t, "u.key", key, mode)
        refused(t, "unsubscribe key .*u\\.key", f"mode 0{mode:o}", "chmod 600 .*u\\.key", kind='"bulk"',
                extra=setup)
    for text in (b"", b"hello\n"):
        private(t, "u.key", text)
        refused(t, "unsubscribe key .*u\\.key", kind='"bulk"', extra=setup)
    private(t, "u.key", key)
    send(t, kind='"bulk"', extra=setup).books(1, ["ann@example.net"])


# --- The campaign goes on, or stops ---


def test_rows_that_make_no_message_are_rejected_and_the_campaign_goes_on(t):
    rows, good = list_of(["two\nlines", "bell\x07"], good=40)
    sent = send(t, rows, subject='"{{name}}"', code=1)
    sent.books(len(rows), good)
    expect_equal(sent.result.summary()["rejected"], 2, "rejected")
    wanted = [("2", "r0@example.net", r'subject:1:1: column "name" is "two\nlines": it has a line break or '
               "control character, which a header cannot hold"),
              ("3", "r1@example.net", r'subject:1:1: column "name" is "bell\x07": it has a line break or '
               "control character, which a header cannot hold")]
    got = sorted((row["line"], row["value"], row["reason"]) for row in sent.rejected)
    expect_equal(got, wanted, "rejected.csv")


def test_people_are_told_which_rows_make_no_message(t):
    rows, _ = list_of(["two\nlines"])
    sink = e2e.Sink(t)
    path = write(t, rows, subject='"{{name}}"', via=sink.url)
    dry = t.run("send", path, "--state", "state", "--dry-run").expect_code(1)
    dry.expect_says("2 messages composed",
                    r"1 cannot be composed; first: line 2, r0@example\.net: subject.*line break")
    sent = t.run("send", path, "--state", "state", "--no-progress", "--name", "it").expect_code(1)
    sent.expect_says(r"delivered 2 ", r'1 +rejected +subject:1:1: column "name" is "two\\nlines"',
                     r"lines in the list: state/campaigns/it/rejected\.csv")
    expect_equal(sink.stop()["messages"], 2, "messages at the sink")


def test_as_many_failures_as_allowed_do_not_stop_the_campaign(t):
    rows, good = list_of(["two\nlines"] * 20, good=100)
    sent = send(t, rows, subject='"{{name}}"', code=1, flags=["--max-render-failures", "20"])
    sent.books(len(rows), good)
    expect_equal(sent.result.summary()["left"], 0, "left")


def test_one_more_stops_it(t):
    rows, good = list_of(["two\nlines"] * 20, good=3000)
    rows = rows[1:] + rows[:1]
    flags = ["--max-render-failures", "19", "--connections", "1"]
    sent = send(t, rows, subject='"{{name}}"', code=1, flags=flags, sink_flags=["--reply-latency", "50ms"])
    summary = sent.result.summary()
    expect(summary["left"] > 2000, f"it was not stopped: {summary}")
    expect_equal(summary["rejected"], 20, "rejected")
    sent.books(len(rows), sent.recipients())
    expect(set(sent.recipients()) <= set(good), "recipients at the sink")


if __name__ == "__main__":
    e2e.main()
