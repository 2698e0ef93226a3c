"""A campaign through `volley sink`: every recipient exactly once, whatever the backend and shards."""

import csv
import os

import e2e


def make_list(t, count):
    """A list with everything a real one has: quoted fields, doubles, lines nobody can be mailed at.

    Returns path, the addresses that must arrive, and how many rows must not."""
    rows = [("name", "Email", "note")]
    wanted, doubles, broken = [], 0, 0
    for i in range(count):
        address = f"reader.{i}@list{i % 50}.example"
        rows.append((f"Reader {i}", address, 'said "hi", then\nleft' if i % 10 == 0 else ""))
        wanted.append(address)
        if i % 1000 == 1:
            rows.append((f"Again {i}", f"reader.{i}@LIST{i % 50}.Example", ""))
            doubles += 1
        if i % 1000 == 2:
            rows.append((f"Broken {i}", f"reader.{i}(at)list.example", ""))
            broken += 1
        if i % 1000 == 3:  # {{name}} must not be empty
            rows.append(("", f"nameless.{i}@list.example", ""))
            broken += 1
    return t.write_list(rows), wanted, doubles, broken


def send_and_compare(t, count, *flags, sink_flags=()):
    to, wanted, doubles, broken = make_list(t, count)
    text = t.write("letter.txt", "Dear {{name}},\n\n{{#note}}You {{note}}\n{{/note}}\n.\n..\nbye\n")
    html = t.write("letter.html", "<p>Dear {{name}}</p>\n")
    sink = e2e.Sink(t, *sink_flags)
    result = t.send("--from", "News <news@example.test>", "--to", to, "--subject", "For {{name}}",
                    "--text", text, "--html", html, "--without-unsubscribe", "--via", sink.url, "--connections", "20", *flags,
                    timeout=500)
    result.expect_code(0)
    counts = sink.stop()
    e2e.expect_same_multiset(sink.recipients(), wanted, "recipients at the sink")
    e2e.expect_equal(counts["messages"], len(wanted), "messages the sink counted")
    e2e.expect_equal(counts["recipients"], len(wanted), "recipients the sink counted")
    e2e.expect_equal(counts["protocol_errors"], 0, "protocol errors the sink counted")
    result.expect_counts(delivered=len(wanted), rejected=broken, duplicates=doubles)
    check_rejected(t, doubles, broken)
    return result, counts


def check_rejected(t, doubles, broken):
    """rejected.csv has a line for each row that was not imported: line, value, reason."""
    files = list((t.dir / "state/campaigns").glob("*/rejected.csv"))
    e2e.expect_equal(len(files), 1, "campaign folders with a rejected.csv")
    with open(files[0], newline="", encoding="utf-8") as f:
        rejected = list(csv.reader(f))
    e2e.expect_equal(rejected[0], ["line", "value", "reason"], "header of rejected.csv")
    e2e.expect_equal(len(rejected) - 1, doubles + broken, "rows in rejected.csv")
    # The list's fourth row stands on line 6: a quoted newline above it. reader.2(at)... follows it.
    with open(t.dir / "list.csv", newline="", encoding="utf-8") as f:
        lines = f.read().split("\n")
    for line, value, reason in rejected[1:]:
        e2e.expect(value in lines[int(line) - 1], f"{value!r} is not on line {line} of the list")
        e2e.expect(reason, f"no reason for line {line}")


def test_uring_one_shard(t):
    e2e.need_uring()
    send_and_compare(t, e2e.rows_wanted(), "--io", "uring", "--shards", "1")


def test_uring_two_shards(t):
    e2e.need_uring()
    send_and_compare(t, e2e.rows_wanted(), "--io", "uring", "--shards", "2")


def test_epoll_one_shard(t):
    send_and_compare(t, e2e.rows_wanted(), "--io", "epoll", "--shards", "1")


def test_epoll_two_shards(t):
    send_and_compare(t, e2e.rows_wanted(), "--io", "epoll", "--shards", "2")


def test_without_pipelining(t):
    send_and_compare(t, 500, sink_flags=("--no-pipelining", "--no-chunking"))


def test_without_chunking(t):
    send_and_compare(t, 2000, sink_flags=("--no-chunking",))


def test_sessions_are_recycled(t):
    """After N messages a connection is closed and another opened, and no limit is passed."""
    _, counts = send_and_compare(t, 1000, "--messages-per-connection", "7")
    e2e.expect(counts["connections"] >= 1000 // 7,
               f"{counts['connections']} connections for 1000 messages at 7 a connection")
    # The sink may see a successor's first packet before it has put the old connection away: each of
    # the 20 can be counted twice for a moment, and the harness looked once whether it listens.
    e2e.expect(counts["peak_connections"] <= 2 * 20 + 1,
               f"{counts['peak_connections']} connections at a time, 20 allowed")


def test_reply_latency(t):
    send_and_compare(t, 500, sink_flags=("--reply-latency", "20ms"))


def test_lmtp(t):
    """RFC 2033: after the content one reply for each recipient."""
    flags, addresses = t.simple_campaign(500)
    sink = e2e.Sink(t, "--lmtp")
    t.send(*flags, "--via", f"lmtp://127.0.0.1:{sink.port}").expect_code(0).expect_counts(
        delivered=500)
    e2e.expect_equal(sink.stop()["protocol_errors"], 0, "protocol errors the sink counted")
    e2e.expect_same_multiset(sink.recipients(), addresses, "recipients at the sink")


def test_limit_sends_only_the_first(t):
    flags, addresses = t.simple_campaign(50)
    sink = e2e.Sink(t)
    t.send(*flags, "--via", sink.url, "--limit", "10").expect_code(0).expect_counts(delivered=10)
    sink.stop()
    e2e.expect_same_multiset(sink.recipients(), addresses[:10], "recipients at the sink")


def test_dry_run_sends_nothing(t):
    flags, _ = t.simple_campaign(50)
    sink = e2e.Sink(t)
    t.run("send", *flags, "--via", sink.url, "--state", "state", "--dry-run").expect_code(0)
    e2e.expect_equal(sink.stop()["messages"], 0, "messages of a dry run")
    e2e.expect_equal(t.left_behind(), [], "files left by a dry run")


def test_standard_input_and_json_lines(t):
    """`--to -` reads a pipe; JSON Lines is recognised by its content."""
    rows = "".join(f'{{"email": "j{i}@example.test", "name": "J {i}"}}\n' for i in range(300))
    text = t.write("hello.txt", "Hello {{name}}\n")
    sink = e2e.Sink(t)
    args = ["send", "--json", "--no-progress", "--state", "state", "--from", "s@example.test",
            "--to", "-", "--subject", "x", "--text", text, "--kind", "transactional", "--via", sink.url]
    read, write = os.pipe()
    child = t.start(*args, stdin=read)
    os.close(read)
    with open(write, "w", encoding="utf-8") as pipe:
        pipe.write(rows)
    t.finish(child, args).expect_code(0).expect_counts(delivered=300)
    sink.stop()
    e2e.expect_same_multiset(sink.recipients(), [f"j{i}@example.test" for i in range(300)],
                             "recipients at the sink")


def test_a_jsonl_line_tells_the_transaction(t):
    flags, addresses = t.simple_campaign(1)
    sink = e2e.Sink(t)
    t.send(*flags, "--via", sink.url).expect_code(0)
    counts = sink.stop()
    (line,) = sink.lines()
    e2e.expect(set(line) >= {"time", "peer", "helo", "mail_from", "rcpt_to", "size"},
               f"keys of a line: {sorted(line)}")
    e2e.expect_equal(line["mail_from"], "sender@example.test", "mail_from")
    e2e.expect_equal(line["rcpt_to"], addresses, "rcpt_to")
    e2e.expect_equal(line["size"], counts["bytes"], "size against the counter")
    e2e.expect(line["peer"].startswith("127.0.0.1"), f"peer {line['peer']!r}")
    e2e.expect(line["helo"], "helo is empty")


def test_the_same_campaign_is_not_sent_twice(t):
    flags, _ = t.simple_campaign(10)
    sink = e2e.Sink(t)
    t.send(*flags, "--via", sink.url, "--name", "once").expect_code(0)
    t.send(*flags, "--via", sink.url, "--name", "once").expect_code(0).expect_counts(delivered=10)
    other = ["Something else" if flag == "Hello {{name}}" else flag for flag in flags]
    t.send(*other, "--via", sink.url, "--name", "once").expect_code(2).expect_says(
        "once", "subject", "--restart", "--resume", "--name")
    e2e.expect_equal(sink.stop()["messages"], 10, "messages after a second `send` of the same name")


if __name__ == "__main__":
    e2e.main()
