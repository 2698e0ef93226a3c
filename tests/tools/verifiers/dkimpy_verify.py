"""All DKIM signatures of all messages in a folder by dkimpy. See dkim_verifiers.py for what goes in and
out. Runs under Debian's own python3, which has python3-dkim and python3-nacl."""

import json
import pathlib
import sys

import dkim
import dkim.util
import nacl.signing  # noqa: F401  dkimpy finds out only when it meets an Ed25519 signature


def message_of(path):
    data = path.read_bytes()
    return data if b"\r\n" in data else data.replace(b"\n", b"\r\n")


def verify(message, index, field, dns):
    tags = dkim.util.parse_tag_value(field)
    found = {name: tags.get(key, b"").decode() for name, key in
             (("domain", b"d"), ("selector", b"s"), ("algorithm", b"a"))}
    found["signed"] = [h.strip().decode().lower() for h in tags.get(b"h", b"").split(b":")]
    found["why"] = ""
    try:
        found["result"] = "pass" if dkim.DKIM(message).verify(idx=index, dnsfunc=dns) else "fail"
    except dkim.DKIMException as error:
        found["result"], found["why"] = "fail", f"{type(error).__name__}: {error}"
    return found


def main():
    folder, records = pathlib.Path(sys.argv[1]), json.loads(pathlib.Path(sys.argv[2]).read_text())
    records = {name.rstrip(".").lower(): text.encode() for name, text in records.items()}

    def dns(name, timeout=5):  # pylint: disable=unused-argument
        name = name.decode() if isinstance(name, bytes) else name
        return records.get(name.rstrip(".").lower())

    for path in sorted(folder.glob("*.eml")):
        message = message_of(path)
        fields = [value for name, value in dkim.DKIM(message).headers
                  if name.lower() == b"dkim-signature"]
        found = [verify(message, i, field, dns) for i, field in enumerate(fields)]
        print(json.dumps({"message": path.name, "signatures": found}))


main()
