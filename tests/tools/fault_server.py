"""SMTP servers that misbehave to order, one thread a connection.

FaultServer speaks just enough SMTP (EHLO with PIPELINING, STARTTLS, AUTH, MAIL, RCPT, DATA, RSET,
QUIT) to a well-behaved client and keeps what it accepted; a subclass overrides one reply. Commands are
read line by line, so a pipelined group is answered one reply after the other.

With a certificate it offers STARTTLS (`implicit`: speaks TLS from the first byte); with `mechanisms`
(PLAIN, LOGIN, XOAUTH2) it takes mail from those who have logged in only.

TokenEndpoint is where OAuth2 access tokens come from.
"""

import base64
import binascii
import contextlib
import http.server
import json
import re
import socket
import ssl
import threading
import urllib.parse


class Hangup(Exception):
    """Ends the connection; `gently`: our side first, then wait for the peer, so that no reply is lost
    to a reset."""

    def __init__(self, gently=True):
        super().__init__()
        self.gently = gently


class FaultServer:
    extensions = ("PIPELINING", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES")
    mechanisms = ()
    auth_without_tls = False
    implicit = False

    def __init__(self, certificate=None, address="127.0.0.1", port=0):
        self.lock = threading.Lock()
        self.accepted = []      # recipients of every message that got its final 250
        self.attempts = []      # of logging in: (connection, mechanism, user, secret)
        self.resumed = 0        # TLS sessions that were
        self.connections = 0
        self.tls = None
        if certificate is not None:
            self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.tls.load_cert_chain(certificate.pem, certificate.key)
        self.stopping = False
        self.address = address
        self.listener = socket.create_server((address, port), backlog=256)
        self.port = self.listener.getsockname()[1]

    @property
    def url(self):
        return f"{'smtps' if self.implicit else 'smtp'}://{self.address}:{self.port}"

    def __enter__(self):
        threading.Thread(target=self.accept_loop, daemon=True).start()
        return self

    def __exit__(self, *unused):
        self.stopping = True
        # Closing does not wake a thread in accept(); a connection does.
        with contextlib.suppress(OSError):
            socket.create_connection((self.address, self.port), 1).close()
        self.listener.close()

    def accept_loop(self):
        while True:
            try:
                s, _ = self.listener.accept()
            except OSError:
                return
            if self.stopping:
                s.close()
                return
            with self.lock:
                self.connections += 1
                number = self.connections
            threading.Thread(target=self.serve, args=(s, number), daemon=True).start()

    def serve(self, s, number):
        s.settimeout(60)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        session = Session(self, s, number)
        with contextlib.suppress(OSError):
            try:
                if self.implicit:
                    session.start_tls()
                self.talk(session)
            except Hangup as hangup:
                if hangup.gently:
                    session.end_gently()
        session.file.close()
        session.socket.close()

    # --- What a subclass overrides; each returns a reply without CRLF, or raises Hangup ---

    def talk(self, session):
        session.say(self.on_greeting(session))
        while line := session.read_line():
            session.command(line)

    def on_greeting(self, session):
        return "220 fault.test ESMTP"

    def on_starttls(self, session):
        return "220 2.0.0 go ahead"

    def on_auth(self, session, mechanism, user, secret):
        return "235 2.7.0 welcome"

    def oauth_error(self, user, token):
        """What comes before a 535 to XOAUTH2."""
        return b'{"status":"400","schemes":"Bearer","scope":"https://mail.test/"}'

    def on_mail(self, session, address):
        return "250 2.1.0 ok"

    def on_rcpt(self, session, address):
        return "250 2.1.5 ok"

    def on_content(self, session, content):
        return "250 2.0.0 taken"

    def after_content(self, session):
        """Called when the reply to the content has been sent."""


class Session:
    def __init__(self, server, s, number):
        self.server, self.socket, self.number = server, s, number  # of the connection, from 1
        self.file = s.makefile("rb")
        self.recipients, self.sender, self.messages = [], None, 0
        self.in_tls, self.logged_in = False, False

    def start_tls(self):
        self.file.close()
        self.socket = self.server.tls.wrap_socket(self.socket, server_side=True)
        self.file = self.socket.makefile("rb")
        self.in_tls = True
        with self.server.lock:
            self.server.resumed += bool(self.socket.session_reused)

    def end_gently(self):
        """Our side first, then until the peer has closed its own."""
        if self.in_tls:
            self.socket.settimeout(5)
            self.socket = self.socket.unwrap()  # close_notify, RFC 8446 6.1
        self.socket.shutdown(socket.SHUT_WR)
        while self.socket.recv(65536):
            pass

    def say(self, reply):
        self.socket.sendall(reply.encode() + b"\r\n")

    def read_line(self):
        return self.file.readline().decode("latin-1")

    def command(self, line):
        verb = line.split(" ", 1)[0].strip().upper()
        handler = getattr(self, f"do_{verb.lower()}", None)
        if handler is None:
            self.say(f"500 5.5.1 {verb[:20]}?")
        else:
            handler(line)

    def do_ehlo(self, line):
        words = ["fault.test", *self.server.extensions]
        if self.server.tls is not None and not self.in_tls:
            words.append("STARTTLS")
        if self.server.mechanisms and (self.in_tls or self.server.auth_without_tls):
            words.append(f"AUTH {' '.join(self.server.mechanisms)}")
        self.socket.sendall("".join(f"250{'-' if i + 1 < len(words) else ' '}{w}\r\n"
                                    for i, w in enumerate(words)).encode())

    def do_helo(self, line):
        self.say("250 fault.test")

    def do_starttls(self, line):
        reply = "503 5.5.1 not offered"
        if self.server.tls is not None and not self.in_tls:
            reply = self.server.on_starttls(self)
        self.say(reply)
        if reply.startswith("220"):
            self.start_tls()

    # --- AUTH (RFC 4954) ---

    def do_auth(self, line):
        mechanism, _, initial = line.strip()[5:].partition(" ")
        mechanism = mechanism.upper()
        read = getattr(self, f"read_{mechanism.lower()}", None)
        if mechanism not in self.server.mechanisms or read is None:
            self.say("504 5.5.4 no such mechanism")
            return
        if not (self.in_tls or self.server.auth_without_tls):
            self.say("538 5.7.11 encryption required")
            return
        try:
            user, secret = read(initial)
        except (binascii.Error, ValueError, AttributeError):
            self.say("501 5.5.2 cannot be decoded")
            return
        with self.server.lock:
            self.server.attempts.append((self.number, mechanism, user, secret))
        reply = self.server.on_auth(self, mechanism, user, secret)
        if mechanism == "XOAUTH2" and reply.startswith("535"):
            # The reason comes as a challenge, and the client answers it with an empty line.
            self.challenge(self.server.oauth_error(user, secret))
        self.logged_in = reply.startswith("235")
        self.say(reply)

    def challenge(self, text):
        """Asks and returns what the client answers."""
        self.say(f"334 {base64.b64encode(text).decode()}")
        return base64.b64decode(self.read_line().strip(), validate=True)

    def read_plain(self, initial):
        message = base64.b64decode(initial, validate=True) if initial else self.challenge(b"")
        _, user, password = message.decode().split("\0")
        return user, password

    def read_login(self, initial):
        user = base64.b64decode(initial, validate=True) if initial else self.challenge(b"Username:")
        return user.decode(), self.challenge(b"Password:").decode()

    def read_xoauth2(self, initial):
        message = base64.b64decode(initial, validate=True) if initial else self.challenge(b"")
        return re.fullmatch("user=(.*?)\x01auth=Bearer (.*?)\x01\x01", message.decode()).groups()

    def do_noop(self, line):
        self.say("250 2.0.0 ok")

    def do_rset(self, line):
        self.recipients, self.sender = [], None
        self.say("250 2.0.0 reset")

    def do_quit(self, line):
        self.say("221 2.0.0 bye")
        raise Hangup()

    def path(self, line):
        return re.search("<([^>]*)>", line).group(1)

    def do_mail(self, line):
        reply = "530 5.7.0 log in first"
        if self.logged_in or not self.server.mechanisms:
            reply = self.server.on_mail(self, self.path(line))
        if self.sender is not None:
            reply = "503 5.5.1 sender already given"
        elif reply.startswith("2"):
            self.sender = self.path(line)
        self.say(reply)

    def do_rcpt(self, line):
        reply = "503 5.5.1 MAIL first"
        if self.sender is not None:
            reply = self.server.on_rcpt(self, self.path(line))
        if reply.startswith("2"):
            self.recipients.append(self.path(line))
        self.say(reply)

    def do_data(self, line):
        if not self.recipients:
            self.say("503 5.5.1 no recipients")
            return
        self.say("354 go on")
        content = []
        while (line := self.file.readline()) not in (b".\r\n", b""):
            content.append(line[1:] if line.startswith(b".") else line)
        if not line:
            raise Hangup()
        recipients = self.recipients
        self.recipients, self.sender = [], None
        reply = self.server.on_content(self, b"".join(content))
        if reply.startswith("2"):
            self.messages += 1
            with self.server.lock:
                self.server.accepted += recipients
        self.say(reply)
        self.server.after_content(self)


class TokenEndpoint(http.server.ThreadingHTTPServer):
    """RFC 6749 6: gives token-1, token-2, ... for a refresh token; a subclass may answer otherwise."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), TokenHandler)
        self.requests = []  # their parameters

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}/token"

    def __enter__(self):
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *unused):
        self.shutdown()
        self.server_close()

    def answer(self):
        """HTTP status and JSON object for the newest of `requests`."""
        return 200, {"access_token": f"token-{len(self.requests)}", "token_type": "Bearer",
                     "expires_in": 3600}


class TokenHandler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.server.requests.append(dict(urllib.parse.parse_qsl(body)))
        status, answer = self.server.answer()
        text = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *unused):
        """Not to standard error."""
