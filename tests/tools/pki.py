"""Certificates made on the spot with the `openssl` command: a CA and what it signed, good and bad.

ECDSA P-256, so that making and using them costs next to nothing; keys are readable by their owner
only. Nothing here is good for anything but a test's own servers on loopback.
"""

import datetime
import os
import pathlib
import shutil
import subprocess

import mta

CONFIG = """\
[req]
distinguished_name = name
prompt = no
[name]
CN = {name}
[root]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[leaf]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth, clientAuth
subjectAltName = {alternatives}
[ca]
default_ca = ours
[ours]
new_certs_dir = .
database = index.txt
rand_serial = yes
default_md = sha256
policy = any
unique_subject = no
[any]
commonName = supplied
"""


class Certificate:
    """`pem`: the certificate; `key`: its private key. Paths; both PEM."""

    def __init__(self, folder, name):
        self.pem, self.key = folder / f"{name}.pem", folder / f"{name}.key"


class Pki:
    """`ca` signed server (smtp.test, localhost, 127.0.0.1), wrong_name (for another host), expired
    (until a month ago) and client; self_signed stands alone, with the server's names."""

    NAMES = "DNS:smtp.test, DNS:localhost, IP:127.0.0.1, IP:::1"

    def __init__(self, folder):
        if shutil.which("openssl") is None:
            raise mta.Unavailable("the openssl command is not installed; run tools/deps --mta")
        self.dir = pathlib.Path(folder)
        self.dir.mkdir(parents=True)
        (self.dir / "index.txt").touch()
        self.ca = self.self_sign("ca", "volley test CA", "root")
        self.other_ca = self.self_sign("other-ca", "another CA", "root")
        self.self_signed = self.self_sign("self-signed", "smtp.test", "leaf")
        self.server = self.sign("server", "smtp.test", self.NAMES)
        self.wrong_name = self.sign("wrong-name", "other.test", "DNS:other.test, DNS:*.example.test")
        self.expired = self.sign("expired", "smtp.test", self.NAMES, days=(-60, -30))
        self.client = self.sign("client", "client.test", "DNS:client.test")

    def openssl(self, *args, name, alternatives=NAMES):
        config = self.dir / "openssl.cnf"
        config.write_text(CONFIG.format(name=name, alternatives=alternatives))
        done = subprocess.run(["openssl", *map(str, args), "-config", config], cwd=self.dir,
                              capture_output=True, text=True, timeout=60, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"openssl {' '.join(map(str, args))} failed:\n{done.stderr}")

    def new_key(self, certificate):
        certificate.key.touch(mode=0o600)  # before openssl writes into it
        return ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc", "-keyout",
                certificate.key]

    def self_sign(self, file, name, extensions):
        made = Certificate(self.dir, file)
        self.openssl("req", "-x509", *self.new_key(made), "-days", "30", "-extensions", extensions,
                     "-out", made.pem, name=name)
        return made

    def sign(self, file, name, alternatives, days=(-1, 30)):
        """`days`: from when to when, counted from today."""
        made = Certificate(self.dir, file)
        request = self.dir / f"{file}.csr"
        self.openssl("req", "-new", *self.new_key(made), "-out", request, name=name)
        first, last = (in_days(d).strftime("%Y%m%d%H%M%SZ") for d in days)
        self.openssl("ca", "-batch", "-notext", "-in", request, "-out", made.pem, "-cert",
                     self.ca.pem, "-keyfile", self.ca.key, "-extensions", "leaf", "-startdate",
                     first, "-enddate", last, name=name, alternatives=alternatives)
        return made


def in_days(days):
    now = datetime.datetime.now(datetime.timezone.utc)
    return now + datetime.timedelta(days=days)


def copy(certificate, folder, uid, gid):
    """A copy for a server that runs as `uid`; the key stays its owner's only."""
    pathlib.Path(folder).mkdir(exist_ok=True)
    made = Certificate(pathlib.Path(folder), "server")
    shutil.copyfile(certificate.pem, made.pem)
    made.key.touch(mode=0o600)
    shutil.copyfile(certificate.key, made.key)
    os.chown(made.key, uid, gid)
    return made
