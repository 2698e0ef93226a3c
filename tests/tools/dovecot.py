"""Dovecot's auth service in a jail: what Postfix's smtpd asks about logins (smtpd_sasl_type dovecot).

One account, whose password Dovecot knows in clear text, so that every mechanism can be derived from
it; for XOAUTH2 and OAUTHBEARER the password is the token.
"""

import base64
import pathlib
import time

import jail
import mta

# The order is the order of Dovecot's offer.
MECHANISMS = ("PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256", "XOAUTH2", "OAUTHBEARER")

CONFIG = """\
protocols =
ssl = no
log_path = /dovecot.log
default_login_user = nobody
default_internal_user = nobody
default_internal_group = nobody
auth_mechanisms = {mechanisms}
auth_verbose = yes
auth_failure_delay = 0
disable_plaintext_auth = no
passdb {{
  driver = passwd-file
  args = /etc/logins
}}
userdb {{
  driver = static
  args = uid=nobody gid=nobody home=/
}}
service auth {{
  unix_listener auth-smtp {{
    mode = 0666
  }}
}}
service anvil {{
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service stats {{
  unix_listener stats-reader {{
    mode = 0
  }}
}}
"""


class Dovecot:
    def __init__(self, folder, user, password, mechanisms=MECHANISMS):
        mta.need_root("Dovecot's master process must be started by root")
        self.dir = pathlib.Path(folder)
        self.process = None
        root = mta.find_root("dovecot", "usr/sbin/dovecot")
        self.jail = jail.Jail(self.dir, root)
        self.jail.add("usr/sbin/dovecot", "usr/bin/doveconf",
                      *(f"usr/lib/dovecot/{n}" for n in ("auth", "config", "log", "anvil", "stats")))
        for program in (root / "usr/lib/dovecot").iterdir():
            # Dovecot starts only when all its services' programs exist; those are never run.
            if program.is_file() and ".so" not in program.name:
                (self.dir / "usr/lib/dovecot" / program.name).touch(mode=0o755)
        for name in ("run/dovecot", "var/lib/dovecot", "etc/dovecot", "usr/lib/dovecot/modules/auth"):
            self.jail.add_folder(name)
        (self.dir / "etc/dovecot/dovecot.conf").write_text(
            CONFIG.format(mechanisms=" ".join(mechanisms).lower()))
        self.set_password(user, password)
        self.socket = self.dir / "run/dovecot/auth-smtp"

    def set_password(self, user, password):
        """Also while it runs: passwd-file looks at the file's time."""
        logins = self.dir / "etc/logins"
        encoded = base64.b64encode(password.encode()).decode()  # it may have a colon in it
        logins.write_text(f"{user}:{{PLAIN.b64}}{encoded}\n")
        logins.chmod(0o644)

    def start(self):
        self.process = self.jail.start("/usr/sbin/dovecot", "-F",
                                       output=open(self.dir / "dovecot.out", "wb"))
        deadline = time.monotonic() + 20
        while not self.socket.exists():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"Dovecot did not come up:\n{self.log()[-3000:]}")
            time.sleep(0.02)

    def stop(self):
        if self.process is not None:
            mta.end_group(self.process)

    def log(self):
        return mta.read_logs(self.dir / "dovecot.out", self.dir / "dovecot.log")
