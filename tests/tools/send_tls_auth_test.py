"""Campaigns through real servers that want TLS and a log-in: Postfix with Dovecot's SASL, Exim and
OpenSMTPD; and what happens when certificate or password are not what they should be.

Every recipient arrives exactly once, and the servers themselves (trace headers, logs) say that TLS
and the mechanism were used. 20 messages a connection, so that connections are renewed.
"""

import re
import ssl

import e2e
import mta
import opensmtpd
import pki
from fault_server import FaultServer

COUNT = 200
CONNECTIONS = 4
# Nothing here may be special to a configuration file, a shell or a string expansion.
LOGIN = mta.Login("relay@sender.test", "p:a ss$w{o}rd\"'%41")


TOKEN = "ya29.A0ARrda-of_this~test+only/Zg=="


def write_secret(t, secret, name="password"):
    path = t.dir / name
    path.touch(mode=0o600)
    path.write_text(secret + "\n")
    return str(path)


def login_flags(t, password=LOGIN.password):
    return ["--user", LOGIN.user, "--password-file", write_secret(t, password)]


def send(t, url, *flags, count=COUNT, per_connection=20, timeout=120):
    campaign, addresses = t.simple_campaign(count, "dest.test")
    result = t.send(*campaign, "--via", url, "--connections", str(CONNECTIONS),
                    "--messages-per-connection", str(per_connection), *flags, timeout=timeout)
    return result, addresses


# --- Campaigns that arrive ---


def recipient_of(raw):
    """By what the server says of the envelope, not by our own To."""
    found = re.search(rb"^(?:X-Original-To|Envelope-to): (\S+)$|^\tfor <(\S+)>;$", raw, re.M)
    e2e.expect(found, f"no envelope recipient in {raw[:500]!r}")
    return (found.group(1) or found.group(2)).decode()


def check_mails(server, addresses, trace):
    """All are there once, each with a trace header like `trace`."""
    raws = [p.read_bytes() for p in server.wait_for(len(addresses), 60)]
    e2e.expect_same_multiset([recipient_of(raw) for raw in raws], addresses,
                             "recipients in the Maildir")
    for raw in raws:
        e2e.expect(re.search(trace, raw, re.S), f"nothing like {trace} in {raw[:800]!r}")


def check_relay(result, auth, tls=r"TLSv1\.3", verified=True):
    """What --json says of the only relay."""
    (relay,) = result.summary()["relays"]
    e2e.expect(re.fullmatch(tls, relay["tls"] or ""), f"TLS version {relay['tls']}")
    e2e.expect(relay["cipher"], "no cipher is named")
    e2e.expect_equal(relay["verified"], verified, "verified")
    e2e.expect_equal(relay["auth"], auth, "mechanism")
    e2e.expect_equal(relay["delivered"], COUNT, "delivered by the relay")
    e2e.expect(relay["handshakes"] >= COUNT / 20, f"{relay['handshakes']} handshakes")
    return relay


def campaign_through(t, server, url, trace, auth, *flags, verified=True):
    """Sends; compares what volley counted with what is in the Maildir. Returns --json's relay."""
    try:
        result, addresses = send(t, url, *flags)
        result.expect_code(0).expect_counts(delivered=COUNT)
        relay = check_relay(result, auth, verified=verified)
        check_mails(server, addresses, trace)
        return relay
    except e2e.Failure as failure:
        raise e2e.Failure(f"{failure}\n--- the server's log ends\n{server.log()[-3000:]}") from None


POSTFIX_TRACE = (rb"using TLSv1\.3 with cipher .*\(Authenticated sender: relay@sender\.test\)"
                 rb".* with ESMTPSA id ")


def check_postfix_log(server, mechanism, relay):
    """The mechanism of every message, and the sessions that were resumed."""
    log = server.log()
    used = re.findall(r" sasl_method=(\S+), sasl_username=(\S+)$", log, re.M)
    e2e.expect_equal(set(used), {(mechanism, LOGIN.user)}, "log-ins in Postfix's log")
    e2e.expect_equal(len(used), COUNT, "messages with a log-in in Postfix's log")
    resumed = len(re.findall(r": Reusing old session", log))
    e2e.expect_equal(relay["resumed"], resumed, "resumed sessions: ours against Postfix's log")
    # Postfix gives one ticket with a full handshake and none with a resumed session: the same one is
    # used again.
    e2e.expect(resumed >= 0.95 * (relay["handshakes"] - CONNECTIONS),
               f"{resumed} of {relay['handshakes']} sessions resumed")


def through_postfix(t, implicit, auth, *flags, mechanisms=("PLAIN", "CRAM-MD5", "SCRAM-SHA-256"),
                    secret=LOGIN.password):
    certificates = pki.Pki(t.dir / "pki")
    login = mta.Login(LOGIN.user, secret, mechanisms)
    with mta.Postfix(t.dir / "mta", certificates.server, login) as server:
        url = (f"smtps://127.0.0.1:{server.tls_port}" if implicit
               else f"smtp://127.0.0.1:{server.port}")
        relay = campaign_through(t, server, url, POSTFIX_TRACE, auth, "--ca-file",
                                 certificates.ca.pem, *flags)
        check_postfix_log(server, auth, relay)


def test_postfix_starttls_scram_sha_256_uring(t):
    e2e.need_uring()
    through_postfix(t, False, "SCRAM-SHA-256", *login_flags(t), "--io", "uring")


def test_postfix_starttls_scram_sha_256_epoll(t):
    through_postfix(t, False, "SCRAM-SHA-256", *login_flags(t), "--io", "epoll")


def test_postfix_starttls_plain(t):
    through_postfix(t, False, "PLAIN", *login_flags(t), "--auth", "PLAIN")


def test_postfix_implicit_tls_uring(t):
    e2e.need_uring()
    through_postfix(t, True, "SCRAM-SHA-256", *login_flags(t), "--io", "uring")


def test_postfix_implicit_tls_plain_epoll(t):
    through_postfix(t, True, "PLAIN", *login_flags(t), "--auth", "PLAIN", "--io", "epoll")


def test_postfix_scram_sha_1(t):
    """The strongest of what is offered."""
    through_postfix(t, False, "SCRAM-SHA-1", *login_flags(t),
                    mechanisms=("LOGIN", "PLAIN", "CRAM-MD5", "SCRAM-SHA-1"))


def test_postfix_login_when_there_is_nothing_else(t):
    through_postfix(t, False, "LOGIN", *login_flags(t), mechanisms=("LOGIN",))


def token_flags(t):
    return ["--user", LOGIN.user, "--token-command",
            f"cat {write_secret(t, TOKEN, 'token')}"]


def test_postfix_xoauth2(t):
    through_postfix(t, False, "XOAUTH2", *token_flags(t), "--auth", "XOAUTH2",
                    mechanisms=("PLAIN", "XOAUTH2"), secret=TOKEN)


def test_postfix_oauthbearer(t):
    through_postfix(t, True, "OAUTHBEARER", *token_flags(t), "--auth", "OAUTHBEARER",
                    mechanisms=("PLAIN", "OAUTHBEARER"), secret=TOKEN)


def through_exim(t, implicit, auth, *flags):
    certificates = pki.Pki(t.dir / "pki")
    login = mta.Login(LOGIN.user, LOGIN.password, ("PLAIN", "LOGIN", "CRAM-MD5"))
    with mta.Exim(t.dir / "mta", certificates.server, login) as server:
        url = (f"smtps://127.0.0.1:{server.tls_port}" if implicit
               else f"smtp://127.0.0.1:{server.port}")
        campaign_through(t, server, url, rb"with esmtpsa\s+\(TLS1\.3\)", auth, "--ca-file",
                         certificates.ca.pem, *login_flags(t), *flags)
        arrivals = re.findall(r" <= sender@example\.test .*", server.log())
        authenticator = auth.lower().replace("-", "_")
        used = [a for a in arrivals if " P=esmtpsa X=TLS1.3:" in a
                and f" A={authenticator}:{LOGIN.user} " in a]
        e2e.expect_equal((len(arrivals), len(used)), (COUNT, COUNT),
                         "arrivals in Exim's log, and those over TLS with the log-in")


def test_exim_starttls_plain(t):
    through_exim(t, False, "PLAIN", "--auth", "PLAIN")


def test_exim_starttls_cram_md5(t):
    through_exim(t, False, "CRAM-MD5")


def test_exim_implicit_tls_plain(t):
    through_exim(t, True, "PLAIN", "--auth", "PLAIN")


def through_opensmtpd(t, implicit, *flags):
    certificates = pki.Pki(t.dir / "pki")
    with opensmtpd.OpenSmtpd(t.dir / "mta", certificates.server, LOGIN) as server:
        url = (f"smtps://127.0.0.1:{server.tls_port}" if implicit
               else f"smtp://127.0.0.1:{server.port}")
        relay = campaign_through(t, server, url, rb"with ESMTPSA id \w+ \(TLSv1\.3:", "PLAIN",
                                 "--ca-file", certificates.ca.pem, *login_flags(t), *flags)
        log = server.log()
        e2e.expect_equal(len(re.findall(r" smtp tls ciphers=TLSv1\.3:", log)),
                         relay["handshakes"], "handshakes: ours against OpenSMTPD's log")
        logins = re.findall(r" smtp authentication user=(\S+) result=(\S+)", log)
        e2e.expect_equal(set(logins), {(LOGIN.user, "ok")}, "log-ins in OpenSMTPD's log")


def test_opensmtpd_starttls_plain(t):
    through_opensmtpd(t, False)


def test_opensmtpd_implicit_tls_plain(t):
    through_opensmtpd(t, True)


def test_opportunistic_tls_needs_no_trust(t):
    """RFC 7435: without credentials to lose, a certificate that proves nothing is better than none."""
    certificates = pki.Pki(t.dir / "pki")
    with mta.Postfix(t.dir / "mta", certificates.self_signed) as server:
        campaign_through(t, server, f"smtp://127.0.0.1:{server.port}",
                         rb"using TLSv1\.3 with cipher .* with ESMTPS id ", None, verified=False)


def test_tickets_of_a_generous_server_are_used(t):
    """A ticket with every handshake: nearly every reconnect is a resumed session."""
    certificates = pki.Pki(t.dir / "pki")
    with FaultServer(certificates.server) as server:
        result, addresses = send(t, server.url, count=400, per_connection=1)
        result.expect_code(0).expect_counts(delivered=400)
        e2e.expect_same_multiset(server.accepted, addresses, "recipients at the server")
        (relay,) = result.summary()["relays"]
        e2e.expect(relay["handshakes"] >= 400, f"{relay['handshakes']} handshakes")
        e2e.expect_equal(relay["resumed"], server.resumed, "resumed: ours against the server's")
        reconnects = relay["handshakes"] - CONNECTIONS
        e2e.expect(relay["resumed"] > 0.95 * reconnects,
                   f"{relay['resumed']} of {reconnects} reconnects were resumed")


# --- Connections that must not be used ---


def expect_nothing_sent(t, server, result):
    """Exit code 1 before any message; no campaign is left behind that would block the next try."""
    result.expect_code(1)
    e2e.expect_equal(len(server.messages()), 0, "messages in the Maildir")
    e2e.expect_equal(t.left_behind(), [], "files left behind")
    e2e.expect(not re.search(r": client=.*sasl_method", server.log()),
               "Postfix began to take a message")


def test_a_wrong_password_is_tried_once(t):
    """Four connections and 200 messages to go, and the server hears it one time."""
    certificates = pki.Pki(t.dir / "pki")
    with mta.Postfix(t.dir / "mta", certificates.server, LOGIN) as server:
        result, _ = send(t, f"smtp://127.0.0.1:{server.port}", "--ca-file", certificates.ca.pem,
                         *login_flags(t, "not the password"), "--shards", "2")
        expect_nothing_sent(t, server, result)
        result.expect_says("535", "authentication failed|password")
        log = server.log()
        failed = re.findall(r"SASL (\S+) authentication failed", log)
        e2e.expect_equal(failed, ["SCRAM-SHA-256"], f"log-ins in Postfix's log:\n{log[-3000:]}\n")


def test_postfix_certificate_that_is_not_trusted(t):
    certificates = pki.Pki(t.dir / "pki")
    with mta.Postfix(t.dir / "mta", certificates.server, LOGIN) as server:
        result, _ = send(t, f"smtps://127.0.0.1:{server.tls_port}", "--ca-file",
                         certificates.other_ca.pem, *login_flags(t), "--auth", "PLAIN")
        expect_nothing_sent(t, server, result)
        result.expect_says("certificate")
        e2e.expect(not re.search(r" auth=|sasl_", server.log()), "there was an AUTH")


class WantsLogin(FaultServer):
    mechanisms = ("PLAIN", "LOGIN")

    def on_auth(self, session, mechanism, user, secret):
        return "235 2.7.0 welcome" if secret == LOGIN.password else "535 5.7.8 no"


class Clear(WantsLogin):
    auth_without_tls = True


def refuse(t, server, *flags, query=""):
    """Nothing may be sent, no password least of all."""
    with server:
        result, _ = send(t, server.url + query, *login_flags(t), *flags, count=50)
        result.expect_code(1)
        e2e.expect_equal(server.attempts, [], "log-ins that the server saw")
        e2e.expect_equal(server.accepted, [], "messages accepted")
        e2e.expect_equal(t.left_behind(), [], "files left behind")
        e2e.expect(server.connections <= 4, f"{server.connections} connections to a hopeless server")
        return result


def refuse_certificate(t, kind):
    certificates = pki.Pki(t.dir / "pki")
    server = WantsLogin(getattr(certificates, kind))
    return refuse(t, server, "--ca-file", certificates.ca.pem).expect_says("certificate")


def test_an_expired_certificate(t):
    refuse_certificate(t, "expired").expect_says("expired")


def test_a_certificate_for_another_name(t):
    refuse_certificate(t, "wrong_name").expect_says(r"127\.0\.0\.1", r"other\.test")


def test_a_self_signed_certificate(t):
    refuse_certificate(t, "self_signed").expect_says("self.signed")


def test_no_log_in_where_starttls_was_taken_away(t):
    """What somebody in between does to see passwords: the offer of STARTTLS is gone."""
    refuse(t, Clear()).expect_says("STARTTLS")


def test_no_clear_text_password_without_tls(t):
    refuse(t, Clear(), query="?tls=off").expect_says("TLS", "auth.insecure")


def test_auth_insecure_sends_it_in_clear(t):
    with Clear() as server:
        result, addresses = send(t, server.url + "?tls=off&auth_insecure=true", *login_flags(t))
        result.expect_code(0).expect_counts(delivered=COUNT)
        e2e.expect_same_multiset(server.accepted, addresses, "recipients at the server")
        (relay,) = result.summary()["relays"]
        e2e.expect_equal((relay["tls"], relay["handshakes"], relay["auth"]), (None, 0, "PLAIN"),
                         "TLS version, handshakes, mechanism")


def test_a_server_that_wants_a_log_in_we_have_none_for(t):
    certificates = pki.Pki(t.dir / "pki")
    with WantsLogin(certificates.server) as server:
        result, _ = send(t, server.url, "--ca-file", certificates.ca.pem, count=50)
        result.expect_code(1).expect_says("530", "--user|log.in")
        e2e.expect_equal(server.accepted, [], "messages accepted")


class WantsCertificate(FaultServer):
    def __init__(self, certificates):
        super().__init__(certificates.server)
        self.tls.verify_mode = ssl.CERT_REQUIRED
        self.tls.load_verify_locations(certificates.ca.pem)
        self.names = set()

    def on_mail(self, session, address):
        with self.lock:
            self.names.add(dict(x[0] for x in session.socket.getpeercert()["subject"])["commonName"])
        return "250 2.1.0 ok"


def test_client_certificate(t):
    certificates = pki.Pki(t.dir / "pki")
    with WantsCertificate(certificates) as server:
        result, addresses = send(t, server.url + "?tls=required", "--ca-file", certificates.ca.pem,
                                 "--client-certificate", certificates.client.pem,
                                 "--client-key", certificates.client.key)
        result.expect_code(0).expect_counts(delivered=COUNT)
        e2e.expect_same_multiset(server.accepted, addresses, "recipients at the server")
        e2e.expect_equal(server.names, {"client.test"}, "certificates shown")


def test_no_client_certificate_where_one_is_wanted(t):
    certificates = pki.Pki(t.dir / "pki")
    with WantsCertificate(certificates) as server:
        result, _ = send(t, server.url + "?tls=required", "--ca-file", certificates.ca.pem, count=50)
        result.expect_code(1).expect_says("certificate.*required|required.*certificate")
        e2e.expect_equal(server.accepted, [], "messages accepted")


if __name__ == "__main__":
    e2e.main()
