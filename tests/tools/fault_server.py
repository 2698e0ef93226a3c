"""SMTP servers that misbehave to order, one thread a connection.

FaultServer speaks just enough SMTP (EHLO with PIPELINING, MAIL, RCPT, DATA, RSET, QUIT) to a
well-behaved client and keeps what it accepted; a subclass overrides one reply. Commands are read line
by line, so a pipelined group is answered one reply after the other.
"""

import contextlib
import re
import socket
import threading


class Hangup(Exception):
    """Ends the connection; `gently`: our side first, then wait for the peer, so that no reply is lost
    to a reset."""

    def __init__(self, gently=True):
        super().__init__()
        self.gently = gently


class FaultServer:
    extensions = ("PIPELINING", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES")

    def __init__(self):
        self.lock = threading.Lock()
        self.accepted = []      # recipients of every message that got its final 250
        self.connections = 0
        self.stopping = False
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = self.listener.getsockname()[1]

    @property
    def url(self):
        return f"smtp://127.0.0.1:{self.port}"

    def __enter__(self):
        threading.Thread(target=self.accept_loop, daemon=True).start()
        return self

    def __exit__(self, *unused):
        self.stopping = True
        # Closing does not wake a thread in accept(); a connection does.
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), 1).close()
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
            threading.Thread(target=self.serve, args=(s,), daemon=True).start()

    def serve(self, s):
        with contextlib.suppress(OSError), s:
            s.settimeout(60)
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            session = Session(self, s)
            try:
                self.talk(session)
            except Hangup as hangup:
                if hangup.gently:
                    s.shutdown(socket.SHUT_WR)
                    while s.recv(65536):
                        pass

    # --- What a subclass overrides; each returns a reply without CRLF, or raises Hangup ---

    def talk(self, session):
        session.say(self.on_greeting(session))
        while line := session.read_line():
            session.command(line)

    def on_greeting(self, session):
        return "220 fault.test ESMTP"

    def on_mail(self, session, address):
        return "250 2.1.0 ok"

    def on_rcpt(self, session, address):
        return "250 2.1.5 ok"

    def on_content(self, session, content):
        return "250 2.0.0 taken"

    def after_content(self, session):
        """Called when the reply to the content has been sent."""


class Session:
    def __init__(self, server, s):
        self.server, self.socket = server, s
        self.file = s.makefile("rb")
        self.recipients, self.sender, self.messages = [], None, 0

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
        self.socket.sendall("".join(f"250{'-' if i + 1 < len(words) else ' '}{w}\r\n"
                                    for i, w in enumerate(words)).encode())

    def do_helo(self, line):
        self.say("250 fault.test")

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
