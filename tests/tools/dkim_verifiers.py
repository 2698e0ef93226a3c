"""Three DKIM verifiers that are none of ours: dkimpy, Mail::DKIM and mailauth.

    for verifier in dkim_verifiers.ALL:
        why = verifier.why_not()            # None, or what is not installed: the caller says SKIPPED
        found = verifier.verify(folder, {"s1._domainkey.example.test": "v=DKIM1; k=rsa; p=..."})
        found["0001.eml"]   # [{domain, selector, algorithm, result, why, signed}], as in the header

verify() takes all *.eml of `folder` in one run of the verifier, so that a thousand messages take seconds,
and asks no network: the records are all there is of the DNS. A message without CRLF is one from a
mailbox: its line ends are read as CRLF. `result` is "pass" or anything else, `why` the verifier's words
for that; `signed` is the h= tag in lower case (mailauth: without the names that the message does not
have). `verifier.algorithms` are those it can verify here. `tools/deps --tests --verifiers` installs all.
"""

import json
import os
import pathlib
import shutil
import subprocess
import tempfile

HERE = pathlib.Path(__file__).resolve().parent / "verifiers"
# Where tools/deps --verifiers puts mailauth.
NODE_MODULES = pathlib.Path(os.environ.get("VOLLEY_MTA_DIR", "build/mta")).resolve().parent / "verifiers"


class Verifier:
    def __init__(self, name, command, probe, package, ed25519_probe=None):
        """`probe`: arguments that end with 0 where the verifier is there; `ed25519_probe`: the same
        for Ed25519, where that needs more."""
        self.name, self.command, self.probe, self.package = name, command, probe, package
        self.ed25519_probe = ed25519_probe

    def environment(self):
        return dict(os.environ, NODE_PATH=str(NODE_MODULES / "node_modules"), PYTHONDONTWRITEBYTECODE="1")

    def runs(self, arguments):
        return subprocess.run([self.command[0], *arguments], capture_output=True, check=False,
                              env=self.environment(), timeout=60).returncode == 0

    @property
    def algorithms(self):
        ed25519 = self.ed25519_probe is None or self.runs(self.ed25519_probe)
        return (["ed25519-sha256"] if ed25519 else []) + ["rsa-sha256"]

    def why_not(self):
        """Why it cannot be used here; None: it can."""
        if not shutil.which(self.command[0]):
            return f"there is no {self.command[0]}"
        return None if self.runs(self.probe) else f"{self.package} is not installed"

    def verify(self, folder, records, timeout=300):
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump(records, file)
            file.flush()
            done = subprocess.run([*self.command, str(folder), file.name], capture_output=True, check=False,
                                  env=self.environment(), timeout=timeout)
        if done.returncode != 0:
            raise RuntimeError(f"{self.name}: {done.stderr.decode(errors='replace')[-2000:]}")
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        return {line["message"]: line["signatures"] for line in lines}


# The distribution's own interpreters: their packages are not seen by another one on the PATH.
ALL = [
    Verifier("dkimpy", ["/usr/bin/python3", str(HERE / "dkimpy_verify.py")],
             ["-c", "import dkim, nacl.signing"], "python3-dkim or python3-nacl"),
    Verifier("Mail::DKIM", ["/usr/bin/perl", str(HERE / "mail_dkim_verify.pl")],
             ["-MMail::DKIM::Verifier", "-e1"], "libmail-dkim-perl",
             ed25519_probe=["-MCrypt::PK::Ed25519", "-e1"]),
    Verifier("mailauth", ["node", str(HERE / "mailauth_verify.js")],
             ["-e", "require('mailauth/lib/dkim/verify')"], "mailauth (tools/deps --verifiers)"),
]
