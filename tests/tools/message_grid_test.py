"""A thousand messages over a grid of contents, through a real Postfix: each parses without a defect in
Python's email package and comes back equal, and each of its two DKIM signatures (RSA, Ed25519) is
good in three independent verifiers, but that Debian's Mail::DKIM knows RSA only.
"""

import email
import email.policy
import html
import json
import random
import re

import dkim_verifiers
import e2e
import mta
from e2e import expect, expect_equal

CAMPAIGNS = 40
RECIPIENTS = 25
DOMAIN = "sender.test"

NAMES = ["Ann", "Jörg Müller", 'O\'Neil <x> & "y"', "李雷", "A" * 120, "=?utf-8?q?odd?=", "dot.",
         "👩‍👩‍👧‍👦 Family", "שלום עולם", "مرحبا بالعالم", "  two  blanks", "back\\slash", "comma, and; more",
         "Ünïcödé " * 12, "tab\there", "Zoë (comment)", "a@b.c", "ß", "𝔘𝔫𝔦𝔠𝔬𝔡𝔢", "e\u0301 combined",
         "Ω" * 70, "x", "From here", ".starts with a dot", "long " * 60 + "end"]
NOTES = ["plain", "\n", ".", "..", ".dot first\n.and again", "x" * 3000, "ä" * 1500, "words " * 400,
         "trailing blank \nnext ", "tab\t\nnext\t", "From the start\nFrom again", "=20 =3D = end=",
         "emoji 🎉🎊 " * 50, "right to left: שלום, مرحبا", "--boundary\n--=_x--", "line\n\n\n\nfar",
         "a" * 76, "b" * 77, "c" * 998, "中文內容 " * 200, "no newline at the end", "\n\nleading",
         "& < > \" '", "zero\u200bwidth", "mixed ascii – and – dashes"]
TEXTS = [
    "Dear {{name}},\n\n{{note}}\nbye\n",
    "{{note}}",
    "Static text only, all ASCII.\nShort lines.\n",
    "Static, 8-bit: Grüße, naïve café – €\n" * 20,
    "Всё по-русски, {{name}}. " * 60 + "\n{{note}}\n",
    ".\n..\n.x {{name}}\n" + "long " * 300 + "\n" + "y" * 2500 + "\n",
    "空の行\n\n\n{{note}}\n \n\t\n" + "日本語の文章です。" * 100,
    "",
]
HTMLS = [
    None,
    "<html><body>\n<p>Dear {{name}},</p>\n<p>{{note}}</p></body></html>\n",
    "<p>static</p>\n.\n<p>" + "x" * 2000 + "</p>\n",
    "<p>Grüße {{name}} – <b>{{note}}</b> &amp; <i>🎉</i></p>",
    "<table><tr><td>{{name}}</td></tr></table>\n" + "<p>текст</p>\n" * 80,
    "<p>{{name}}</p><img src=\"cid:logo.png\"><img src='cid:röd.gif'>\n",
]
FILES = {
    "terms.pdf": bytes(range(256)) * 40,
    "empty.bin": b"",
    "Prüfbericht – 2026 (final).txt": "Umlaute: äöü\r\n.\r\nFrom me\r\n".encode(),
    "very-long-" + "name-" * 30 + ".dat": b"\x00\xff" * 700,
    "quote\"and;semi.csv": b"a;b\r\n1;2\r\n",
    "logo.png": b"\x89PNG\r\n\x1a\n" + bytes(range(200)),
    "röd.gif": b"GIF89a" + b"\x01" * 99,
}
ATTACHED = [[], ["terms.pdf"], ["empty.bin", "Prüfbericht – 2026 (final).txt"],
            [n for n in FILES if n.startswith("very")] + ["quote\"and;semi.csv"]]
SUBJECTS = ["Hello {{name}}", "Fixed and short", "Grüße an {{name}}: " + "wörter " * 30,
            "{{name}}", "Re\u00a0a very long fixed subject " + "with many ascii words " * 12]


def toml_string(text):
    quoted = "".join(f"\\u{ord(c):04x}" if ord(c) < 32 else "\\" + c if c in '"\\' else c for c in text)
    return f'"{quoted}"'


def cases():
    """CAMPAIGNS combinations in which every content comes up, the same in each run."""
    pick = random.Random(20261123)
    for i in range(CAMPAIGNS):
        case = {"text": TEXTS[i % len(TEXTS)], "html": HTMLS[(i // 2) % len(HTMLS)],
                "files": ATTACHED[pick.randrange(len(ATTACHED))],
                "subject": SUBJECTS[pick.randrange(len(SUBJECTS))], "own_file": i % 5 == 4,
                "bulk": i % 2 == 0}
        case["inline"] = ["logo.png", "röd.gif"] if "cid:" in (case["html"] or "") else []
        yield case


def write_campaign(t, number, case, url, keys):
    folder = f"case{number:02d}"
    rows = [("email", "name", "note", "file")]
    for i in range(RECIPIENTS):
        # A header value must not have a line end or a tab at its ends; a body value may have anything.
        rows.append((f"c{number}r{i}@dest.test", NAMES[i], NOTES[(i + number) % len(NOTES)],
                     "terms.pdf" if i % 3 == 0 else ""))
    (t.dir / folder / "files").mkdir(parents=True)
    t.write_list(rows, f"{folder}/list.csv")
    t.write(f"{folder}/text.txt", case["text"])
    if case["html"] is not None:
        t.write(f"{folder}/page.html", case["html"])
    for name in {*case["files"], *case["inline"], "terms.pdf"}:
        t.write(f"{folder}/files/{name}", FILES[name])
    paths = [toml_string(f"files/{n}") for n in case["files"]]
    inline = [toml_string(f"files/{n}") for n in case["inline"]]
    lines = ["[campaign]", f'name = "grid {number}"', f'from = "Zoë Example <news@{DOMAIN}>"',
             f"subject = {toml_string(case['subject'].replace('{{', '{{{').replace('}}', '|nobody}}}'))}",
             'to_name = "{{name}}"', 'text = "text.txt"', 'recipients = "list.csv"']
    if case["html"] is not None:
        lines.append('html = "page.html"')
    lines.append(f'kind = "{"bulk" if case["bulk"] else "transactional"}"')
    if case["bulk"]:
        lines += ["[unsubscribe]", f'url = "https://{DOMAIN}/u/"', f'mailto = "leave@{DOMAIN}"']
    lines += ["[attachments]", f"files = [{', '.join(paths)}]", f"inline = [{', '.join(inline)}]"]
    if case["own_file"]:
        lines += ['column = "file"', 'folder = "files"']
    for selector, path in keys:
        lines += ["[[dkim]]", f'domain = "{DOMAIN}"', f'selector = "{selector}"', f'key = "{path}"']
    lines += ["[relay]", f'via = "{url}"', "[limits]", "connections = 4"]
    return t.write(f"{folder}/campaign.toml", "\n".join(lines) + "\n"), rows[1:]


def rendered(template, row, escape):
    values = {"name": row[1], "note": row[2]}
    out = template
    for name, value in values.items():
        # Mustache escapes the quote its own way.
        value = html.escape(value).replace("&#x27;", "&#39;") if escape else value
        out = out.replace("{{" + name + "}}", value)
    return out


def defects_of(message):
    found = []
    for part in message.walk():
        found += [repr(d) for d in part.defects]
        for name, value in part.items():
            found += [f"{name}: {d!r}" for d in value.defects]
    return found


def body_text(part):
    """The part's bytes as text, without what Python does to make them nice."""
    return part.get_payload(decode=True).decode("utf-8").replace("\r\n", "\n")


def same_text(got, wanted, what):
    wanted = wanted.replace("\r\n", "\n").replace("\r", "\n")
    expect_equal(got.rstrip("\n"), wanted.rstrip("\n"), what)


def check_message(raw, case, row):
    what = f"message to {row[0]}"
    message = email.message_from_bytes(raw, policy=email.policy.default)
    expect_equal(defects_of(message), [], f"defects of the {what}")
    for line in raw.split(b"\n"):
        expect(len(line) <= 998, f"{what}: a line of {len(line)} bytes")
    expect(raw.isascii(), f"{what}: bytes beyond ASCII")
    wanted = rendered(case["subject"], row, False).strip()
    expect_equal(" ".join(str(message["Subject"]).split()), " ".join(wanted.split()), f"subject, {what}")
    to = message["To"].addresses[0]
    expect_equal(to.addr_spec, row[0], f"To, {what}")
    # Python keeps the blank between two encoded words of a phrase; RFC 2047 §6.2 drops it.
    expect_equal("".join(to.display_name.split()), "".join(row[1].split()), f"name in To, {what}")
    expect_equal(message["From"].addresses[0].display_name, "Zoë Example", f"From, {what}")
    texts = [p for p in message.walk() if p.get_content_type() == "text/plain"
             and p.get_content_disposition() is None]
    same_text(body_text(texts[0]), rendered(case["text"], row, False), f"text, {what}")
    pages = [p for p in message.walk() if p.get_content_type() == "text/html"]
    expect_equal(len(pages), 0 if case["html"] is None else 1, f"HTML parts, {what}")
    if pages:
        check_page(message, body_text(pages[0]), case, row, what)
    files = {p.get_filename(): p.get_payload(decode=True) for p in message.walk()
             if p.get_content_disposition() == "attachment"}
    expected = set(case["files"]) | ({row[3]} if case["own_file"] and row[3] else set())
    expect_equal(sorted(files), sorted(expected), f"attachments, {what}")
    for name, content in files.items():
        expect_equal(content, FILES[name], f"attachment {name}, {what}")
    bulk_fields = [message["List-Unsubscribe"], message["List-Unsubscribe-Post"], message["List-Id"]]
    expect_equal([f is not None for f in bulk_fields], [case["bulk"]] * 3, f"list fields, {what}")


def check_page(message, got, case, row, what):
    wanted = rendered(case["html"], row, True)
    ids = {}
    for part in message.walk():
        if part.get_content_disposition() == "inline":
            expect_equal(part.get_payload(decode=True), FILES[part.get_filename()], f"picture, {what}")
            ids[part.get_filename()] = part["Content-ID"].strip("<>")
    expect_equal(sorted(ids), sorted(case["inline"]), f"pictures, {what}")
    shown = re.findall(r"cid:([^\"'>]+)", got)
    expect_equal(sorted(shown), sorted(ids.values()), f"cid: references, {what}")
    same_text(re.sub(r"cid:[^\"'>]+", "cid:", got), re.sub(r"cid:[^\"'>]+", "cid:", wanted),
              f"HTML, {what}")


def make_keys(t):
    """An RSA and an Ed25519 key: [(selector, path)], and their records by DNS name."""
    keys, records = [], {}
    (t.dir / "keys").mkdir()
    for selector, flags in (("rsa1", []), ("ed1", ["--ed25519"])):
        made = t.run("keys", "dkim", "new", DOMAIN, "--selector", selector, "--out", "keys", "--json",
                     *flags).expect_code(0)
        made = json.loads(made.out)
        for key in made["keys"]:
            keys.append((key["selector"], str(t.dir / key["key_file"])))
            records[key["record"]["name"]] = key["record"]["value"]
    return keys, records


def check_signatures(t, raws, records):
    folder = t.dir / "signed"
    folder.mkdir()
    for i, raw in enumerate(raws):
        (folder / f"{i:04d}.eml").write_bytes(raw.replace(b"\n", b"\r\n"))
    used = 0
    for verifier in dkim_verifiers.ALL:
        why = verifier.why_not()
        if why:
            print(f"SKIPPED {verifier.name}: {why}")
            continue
        used += 1
        results = verifier.verify(folder, records)
        expect_equal(len(results), len(raws), f"messages {verifier.name} looked at")
        for name, signatures in results.items():
            good = sorted(s["algorithm"] for s in signatures if s["result"] == "pass")
            expect_equal(good, verifier.algorithms,
                         f"{verifier.name}: good signatures of {name} ({signatures})")
    if used == 0:
        raise e2e.Skip("none of dkimpy, Mail::DKIM and mailauth is installed: signatures not verified")
    return used


def test_a_thousand_messages_through_postfix(t):
    postfix = mta.Postfix
    keys, records = make_keys(t)
    (t.dir / "mta").mkdir()
    with postfix(t.dir / "mta") as server:
        wanted = {}
        for number, case in enumerate(cases()):
            campaign, rows = write_campaign(t, number, case, f"smtp://127.0.0.1:{server.port}", keys)
            t.send(campaign).expect_code(0).expect_counts(delivered=RECIPIENTS)
            wanted |= {row[0]: (case, row) for row in rows}
        raws = [p.read_bytes() for p in server.wait_for(CAMPAIGNS * RECIPIENTS, 120)]
    expect_equal(len(raws), CAMPAIGNS * RECIPIENTS, "messages in the Maildir")
    seen = set()
    for raw in raws:
        recipient = re.search(rb"^X-Original-To: (\S+)$", raw, re.M).group(1).decode()
        check_message(raw, *wanted[recipient])
        seen.add(recipient)
    expect_equal(len(seen), len(raws), "different recipients")
    print(f"verified by {check_signatures(t, raws, records)} verifiers")


if __name__ == "__main__":
    e2e.main()
