"""volley unsubscribe: POST suppresses, GET does not; wrong tokens, limits, TLS, mail from a pipe."""

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import sqlite3
import ssl
import stat

import e2e
import pki

ONE_CLICK = "List-Unsubscribe=One-Click"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
MULTIPART = {"Content-Type": 'multipart/form-data; boundary="xyz"'}
MULTIPART_BODY = ('--xyz\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n\r\n'
                  "One-Click\r\n--xyz--\r\n")
STATE = ["--state", "state"]


def suppressed(t, state="state"):
    """The rows of volley.db, as anybody can read them: address, list, reason, source, campaign."""
    path = t.dir / state / "volley.db"
    if not path.exists():
        return []
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        return db.execute("SELECT address, list, reason, source, campaign FROM suppression "
                          "ORDER BY id").fetchall()


def token(t, address, *flags):
    return t.run("unsubscribe", "token", *STATE, "--address", address, "--campaign", "november",
                 *flags).expect_code(0).out.strip()


class Endpoint:
    """A running `volley unsubscribe serve` on a port that the kernel picked."""

    def __init__(self, t, *flags, context=None):
        self.context = context
        self.args = ["unsubscribe", "serve", *STATE, "--listen", "127.0.0.1:0", "--json", *flags]
        self.process = t.start(*self.args)
        self.test = t
        line = ""
        while "listening on" not in line:  # a line before may say why there is no io_uring
            line = self.process.stderr.readline()
            e2e.expect(line, "it did not say where it listens")
        match = re.search(r"listening on (https?)://127\.0\.0\.1:(\d+)", line)
        e2e.expect(match, f"strange line: {line}")
        e2e.expect_equal(match[1], "https" if context else "http", "scheme")
        self.port = int(match[2])

    def ask(self, method, target, body=None, headers=None):
        """Status, headers (lower case) and text of the answer."""
        if self.context:
            connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=20,
                                                     context=self.context)
        else:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        with contextlib.closing(connection):
            connection.request(method, target, body=body, headers=headers or {})
            answer = connection.getresponse()
            return (answer.status, {k.lower(): v for k, v in answer.getheaders()},
                    answer.read().decode())

    def post(self, target, body=ONE_CLICK, headers=None):
        return self.ask("POST", target, body, FORM if headers is None else headers)

    def stop(self, how=signal.SIGTERM):
        """The JSON lines it wrote."""
        self.process.send_signal(how)
        result = self.test.finish(self.process, self.args, timeout=30).expect_code(0)
        return [json.loads(line) for line in result.out.splitlines()]


def test_looking_changes_nothing(t):
    endpoint = Endpoint(t)
    secret = token(t, "ann.lindstrom@example.org", "--list", "news.example.org")
    status, headers, page = endpoint.ask("GET", f"/u/{secret}")
    e2e.expect_equal(status, 200, "status of GET")
    e2e.expect("an***@example.org" in page and "ann.lindstrom" not in page, f"not masked:\n{page}")
    e2e.expect("news.example.org" in page and '<form method="post">' in page, page)
    e2e.expect(not re.search(r"(src|href|action)\s*=|https?://", page), f"foreign things:\n{page}")
    e2e.expect_equal(headers["cache-control"], "no-store", "Cache-Control")
    e2e.expect_equal(headers["referrer-policy"], "no-referrer", "Referrer-Policy")
    e2e.expect("default-src 'none'" in headers["content-security-policy"], headers)
    e2e.expect("set-cookie" not in headers and "location" not in headers, headers)
    status, head, nothing = endpoint.ask("HEAD", f"/u/{secret}")
    e2e.expect_equal((status, nothing, head["content-length"]), (200, "", headers["content-length"]),
                     "answer to HEAD")
    for method in ("PUT", "DELETE", "OPTIONS", "PATCH"):
        status, headers, _ = endpoint.ask(method, f"/u/{secret}", ONE_CLICK, FORM)
        e2e.expect_equal((status, headers["allow"]), (405, "GET, HEAD, POST"), method)
    e2e.expect_equal(suppressed(t), [], "suppressed")
    lines = endpoint.stop()
    e2e.expect_equal([line["event"] for line in lines], ["stopped"], "events")
    e2e.expect_equal((lines[0]["pages"], lines[0]["refused"]), (2, 4), "counts")


def test_posts_suppress_at_once_and_for_good(t):
    endpoint = Endpoint(t)
    wanted = []
    for i, (body, headers, source) in enumerate((
            (ONE_CLICK, FORM, "one-click"), (MULTIPART_BODY, MULTIPART, "one-click"),
            (ONE_CLICK, {}, "one-click"), ("confirm=unsubscribe", FORM, "page"))):
        secret = token(t, f"User{i}@Example.ORG", "--list", "news.example.org")
        for _ in range(2):  # the second changes nothing
            status, answer, text = endpoint.post(f"/any/path?t={secret}", body, headers)
            e2e.expect_equal(status, 200, f"status: {text}")
            e2e.expect("unsubscribed" in text and "location" not in answer, text)
            row = (f"user{i}@example.org", "news.example.org", "unsubscribe", source, "november")
            e2e.expect_equal(suppressed(t), wanted + [row], "suppressed")
        wanted.append(row)
    endpoint.post("/" + token(t, "everything@example.org"))
    wanted.append(("everything@example.org", "", "unsubscribe", "one-click", "november"))
    *changes, end = endpoint.stop(signal.SIGINT)
    e2e.expect_equal([(c["address"], c["list"], c["source"], c["campaign"]) for c in changes],
                     [(r[0], r[1], r[3], r[4]) for r in wanted], "changes that were told")
    e2e.expect_equal((end["unsubscribed"], end["repeated"]), (5, 4), "counts")
    again = Endpoint(t)
    status, _, _ = again.post("/" + token(t, "user0@example.org", "--list", "news.example.org"))
    e2e.expect_equal(status, 200, "status after the restart")
    e2e.expect_equal(suppressed(t), wanted, "suppressed after the restart")
    e2e.expect_equal(again.stop()[-1]["repeated"], 1, "repeated after the restart")


def test_chunked_and_expecting_clients_are_served(t):
    endpoint = Endpoint(t)
    secret = token(t, "ann@example.org")
    with socket.create_connection(("127.0.0.1", endpoint.port), 20) as s:
        s.sendall(f"POST /{secret} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
                  "Transfer-Encoding: chunked\r\n\r\n".encode())
        e2e.expect(s.recv(100).startswith(b"HTTP/1.1 100 "), "no 100 Continue")
        s.sendall(b"1a\r\nList-Unsubscribe=One-Click\r\n0\r\n\r\n")
        e2e.expect(s.recv(1000).startswith(b"HTTP/1.1 200 "), "not taken")
    e2e.expect_equal(len(suppressed(t)), 1, "suppressed")
    endpoint.stop()


def test_wrong_tokens_and_bodies_change_nothing(t):
    endpoint = Endpoint(t, "--rate", "0")
    secret = token(t, "ann@example.org")
    t.run("unsubscribe", "token", "--state", "other", "--address", "ann@example.org", "--campaign",
          "c").expect_code(0)
    forged = t.run("unsubscribe", "token", "--state", "other", "--address", "ann@example.org",
                   "--campaign", "november").out.strip()
    answers = set()
    for bad in (forged, secret[:-1], secret[1:], secret.swapcase(), secret + "A", "", "x" * 1900):
        status, _, text = endpoint.post(f"/u/{bad}")
        e2e.expect_equal(status, 404, f"status for token {bad!r}")
        answers.add(text)
    e2e.expect_equal(len(answers), 1, "different answers to bad tokens")
    for body, headers in (("", FORM), ("x=y", FORM), (ONE_CLICK, {"Content-Type": "text/plain"}),
                          (ONE_CLICK, MULTIPART), (MULTIPART_BODY, FORM), ("{}", {})):
        status, _, text = endpoint.post(f"/u/{secret}", body, headers)
        e2e.expect_equal(status, 400, f"status for body {body!r}: {text}")
    e2e.expect_equal(endpoint.post(f"/{secret}", "a" * 8193)[0], 413, "status for a big body")
    e2e.expect_equal(endpoint.post("/" + "a" * 4000)[0], 414, "status for a long address")
    e2e.expect_equal(suppressed(t), [], "suppressed")
    e2e.expect_equal(endpoint.post(f"/u/{secret}")[0], 200, "status of the good one")
    endpoint.stop()


def test_guessers_are_limited_and_proxied_clients_told_apart(t):
    endpoint = Endpoint(t, "--rate", "2", "--trust-proxy")
    secret = token(t, "ann@example.org")
    guesser = {"X-Forwarded-For": "198.51.100.1, 203.0.113.5"}
    codes = [endpoint.post("/u/nothing", ONE_CLICK, FORM | guesser)[0] for _ in range(5)]
    e2e.expect_equal(codes[:2], [404, 404], "the first guesses")
    # A guess costs ten requests and ten seconds' worth are allowed at once; time passes meanwhile.
    e2e.expect_equal(set(codes[3:]), {429}, "later guesses")
    status, headers, _ = endpoint.post(f"/u/{secret}", ONE_CLICK, FORM | guesser)
    e2e.expect_equal(status, 429, "the guesser's good token")
    e2e.expect(int(headers["retry-after"]) > 0, headers)
    e2e.expect_equal(suppressed(t), [], "suppressed")
    other = {"X-Forwarded-For": "203.0.113.5, 198.51.100.1"}
    e2e.expect_equal(endpoint.post(f"/u/{secret}", ONE_CLICK, FORM | other)[0], 200, "another client")
    e2e.expect(endpoint.stop()[-1]["rate_limited"] in (3, 4), "rate-limited")


def test_it_speaks_tls(t):
    certificates = pki.Pki(t.dir / "pki")
    context = ssl.create_default_context(cafile=str(certificates.ca.pem))
    endpoint = Endpoint(t, "--tls-certificate", certificates.server.pem, "--tls-key",
                        certificates.server.key, context=context)
    secret = token(t, "ann@example.org")
    e2e.expect_equal(endpoint.ask("GET", f"/{secret}")[0], 200, "status of GET")
    e2e.expect_equal(suppressed(t), [], "suppressed by GET")
    e2e.expect_equal(endpoint.post(f"/{secret}")[0], 200, "status of POST")
    e2e.expect_equal(len(suppressed(t)), 1, "suppressed by POST")
    endpoint.stop()
    t.run("unsubscribe", "serve", *STATE, "--listen", "0.0.0.0:0").expect_code(2).expect_says(
        "0.0.0.0", "without TLS")


def test_keys_are_rotated_while_it_runs(t):
    old = token(t, "old@example.org")
    endpoint = Endpoint(t, "--rate", "0")
    key = t.dir / "state" / "unsubscribe.key"
    e2e.expect_equal(stat.S_IMODE(key.stat().st_mode), 0o600, "mode of the key file")
    key.write_text("2 " + os.urandom(32).hex() + "\n" + key.read_text())
    new = token(t, "new@example.org")
    e2e.wait_until(lambda: endpoint.ask("GET", f"/{new}")[0] == 200, 20, "the new key")
    e2e.expect_equal(endpoint.ask("GET", f"/{old}")[0], 200, "status with the old key's token")
    endpoint.stop()
    key.chmod(0o644)
    t.run("unsubscribe", "serve", *STATE).expect_code(1).expect_says("chmod 600")


def test_mail_is_taken_from_a_pipe(t):
    def mail(text, *flags, state="state"):
        child = t.start("unsubscribe", "mail", "--state", state, "--json", *flags, stdin=-1)
        out, err = child.communicate(text, timeout=30)
        return e2e.Result(["unsubscribe", "mail"], child.returncode, out, err)

    ann, bob = token(t, "ann@example.org", "--list", "news.example.org"), token(t, "bob@b.org")
    result = mail("From: Ann <ann@example.org>\r\nTo: unsubscribe@example.org\r\n"
                  f"Subject: RE:\r\n Unsubscribe-{ann}\r\n\r\nplease\r\n" + "x" * 1000000)
    result.expect_code(0)
    e2e.expect_equal(json.loads(result.out),
                     {"event": "unsubscribed", "address": "ann@example.org",
                      "list": "news.example.org", "campaign": "november", "source": "mailto"},
                     "what was said")
    mail(f"Delivered-To: unsub+{bob}@example.org\nSubject: hello\n\n").expect_code(0)
    e2e.expect_equal(suppressed(t),
                     [("ann@example.org", "news.example.org", "unsubscribe", "mailto", "november"),
                      ("bob@b.org", "", "unsubscribe", "mailto", "november")], "suppressed")
    again = mail(f"Subject: unsubscribe-{ann}\n\n").expect_code(0)
    e2e.expect_equal(again.out, "", "said about a repetition")
    mail("Subject: unsubscribe me\n\nnow\n").expect_code(65).expect_says("no unsubscribe token")
    mail("Subject: unsubscribe me\n\nnow\n", "--discard-unknown").expect_code(0)
    (t.dir / "broken").mkdir()
    (t.dir / "broken" / "volley.db").write_bytes(b"x" * 10000)
    mail(f"Subject: unsubscribe-{ann}\n\n", state="broken").expect_code(75).expect_says("volley.db")
    e2e.expect_equal(len(suppressed(t)), 2, "suppressed in the end")


def test_the_next_message_of_a_running_campaign_is_not_sent(t):
    flags, addresses = t.simple_campaign(1000)
    sink = e2e.Sink(t, "--reply-latency", "20ms")
    endpoint = Endpoint(t)
    args = ["send", "--json", "--no-progress", *STATE, *flags, "--via", sink.url, "--connections",
            "2", "--unsubscribe-url", "https://u.example.org/u/{{token}}"]
    child = t.start(*args)
    e2e.wait_until(lambda: len(sink.lines()) >= 50, 30, "the first messages")
    late = addresses[-1]
    e2e.expect_equal(endpoint.post("/" + token(t, late))[0], 200, "status of the opt-out")
    result = t.finish(child, args, timeout=120).expect_code(0)
    sink.stop()
    e2e.expect_equal(result.summary()["suppressed"], 1, "suppressed")
    e2e.expect(late not in sink.recipients(), "who opted out was mailed")
    e2e.expect_equal(len(sink.recipients()), len(addresses) - 1, "mailed")
    endpoint.stop()


if __name__ == "__main__":
    e2e.main()
