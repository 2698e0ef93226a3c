"""volley report --html: what a browser makes of the page. With headless Chromium, or SKIPPED."""

import json
import pathlib
import re
import shutil
import subprocess

import e2e
from e2e import expect, expect_equal

HOSTILE = ("550 5.1.1 </script><script>document.title='owned'</script>"
           "<img src=x onerror=\"document.title='owned'\">&lt;b&gt;\u2028\x00\x1b[2J")
# The colours of the charts' datasets; nothing else on the page has them.
DELIVERED, DEFERRED, BOUNCED = (0x2f, 0x9e, 0x44), (0xf5, 0x9f, 0x00), (0xe0, 0x31, 0x31)

COUNT_COLORS = """
import json, sys
from PIL import Image
with Image.open(sys.argv[1]) as image:
    colors = image.convert("RGB").getcolors(maxcolors=1 << 24)
print(json.dumps({"%02x%02x%02x" % color: n for n, color in colors}))
"""


def browser():
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if path := shutil.which(name):
            return path
    raise e2e.Skip("skipped: no Chromium here (tools/deps --tests installs it)")


def chromium(t, *flags, page):
    """Runs it with no network and no one's profile; what it wrote on standard output."""
    command = [browser(), "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
               "--no-first-run", "--disable-extensions", "--hide-scrollbars", "--force-color-profile=srgb",
               "--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={t.dir}/chromium",
               "--window-size=1100,2400", "--virtual-time-budget=5000", "--timeout=30000",
               *flags, pathlib.Path(page).resolve().as_uri()]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                             errors="replace", start_new_session=True)
    t.children.append(child)
    out, err = child.communicate(timeout=100)
    expect_equal(child.returncode, 0, f"exit code of Chromium ({err[-1500:]})")
    return out


def pixels(t, page, name):
    """How many pixels of each dataset's colour a picture of the page has."""
    picture = t.dir / f"{name}.png"
    chromium(t, f"--screenshot={picture}", page=page)
    # The distribution's Python has the distribution's Pillow; this one may be another.
    counted = subprocess.run(["/usr/bin/python3", "-c", COUNT_COLORS, str(picture)], capture_output=True,
                             text=True, timeout=60)
    if "No module named" in counted.stderr:
        raise e2e.Skip("skipped: python3-pil is missing (tools/deps --tests installs it)")
    counts = json.loads(counted.stdout)
    return {color: counts.get("%02x%02x%02x" % color, 0) for color in (DELIVERED, DEFERRED, BOUNCED)}


def report(t, html="page.html", hostile=True):
    """A campaign of 200 with refusals; its page and what --json says."""
    arguments, _ = t.simple_campaign(200)
    sink = e2e.Sink(t)
    t.send("--name", "spring", *arguments, "--via", sink.url).expect_code(0)
    sink.stop()
    events = t.dir / "state" / "campaigns" / "spring" / "events.jsonl"
    first = json.loads(events.read_text().splitlines()[0])
    reply = HOSTILE if hostile else "550 5.1.1 no such user"
    with open(events, "a", encoding="utf-8") as f:
        for i in range(120):
            kind = "bounced" if i % 2 else "deferred"
            f.write(json.dumps(first | {"event": kind, "category": "recipient_unknown", "reply": reply,
                                        "recipient": f"x{i}@other{i % 3}.test"}) + "\n")
        lane = reply if hostile else "google"
        f.write(json.dumps({"time": first["time"], "campaign": "spring", "event": "throttled",
                            "lane": lane, "what": "connections", "from": "4", "to": "2",
                            "cause": reply}) + "\n")
    t.run("report", "spring", "--state", "state", "--html", html).expect_code(0).expect_says(html)
    said = json.loads(t.run("report", "spring", "--state", "state", "--json").expect_code(0).out)
    return (t.dir / html), said


def test_chromium_draws_its_charts(t):
    page, _ = report(t, hostile=False)
    seen = pixels(t, page, "charts")
    # A third of the tries did not deliver; each chart has its own part of the page.
    expect(seen[DELIVERED] > 20000, f"pixels of what was delivered: {seen}")
    expect(seen[DEFERRED] > 3000 and seen[BOUNCED] > 5000, f"pixels of what was not: {seen}")
    # Without its script there is none: the check can fail.
    text = page.read_text()
    (t.dir / "no_script.html").write_text(re.sub(r"<script>.*?</script>", "", text, flags=re.S))
    expect_equal(set(pixels(t, t.dir / "no_script.html", "none").values()), {0}, "without scripts")
    # Nor with one that the page's policy does not know.
    (t.dir / "changed.html").write_text(text.replace("'use strict';", "'use strict'; ", 1))
    expect(text != (t.dir / "changed.html").read_text(), "nothing was changed")
    expect_equal(set(pixels(t, t.dir / "changed.html", "changed").values()), {0}, "a foreign script")


def test_what_servers_say_stays_text(t):
    page, said = report(t)
    dom = chromium(t, "--dump-dom", page=page)
    expect("<title>spring: campaign report</title>" in dom, "title")
    expect_equal(len(re.findall(r"<script\b", dom)), 3, "scripts in the page")
    expect("<img" not in dom, "an element out of a reply")
    expect("&lt;/script&gt;&lt;script&gt;document.title" in dom, "the reply, as text")
    expect_equal(len(re.findall("<canvas", dom)), 4, "charts")
    block = re.search(r'<script type="application/json" id="report">(.*?)</script>', page.read_text(), re.S)
    expect_equal(json.loads(block[1]), said, "what the page knows, and what --json says")


def test_the_page_needs_nothing_else(t):
    page, said = report(t)
    text = page.read_text()
    expect_equal(re.findall(r"<(?:link|img|iframe|object|embed|base|form)\b|\bsrc=\"", text.split("<script")[0]),
                 [], "what it would load")
    expect("default-src 'none'" in text, "its policy")
    expect_equal(page.stat().st_mode & 0o777, 0o600, "who may read it")
    # Also without scripts one sees what became of all.
    totals = re.search(r'<table id="totals">.*?</table>', text, re.S)[0]
    for outcome, count in said["totals"].items():
        if count:
            expect(f'<th scope="row">{outcome}</th><td>{count}</td>' in totals, f"{outcome} in {totals}")
    t.run("report", "spring", "--state", "state", "--html", "page.html").expect_code(2).expect_says(
        "--html page.html", "File exists")
    t.run("report", "spring", "--state", "state", "--html", "no/page.html").expect_code(2).expect_says(
        "no/page.html", "No such file")
    to_stdout = t.run("report", "spring", "--state", "state", "--html", "-").expect_code(0).out
    expect(to_stdout.startswith("<!doctype html>"), to_stdout[:100])


def test_a_full_disk_leaves_no_half_page(t):
    report(t)
    result = t.run("report", "spring", "--state", "state", "--html", "/dev/full").expect_code(2)
    result.expect_says("/dev/full", "File exists")
    limited = subprocess.run(["bash", "-c", 'ulimit -f 8; exec "$0" report spring --state state --html half.html',
                              t.volley], cwd=t.dir, capture_output=True, text=True, timeout=60)
    expect(limited.returncode != 0, f"exit code {limited.returncode}: {limited.stderr}")
    expect(not (t.dir / "half.html").exists(), "half a page")


if __name__ == "__main__":
    e2e.main()
