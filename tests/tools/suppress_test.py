"""volley suppress: add, remove, lookup, import, export; in campaigns, before they begin and while they
run.
"""

import csv
import io
import json
import os
import pty
import sqlite3
import subprocess
import time

import e2e
from e2e import expect, expect_equal

COUNT = 60


def suppress(t, *args, code=0, state="state"):
    return t.run("suppress", *args, "--state", state).expect_code(code)


def entries(t, state="state"):
    """Address, list, reason and source of all, sorted."""
    with sqlite3.connect(t.dir / state / "volley.db") as db:
        return sorted(db.execute("SELECT address, list, reason, source FROM suppression"))


def run_with_input(t, text, *args):
    done = subprocess.run([t.volley, *args], cwd=t.dir, input=text, capture_output=True, text=True, timeout=60)
    return e2e.Result(list(args), done.returncode, done.stdout, done.stderr)


def test_a_person_from_add_to_remove(t):
    suppress(t, "lookup", "ann@example.org", code=2).expect_says("no .*state/volley.db", "--state")
    expect(not (t.dir / "state").exists(), "looking up made a state directory")
    suppress(t, "add", "Ann@Example.ORG", "--list", "News.Example.org", "--reason", "unsubscribe",
             "--source", "letter of 3 May")
    suppress(t, "add", "ann@example.org")
    found = suppress(t, "lookup", "ANN@example.org")
    found.expect_says("unsubscribe, list news.example.org, since 20", "from letter of 3 May",
                      "manual, all lists")
    one = json.loads(suppress(t, "lookup", "ann@example.org", "--list", "other", "--json").out)
    expect_equal([e["reason"] for e in one["entries"]], ["manual"], "what keeps mail of another list away")
    suppress(t, "lookup", "bob@example.org", code=1).expect_says("not suppressed")
    suppress(t, "lookup", "nobody", code=2).expect_says('"nobody": no @')

    suppress(t, "remove", "ann@example.org")  # the one for all lists: no consent is needed
    refused = suppress(t, "remove", "ann@example.org", "--list", "news.example.org", code=1)
    refused.expect_says("unsubscribed or complained", "only if they have asked", "nothing was removed: --yes")
    suppress(t, "remove", "ann@example.org", code=1).expect_says("not suppressed for all lists.*but: unsubscribe")
    expect_equal(len(entries(t)), 1, "entries while the removal is not confirmed")
    suppress(t, "remove", "ann@example.org", "--list", "news.example.org", "--yes", "--why", "form of 4 May")
    suppress(t, "lookup", "ann@example.org", code=1).expect_says(
        "not suppressed", "removed 20.* by .*form of 4 May.*unsubscribe, list news.example.org")
    stats = json.loads(suppress(t, "stats", "--json").out)
    expect_equal((stats["entries"], stats["removed"]), (0, 2), "entries and removals")


def test_removing_asks_on_a_terminal(t):
    suppress(t, "add", "ann@example.org", "--reason", "complaint")
    for answer, left in ((b"n\n", 1), (b"\n", 1), (b"y\n", 0)):
        ours, theirs = pty.openpty()
        child = subprocess.Popen([t.volley, "suppress", "remove", "ann@example.org", "--state", "state"], cwd=t.dir,
                                 stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        os.close(theirs)
        os.write(ours, answer)
        _, err = child.communicate(timeout=30)
        os.close(ours)
        expect("consent" in err and "[y/N]" in err, f"the question: {err!r}")
        expect_equal(len(entries(t)), left, f"entries after {answer!r}")
        expect_equal(child.returncode, 1 if left else 0, f"exit code after {answer!r}")


def test_addresses_from_a_file_and_from_standard_input(t):
    path = t.write("people.txt", b"\xef\xbb\xbfann@example.org\r\n\r\n  bob@example.org\nnot one\nAnn@example.org")
    result = suppress(t, "add", "--file", path, "--reason", "complaint", "--json", code=1)
    expect_equal(json.loads(result.out), {"added": 2, "replaced": 0, "already": 1, "rejected": 1}, "counts")
    result.expect_says("line 4 of .*people.txt: \"not one\": no @")
    done = run_with_input(t, "cat@example.org\n", "suppress", "add", "--file", "-", "--state", "state")
    done.expect_code(0)
    expect_equal([e[0] for e in entries(t)], ["ann@example.org", "bob@example.org", "cat@example.org"], "entries")
    suppress(t, "add", code=2).expect_says("no address")
    suppress(t, "add", "x@example.org", "--reason", "two\nlines", code=2).expect_says("reason")
    t.write("binary", b"x" * 200000)
    suppress(t, "add", "--file", "binary", code=2).expect_says("import reads CSV")
    suppress(t, "remove", "ann@example.org", "--al-lists", code=2).expect_says('did you mean "--all-lists"')


def test_a_file_goes_in_and_comes_out_the_same(t):
    rows = [(f"u{i}@example.org", "news" if i % 3 else "", ["unsubscribe", "mailbox_full", "as, \"said\""][i % 3],
             "old system", "may" if i % 2 else "", f"2015-09-30T22:12:05.{i % 1000:03d}Z") for i in range(3000)]
    t.write_list([("address", "list", "reason", "source", "campaign", "created_at")] + rows, "in.csv")
    counts = json.loads(suppress(t, "import", "in.csv", "--json").out)
    expect_equal((counts["rows"], counts["added"], counts["layout"]), (3000, 3000, "volley suppress export"), "counts")
    out = suppress(t, "export").out
    e2e.expect_same_multiset([tuple(r) for r in csv.reader(io.StringIO(out))][1:], rows, "the export's rows")
    suppress(t, "export", "--format", "jsonl", "--output", "out.jsonl").expect_says("3,000 entries")
    counts = json.loads(suppress(t, "import", "out.jsonl", "--json", state="other").out)
    expect_equal((counts["added"], counts["rejected"]), (3000, 0), "counts of the second state")
    e2e.expect_same_multiset(suppress(t, "export", state="other").out.splitlines(), out.splitlines(), "exports")
    counts = json.loads(suppress(t, "import", "in.csv", "--json").out)
    expect_equal((counts["added"], counts["already"]), (0, 3000), "the same file again")
    only = suppress(t, "export", "--list", "", "--reason", "unsubscribe").out.splitlines()
    expect_equal(len(only) - 1, 1000, "entries for all lists")
    expect_equal(len(suppress(t, "list", "--limit", "7").out.splitlines()), 7, "newest entries")


def test_what_is_wrong_with_a_file_is_said_by_line(t):
    t.write("bounces.csv", "status,reason,email,created\n5.1.1,no such user,ann@example.org,1443651125\n"
                           "5.1.1,x,not an address,1443651125\n4.2.2,full,bob@example.org,once\n")
    dry = suppress(t, "import", "bounces.csv", "--dry-run", "--rejected", "rejected.csv", code=1)
    dry.expect_says("dry run, nothing was changed", "2 added", "line 3: \"not an address\"")
    expect(not (t.dir / "state").exists(), "a dry run made a state directory")
    done = suppress(t, "import", "bounces.csv", "--rejected", "rejected.csv", code=1)
    done.expect_says("SendGrid bounces", "2 added.*1 rejected", "line 3: \"not an address\": .*no @",
                     "1 times were not understood")
    expect_equal([e[2] for e in entries(t)], ["hard_bounce", "soft_bounce"], "reasons")
    expect("3,not an address" in (t.dir / "rejected.csv").read_text(), "the rejected row is in the file")
    t.write("plain.csv", "email\ncat@example.org\n")
    suppress(t, "import", "plain.csv").expect_says("no column says why", "--reason unsubscribe")
    suppress(t, "import", "none.csv", code=2).expect_says("none.csv: No such file")
    t.write("names.csv", "name,city\nAnn,Ulm\n")
    suppress(t, "import", "names.csv", code=2).expect_says("--address-column", '"name", "city"')
    t.write("bare.csv", "ann@example.org\nbob@example.org\n")
    suppress(t, "import", "bare.csv", code=2).expect_says("holds an address")


def test_a_foreign_a_damaged_and_a_newer_database_are_refused(t):
    (t.dir / "foreign").mkdir()
    with sqlite3.connect(t.dir / "foreign" / "volley.db") as db:
        db.execute("CREATE TABLE t (x)")
    suppress(t, "lookup", "a@b.org", code=2, state="foreign").expect_says("foreign/volley.db is not volley's")
    t.write("text/volley.db", "x" * 9000)
    suppress(t, "add", "a@b.org", code=2, state="text").expect_says("text/volley.db", "no SQLite file")
    suppress(t, "add", "a@b.org", state="newer")
    with sqlite3.connect(t.dir / "newer" / "volley.db") as db:
        db.execute("PRAGMA user_version = 99")
    flags, _ = t.simple_campaign(3)
    for args in (["suppress", "lookup", "a@b.org"],
                 ["send", *flags, "--via", "smtp://127.0.0.1:1", "--no-progress"]):
        t.run(*args, "--state", "newer").expect_code(2).expect_says("newer volley .schema 99")
    # Its people are not forgotten because the file was lost.
    suppress(t, "add", "a@b.org")
    for path in (t.dir / "state").glob("volley.db*"):
        path.unlink()
    suppress(t, "add", "b@b.org", code=2).expect_says("go back to a backup")
    t.send(*flags, "--via", "smtp://127.0.0.1:1").expect_code(2).expect_says("go back to a backup")


def test_the_suppressed_are_left_out_of_a_new_campaign_at_once(t):
    flags, addresses = t.simple_campaign(20)
    t.write_list([("email", "name")] + [(a, "N") for a in addresses] + [(addresses[3].upper(), "again")])
    suppress(t, "add", addresses[3].upper(), addresses[7])
    suppress(t, "add", addresses[8], "--list", "somebody-elses.example.org")
    dry = json.loads(t.run("send", *flags, "--state", "state", "--dry-run", "--json").expect_code(0).out)
    expect_equal((dry["composed"], dry["suppressed"], dry["duplicates"]), (18, 2, 1), "the dry run's counts")
    sink = e2e.Sink(t)
    args = [*flags, "--via", sink.url, "--name", "one"]
    t.send(*args).expect_code(0).expect_counts(delivered=18, suppressed=2, duplicates=1)
    e2e.expect_same_multiset(sink.recipients(), [a for i, a in enumerate(addresses) if i not in (3, 7)],
                             "recipients at the sink")
    rejected = (t.dir / "state/campaigns/one/rejected.csv").read_text().splitlines()
    expect_equal(len(rejected), 1 + 3, "lines of rejected.csv")
    expect(any(f"{addresses[7]},suppressed" in line for line in rejected), f"rejected.csv: {rejected}")
    # Again: nobody is left, and the counts are the same.
    again = t.send(*args).expect_code(0)
    expect_equal([json.loads(again.out)[k] for k in ("recipients", "delivered", "suppressed")], [20, 18, 2], "again")
    sink.stop()


def test_a_campaign_to_nobody_but_the_suppressed_sends_nothing_and_is_done(t):
    flags, addresses = t.simple_campaign(2)
    suppress(t, "add", *addresses)
    sink = e2e.Sink(t)
    t.send(*flags, "--via", sink.url, "--name", "one").expect_code(0).expect_counts(suppressed=2)
    expect_equal(sink.stop()["messages"], 0, "messages at the sink")


def test_an_import_takes_effect_in_a_running_campaign(t):
    flags, addresses = t.simple_campaign(COUNT)
    suppress(t, "add", "somebody@example.org")
    sink = e2e.Sink(t, "--reply-latency", "100ms")
    args = ["send", "--json", "--no-progress", "--state", "state", *flags, "--via", sink.url, "--connections", "1"]
    child = t.start(*args)
    e2e.wait_until(lambda: len(sink.lines()) >= 5, 30, "the first messages")
    leavers = [30, 31, 45, COUNT - 1]
    t.write_list([("email", "reason")] + [(addresses[i].upper(), "complaint") for i in leavers], "complaints.csv")
    suppress(t, "import", "complaints.csv")
    before = len(sink.lines())
    expect(before < leavers[0], f"the test was too slow: {before} messages were out")
    t.finish(child, args, timeout=60).expect_code(0).expect_counts(
        delivered=COUNT - len(leavers), suppressed=len(leavers))
    sink.stop()
    e2e.expect_same_multiset(sink.recipients(), [a for i, a in enumerate(addresses) if i not in leavers],
                             "recipients at the sink")


def test_a_locked_database_is_waited_for_and_then_said(t):
    suppress(t, "add", "a@b.org")
    db = sqlite3.connect(t.dir / "state" / "volley.db", isolation_level=None)
    db.execute("BEGIN IMMEDIATE")
    began = time.monotonic()
    suppress(t, "add", "b@b.org", code=2).expect_says("locked", "another process", "try again")
    expect(time.monotonic() - began >= 4, "it waited for the lock")
    suppress(t, "lookup", "a@b.org")  # reading needs no lock
    db.execute("ROLLBACK")
    suppress(t, "add", "b@b.org")


if __name__ == "__main__":
    e2e.main()
