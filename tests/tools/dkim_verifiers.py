"""Three DKIM verifiers that are none of ours: dkimpy, Mail::DKIM and mailauth. Each reads a folder of
messages (*.eml, CRLF) and a dict of TXT records by DNS name, asks no name server, and says of each
message what became of each of its signatures.
"""

import json
import os
import pathlib
import shutil
import subprocess
import tempfile

HERE = pathlib.Path(__file__).parent / "verifiers"
# Where tools/deps --verifiers puts mailauth.
NODE_MODULES = pathlib.Path(os.environ.get("VOLLEY_MTA_DIR", "build/mta")).resolve().parent / "verifiers"


class Verifier:
    def __init__(self, name, command, probe, package, ed25519=True):
        self.name, self.command, self.probe, self.package = name, command, probe, package
        self.algorithms = (["ed25519-sha256"] if ed25519 else []) + ["rsa-sha256"]

    def environment(self):
        return dict(os.environ, NODE_PATH=str(NODE_MODULES / "node_modules"))

    def why_not(self):
        """Why it cannot be used here; None: it can."""
        if not shutil.which(self.command[0]):
            return f"there is no {self.command[0]}"
        done = subprocess.run([self.command[0], *self.probe], capture_output=True, check=False,
                              env=self.environment(), timeout=60)
        return None if done.returncode == 0 else f"{self.package} is not installed"

    def verify(self, folder, records, timeout=300):
        """{file name: [{domain, selector, algorithm, result, why, signed}]}"""
        with tempfile.NamedTemporaryFile("w", suffix=".json") as f:
            json.dump(records, f)
            f.flush()
            done = subprocess.run([*self.command, str(folder), f.name], capture_output=True, check=False,
                                  env=self.environment(), timeout=timeout)
        if done.returncode != 0:
            raise RuntimeError(f"{self.name}: {done.stderr.decode(errors='replace')[-2000:]}")
        return json.loads(done.stdout)


# The distribution's own interpreter: its packages are not seen by another python3 on the PATH.
ALL = [
    Verifier("dkimpy", ["/usr/bin/python3", str(HERE / "dkimpy_verify.py")],
             ["-c", "import dkim, nacl.signing"], "python3-dkim or python3-nacl"),
    # Debian 12 has 1.20230212, which knows RSA only.
    Verifier("Mail::DKIM", ["/usr/bin/perl", str(HERE / "mail_dkim_verify.pl")],
             ["-MMail::DKIM::Verifier", "-e1"], "libmail-dkim-perl", ed25519=False),
    Verifier("mailauth", ["node", str(HERE / "mailauth_verify.js")],
             ["-e", "require('mailauth/lib/dkim/verify')"], "mailauth (tools/deps --verifiers)"),
]
