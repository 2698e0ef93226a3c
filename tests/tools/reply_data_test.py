"""A campaign to servers that answer as providers do: every refusal gets its category, and what is to be
done about that category is done.

Each recipient stands for one row of a table of replies and gets that reply, whenever he is tried, at
that row's stage: from shared data (replies.tsv: the rows that developers may see), where it is there, and
from a small table of our own. Providers are told apart by their MX hosts, which a name server of the test
names. The same list is mailed five times, so that what suppresses after two, three or five is seen too.
"""

import collections
import contextlib
import csv
import dataclasses
import enum
import json
import os
import pathlib
import time

import e2e
import mta
import pki
from dns_server import DnsServer
from fault_server import FaultServer, Hangup

CAMPAIGNS = 5
RETRY_FOR = 3  # seconds
LEAST_SHARE_RIGHT = 0.95


class Again(enum.Enum):
    """Is he tried again after a 4yz, and after a 5yz? None: as one likes."""

    BY_CODE = (True, False)  # RFC 5321 §4.2.1
    ALWAYS = (True, True)    # it is about us or the moment, and says nothing of him
    HARD = (None, False)
    SOFT = (True, None)


@dataclasses.dataclass(frozen=True)
class Duty:
    """What is to be done about a category."""

    again: Again = Again.BY_CODE
    suppress_after: int = 0  # campaigns that he has bounced in; 0: never


# The taxonomy's column "action", in its order.
DUTIES = {
    "recipient_unknown": Duty(Again.HARD, 1),
    "recipient_moved": Duty(Again.HARD, 1),
    "recipient_inactive": Duty(Again.HARD, 2),
    "recipient_filtered": Duty(),
    "mailbox_full": Duty(Again.SOFT, 3),
    "domain_invalid": Duty(Again.HARD),  # suppressed where DNS says so: DNS_SAYS_SO
    "dns_failure": Duty(),
    "connect_failure": Duty(),
    "tls_failure": Duty(),
    "rate_limited": Duty(Again.ALWAYS),
    "greylisted": Duty(Again.ALWAYS),
    "ip_blocked": Duty(Again.ALWAYS),
    "reputation": Duty(Again.ALWAYS),
    "spam_content": Duty(),
    "content_rejected": Duty(),
    "virus_attachment": Duty(),
    "message_too_large": Duty(),
    "auth_failure": Duty(),
    "ptr_missing": Duty(Again.ALWAYS),
    "noncompliant": Duty(),
    "policy": Duty(),
    "sender_rejected": Duty(),
    "relay_denied": Duty(),
    "protocol_error": Duty(),
    "remote_system": Duty(),
    "unknown": Duty(suppress_after=5),
}
DNS_SAYS_SO = {"5.1.2", "5.1.10"}  # no such domain (RFC 3463 §3.2), null MX (RFC 7505)

# The MX hosts of a provider are below this name; those of others are their own.
MX_SUFFIXES = {
    "apple": "mail.icloud.com", "barracuda": "ess.barracudanetworks.com", "comcast": "comcast.net",
    "exchangeonline": "mail.protection.outlook.com", "gmx": "gmx.net", "google": "google.com",
    "mimecast": "mimecast.com", "orange": "orange.fr", "outlook": "olc.protection.outlook.com",
    "qq": "qq.com", "webde": "web.de", "yahoo": "am0.yahoodns.net",
}


@dataclasses.dataclass(frozen=True)
class Row:
    id: str  # the recipient's local part
    provider: str
    stage: str  # connect, mail, rcpt, data (what DATA or the dot is answered with)
    code: int
    enhanced: str  # "": none
    text: str
    right: frozenset  # categories

    @property
    def reply(self):
        return " ".join(filter(None, (str(self.code), self.enhanced, self.text)))

    # After these the connection is of no use, or they come before a recipient is named.
    @property
    def needs_servers_of_its_own(self):
        return self.code == 421 or self.is_about_the_session or self.needs_an_address

    # RFC 4954 §6, RFC 3207 §4: no mail at all in this session, whoever it is for. What is logged is
    # the end of the session.
    @property
    def is_about_the_session(self):
        return self.code == 530

    @property
    def needs_an_address(self):
        return self.stage in ("connect", "mail")

    @property
    def domain(self):
        domain = f"{self.provider}.example"
        return f"{self.id}.{domain}" if self.needs_servers_of_its_own else domain

    @property
    def mx(self):
        suffix = MX_SUFFIXES.get(self.provider, f"mail.{self.provider}.example")
        return f"mx-{self.id}.{suffix}" if self.needs_servers_of_its_own else f"mx.{suffix}"

    @property
    def address(self):
        return f"{self.id}@{self.domain}"


def row(name, provider, stage, reply, *right):
    code, enhanced, text = reply.split(" ", 2)
    enhanced = "" if enhanced == "-" else enhanced
    return Row(name, provider, stage, int(code), enhanced, text, frozenset(right))


OWN_ROWS = [
    row("gone", "google", "rcpt", "550 5.1.1 The account you wrote to does not exist", "recipient_unknown"),
    row("left", "own", "rcpt", "551 5.1.6 The user has moved to another company", "recipient_moved"),
    row("asleep", "outlook", "rcpt", "550 5.2.1 This mailbox is disabled", "recipient_inactive"),
    row("full", "gmx", "rcpt", "552 5.2.2 mailbox full, quota exceeded", "mailbox_full"),
    row("fuller", "own", "data", "452 4.2.2 The mailbox is over quota", "mailbox_full"),
    row("grey", "own", "rcpt", "450 4.2.0 Greylisted, try again in 2 seconds", "greylisted"),
    row("listed", "yahoo", "mail", "554 5.7.1 Your IP address is listed by a DNSBL", "ip_blocked"),
    row("nameless", "comcast", "connect", "554 - No PTR record for your address", "ptr_missing"),
    row("fast", "google", "rcpt", "421 4.7.28 An unusual rate of mail comes from you", "rate_limited"),
    row("big", "own", "rcpt", "552 5.3.4 The message exceeds the maximum size", "message_too_large"),
    row("many", "own", "rcpt", "552 - Too many recipients", "rate_limited"),  # RFC 5321 §4.5.3.1.10
    row("spam", "own", "data", "554 5.7.1 Rejected as spam", "spam_content"),
    row("odd", "own", "rcpt", "554 - Schlüssel verlegt", "unknown"),
]


def shared_rows():
    path = pathlib.Path(os.environ.get("VOLLEY_SHARED_DATA_DIR", "/nonexistent"), "replies/replies.tsv")
    if not path.is_file():
        raise e2e.Skip("the shared data with providers' replies is not there (VOLLEY_SHARED_DATA_DIR)")
    with open(path, newline="", encoding="utf-8") as f:
        lines = list(csv.DictReader(f, delimiter="\t", quoting=csv.QUOTE_NONE))
    return [Row(f"r{i}", line["provider"], "rcpt" if line["stage"] == "-" else line["stage"],
                int(line["code"]), line["enhanced"].replace("-", ""), line["text"],
                frozenset([line["category"], *line["accept"].split("|")]) - {"-"})
            for i, line in enumerate(lines)]


# --- The servers ---


class Provider(FaultServer):
    """All of them at one address; `only`: answers everybody with this row."""

    def __init__(self, rows, certificate, only=None, **listen):
        super().__init__(certificate, **listen)
        self.rows, self.only = {r.address: r for r in rows}, only
        self.tries = collections.Counter()  # by row id, where its reply was said

    def refuse(self, session, found):
        """421 ends the connection."""
        with self.lock:
            self.tries[found.id] += 1
        if found.code == 421 or found.stage == "connect":
            session.say(found.reply)
            raise Hangup()
        return found.reply

    def at(self, stage):
        return self.only if self.only is not None and self.only.stage == stage else None

    def on_greeting(self, session):
        only = self.at("connect")
        return self.refuse(session, only) if only else super().on_greeting(session)

    def on_mail(self, session, address):
        only = self.at("mail")
        return self.refuse(session, only) if only else super().on_mail(session, address)

    def on_rcpt(self, session, address):
        session.last_recipient = address  # whose content is to come
        found = self.rows[address]
        return self.refuse(session, found) if found.stage == "rcpt" else super().on_rcpt(session, address)

    def on_content(self, session, content):
        return self.refuse(session, self.rows[session.last_recipient])


@contextlib.contextmanager
def servers_for(t, rows):
    """Yields the port and the zone. Who refuses before a recipient is named has an address of his own."""
    certificate = pki.Pki(t.dir / "pki").server  # some providers are not mailed without TLS
    port = mta.free_port()
    own_address = {r.id: f"127.0.0.{n}" for n, r in enumerate((r for r in rows if r.needs_an_address), 20)}
    zone = {}
    for r in rows:
        zone[r.domain] = {"MX": [(10, r.mx)]}
        zone[r.mx] = {"A": [own_address.get(r.id, "127.0.0.2")]}
    with contextlib.ExitStack() as stack:
        servers = [Provider(rows, certificate, address="127.0.0.2", port=port)]
        servers += [Provider(rows, certificate, only=r, address=own_address[r.id], port=port)
                    for r in rows if r.id in own_address]
        for server in servers:
            stack.enter_context(server)
        dns = stack.enter_context(DnsServer(zone))
        yield dns, port, servers


# --- The books ---


@dataclasses.dataclass
class Story:
    """What one campaign's books say of one recipient."""

    tries: list  # events of tries
    end: dict    # the last event


def events_of(t, name):
    path = t.dir / "state" / "campaigns" / name / "events.jsonl"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def stories(t, name, addresses):
    """Every recipient has come to exactly one end, which is his last event."""
    by_address = collections.defaultdict(list)
    for event in events_of(t, name):
        by_address[event["recipient"]].append(event)
    e2e.expect_equal(set(by_address), set(addresses), f"who has events in {name}")
    for address, events in by_address.items():
        kinds = [e["event"] for e in events]
        ends = [k for k in kinds if k != "deferred"]
        e2e.expect(len(ends) == 1 and kinds[-1] == ends[0], f"{address} in {name} has the events {kinds}")
    return {a: Story([e for e in events if e["event"] != "dropped"], events[-1])
            for a, events in by_address.items()}


def expect_undelivered(t, name, told):
    """undelivered.csv has one line for each, with his outcome and code."""
    with open(t.dir / "state" / "campaigns" / name / "undelivered.csv", newline="", encoding="utf-8") as f:
        lines = list(csv.DictReader(f))
    e2e.expect_same_multiset([line["address"] for line in lines], list(told), f"undelivered.csv of {name}")
    for line in lines:
        end = told[line["address"]].end
        codes = (str(end.get("code", "")), end.get("enhanced"))
        wanted = ("bounced", " ".join(filter(None, codes)))
        e2e.expect_equal((line["outcome"], line["code"]), wanted, f"{line['address']} in undelivered.csv")


def suppressed(t):
    result = t.run("suppress", "list", "--limit", "0", "--json", "--state", "state").expect_code(0)
    return {entry["address"]: entry for entry in map(json.loads, result.out.splitlines())}


# --- What must be ---


def suppress_after(category, enhanced):
    if category == "domain_invalid":
        return 1 if enhanced in DNS_SAYS_SO else 0
    return DUTIES[category].suppress_after


STAGE_NAMES = {"connect": "greeting", "mail": "MAIL", "rcpt": "RCPT", "data": "end of data"}


def wrong_records(r, event):
    """What is not told as it was: the words, the codes, what it answered."""
    words = " ".join(r.text.split())[:40]
    if words not in event.get("reply", ""):
        yield f"the words {event.get('reply')!r} instead of {words!r}"
    if r.is_about_the_session:
        return
    # RFC 2034 §4: the two classes must be the same, or it is not an enhanced code.
    enhanced = r.enhanced if r.enhanced[:1] == str(r.code)[0] else ""
    wanted = (STAGE_NAMES[r.stage], r.code, enhanced)
    got = (event["stage"], event.get("code"), event.get("enhanced", ""))
    if got != wanted:
        yield f"stage and codes {got} instead of {wanted}"


def wrong_tries(r, story):
    """Tried again though he must not be, or not though he must be."""
    category = story.end["category"]
    if category not in DUTIES:
        yield f"no such category: {category}"
        return
    again = Again.ALWAYS if r.is_about_the_session else DUTIES[category].again
    wanted = again.value[r.code // 100 == 5]
    tries = [e["event"] for e in story.tries]
    expected = (True, "expired") if wanted else (False, "bounced")
    if wanted is not None and (len(tries) > 1, tries[-1]) != expected:
        yield f"{category} with the tries {tries}"


def wrong_load(story, said):
    """A reply is an answer: each try that is told of was one connection's, not many."""
    if said > len(story.tries):
        yield f"the reply was heard {said} times in {len(story.tries)} tries"


def expect_categories(rows, told, least_share):
    wrong = [r for r in rows if told[r.address].tries[0].get("category") not in r.right]
    for r in wrong:
        event = told[r.address].tries[0]
        print(f"        {r.id}: {event.get('category')} by {event.get('rule')} instead of "
              f"{'|'.join(sorted(r.right))}: {r.reply[:110]}", flush=True)
    share = 1 - len(wrong) / len(rows)
    print(f"        {len(rows) - len(wrong)} of {len(rows)} categories right ({share:.1%})", flush=True)
    e2e.expect(share >= least_share, f"{share:.1%} of the categories are right, not {least_share:.0%}")


def expect_told_and_done(rows, told, servers):
    said = sum((s.tries for s in servers), collections.Counter())
    wrong = []
    for r in rows:
        story = told[r.address]
        for why in (*wrong_records(r, story.tries[0]), *wrong_tries(r, story),
                    *wrong_load(story, said[r.id])):
            wrong.append(f"{r.id} ({r.reply[:50]}): {why}")
    e2e.expect(not wrong, f"{len(wrong)} wrong:\n" + "\n".join(wrong[:40]))


def expect_suppressed(t, number, firsts, dead_domains):
    """After campaign `number`, from 1: those whose categories are to be by now, with their reasons."""
    wanted = {a: "domain_invalid" for a in dead_domains}
    for address, end in firsts.items():
        after = suppress_after(end["category"], end.get("enhanced"))
        if 0 < after <= number:
            wanted[address] = end["category"]
    got = {address: entry["reason"] for address, entry in suppressed(t).items()}
    e2e.expect_equal(got, wanted, f"the suppression list after campaign {number}")
    return wanted


# --- The campaigns ---


def send(t, number, addresses, dns, port):
    to = t.write_list([("email",)] + [(a,) for a in addresses])
    text = t.write("hello.txt", "Hello\n")
    result = t.send("--name", f"c{number}", "--from", "Sender <sender@example.org>", "--to", to,
                    "--subject", "Hello", "--text", text, "--kind", "transactional", "--via", "mx", "--dns-server",
                    dns.address, "--mx-port", port, "--mx-loopback", "--preflight-dns", "off", "--ignore",
                    "dkim-not-signed", "--fixed-limits", "--breaker", "off", "--retry-first", "1s",
                    "--retry-for", f"{RETRY_FOR}s", "--connections", "20")
    return result.expect_code(1)


def campaigns(t, rows, least_share):
    dead = ["ann@gone-domain.example", "bob@null-domain.example"]
    addresses = [r.address for r in rows] + dead
    with servers_for(t, rows) as (dns, port, servers):
        dns.zone["null-domain.example"] = {"MX": [(0, ".")]}
        begin = time.monotonic()
        send(t, 1, addresses, dns, port).expect_counts(bounced=len(addresses))
        told = stories(t, "c1", addresses)
        print(f"        campaign 1: {time.monotonic() - begin:.1f} s, "
              f"{sum(s.connections for s in servers)} connections", flush=True)
        expect_undelivered(t, "c1", told)
        expect_categories(rows, told, least_share)
        expect_told_and_done(rows, told, servers)
        firsts = {r.address: told[r.address].end for r in rows}
        out = expect_suppressed(t, 1, firsts, dead)
        for number in range(2, CAMPAIGNS + 1):
            result = send(t, number, addresses, dns, port)
            result.expect_counts(bounced=len(addresses) - len(out), suppressed=len(out))
            out = expect_suppressed(t, number, firsts, dead)
        e2e.expect_equal([a for s in servers for a in s.accepted], [], "mail that was taken")


def test_replies_of_our_own(t):
    campaigns(t, OWN_ROWS, 1.0)


def test_replies_of_providers(t):
    campaigns(t, shared_rows(), LEAST_SHARE_RIGHT)


if __name__ == "__main__":
    e2e.main()
