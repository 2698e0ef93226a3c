"""Verifies every signature of every *.eml in a folder with dkimpy: FOLDER RECORDS.json -> JSON."""
import json
import pathlib
import sys

import dkim
import nacl.signing  # noqa: F401  (dkimpy needs it for Ed25519 and says so too late)

folder, records = pathlib.Path(sys.argv[1]), json.loads(pathlib.Path(sys.argv[2]).read_text())


def txt(name, timeout=5):
    name = (name.decode() if isinstance(name, bytes) else name).rstrip(".")
    return records[name].encode() if name in records else None


results = {}
for path in sorted(folder.glob("*.eml")):
    message = dkim.DKIM(path.read_bytes(), minkey=1024)
    count = sum(1 for name, _ in message.headers if name.lower() == b"dkim-signature")
    results[path.name] = []
    for index in range(count):
        try:
            good, why = message.verify(idx=index, dnsfunc=txt), ""
        except dkim.DKIMException as error:
            good, why = False, str(error)
        fields = message.signature_fields
        results[path.name].append({"domain": fields[b"d"].decode(), "selector": fields[b"s"].decode(),
                                   "algorithm": fields[b"a"].decode(),
                                   "result": "pass" if good else "fail", "why": why,
                                   "signed": fields[b"h"].decode().lower().replace(" ", "").split(":")})
print(json.dumps(results))
