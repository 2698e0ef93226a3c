"""A password or token never shows: not in what volley prints, writes or is seen to run as.

Every place a secret can come from, servers that repeat what they were told, commands and files that
are wrong. What is searched: standard output and error (with progress and with --json), every file
below the test's folder that volley wrote, its command line and environment while it runs. What is
searched for: the secret and its halves, plain, URL-encoded, escaped, in hexadecimal, and in base64 at
each of the three offsets it can have within a SASL message.
"""

import base64
import json
import os
import pathlib
import shutil
import threading
import urllib.parse

import e2e
import pki
from fault_server import FaultServer, TokenEndpoint

USER = "relay@sender.test"
# Whatever an escaping could trip over; no part of it is a word.
PASSWORD = 'Zq7"kW\\vX+t%4J/é Yb9{{u}}\'Hf2$gN&<m>Rp5'
TOKEN = "ya29.Zq7kWvX-t4J_Yb9~uHf2gNmRp5+Qc8/Ld3=="


# --- The search ---


def base64_forms(raw):
    """Of `raw` in the midst of something longer: the characters that depend on it alone."""
    for offset in range(3):
        text = base64.b64encode(b"\0" * offset + raw).decode()
        first = (offset * 8 + 5) // 6
        last = (offset + len(raw)) * 8 // 6
        yield text[first:last]
        yield text[first:last].replace("+", "-").replace("/", "_")


def forms(secret):
    half = len(secret) // 2
    for part in (secret, secret[:half], secret[half:]):
        raw = part.encode()
        yield part
        yield urllib.parse.quote(part, safe="")
        yield urllib.parse.quote_plus(part)
        yield json.dumps(part)[1:-1]
        yield json.dumps(part, ensure_ascii=False)[1:-1]
        yield part.replace("\\", "\\\\").replace("'", "\\'").replace('"', '\\"')
        yield raw.hex()
        yield raw.hex().upper()
        yield from base64_forms(raw)


def found_in(data, secret):
    """The forms of the secret that are in `data` (bytes)."""
    return sorted({form for form in forms(secret) if form.encode() in data})


class Seen:
    """Everything that came out of volley, by where it was seen."""

    def __init__(self, secret):
        self.secret = secret
        self.places = {}

    def add(self, place, data):
        self.places[place] = data if isinstance(data, bytes) else data.encode()

    def add_result(self, result):
        self.add("standard output", result.out)
        self.add("standard error", result.err)

    def add_files(self, t, *known):
        """What volley wrote: all that is not `known` to be the test's own."""
        own = {pathlib.Path(k).resolve() for k in known}
        for path in t.dir.rglob("*"):
            if path.is_file() and path.resolve() not in own:
                self.add(str(path.relative_to(t.dir)), path.read_bytes())

    def expect_clean(self):
        for place, data in self.places.items():
            found = found_in(data, self.secret)
            e2e.expect(not found, f"the secret is in {place}, as {found}:\n{data[-2000:]!r}")


def test_the_search_finds_what_it_must(t):
    """Otherwise every other test here would pass."""
    login = base64.b64encode(f"\0{USER}\0{PASSWORD}".encode())
    xoauth2 = base64.b64encode(f"user={USER}\1auth=Bearer {TOKEN}\1\1".encode())
    for secret, data in ((PASSWORD, PASSWORD.encode()), (PASSWORD, login), (TOKEN, xoauth2),
                         (PASSWORD, login[:60]), (TOKEN, xoauth2[-50:]),
                         (PASSWORD, f"password={urllib.parse.quote(PASSWORD)}".encode()),
                         (PASSWORD, json.dumps({"a": PASSWORD}).encode()),
                         (PASSWORD, base64.b64encode(PASSWORD.encode())),
                         (PASSWORD, PASSWORD.encode().hex().encode())):
        e2e.expect(found_in(b"before " + data + b" after", secret), f"not found in {data!r}")
    e2e.expect_equal(found_in(base64.b64encode(os.urandom(100000)), PASSWORD), [], "found in noise")


# --- Where secrets come from ---


def secret_file(t, secret, name="the-secret"):
    path = t.dir / name
    path.touch(mode=0o600)
    path.write_text(secret + "\n")
    return path


def sources(t, kind, secret):
    """Flags and environment for each place; `kind` is password or token."""
    path = secret_file(t, secret)
    return {"file": ([f"--{kind}-file", path], {}),
            "env": ([f"--{kind}-env", "VOLLEY_TEST_SECRET"], {"VOLLEY_TEST_SECRET": secret}),
            "command": ([f"--{kind}-command", f"cat {path}"], {})}


class Repeats(FaultServer):
    """Repeats the log-in in its answer, as text and as it came; `code` says how it ends."""

    def __init__(self, t, mechanism, code):
        self.certificates = pki.Pki(t.dir / "pki")
        super().__init__(self.certificates.server)
        self.mechanisms, self.code = (mechanism,), code
        self.said = b""
        self.may_go_on = threading.Event()
        self.may_go_on.set()

    def repeat(self, mechanism, user, secret):
        message = {"PLAIN": f"\0{user}\0{secret}", "LOGIN": secret,
                   "XOAUTH2": f"user={user}\1auth=Bearer {secret}\1\1"}[mechanism]
        line = base64.b64encode(message.encode()).decode()
        return f"you said AUTH {mechanism} {line} which is {user} with {secret}, {secret.encode().hex()}"

    def on_auth(self, session, mechanism, user, secret):
        words = self.repeat(mechanism, user, secret)
        self.said += words.encode()
        return f"{self.code}-5.7.8 {words}\r\n{self.code} 5.7.8 {words}"

    def oauth_error(self, user, secret):
        return json.dumps({"status": "401", "scope": self.repeat("XOAUTH2", user, secret)}).encode()

    def on_content(self, session, content):
        self.may_go_on.wait(30)
        return super().on_content(session, content)


def flags(t, server, *login, count=20):
    campaign, _ = t.simple_campaign(count)
    return ["send", "--state", "state", *campaign, "--via", server.url, "--ca-file",
            server.certificates.ca.pem, "--connections", "2", "--messages-per-connection", "5",
            "--user", USER, *login]


def forget(t, *folders):
    for folder in folders:
        shutil.rmtree(t.dir / folder, ignore_errors=True)


def look_at_process(child, seen):
    for name in ("cmdline", "environ", "comm"):
        seen.add(f"/proc/PID/{name}", pathlib.Path(f"/proc/{child.pid}/{name}").read_bytes())


def run(t, server, secret, login, environment, *more, look=False):
    """One run; what came out of it, searched."""
    seen = Seen(secret)
    args = [*flags(t, server, *login), *more]
    if look:
        server.may_go_on.clear()
    child = t.start(*args, env=os.environ | environment)
    if look:
        # With a message under way the log-in is over, but nothing that belongs to it is forgotten.
        e2e.wait_until(lambda: server.attempts, 20, "a log-in")
        look_at_process(child, seen)
        server.may_go_on.set()
    result = t.finish(child, args, timeout=60)
    seen.add_result(result)
    seen.add_files(t, t.dir / "the-secret")
    seen.expect_clean()
    e2e.expect(any(a[3] == secret for a in server.attempts), f"it was never sent\n{result}")
    return result


def all_is_well(t, kind, secret, mechanism, source):
    """A campaign that is delivered, at each verbosity there is, and looked at while it runs."""
    login, environment = sources(t, kind, secret)[source]
    for more in (["--json"], ["--no-progress"], []):
        with Repeats(t, mechanism, "235") as server:
            run(t, server, secret, login, environment, *more, look=True).expect_code(0)
            e2e.expect(found_in(server.said, secret), "the server repeated nothing")
        forget(t, "pki", "state")


def test_password_from_a_file(t):
    all_is_well(t, "password", PASSWORD, "PLAIN", "file")


def test_password_from_the_environment(t):
    all_is_well(t, "password", PASSWORD, "PLAIN", "env")


def test_password_from_a_command(t):
    all_is_well(t, "password", PASSWORD, "LOGIN", "command")


def test_token_from_a_file(t):
    all_is_well(t, "token", TOKEN, "XOAUTH2", "file")


def test_token_from_the_environment(t):
    all_is_well(t, "token", TOKEN, "XOAUTH2", "env")


def test_token_from_a_command(t):
    all_is_well(t, "token", TOKEN, "XOAUTH2", "command")


# --- Servers that repeat it ---


def refused(t, kind, secret, mechanism, code):
    for more in (["--json"], []):
        login, environment = sources(t, kind, secret)["file"]
        with Repeats(t, mechanism, code) as server:
            result = run(t, server, secret, login, environment, *more).expect_code(1)
            result.expect_says(code)  # the rest of the reply is worth reading
        forget(t, "pki", "state")


def test_535_that_repeats_a_password_sent_as_plain(t):
    refused(t, "password", PASSWORD, "PLAIN", "535")


def test_535_that_repeats_a_password_sent_as_login(t):
    refused(t, "password", PASSWORD, "LOGIN", "535")


def test_535_that_repeats_a_token(t):
    refused(t, "token", TOKEN, "XOAUTH2", "535")


def test_454_that_repeats_a_password(t):
    refused(t, "password", PASSWORD, "PLAIN", "454")


def test_nonsense_that_repeats_a_password(t):
    """Not even a reply: what a protocol error shows of it."""
    class Nonsense(Repeats):
        def on_auth(self, session, mechanism, user, secret):
            return self.repeat(mechanism, user, secret)
    login, environment = sources(t, "password", PASSWORD)["file"]
    with Nonsense(t, "PLAIN", "") as server:
        run(t, server, PASSWORD, login, environment).expect_code(1)


class RepeatsLater(Repeats):
    """Good for one connection: then the refusal is a notice in a running campaign."""

    def on_auth(self, session, mechanism, user, secret):
        self.code = "235" if session.number == 1 or session.number > 3 else "454"
        return super().on_auth(session, mechanism, user, secret)


def test_a_notice_in_mid_campaign(t):
    login, environment = sources(t, "password", PASSWORD)["file"]
    with RepeatsLater(t, "PLAIN", "") as server:
        result = run(t, server, PASSWORD, login, environment).expect_code(0)
        result.expect_says("454")


# --- Mistakes ---


def expect_clean_failure(t, args, secret, *known, environment=None, code=2):
    seen = Seen(secret)
    child = t.start(*args, env=os.environ | (environment or {}))
    result = t.finish(child, args, timeout=60).expect_code(code)
    e2e.expect(result.err.strip(), f"it failed without a word\n{result}")
    seen.add_result(result)
    seen.add_files(t, *known)
    seen.expect_clean()
    return result


class Nowhere:
    """Never connected to: the mistake is found before."""

    url = "smtp://127.0.0.1:9"

    def __init__(self, t):
        self.certificates = pki.Pki(t.dir / "pki")


def mistaken(t, *login, secret=PASSWORD, environment=None):
    args = flags(t, Nowhere(t), *login)
    known = [t.dir / "the-secret"]
    return expect_clean_failure(t, args, secret, *known, environment=environment)


def test_a_file_that_others_can_read(t):
    path = secret_file(t, PASSWORD)
    path.chmod(0o644)
    mistaken(t, "--password-file", path).expect_says("the-secret", "read")


def test_a_file_with_two_lines(t):
    path = secret_file(t, f"{PASSWORD}\n{PASSWORD}")
    mistaken(t, "--password-file", path).expect_says("the-secret", "line")


def test_a_file_that_is_too_long(t):
    path = secret_file(t, PASSWORD * 3000)
    mistaken(t, "--password-file", path).expect_says("the-secret")


def test_a_token_with_a_space(t):
    path = secret_file(t, f"{TOKEN} {TOKEN}")
    mistaken(t, "--token-file", path, secret=TOKEN).expect_says("the-secret", "token")


def test_a_token_file_with_broken_json(t):
    path = secret_file(t, '{"access_token": "' + TOKEN + '", "expires_in": }')
    mistaken(t, "--token-file", path, secret=TOKEN).expect_says("the-secret")


def test_a_command_that_prints_it_and_fails(t):
    path = secret_file(t, PASSWORD)
    mistaken(t, "--password-command", f"cat {path}; exit 3").expect_says("3")


def test_a_command_that_prints_too_much(t):
    path = secret_file(t, PASSWORD)
    mistaken(t, "--password-command", f"cat {path} {path}").expect_says("line")


def test_the_secret_in_place_of_the_name_of_a_variable(t):
    """"--password-env $SMTP_PASSWORD": the shell has put the password where its name belongs."""
    mistaken(t, "--password-env", PASSWORD).expect_says("password-env|environment variable")


def test_a_password_in_the_url(t):
    server = Nowhere(t)
    server.url = f"smtp://relay:{urllib.parse.quote(PASSWORD, safe='')}@127.0.0.1:9"
    args = flags(t, server)
    expect_clean_failure(t, args, PASSWORD).expect_says("password")


def write_campaign(t, relay, via=Nowhere.url):
    t.simple_campaign(3)
    return t.write("campaign.toml", "[campaign]\nfrom = 'a@example.test'\nsubject = 'x'\n"
                   "text = 'hello.txt'\nrecipients = 'list.csv'\nkind = 'transactional'\n[relay]\n"
                   f"via = '{via}'\nuser = '{USER}'\n{relay}\n")


def mistaken_campaign(t, relay, secret=PASSWORD):
    path = write_campaign(t, relay)
    return expect_clean_failure(t, ["send", "--state", "state", path], secret, path)


def test_a_password_in_the_campaign_file(t):
    mistaken_campaign(t, f"password = {json.dumps(PASSWORD)}").expect_says("password")


def test_a_password_in_the_campaign_file_without_quotes(t):
    mistaken_campaign(t, f"password = {PASSWORD}").expect_says(r"campaign\.toml:\d+: ")


def test_a_password_in_the_campaign_file_where_a_table_belongs(t):
    mistaken_campaign(t, f"oauth2 = {json.dumps(PASSWORD)}").expect_says("oauth2")


# --- The refresh flow of OAuth2 ---


OAUTH2 = """\
[relay.oauth2]
token_url = "{url}"
client_id = "volley-test"
client_secret_file = "client-secret"
refresh_token_file = "refresh-token"
"""
REFRESH = {"client-secret": "GOCSPX-Qw8eRt5Yu2Io", "refresh-token": "1//0gLk7Jh4Gf1Ds_Zx9Cv6Bn3M"}


class RefusesRefresh(TokenEndpoint):
    def answer(self):
        words = " ".join(self.requests[-1].values())
        return 400, {"error": "invalid_grant", "error_description": f"you said {words}"}


def refresh(t, server, endpoint, exit_code, *searched):
    for name, secret in REFRESH.items():
        secret_file(t, secret, name)
    path = write_campaign(t, f"ca_file = '{server.certificates.ca.pem}'\n"
                          + OAUTH2.format(url=endpoint.url), via=server.url)
    result = t.run("send", "--state", "state", path, timeout=60).expect_code(exit_code)
    for secret in (*REFRESH.values(), *searched):
        seen = Seen(secret)
        seen.add_result(result)
        seen.add_files(t, *(t.dir / name for name in REFRESH))
        seen.expect_clean()
    e2e.expect_equal({endpoint.requests[-1][k.replace("-", "_")] for k in REFRESH},
                     set(REFRESH.values()), "secrets that the token endpoint got")
    return result


def test_what_refreshes_a_token(t):
    class Gives(TokenEndpoint):
        def answer(self):
            return 200, {"access_token": TOKEN, "expires_in": 3600, "refresh_token": "1//" + TOKEN}
    with Repeats(t, "XOAUTH2", "235") as server, Gives() as endpoint:
        refresh(t, server, endpoint, 0, TOKEN)
        e2e.expect_equal(server.attempts[0][3], TOKEN, "the token at the server")


def test_a_token_endpoint_that_repeats_it(t):
    with Repeats(t, "XOAUTH2", "235") as server, RefusesRefresh() as endpoint:
        refresh(t, server, endpoint, 2).expect_says("token endpoint", "400")
        e2e.expect_equal(server.attempts, [], "log-ins")


# --- volley check ---


def need_check(t):
    if "check" not in t.run("--help").out:
        raise e2e.Skip("this volley has no check command")


def check_clean(t, kind, secret, mechanism, code, exit_code):
    need_check(t)
    for source, (login, environment) in sources(t, kind, secret).items():
        for more in (["--json"], []):
            with Repeats(t, mechanism, code) as server:
                seen = Seen(secret)
                args = ["check", server.url, "--ca-file", server.certificates.ca.pem, "--user", USER,
                        *login, *more]
                child = t.start(*args, env=os.environ | environment)
                result = t.finish(child, args, timeout=60)
                seen.add_result(result)
                seen.add_files(t, t.dir / "the-secret")
                seen.expect_clean()
                e2e.expect(server.attempts, f"nothing was sent ({source})\n{result}")
                result.expect_code(exit_code)
            forget(t, "pki")


def test_check_of_a_good_password(t):
    check_clean(t, "password", PASSWORD, "PLAIN", "235", 0)


def test_check_of_a_refused_password(t):
    check_clean(t, "password", PASSWORD, "LOGIN", "535", 1)


def test_check_of_a_refused_token(t):
    check_clean(t, "token", TOKEN, "XOAUTH2", "535", 1)


if __name__ == "__main__":
    e2e.main()
