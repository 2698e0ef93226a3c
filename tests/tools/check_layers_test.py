"""Proves that tools/check-layers finds what it must, in trees made for it, and nothing else."""

import pathlib
import subprocess
import sys
import tempfile

FLOORS = ("io", "engine", "pipeline", "tools", "tests", "bench")

# file, its only line, whether that is a fault
CASES = [
    ("io/a.cc", '#include "engine/smtp/client.h"', True),
    ("io/a.cc", '#include "pipeline/shard/shard.h"', True),
    ("io/a.cc", '#include "tools/volley/send.h"', True),
    ("io/a.cc", '#include "io/base/time.h"', False),
    ("engine/smtp/a.h", '#include "io/base/time.h"', True),
    ("engine/smtp/a.h", '#include <io/base/time.h>', True),
    ("engine/smtp/a.h", '  #  include "io/base/time.h"', True),
    ("engine/smtp/a.h", '#include "pipeline/source/import.h"', True),
    ("engine/smtp/a.h", '#include "engine/message/address.h"', False),
    ("pipeline/a.cc", '#include "tools/volley/send.h"', True),
    ("pipeline/a.cc", '#include "tests/io/fake.h"', True),
    ("pipeline/a.cc", '#include "pipeline/shard/shard_test.h"', True),
    ("pipeline/a.cc", '#include "io/reactor/reactor.h"', False),
    ("pipeline/a.cc", '#include "engine/smtp/client.h"', False),
    ("tools/volley/a.cc", '#include "pipeline/shard/shard.h"', False),
    ("tools/volley/a.cc", '#include "bench/workload.h"', True),
    ("tools/volley/a.cc", '#include "gtest/gtest.h"', True),
    ("tools/volley/a.cc", '#include <benchmark/benchmark.h>', True),
    ("tests/io/a_test.cc", '#include "gtest/gtest.h"', False),
    ("tests/io/a_test.cc", '#include "pipeline/shard/shard.h"', False),
    ("tests/io/a_test.cc", '#include "bench/workload.h"', True),
    ("bench/a_bench.cc", '#include "engine/smtp/client.h"', False),
    ("io/reactor/a.cc", '#include "../../engine/smtp/client.h"', True),
    ("io/reactor/a.cc", '#include "reactor.h"', True),
    ("io/reactor/a.cc", '#include <linux/io_uring.h>', True),
    ("io/reactor/a.cc", '#include <liburing.h>', False),
    ("io/reactor/a.cc", '#include "absl/status/status.h"', False),
    ("pipeline/a.cc", "  if (co_await Connected()) return;", True),
    ("pipeline/a.cc", "  co_return;", True),
    ("pipeline/a.cc", "  co_yield 1;", True),
    ("pipeline/a.cc", "// no co_await here: see the ADR", False),
    ("pipeline/a.cc", '  Log("co_await");', False),
    ("pipeline/a.txt", '#include "tools/volley/send.h"', False),
]


def run(check, root):
    done = subprocess.run([sys.executable, check, root], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout


def failures(check):
    for name, line, is_fault in CASES:
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            for floor in FLOORS:
                (root / floor).mkdir()
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(f"// The first line.\n{line}\n")
            code, out = run(check, root)
            if code != int(is_fault) or out.startswith(f"{name}:2: ") != is_fault:
                yield f"{name}: {line}\n  exit code {code}, said {out!r}; a fault: {is_fault}"
    with tempfile.TemporaryDirectory() as folder:
        if run(check, folder)[0] == 0:
            yield "an empty folder passes as a checkout"


def main():
    found = list(failures(sys.argv[1]))
    print("\n".join(found) or f"{len(CASES)} cases as expected")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
