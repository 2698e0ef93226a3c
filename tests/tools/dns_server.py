"""DnsServer: a name server on a loopback port, UDP and TCP, with a zone from a dict.

    with DnsServer({
        "sender.example": {"MX": [(10, "mx.sender.example")], "TXT": ["v=spf1 ip4:127.0.0.1 -all"]},
        "mx.sender.example": {"A": ["127.0.0.1"], "AAAA": ["::1"]},
        "s1._domainkey.sender.example": {"TXT": ["v=DKIM1; p=..."]},   # over 255 bytes: cut by itself
        "s2._domainkey.sender.example": {"TXT": [["v=DKIM1; ", "p="]]},  # strings as they are to be
        "s3._domainkey.sender.example": {"CNAME": ["s1._domainkey.sender.example"]},
        reverse_name("198.18.0.1"): {"PTR": ["mx.sender.example"]},
        "broken.example": SERVFAIL,   # also REFUSED, SILENT
    }) as dns:
        volley(..., "--dns-server", dns.address)     # "127.0.0.1@PORT"
        dns.zone["sender.example"]["TXT"] = [...]      # may change at any time
        dns.questions                                 # [(name, type)], in the order they came

A name that is not there is NXDOMAIN, unless there are names below it; one that is there without the
type asked for is an empty answer. A CNAME is followed within the zone. Names are compared without
regard to case and to a dot at the end. What does not fit a UDP answer is cut off with TC, so that the
client comes again by TCP. Records live for `ttl` seconds (default 0: nothing is cached).

libunbound answers some names by itself and never asks for them: all of test., invalid., localhost., and
the reverse names of private, loopback and documentation addresses (RFC 6303). Use example., and 198.18/15
(benchmarks, RFC 2544), in zones.
"""

import contextlib
import ipaddress
import socketserver
import struct
import threading

SERVFAIL, REFUSED, SILENT = "SERVFAIL", "REFUSED", "SILENT"
CODES = {SERVFAIL: 2, REFUSED: 5}
NXDOMAIN = 3
TYPES = {"A": 1, "CNAME": 5, "PTR": 12, "MX": 15, "TXT": 16, "AAAA": 28, "SRV": 33}
TYPE_NAMES = {number: name for name, number in TYPES.items()}
OPT = 41
UDP_BYTES = 512  # RFC 1035 §4.2.1, unless the client says more (RFC 6891)


def reverse_name(address):
    """Where the PTR record of an address is: "1.2.0.192.in-addr.arpa"."""
    return ipaddress.ip_address(address).reverse_pointer


def key_of(name):
    return name.rstrip(".").lower()


def wire_name(name):
    labels = [label.encode() for label in name.rstrip(".").split(".") if label]
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def strings_of(value):
    """A TXT value as its character-strings: a text is cut at 255 bytes, a list is what it is."""
    if isinstance(value, (str, bytes)):
        data = value.encode() if isinstance(value, str) else value
        return [data[at:at + 255] for at in range(0, len(data), 255)] or [b""]
    return [part.encode() if isinstance(part, str) else part for part in value]


def wire_data(kind, value):
    if kind in ("A", "AAAA"):
        return ipaddress.ip_address(value).packed
    if kind in ("CNAME", "PTR"):
        return wire_name(value)
    if kind == "MX":
        preference, host = value
        return struct.pack("!H", preference) + wire_name(host)
    if kind == "SRV":
        *numbers, host = value
        return struct.pack("!HHH", *numbers) + wire_name(host)
    return b"".join(bytes([len(part)]) + part for part in strings_of(value))


def read_question(message):
    """(name, type number, the question's bytes, bytes a UDP answer may have); ValueError, IndexError
    or struct.error for what is none."""
    _, flags, questions, _, _, additional = struct.unpack("!6H", message[:12])
    if questions != 1 or flags & 0x8000:
        raise ValueError("not one question")
    labels, at = [], 12
    while message[at]:
        labels.append(message[at + 1:at + 1 + message[at]].decode("ascii", "replace"))
        at += 1 + message[at]
    kind, _ = struct.unpack("!HH", message[at + 1:at + 5])
    room = UDP_BYTES
    if additional and message[at + 5:at + 8] == b"\0" + struct.pack("!H", OPT):
        room = max(room, struct.unpack("!H", message[at + 8:at + 10])[0])
    return ".".join(labels), kind, message[12:at + 5], room


class DnsServer:
    def __init__(self, zone, ttl=0):
        self.zone = zone
        self.ttl = ttl
        self.questions = []
        server = self

        class Udp(socketserver.BaseRequestHandler):
            def handle(self):
                answer = server.answer(self.request[0], udp=True)
                if answer:
                    self.request[1].sendto(answer, self.client_address)

        class Tcp(socketserver.StreamRequestHandler):
            def handle(self):
                while len(size := self.rfile.read(2)) == 2:
                    answer = server.answer(self.rfile.read(int.from_bytes(size, "big")), udp=False)
                    if not answer:
                        return
                    self.wfile.write(len(answer).to_bytes(2, "big") + answer)

        self.servers = bind_both(Udp, Tcp)
        self.port = self.servers[0].server_address[1]

    @property
    def address(self):
        return f"127.0.0.1@{self.port}"

    def __enter__(self):
        for each in self.servers:
            threading.Thread(target=each.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_):
        for each in self.servers:
            each.shutdown()
            each.server_close()

    # --- Answers ---

    def find(self, name):
        """What the zone has at a name: a dict, SERVFAIL, REFUSED or SILENT; None: no such name."""
        zone = {key_of(k): v for k, v in list(self.zone.items())}
        name = key_of(name)
        if name in zone:
            return zone[name]
        return {} if any(k.endswith("." + name) for k in zone) else None

    def records(self, name, kind):
        """(response code or SILENT, [(owner, type name, value)])."""
        found = []
        for _ in range(8):  # a chain of CNAMEs
            here = self.find(name)
            if here is None or isinstance(here, str):
                return (NXDOMAIN if here is None else CODES.get(here, SILENT)), found
            if kind in here or "CNAME" not in here:
                return 0, found + [(name, kind, value) for value in here.get(kind, [])]
            found.append((name, "CNAME", here["CNAME"][0]))
            name = here["CNAME"][0]
        return CODES[SERVFAIL], []

    def answer(self, message, udp):
        try:
            name, kind, question, room = read_question(message)
        except (ValueError, IndexError, struct.error):
            return None
        kind = TYPE_NAMES.get(kind, str(kind))
        self.questions.append((key_of(name), kind))
        code, records = self.records(name, kind)
        if code == SILENT:
            return None
        body = question
        for owner, each, value in records:
            data = wire_data(each, value)
            body += wire_name(owner) + struct.pack("!HHIH", TYPES[each], 1, self.ttl, len(data)) + data
        cut = udp and 12 + len(body) > room
        flags = 0x8180 | code | (0x0200 if cut else 0)  # an answer; recursion; TC
        count = 0 if cut else len(records)
        return message[:2] + struct.pack("!5H", flags, 1, count, 0, 0) + (question if cut else body)


def bind_both(udp_handler, tcp_handler):
    """A UDP and a TCP server on one port of loopback."""

    class TcpServer(socketserver.ThreadingTCPServer):
        daemon_threads = True
        block_on_close = False

    for _ in range(50):
        udp = socketserver.ThreadingUDPServer(("127.0.0.1", 0), udp_handler)
        udp.daemon_threads, udp.block_on_close = True, False
        with contextlib.suppress(OSError):
            return udp, TcpServer(udp.server_address, tcp_handler)
        udp.server_close()
    raise OSError("no port of loopback is free for UDP and TCP")
