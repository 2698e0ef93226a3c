"""volley bounce reply: one reply or many, in words or JSON; and what a campaign makes of categories."""

import json
import subprocess

import e2e
from fault_server import FaultServer


def answers(t, lines, *flags, code=0):
    result = subprocess.run([t.volley, "bounce", "reply", "--jsonl", *flags], input="\n".join(lines),
                            capture_output=True, text=True, timeout=60, cwd=t.dir, check=False)
    e2e.expect_equal(result.returncode, code, f"exit code ({result.stderr})")
    return [json.loads(line) for line in result.stdout.splitlines()], result.stderr


def test_one_reply_in_words_and_json(t):
    reply = "550 5.1.1 <ann@example.com>: Recipient address rejected: User unknown"
    t.run("bounce", "reply", reply).expect_code(0).expect_says(
        "recipient_unknown", "hard", "mailed no more", "unknown-user")
    got = json.loads(t.run("bounce", "reply", "--json", "--provider", "google", "--stage", "rcpt",
                           "452 4.2.2 over quota, try again in 5 minutes").expect_code(0).out)
    e2e.expect_equal(got, {"category": "mailbox_full", "severity": "soft", "scope": "recipient",
                           "action": "retry", "rule": "full"}, "answer")


def test_lines_are_answered_in_order(t):
    lines = [json.dumps({"id": i, "code": 550, "stage": "-", "enhanced": "-", "provider": "-",
                         "text": "no such user" if i % 2 else "spam detected"}) for i in range(2000)]
    got, _ = answers(t, lines)
    e2e.expect_equal([line["id"] for line in got], list(range(2000)), "ids")
    e2e.expect_equal({line["category"] for line in got[1::2]}, {"recipient_unknown"}, "odd ones")
    e2e.expect_equal({line["category"] for line in got[::2]}, {"spam_content"}, "even ones")


def test_bad_lines_are_named_and_the_others_answered(t):
    lines = ['{"id": "a", "code": "550", "text": "user unknown"}', "nonsense", "[1]", "",
             '{"id": 4, "code": 1000}', '{"id": 5, "stage": "later"}', '{"id": 6, "text": {}}',
             '{"id": 7, "text": "\\ud800 550 user unknown"}',
             '{"id": 8, "code": 421, "text": "' + "x" * 2_000_000 + '"}',
             '{"id": 9, "text": "550 5.2.2 full"}']
    got, said = answers(t, lines, code=1)
    e2e.expect_equal(len(got), 9, "answers")
    e2e.expect_equal([line["id"] for line in got if "error" not in line], ["a", 9], "good ones")
    for number in (2, 3, 5, 6, 7, 9):
        e2e.expect(f"line {number}: " in said, f"line {number} is not named in {said}")


def test_own_rules_go_first_and_are_checked(t):
    t.write("own.toml", 'version = 1\n[[rule]]\nid = "ours"\ncategory = "spam_content"\n'
                        "text = 'user unknown'\n")
    result = t.run("bounce", "reply", "--rules", "own.toml", "--json", "550 user unknown").expect_code(0)
    e2e.expect_equal(json.loads(result.out)["rule"], "ours", "rule")
    t.write("bad.toml", "version = 1\n[[rule]]\nid = \"a\"\ncategory = \"spam\"\ntext = 'x'\n")
    t.run("bounce", "reply", "--rules", "bad.toml", "550 x").expect_code(2).expect_says(
        r"bad\.toml:4", 'unknown category "spam"')
    t.run("bounce", "reply", "--rules", "none.toml", "550 x").expect_code(2).expect_says("none.toml")
    t.run("bounce", "reply").expect_code(2).expect_says("--jsonl")
    t.run("bounce", "reply", "--stage", "rcp", "550 x").expect_code(2).expect_says("no stage")


class SaysAsTheAddressDoes(FaultServer):
    REPLIES = {"unknown": "550 5.1.1 User unknown", "listed": "550 5.7.1 blocked using zen.spamhaus.org",
               "grey": "451 4.7.1 Greylisted, try again in 1 seconds", "good": "250 2.1.5 ok"}

    def __init__(self):
        super().__init__()
        self.seen = set()

    def on_rcpt(self, session, address, *unused):
        word = address.strip("<>").split("@")[0].split(".")[0]
        again = address in self.seen
        self.seen.add(address)
        return self.REPLIES["good" if word == "grey" and again else word]


def test_a_campaign_goes_by_categories(t):
    """Who does not exist bounces; a blocklist is nobody's fault but ours; greylisting is waited for."""
    words = ["unknown", "listed", "grey", "good"]
    to = t.write_list([("email", "name")] + [(f"{w}.{i}@example.test", "N") for w in words
                                             for i in range(5)], "words.csv")
    flags, _ = t.simple_campaign(1)
    flags[flags.index("--to") + 1] = to
    with SaysAsTheAddressDoes() as server:
        args = [*flags, "--via", server.url, "--name", "c", "--retry-for", "20s", "--retry-first", "15s"]
        child = t.start("send", "--json", "--no-progress", "--state", "state", *args)
        folder = t.dir / "state/campaigns/c"

        def events():
            path = folder / "events.jsonl"
            text = path.read_text() if path.exists() else ""
            return [json.loads(line) for line in text.splitlines() if line.endswith("}")]

        def delivered():
            return sum(event["event"] == "delivered" for event in events())

        e2e.wait_until(lambda: delivered() == 10, 15, "the greylisted ones after their second")
        found = {(e["recipient"].split(".")[0], e["event"], e.get("category")) for e in events()}
        wanted = {("unknown", "bounced", "recipient_unknown"), ("listed", "deferred", "ip_blocked"),
                  ("grey", "deferred", "greylisted"), ("grey", "delivered", None),
                  ("good", "delivered", None)}
        e2e.expect_equal(found, wanted, "events")
        result = t.finish(child, args, timeout=60).expect_code(1)
        # What was deferred for longer than we try has expired in the end.
        e2e.expect_equal((result.summary()["delivered"], result.summary()["bounced"]), (10, 10), "counts")
        e2e.expect_equal({e["recipient"].split(".")[0] for e in events() if e["event"] == "expired"},
                         {"listed"}, "expired")


if __name__ == "__main__":
    e2e.main()
