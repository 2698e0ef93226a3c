"""What the end-to-end tests share: a folder per test, the volley program, its sink, skipping.

A test is a script with functions `test_...(t)`; main() runs them one after the other, each in a fresh
temporary folder that is the working folder of what it starts. Exit code 0: all passed, 1: one failed
(what was expected and what came is printed), 77: skipped, with the reason. Everything started is
killed at the end; nothing but loopback is contacted.
"""

import argparse
import contextlib
import csv
import ctypes
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback

import mta

SUMMARY_KEYS = {"campaign", "recipients", "delivered", "bounced", "deferred", "suppressed", "rejected",
                "uncertain", "cancelled", "duplicates", "left", "resumed_after", "found_uncertain",
                "sent_again", "breaker", "suppressed_by_bounces", "elapsed_s", "messages_per_s",
                "cpu_us_per_message", "relays", "preflight"}
SINK_KEYS = {"messages", "recipients", "bytes", "connections", "peak_connections", "protocol_errors"}


class Failure(Exception):
    """What was expected and what came instead."""


class Skip(Exception):
    """Why the test cannot run here."""


def expect(condition, message):
    if not condition:
        raise Failure(message)


def expect_equal(got, wanted, what):
    expect(got == wanted, f"{what}: got {got!r}, wanted {wanted!r}")


def expect_same_multiset(got, wanted, what):
    """Compares two lists without order and shows the first differences: lost, doubled, strange."""
    got, wanted = sorted(got), sorted(wanted)
    if got == wanted:
        return
    doubled = sorted({a for a, b in zip(got, got[1:]) if a == b})
    lost = sorted(set(wanted) - set(got))
    strange = sorted(set(got) - set(wanted))
    raise Failure(f"{what}: {len(got)} instead of {len(wanted)}; {len(lost)} lost {lost[:5]}, "
                  f"{len(doubled)} doubled {doubled[:5]}, {len(strange)} strange {strange[:5]}")


class Result:
    """A finished run of volley."""

    def __init__(self, args, code, out, err):
        self.args, self.code, self.out, self.err = args, code, out, err

    def __str__(self):
        return (f"$ volley {' '.join(self.args)}\nexit code {self.code}\n"
                f"--- stdout\n{self.out[-3000:]}\n--- stderr\n{self.err[-3000:]}")

    def expect_code(self, code):
        expect(self.code == code, f"exit code {self.code}, wanted {code}\n{self}")
        return self

    def expect_says(self, *patterns):
        """Each pattern (a regular expression, any case) is somewhere in the output."""
        for pattern in patterns:
            expect(re.search(pattern, self.out + self.err, re.I | re.S),
                   f"nothing like /{pattern}/ was said\n{self}")
        return self

    def summary(self):
        """The object that --json prints; standard output holds nothing else."""
        try:
            summary = json.loads(self.out)
        except ValueError as e:
            raise Failure(f"standard output is not one JSON object ({e})\n{self}") from None
        expect_equal(set(summary), SUMMARY_KEYS, "keys of the JSON summary")
        return summary

    def expect_counts(self, **counts):
        """Counts not named are 0; `recipients` is the sum of the outcomes unless it is named."""
        summary = self.summary()
        wanted = dict.fromkeys(("delivered", "bounced", "deferred", "suppressed", "rejected",
                                "uncertain", "cancelled", "duplicates", "left"), 0) | counts
        outcomes = ("delivered", "bounced", "deferred", "suppressed", "uncertain", "cancelled",
                    "left")
        wanted.setdefault("recipients", sum(wanted[k] for k in outcomes))
        got = {k: summary[k] for k in wanted}
        expect(got == wanted, f"counts {got}, wanted {wanted}\n{self}")
        return self


class Sink:
    """A running `volley sink`; stop() ends it and gives what it counted."""

    def __init__(self, test, *flags, jsonl=True, address="127.0.0.1", port=None):
        self.port = port or mta.free_port()
        self.address = address
        self.jsonl = test.dir / f"sink-{address}-{self.port}.jsonl" if jsonl else None
        kept = ["--jsonl", str(self.jsonl)] if jsonl else []
        self.err_path = test.dir / f"sink-{address}-{self.port}.err"
        self.process = test.start("sink", "--listen", f"{address}:{self.port}", "--json", *kept,
                                  *flags, stderr=open(self.err_path, "wb"))
        test.wait_for_port(self.port, self.process, address=address)

    @property
    def url(self):
        return f"smtp://{self.address}:{self.port}"

    def stop(self):
        self.process.send_signal(signal.SIGINT)
        out, _ = self.process.communicate(timeout=30)
        text = self.err_path.read_text(errors="replace")
        expect_equal(self.process.returncode, 0, f"exit code of the sink (it said: {text[-2000:]})")
        counts = json.loads(out)
        expect_equal(set(counts), SINK_KEYS, "keys of the sink's JSON object")
        return counts

    def lines(self):
        """The JSONL records written so far."""
        text = self.jsonl.read_text() if self.jsonl.exists() else ""
        return [json.loads(line) for line in text.splitlines() if line.endswith("}")]

    def recipients(self):
        return [address for line in self.lines() for address in line["rcpt_to"]]


class Test:
    """What one test function gets: a folder, and ways to run things in it."""

    def __init__(self, volley, folder):
        self.volley = volley
        self.dir = pathlib.Path(folder)
        self.children = []

    # --- Files ---

    def write(self, name, text):
        path = self.dir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return str(path)

    def write_list(self, rows, name="list.csv"):
        """`rows`: the header first."""
        with open(self.dir / name, "w", newline="", encoding="utf-8") as f:
            csv.writer(f).writerows(rows)
        return str(self.dir / name)

    def simple_campaign(self, count, domain="example.test"):
        """A list of `count` and a text template: the flags to send it, and the addresses."""
        addresses = [f"r{i:06d}@{domain}" for i in range(count)]
        to = self.write_list([("email", "name")] + [(a, f"Name {i}")
                                                    for i, a in enumerate(addresses)])
        text = self.write("hello.txt", "Hello {{name}},\n\n.a line with a dot first\n\nbye\n")
        return ["--from", "Sender <sender@example.test>", "--to", to,
                "--subject", "Hello {{name}}", "--text", text,
                "--kind", "transactional"], addresses

    def left_behind(self, state="state"):
        """Whatever a campaign wrote under the state folder, but for an empty store."""
        root = self.dir / state / "campaigns"
        return sorted(str(p.relative_to(self.dir)) for p in root.rglob("*")) if root.exists() else []

    # --- Programs ---

    def start(self, *args, **kwargs):
        kwargs.setdefault("stdout", subprocess.PIPE)
        kwargs.setdefault("stderr", subprocess.PIPE)
        kwargs.setdefault("stdin", subprocess.DEVNULL)
        child = subprocess.Popen([self.volley, *map(str, args)], cwd=self.dir, text=True,
                                 start_new_session=True, **kwargs)
        self.children.append(child)
        return child

    def finish(self, child, args, timeout=120):
        try:
            out, err = child.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            child.kill()
            out, err = child.communicate()
            raise Failure("not finished after "
                          f"{timeout} s:\n{Result(list(map(str, args)), 'killed', out, err)}") from None
        return Result(list(map(str, args)), child.returncode, out, err)

    def run(self, *args, timeout=120):
        return self.finish(self.start(*args), args, timeout)

    def send(self, *args, timeout=120):
        """`volley send` with a JSON summary and a state folder in the test's own. Who is deferred is
        not waited for, unless the test says so."""
        retry = () if "--retry-for" in args else ("--retry-for", "0")
        return self.run("send", "--json", "--no-progress", "--state", "state", *args,
                        *retry, timeout=timeout)

    def wait_for_port(self, port, process, seconds=20, address="127.0.0.1"):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and process.poll() is None:
            with contextlib.suppress(OSError):
                socket.create_connection((address, port), 1).close()
                return
            time.sleep(0.02)
        raise Failure(f"nothing listens on port {port} (exit code so far: {process.poll()})")

    def cleanup(self):
        for child in self.children:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()


def wait_until(condition, seconds, what):
    deadline = time.monotonic() + seconds
    while not condition():
        expect(time.monotonic() < deadline, f"waited {seconds} s for {what}")
        time.sleep(0.02)


def rows_wanted(default=20000):
    """How many recipients the big tests take; VOLLEY_E2E_ROWS=100000 for the full size."""
    return int(os.environ.get("VOLLEY_E2E_ROWS", default))


def need_uring():
    """Skips where the kernel (or a container's seccomp profile) refuses io_uring; asks it directly."""
    io_uring_setup, params = 425, ctypes.create_string_buffer(120)
    libc = ctypes.CDLL(None, use_errno=True)
    fd = libc.syscall(io_uring_setup, 1, params)
    if fd < 0:
        raise Skip(f"io_uring cannot be used here: {os.strerror(ctypes.get_errno())}")
    os.close(fd)


def run_one(function, volley, keep):
    folder = tempfile.mkdtemp(prefix="volley-e2e-")
    os.chmod(folder, 0o755)  # a mail server delivers into it under an account of its own
    test = Test(volley, folder)
    started = time.monotonic()
    failed = True
    try:
        function(test)
        failed = False
    finally:
        test.cleanup()
        if failed and keep:
            print(f"kept: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    print(f"ok      {function.__name__} ({time.monotonic() - started:.1f} s)", flush=True)


def main():
    parser = argparse.ArgumentParser(description=sys.modules["__main__"].__doc__)
    parser.add_argument("--volley", required=True, help="the program to test")
    parser.add_argument("--only", help="run this function only")
    parser.add_argument("--keep", action="store_true", help="keep the folder of a failed test")
    options = parser.parse_args()
    tests = [f for name, f in vars(sys.modules["__main__"]).items()
             if name.startswith("test_") and options.only in (None, name)]
    if not tests:
        sys.exit(f"there is no function {options.only!r}")
    code = 0
    for function in tests:
        try:
            run_one(function, os.path.abspath(options.volley), options.keep)
        except (Skip, mta.Unavailable) as reason:
            print(f"SKIPPED {function.__name__}: {reason}", flush=True)
            code = code or 77
        except Failure as failure:
            print(f"FAILED  {function.__name__}: {failure}", flush=True)
            code = 1
        except Exception:  # an error of the test itself must not hide the others' results
            print(f"FAILED  {function.__name__}:\n{traceback.format_exc()}", flush=True)
            code = 1
    sys.exit(code)
