"""Each bad input a user can give: the exit code, what the message must name, and that no campaign is
begun. A message names file, line and value and says what to do next."""

import os

import e2e

USAGE = 2


def send(t, *flags, state="state"):
    return t.run("send", "--no-progress", "--state", state, *flags)


def good(t, **changed):
    """The flags of a campaign that works, with some changed; None leaves a flag out."""
    files = {"to": ("list.csv", "email,name\nann@example.test,Ann\nbob@example.test,Bob\n"),
             "text": ("hello.txt", "Hello {{name}}\n")}
    flags = {"--from": "Sender <sender@example.test>", "--subject": "Hello {{name}}",
             "--kind": "transactional", "--via": "smtp://127.0.0.1:9"}
    for key, (name, content) in files.items():
        if key not in changed:
            flags["--" + key] = t.write(name, content)
    for key, value in changed.items():
        flags["--" + key] = value
    return [part for key, value in flags.items() if value is not None for part in (key, value)]


def refused(t, flags, *patterns):
    """Sending is refused as wrong usage, with all patterns in the message and nothing left behind."""
    result = send(t, *flags)
    result.expect_code(USAGE).expect_says(*patterns)
    e2e.expect_equal(t.left_behind(), [], "files left behind")
    return result


def refused_file(t, toml, *patterns):
    good(t)  # writes list.csv and hello.txt
    return refused(t, [t.write("campaign.toml", toml)], *patterns)


GOOD_FILE = """\
[campaign]
name = "autumn"
from = "sender@example.test"
subject = "Hello {{name}}"
text = "hello.txt"
recipients = "list.csv"
kind = "transactional"
[relay]
via = "smtp://127.0.0.1:9"
"""


# --- The list ---

def test_no_address_column(t):
    to = t.write("people.csv", "first,last\nAnn,Lee\nBob,Ray\n")
    refused(t, good(t, to=to, subject="x", text=t.write("t.txt", "x\n")),
            r"people\.csv", "first", "last", "--address-column")


def test_list_does_not_exist(t):
    refused(t, good(t, to=str(t.dir / "nobody.csv")), r"nobody\.csv", "no such file")


def test_list_is_a_folder(t):
    (t.dir / "folder.csv").mkdir()
    refused(t, good(t, to=str(t.dir / "folder.csv")), r"folder\.csv", "director|folder")


def test_list_cannot_be_read(t):
    loop = t.dir / "loop.csv"
    loop.symlink_to(loop)
    refused(t, good(t, to=str(loop)), r"loop\.csv", "symbolic links")
    if os.geteuid() != 0:  # root may read every file
        path = t.write("secret.csv", "email\na@example.test\n")
        os.chmod(path, 0)
        refused(t, good(t, to=path), r"secret\.csv", "permission")


def test_empty_list(t):
    refused(t, good(t, to=t.write("empty.csv", "")), r"empty\.csv", "empty|no header")


def test_unclosed_quote_names_its_line(t):
    to = t.write("quote.csv", 'email,name\na@example.test,Ann\nb@example.test,"Bob\n' +
                 "c@example.test,Cid\n" * 20)
    refused(t, good(t, to=to), r"quote\.csv", r"(line |:)3\b", "quote")


def test_binary_list(t):
    to = t.write("list.xlsx", b"PK\x03\x04\x14\x00\x06\x00\x08\x00" + bytes(range(256)) * 20)
    refused(t, good(t, to=to), r"list\.xlsx")


def test_only_bad_rows(t):
    """Every row is refused: there is nobody to mail, which is worth an error, not a success."""
    to = t.write("bad.csv", "email,name\nnot an address,Ann\nb@,Bob\n")
    result = send(t, *good(t, to=to))
    e2e.expect(result.code in (1, USAGE), f"exit code {result.code}\n{result}")
    result.expect_says(r"bad\.csv|rejected", "2")


def test_rejected_rows_are_named_with_line_and_reason(t):
    to = t.write("some.csv", "email,name\nann@example.test,Ann\nnot an address,Bob\n"
                             "cid@example.test,\nann@EXAMPLE.test,Ann again\n")
    sink = e2e.Sink(t)
    result = t.send(*good(t, to=to, via=sink.url))
    result.expect_code(0).expect_counts(delivered=1, rejected=2, duplicates=1)
    sink.stop()
    (path,) = (t.dir / "state/campaigns").glob("*/rejected.csv")
    rows = path.read_text().splitlines()[1:]
    e2e.expect_equal(sorted(row.split(",")[0] for row in rows), ["3", "4", "5"], "lines rejected")
    named = {row.split(",")[0]: row for row in rows}
    e2e.expect("not an address" in named["3"], f"value not in {named['3']!r}")
    e2e.expect("name" in named["4"], f"the empty column is not named in {named['4']!r}")
    e2e.expect("duplicate" in named["5"].lower(), f"no reason in {named['5']!r}")


# --- Templates ---

def test_unclosed_tag(t):
    text = t.write("letter.txt", "Hello,\n\ndear {{name\n\nbye\n")
    refused(t, good(t, text=text), r"letter\.txt", r"(line |:)3\b", r"\{\{name", r"\}\}")


def test_unclosed_section(t):
    text = t.write("letter.txt", "Hello\n{{#name}}\nyou\n")
    refused(t, good(t, text=text), r"letter\.txt", r"(line |:)2\b", "name", r"\{\{/name\}\}")


def test_unknown_variable_names_the_nearest_column(t):
    to = t.write("list.csv", "email,first_name\nann@example.test,Ann\n")
    text = t.write("letter.txt", "Hello {{frist_name}}\n")
    refused(t, good(t, to=to, text=text, subject="x"), r"letter\.txt", r"(line |:)1\b",
            "frist_name", "first_name")


def test_template_does_not_exist(t):
    refused(t, good(t, text=str(t.dir / "gone.txt")), r"gone\.txt", "no such file")


def test_header_injection_through_the_list(t):
    """A merged header value with a line break is not mailed; the others are."""
    to = t.write("list.csv", 'email,name\nann@example.test,"Ann\r\nBcc: eve@example.test"\n'
                             "bob@example.test,Bob\n")
    sink = e2e.Sink(t, "--maildir", str(t.dir / "in"), jsonl=False)
    result = t.send(*good(t, to=to, via=sink.url))
    result.expect_counts(recipients=result.summary()["recipients"], delivered=1, rejected=1)
    e2e.expect_equal(sink.stop()["messages"], 1, "messages")
    mails = [p for p in (t.dir / "in").rglob("*") if p.is_file()]
    e2e.expect_equal(len(mails), 1, "files in the Maildir")
    e2e.expect(b"eve@example.test" not in mails[0].read_bytes(), "the injected header got through")


# --- The campaign file ---

def test_unknown_key_names_the_nearest(t):
    refused_file(t, GOOD_FILE.replace("subject", "subjetc"), r"campaign\.toml", r"(line |:)4\b",
                 "subjetc", r"\bsubject\b")


def test_unknown_table_names_the_nearest(t):
    refused_file(t, GOOD_FILE.replace("[relay]", "[realy]"), r"campaign\.toml", r"(line |:)8\b",
                 "realy", r"\brelay\b")


def test_wrong_type(t):
    refused_file(t, GOOD_FILE + '[limits]\nconnections = "many"\n', r"campaign\.toml",
                 r"(line |:)11\b", "connections", "number|integer")


def test_broken_toml(t):
    refused_file(t, GOOD_FILE.replace('"autumn"', '"autumn'), r"campaign\.toml", r"(line |:)2\b")


def test_bad_kind(t):
    refused_file(t, GOOD_FILE.replace('"transactional"', '"bluk"'), r"campaign\.toml",
                 "bluk", "bulk", "transactional")


def test_paths_in_the_file_are_relative_to_it(t):
    """A template beside the campaign file is found from any folder; a missing one is named in full."""
    t.write("elsewhere/campaign.toml", GOOD_FILE)
    refused(t, ["elsewhere/campaign.toml"], r"elsewhere/(hello\.txt|list\.csv)", "no such file")


def test_campaign_file_does_not_exist(t):
    refused(t, ["nothing.toml"], r"nothing\.toml", "no such file")


# --- Flags ---

def test_url_with_a_typo(t):
    for url in ("smpt://127.0.0.1:25", "127.0.0.1:25", "smtp://", "smtp://127.0.0.1:99999",
                "smtp://127.0.0.1:25x", "smtp//127.0.0.1", "lmtp://127.0.0.1"):
        refused(t, good(t, via=url), url.replace(".", r"\."), "smtp://")


def test_relay_name_does_not_exist(t):
    result = send(t, *good(t, via="smtp://no-such-host.invalid:25"))
    e2e.expect(result.code in (1, USAGE), f"exit code {result.code}\n{result}")
    result.expect_says(r"no-such-host\.invalid")
    e2e.expect_equal(t.left_behind(), [], "files left behind")


def test_something_is_missing(t):
    for flag in ("from", "to", "subject", "text", "via"):
        refused(t, good(t, **{flag: None}), f"--{'recipients|--to' if flag == 'to' else flag}")


def test_bad_from(t):
    refused(t, good(t, **{"from": "Sender <sender@>"}), "sender@")
    refused(t, good(t, **{"from": "a@example.test, b@example.test"}), "b@example.test|one")


def test_unknown_flag(t):
    result = send(t, *good(t), "--conections", "5")
    result.expect_code(USAGE).expect_says("conections")


def test_numbers_out_of_range(t):
    for flag, value in (("--connections", "0"), ("--connections", "-1"), ("--connections", "many"),
                        ("--shards", "0"), ("--shards", "100000"), ("--limit", "-5")):
        send(t, *good(t), flag, value).expect_code(USAGE).expect_says(flag, value)
        e2e.expect_equal(t.left_behind(), [], f"files left behind by {flag} {value}")


def test_unknown_io_backend(t):
    send(t, *good(t), "--io", "kqueue").expect_code(USAGE).expect_says("kqueue", "uring", "epoll")


def test_state_folder_cannot_be_made(t):
    t.write("file", "not a folder\n")
    result = send(t, *good(t), state="file/state")
    e2e.expect(result.code in (1, USAGE), f"exit code {result.code}\n{result}")
    result.expect_says("file/state", "--state")


def test_no_command_points_to_the_help(t):
    result = t.run()
    result.expect_code(USAGE).expect_says("subcommand", "--help")


def test_help_has_an_example(t):
    for command in ("send", "sink", "preview"):
        result = t.run(command, "--help")
        result.expect_code(0).expect_says(rf"volley {command} ")


def test_preview_of_a_recipient_who_is_not_there(t):
    for number in ("0", "3", "x"):
        t.run("preview", *good(t, via=None), "--recipient", number).expect_code(USAGE).expect_says(number)


def test_sink_port_in_use(t):
    sink = e2e.Sink(t)
    result = t.run("sink", "--listen", f"127.0.0.1:{sink.port}")
    e2e.expect(result.code in (1, USAGE), f"exit code {result.code}\n{result}")
    result.expect_says(str(sink.port), "in use")
    sink.stop()


def test_sink_listen_address_with_a_typo(t):
    for address in ("127.0.0.1", "localhost:smtp:25", "127.0.0.1:99999", "256.0.0.1:2525"):
        t.run("sink", "--listen", address).expect_code(USAGE).expect_says(address.replace(".", r"\."))


if __name__ == "__main__":
    e2e.main()
