"""volley report: totals, reasons and times of a campaign, while it is sent and after."""

import csv
import json

import e2e


def sent_campaign(t, count=60):
    arguments, addresses = t.simple_campaign(count)
    sink = e2e.Sink(t)
    t.send("--name", "spring", *arguments, "--via", sink.url).expect_code(0)
    sink.stop()
    return addresses


def test_for_people_and_for_programs(t):
    addresses = sent_campaign(t)
    t.run("report", "spring", "--state", "state").expect_code(0).expect_says(
        r"spring: 60 recipients", r"delivered +60 +100\.0 %", r"example\.test +60")
    report = json.loads(t.run("report", "spring", "--state", "state", "--json").expect_code(0).out)
    e2e.expect_equal(sum(report["totals"].values()), 60, "totals")
    e2e.expect_equal(report["events"], 60, "events")
    e2e.expect_equal([(d["name"], d["delivered"]) for d in report["domains"]], [("example.test", 60)], "domains")
    e2e.expect_equal(sum(s["delivered"] for s in report["timeline"]), 60, "timeline")
    t.run("report", "spring", "--state", "state", "--csv", "r.csv").expect_code(0)
    with open(t.dir / "r.csv", newline="", encoding="utf-8") as f:
        rows = list(csv.DictReader(f))
    e2e.expect_same_multiset([r["email"] for r in rows], addresses, "rows")
    e2e.expect_equal({r["outcome"] for r in rows}, {"delivered"}, "outcomes")
    t.run("report", "spring", "--state", "state", "--csv", "r.csv").expect_code(2).expect_says("File exists")


def test_what_servers_say_cannot_harm_a_terminal(t):
    sent_campaign(t, 1)
    events = t.dir / "state" / "campaigns" / "spring" / "events.jsonl"
    event = json.loads(events.read_text().splitlines()[0])
    event |= {"event": "bounced", "category": "unknown", "reply": "\x1b]0;owned\x07\x1b[2J\u202eabc\u009b31m"}
    with open(events, "a", encoding="utf-8") as f:
        f.write(json.dumps(event) + "\n")
    result = t.run("report", "spring", "--state", "state").expect_code(0)
    e2e.expect(not set(result.out) & set("\x1b\x07\u202e\u009b"), f"control characters: {result.out!r}")
    e2e.expect("?]0;owned??[2J?abc?31m" in result.out, result.out)


def test_files_of_events_are_rotated_and_compressed(t):
    arguments, _ = t.simple_campaign(3000)
    sink = e2e.Sink(t, jsonl=False)
    t.send("--name", "spring", *arguments, "--via", sink.url, "--rotate-events", "64K",
           "--compress-events").expect_code(0)
    sink.stop()
    folder = t.dir / "state" / "campaigns" / "spring"
    names = sorted(p.name for p in folder.glob("events.*"))
    packed = [n for n in names if n.endswith(".zst")]
    e2e.expect(packed and set(names) <= {*packed, "events.jsonl"}, f"files: {names}")
    for name in packed:
        e2e.expect_equal((folder / name).read_bytes()[:4], b"\x28\xb5\x2f\xfd", f"magic number of {name}")
    report = json.loads(t.run("report", "spring", "--state", "state", "--json").expect_code(0).out)
    e2e.expect_equal((report["events"], report["bad_lines"], report["damaged"]), (3000, 0, []), "events")
    # A damaged file is said, and the others are read.
    last = folder / packed[-1]
    last.write_bytes(last.read_bytes()[:-20])
    result = t.run("report", "spring", "--state", "state").expect_code(0)
    result.expect_says(rf"{packed[-1]} is damaged")
    t.send("--name", "x", *arguments, "--via", sink.url, "--rotate-events", "1K").expect_code(2).expect_says(
        "--rotate-events 1K", "at least 64K")


def test_a_campaign_that_is_not_there(t):
    sent_campaign(t, 1)
    t.run("report", "sprang", "--state", "state").expect_code(2).expect_says("no campaign", "spring")


def test_while_it_is_sent(t):
    arguments, _ = t.simple_campaign(200)
    sink = e2e.Sink(t, "--reply-latency", "50ms")
    child = t.start("send", "--json", "--no-progress", "--state", "state", "--name", "live", *arguments,
                    "--via", sink.url, "--connections", "2")
    e2e.wait_until(lambda: len(sink.recipients()) > 10, 20, "ten messages")
    report = json.loads(t.run("report", "live", "--state", "state", "--json").expect_code(0).out)
    e2e.expect_equal(sum(report["totals"].values()), 200, "totals")
    e2e.expect(report["totals"]["pending"] > 0, "somebody is left")
    child.kill()
    child.wait()
    sink.stop()


if __name__ == "__main__":
    e2e.main()
