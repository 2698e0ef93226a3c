"""How fast and when: rates, quotas and schedules as the server sees them, and pause, resume, cancel and
status from another process."""

import bisect
import datetime
import json
import time

import e2e


def arrival_times(sink):
    return sorted(datetime.datetime.fromisoformat(line["time"].replace("Z", "+00:00")).timestamp()
                  for line in sink.lines())


def most_within(times, seconds):
    return max((bisect.bisect_left(times, at + seconds) - i for i, at in enumerate(times)), default=0)


def status(t, *names):
    result = t.run("status", *names, "--state", "state", "--json").expect_code(0)
    return [json.loads(line) for line in result.out.splitlines()]


def expect_paced(t, arguments, sink, count, rate):
    """`count` messages at `rate` a second: never faster, and hardly slower."""
    begin = time.monotonic()
    t.send(*arguments, "--via", sink.url, "--connections", "4").expect_code(0).expect_counts(
        delivered=count)
    seconds = time.monotonic() - begin
    times = arrival_times(sink)
    # The sink's clock stands behind a network and a scheduler: one message may come late.
    e2e.expect(most_within(times, 1) <= rate + 2, f"{most_within(times, 1)} messages in a second")
    e2e.expect(seconds >= (count - rate) / rate, f"{count} messages took {seconds:.1f} s only")
    e2e.expect(times[-1] - times[0] <= 1.6 * count / rate, f"it took {times[-1] - times[0]:.1f} s")


def test_a_campaigns_rate_is_kept(t):
    arguments, _ = t.simple_campaign(100)
    sink = e2e.Sink(t)
    expect_paced(t, [*arguments, "--rate", "25/s", "--shards", "2"], sink, 100, 25)
    sink.stop()


def test_a_relays_rate_is_kept(t):
    arguments, _ = t.simple_campaign(60)
    sink = e2e.Sink(t)
    t.write("c.toml", f'[relay]\nvia = "{sink.url}"\nrate = "20/s"\n')
    begin = time.monotonic()
    t.send("c.toml", *arguments).expect_code(0).expect_counts(delivered=60)
    e2e.expect(time.monotonic() - begin >= 2, "60 messages at 20 a second went too fast")
    e2e.expect(most_within(arrival_times(sink), 1) <= 22, "messages in a second")
    sink.stop()


def test_a_slow_rate_holds_few_connections(t):
    """Ten connections are allowed; at ten messages a second one is enough."""
    arguments, _ = t.simple_campaign(30)
    sink = e2e.Sink(t)
    t.send(*arguments, "--via", sink.url, "--rate", "10/s", "--connections", "10").expect_code(0)
    peak = sink.stop()["peak_connections"]
    e2e.expect(peak <= 3, f"{peak} connections at one time")


def test_a_quota_holds_over_restarts(t):
    arguments, _ = t.simple_campaign(50)
    sink = e2e.Sink(t)
    flags = [*arguments, "--via", sink.url, "--name", "q", "--quota", "30/1h"]
    for _ in range(2):
        child = t.start("send", "--json", "--no-progress", "--state", "state", *flags)
        e2e.wait_until(lambda: len(sink.lines()) >= 30, 20, "what the quota allows")
        e2e.wait_until(lambda: "quota 30" in status(t, "q")[0]["held_by"], 10, "why it waits")
        time.sleep(0.5)
        child.kill()
        child.wait()
    e2e.expect_equal(len(sink.recipients()), 30, "messages in the hour")
    e2e.expect_equal(status(t, "q")[0]["state"], "stopped", "state of the killed campaign")
    t.run("status", "q", "--state", "state").expect_code(0).expect_says("same volley send goes on")
    sink.stop()


def test_pause_resume_and_cancel(t):
    arguments, addresses = t.simple_campaign(20000)
    sink = e2e.Sink(t, "--reply-latency", "10ms")
    args = ["send", "--json", "--no-progress", "--state", "state", *arguments, "--via", sink.url,
            "--name", "News letter", "--connections", "4"]
    child = t.start(*args)
    e2e.wait_until(lambda: len(sink.lines()) >= 50, 30, "the first messages")
    e2e.expect_equal([s["state"] for s in status(t)], ["sending"], "state")
    t.run("pause", "news letter", "--state", "state").expect_code(0).expect_says("paused")
    time.sleep(0.7)
    held = len(sink.lines())
    time.sleep(1)
    e2e.expect_equal(len(sink.lines()), held, "messages while it is paused")
    t.run("resume", "news-letter", "--state", "state").expect_code(0).expect_says("sending")
    e2e.wait_until(lambda: len(sink.lines()) >= held + 50, 30, "messages after it was resumed")
    t.run("cancel", "news-letter", "--state", "state").expect_code(0)
    result = t.finish(child, args, timeout=30)
    summary = result.summary()
    delivered = sink.stop()["messages"]
    e2e.expect_equal(summary["delivered"], delivered, "delivered against the sink's count")
    e2e.expect_equal(summary["cancelled"], len(addresses) - delivered, "cancelled")
    e2e.expect_equal(summary["left"], 0, "left")
    (final,) = status(t, "news-letter")
    e2e.expect_equal((final["state"], final["cancelled"]), ("complete", summary["cancelled"]), "status")
    # What was cancelled is not mailed by the same command either.
    again = t.run(*args).expect_code(1)
    e2e.expect_equal(again.summary()["cancelled"], summary["cancelled"], "cancelled, still")


def test_cancel_of_a_campaign_that_nobody_sends(t):
    arguments, _ = t.simple_campaign(500)
    sink = e2e.Sink(t, "--reply-latency", "50ms")
    child = t.start("send", "--no-progress", "--state", "state", *arguments, "--via", sink.url,
                    "--name", "c", "--connections", "2")
    e2e.wait_until(lambda: len(sink.lines()) >= 5, 20, "the first messages")
    child.kill()
    child.wait()
    t.run("pause", "c", "--state", "state").expect_code(2).expect_says("no process is sending")
    t.run("cancel", "c", "--state", "state").expect_code(0).expect_says("complete", "cancelled")
    (final,) = status(t, "c")
    e2e.expect_equal(final["left"], 0, "left")
    total = sum(final[key] for key in ("delivered", "uncertain", "cancelled"))
    e2e.expect_equal(total, 500, "everybody")
    sink.stop()


def test_status_of_what_is_not_there(t):
    t.run("status", "--state", "state").expect_code(0).expect_says("no campaigns")
    arguments, _ = t.simple_campaign(1)
    sink = e2e.Sink(t)
    t.send(*arguments, "--via", sink.url, "--name", "spring").expect_code(0)
    t.run("status", "sprnig", "--state", "state").expect_code(2).expect_says('did you mean "spring"')
    t.run("cancel", "../spring", "--state", "elsewhere").expect_code(2).expect_says("no campaign")
    sink.stop()


def utc(seconds):
    at = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def test_a_start_is_waited_for(t):
    arguments, _ = t.simple_campaign(20)
    sink = e2e.Sink(t)
    args = ["send", "--json", "--no-progress", "--state", "state", *arguments, "--via", sink.url,
            "--name", "s", "--start", utc(4)]
    child = t.start(*args)
    e2e.wait_until(lambda: [s["state"] for s in status(t)] == ["waiting"], 3, "that it waits")
    e2e.expect_equal(sink.lines(), [], "messages before the start")
    t.finish(child, args).expect_code(0).expect_counts(delivered=20)
    sink.stop()


def test_a_start_that_is_past_is_refused_without_now(t):
    arguments, _ = t.simple_campaign(5)
    sink = e2e.Sink(t)
    past = ["--start", "2020-01-01 08:00"]
    t.send(*arguments, "--via", sink.url, *past).expect_code(2).expect_says("is past", "--now")
    t.write("c.toml", '[schedule]\nstart = "2020-01-01 08:00"\ntime_zone = "Europe/Berlin"\n')
    t.send("c.toml", *arguments, "--via", sink.url).expect_code(2).expect_says("--now")
    t.send("c.toml", *arguments, "--via", sink.url, "--now").expect_code(0).expect_counts(delivered=5)
    t.write("d.toml", '[schedule]\nwindow = "8 to 9"\n')
    t.send("d.toml", *arguments, "--via", sink.url).expect_code(2).expect_says("08:00-20:00")
    sink.stop()


def test_what_is_left_at_not_after_is_not_sent(t):
    arguments, _ = t.simple_campaign(500)
    sink = e2e.Sink(t)
    flags = [*arguments, "--via", sink.url, "--name", "n", "--rate", "50/s"]
    result = t.send(*flags, "--not-after", utc(3)).expect_code(1)
    summary = result.summary()
    e2e.expect(0 < summary["delivered"] <= 200, f"delivered {summary['delivered']}")
    e2e.expect_equal(summary["left"], 500 - summary["delivered"], "left")
    t.send(*flags, "--not-after", utc(-1)).expect_code(2).expect_says("not_after", "past")
    sink.stop()


def test_limits_that_cannot_be(t):
    arguments, _ = t.simple_campaign(1)
    for flag, value in (("--rate", "0/s"), ("--rate", "many"), ("--quota", "10/s"),
                        ("--rate", "99999999999999999999/s"), ("--rate", "5/-1s")):
        result = t.send(*arguments, "--via", "smtp://127.0.0.1:9", flag, value)
        result.expect_code(2).expect_says(flag)
    t.write("c.toml", '[relay]\nvia = "smtp://127.0.0.1:9"\nrate = "fast"\n')
    t.send("c.toml", *arguments).expect_code(2).expect_says(r"c\.toml:3", "fast")


if __name__ == "__main__":
    e2e.main()
