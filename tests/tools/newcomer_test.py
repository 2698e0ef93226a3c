"""The README's first campaign, run exactly as it is printed there.

Only the port is changed (a free one instead of 2525), and `build/release/volley` is a link to the
program under test.
"""

import email.parser
import email.policy
import pathlib
import re
import subprocess

import e2e
import mta

ROOT = pathlib.Path(__file__).resolve().parents[2]


def code_block(document, heading):
    """The first ```bash block below `heading`."""
    text = (ROOT / document).read_text()
    e2e.expect(heading in text, f"{document} has no heading {heading!r}")
    block = re.search(r"```bash\n(.*?)```", text.split(heading, 1)[1], re.S)
    e2e.expect(block, f"no bash block below {heading!r} in {document}")
    return block.group(1)


def run_block(t, block):
    (t.dir / "build/release").mkdir(parents=True)
    (t.dir / "build/release/volley").symlink_to(t.volley)
    (t.dir / "examples").symlink_to(ROOT / "examples")
    e2e.expect("2525" in block, "the block has no port 2525 to replace")
    script = block.replace("2525", str(mta.free_port()))
    child = subprocess.Popen(["bash", "-e", "-c", script], cwd=t.dir, text=True, start_new_session=True,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                             stdin=subprocess.DEVNULL)
    t.children.append(child)
    out, _ = child.communicate(timeout=60)
    return child.returncode, out


def test_the_readmes_first_campaign(t):
    block = code_block("README.md", "## A first campaign of your own")
    e2e.expect(len(block.strip().splitlines()) <= 16, "ten lines, the two files' contents apart")
    code, out = run_block(t, block)
    e2e.expect_equal(code, 0, f"exit code of the block, which said:\n{out}")
    parser = email.parser.BytesParser(policy=email.policy.default)
    mails = [parser.parsebytes(p.read_bytes())
             for p in (t.dir / "first/inbox").rglob("*") if p.is_file()]
    greetings = sorted(mail.get_content().splitlines()[0] for mail in mails)
    e2e.expect_equal(greetings, ["Hello Ann,", "Hello Bob,"], f"greetings; the block said:\n{out}\n")


def test_the_tutorials_first_part(t):
    block = code_block("docs/tutorial.md", "## 2. Send to a server that keeps nothing")
    code, out = run_block(t, block)
    e2e.expect_equal(code, 0, f"exit code of the block, which said:\n{out}")
    e2e.expect(re.search(r"\b4\b", out), f"four recipients are not mentioned in:\n{out}")


if __name__ == "__main__":
    e2e.main()
