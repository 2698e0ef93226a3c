"""OpenSMTPD in a jail: STARTTLS on `port`, TLS from the first byte on `tls_port`, AUTH PLAIN and LOGIN.

Needs root: smtpd changes users and its folders by their compiled-in paths.
"""

import os
import pathlib
import shutil
import subprocess

import jail
import mta
import pki

# Accounts that smtpd insists on; only their numbers matter, and that they differ.
ACCOUNTS = {"opensmtpd": 64801, "opensmtpq": 64802, "_smtpd": 64801, "_smtpq": 64802}

CONFIG = """\
pki smtp.test cert "/etc/tls/server.pem"
pki smtp.test key "/etc/tls/server.key"
table logins file:/etc/logins
table everybody {{ "@" = nobody }}
smtp max-message-size 64M
listen on 127.0.0.1 port {port} tls pki smtp.test auth <logins>
listen on 127.0.0.1 port {tls_port} smtps pki smtp.test auth <logins>
action inbox maildir "/mail/inbox" virtual <everybody>
match auth from any for any action inbox
"""


class OpenSmtpd(mta.Server):
    """Takes mail of those who log in only. `tls` and `login` are required."""

    def start(self):
        mta.need_root("OpenSMTPD must be started by root")
        root = mta.find_root("opensmtpd", "usr/sbin/smtpd")
        self.log_file = self.dir / "smtpd.out"
        self.maildir = self.dir / "jail/mail/inbox"
        self.jail = jail.Jail(self.dir / "jail", root)
        self.lay_out()
        self.process = self.jail.start("/usr/sbin/smtpd", "-d", "-v",
                                       environment={"LD_PRELOAD": self.unbreak_tls()},
                                       output=open(self.log_file, "wb"))

    def unbreak_tls(self):
        """Compiles what the source file explains."""
        compiler = shutil.which("cc") or shutil.which("g++")
        if compiler is None:
            raise mta.Unavailable("there is no C compiler for opensmtpd_openssl3.c")
        source = pathlib.Path(__file__).with_name("opensmtpd_openssl3.c")
        done = subprocess.run([compiler, "-x", "c", "-shared", "-fPIC", "-w", "-o",
                               self.jail.dir / "lib/unbreak_tls.so", source],
                              capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise mta.Unavailable(f"{source} cannot be compiled:\n{done.stderr}")
        return "/lib/unbreak_tls.so"

    def lay_out(self):
        self.jail.add("usr/sbin/smtpd", "usr/sbin/smtpctl", "bin/sh",
                      *(f"usr/libexec/opensmtpd/{n}" for n in ("mail.maildir", "mail.mda", "encrypt",
                                                               "lockspool")))
        for name, number in ACCOUNTS.items():
            self.jail.add_account(name, number, number, home="/var/lib/opensmtpd/empty")
        for name in ("var/lib/opensmtpd/empty", "var/mail", "var/spool"):
            self.jail.add_folder(name)
        self.jail.add_folder("var/spool/smtpd", mode=0o711)
        self.jail.add_folder("mail", mta.NOBODY, mta.NOBODY_GROUP)
        etc = self.jail.dir / "etc"
        (etc / "mailname").write_text("opensmtpd.test\n")
        (etc / "hosts").write_text("127.0.0.1 localhost\n")
        (etc / "resolv.conf").write_text("nameserver 127.0.0.1\n")  # nobody is asked
        pki.copy(self.tls, etc / "tls", 0, 0)
        hashed = subprocess.run(["openssl", "passwd", "-6", "-stdin"], input=self.login.password,
                                capture_output=True, text=True, check=True).stdout.strip()
        (etc / "logins").write_text(f"{self.login.user}\t{hashed}\n")
        os.chmod(etc / "logins", 0o644)
        (etc / "smtpd.conf").write_text(CONFIG.format(port=self.port, tls_port=self.tls_port))
        (etc / "smtpd.conf").chmod(0o600)
