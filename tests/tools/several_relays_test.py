"""Several relays: shares by weight, one that goes in the middle, one that is no use, standing by."""

import e2e
import mta
import pki

COUNT = 2000


def send(t, relays, *flags, count=COUNT):
    """`relays`: URLs for --via. The result, the addresses, and the entries of "relays" by name."""
    campaign, addresses = t.simple_campaign(count)
    via = [word for url in relays for word in ("--via", url)]
    result = t.send(*campaign, *via, "--connections", "6", *flags)
    return result, addresses, {r["name"]: r for r in result.summary()["relays"]}


def expect_all_once(sinks, addresses):
    e2e.expect_same_multiset([a for s in sinks for a in s.recipients()], addresses, "recipients")


def test_shares_follow_the_weights(t):
    slow, fast = e2e.Sink(t, "--reply-latency", "2ms"), e2e.Sink(t)
    urls = [slow.url + "?weight=3", fast.url]
    result, addresses, relays = send(t, urls)
    result.expect_code(0)
    for sink, name, share in ((slow, urls[0], 0.75), (fast, urls[1], 0.25)):
        counted = sink.stop()["messages"]
        e2e.expect_equal(relays[name]["delivered"], counted, f"delivered by {name}")
        e2e.expect(abs(counted - share * COUNT) < 100, f"{name} got {counted} of {COUNT}")
    expect_all_once((slow, fast), addresses)


def test_a_relay_in_a_campaign_file_for_each_table(t):
    one, two = e2e.Sink(t), e2e.Sink(t)
    t.simple_campaign(100)
    path = t.write("campaign.toml", f"""
[campaign]
from = "a@example.test"
subject = "x"
text = "hello.txt"
recipients = "list.csv"
kind = "transactional"
[[relay]]
via = "{one.url}"
[[relay]]
via = "{two.url}"
weight = 1
""")
    t.send(path).expect_code(0)
    got = one.stop()["messages"], two.stop()["messages"]
    e2e.expect(sum(got) == 100 and min(got) > 20, f"messages: {got}")


def test_one_that_goes_in_the_middle_leaves_its_share_to_the_other(t):
    leaves = e2e.Sink(t, "--messages", "300", "--reply-latency", "1ms")
    stays = e2e.Sink(t)
    result, addresses, relays = send(t, [leaves.url, stays.url])
    result.expect_code(0)
    e2e.expect_equal(sum(r["delivered"] for r in relays.values()), COUNT, "delivered by both")
    e2e.expect(relays[leaves.url]["delivered"] >= 300, f"the first delivered {relays}")
    leaves.process.wait(20)
    stays.stop()
    expect_all_once((leaves, stays), addresses)


def test_a_standby_gets_mail_only_in_need(t):
    works, stands_by = e2e.Sink(t), e2e.Sink(t)
    result, addresses, relays = send(t, [works.url, stands_by.url + "?weight=0"])
    result.expect_code(0)
    e2e.expect_equal(stands_by.stop()["messages"], 0, "messages at the standby")
    works.stop()
    expect_all_once((works,), addresses)


def test_a_standby_takes_over(t):
    leaves = e2e.Sink(t, "--messages", "300", "--reply-latency", "1ms")
    stands_by = e2e.Sink(t)
    result, addresses, _ = send(t, [leaves.url, stands_by.url + "?weight=0"])
    result.expect_code(0)
    leaves.process.wait(20)
    stands_by.stop()
    expect_all_once((leaves, stands_by), addresses)


def test_one_that_cannot_be_reached_is_said_and_left_out(t):
    works, gone = e2e.Sink(t), f"smtp://127.0.0.1:{mta.free_port()}"
    result, addresses, relays = send(t, [gone, works.url])
    result.expect_code(0).expect_says("refused", "going on with the other")
    e2e.expect_equal(relays[gone]["delivered"], 0, "delivered by nobody")
    works.stop()
    expect_all_once((works,), addresses)


def test_none_that_can_be_reached_sends_nothing(t):
    campaign, _ = t.simple_campaign(10)
    urls = [f"smtp://127.0.0.1:{mta.free_port()}" for _ in range(2)]
    result = t.send(*campaign, "--via", urls[0], "--via", urls[1])
    result.expect_code(1).expect_says(*urls)
    e2e.expect_equal(t.left_behind(), [], "files left behind")


def test_two_that_stand_by_are_a_mistake(t):
    campaign, _ = t.simple_campaign(10)
    result = t.send(*campaign, "--via", "smtp://127.0.0.1:9?weight=0")
    result.expect_code(2).expect_says("weight 0")


def test_a_password_does_not_follow_via(t):
    """--via on the command line takes the place of the file's relay, with its credentials."""
    sink = e2e.Sink(t)
    t.simple_campaign(10)
    path = t.write("campaign.toml", """
[campaign]
from = "a@example.test"
subject = "x"
text = "hello.txt"
recipients = "list.csv"
kind = "transactional"
[relay]
via = "smtps://mail.example.org"
user = "ann"
password_file = "no-such-file"
""")
    t.send(path).expect_code(2).expect_says("no-such-file")
    t.send(path, "--via", sink.url).expect_code(0)
    sink.stop()


def tls_to_the_sink(t, io):
    """smtps:// to `volley sink --tls-certificate`; and without trust nothing."""
    made = pki.Pki(t.dir / "pki")
    sink = e2e.Sink(t, "--tls-certificate", made.server.pem, "--tls-key", made.server.key)
    url = f"smtps://127.0.0.1:{sink.port}"
    result, addresses, relays = send(t, [url], "--ca-file", made.ca.pem, "--io", io,
                                     "--messages-per-connection", "20")
    result.expect_code(0)
    relay = relays[url]
    e2e.expect(relay["verified"] and relay["tls"] == "TLSv1.3", f"TLS: {relay}")
    e2e.expect(relay["resumed"] >= 0.95 * (relay["handshakes"] - 6), f"resumed: {relay}")
    campaign, _ = t.simple_campaign(5)
    t.send(*campaign, "--via", url).expect_code(1).expect_says("certificate")
    sink.stop()
    expect_all_once((sink,), addresses)


def test_tls_to_the_sink_uring(t):
    e2e.need_uring()
    tls_to_the_sink(t, "uring")


def test_tls_to_the_sink_epoll(t):
    tls_to_the_sink(t, "epoll")


if __name__ == "__main__":
    e2e.main()
