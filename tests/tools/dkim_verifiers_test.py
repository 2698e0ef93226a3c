"""What engine/dkim signs, in verifiers that others wrote: all signatures of a grid of messages are good,
and none of a message that was changed, or whose signature expired.

    dkim_verifiers_test.py --sign-grid PROGRAM --verifier NAME
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import dkim_verifiers

SKIPPED = 77
ALGORITHMS = {"r1024": "rsa-sha256", "r2048": "rsa-sha256", "r4096": "rsa-sha256",
              "ed": "ed25519-sha256", "up": "ed25519-sha256"}


def faults_of(name, signatures, good, algorithms):
    """What is not as it should be with one message."""
    wanted = {selector: a for selector, a in ALGORITHMS.items() if a in algorithms}
    found = {s["selector"]: s for s in signatures if s["algorithm"] in algorithms}
    if {selector: s["algorithm"] for selector, s in found.items()} != wanted:
        yield f"{name}: signatures {found}, wanted {wanted}"
    for selector, signature in found.items():
        if (signature["result"] == "pass") != good:
            yield f"{name}: {selector} is {signature['result']}: {signature['why']}"
        if not {"from", "to"} <= set(signature["signed"]):
            yield f"{name}: {selector} does not cover From and To: {signature['signed']}"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sign-grid", required=True)
    parser.add_argument("--verifier", required=True)
    options = parser.parse_args()
    verifier = next(v for v in dkim_verifiers.ALL if v.name == options.verifier)
    why = verifier.why_not()
    if why:
        print(f"SKIPPED {verifier.name}: {why}")
        sys.exit(SKIPPED)
    algorithms = verifier.algorithms
    if "ed25519-sha256" not in algorithms:
        print(f"SKIPPED in part: {verifier.name} cannot do Ed25519 here")
    with tempfile.TemporaryDirectory(prefix="volley-dkim-") as folder:
        subprocess.run([options.sign_grid, folder], check=True, timeout=120)
        folder = pathlib.Path(folder)
        records = json.loads((folder / "records.json").read_text())
        faults, count = [], 0
        for kind in ("good", "bad"):
            results = verifier.verify(folder / kind, records)
            names = {path.name for path in (folder / kind).iterdir()}
            if set(results) != names or not names:
                faults.append(f"{kind}: looked at {len(results)} of {len(names)} messages")
            for name, signatures in results.items():
                count += len(signatures)
                faults += faults_of(f"{kind}/{name}", signatures, kind == "good", algorithms)
    print("\n".join(faults[:20]) or f"ok: {count} signatures by {verifier.name}")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
