"""``make bench``: agenthost beside the raw mechanisms, in one run.

Prints a table; with ``--write`` also into docs/benchmarks.md. The exit status says whether it could measure, not
whether the aims are met.
"""

from __future__ import annotations

import argparse
import itertools
import os
import platform
import re
import sys
import tempfile
import time
from pathlib import Path

import zmq
from benchmarks import journal, mail, sleep
from benchmarks.figures import Figure, as_markdown, as_text
from benchmarks.measure import FULL, QUICK, measure

from agenthost.errors import AgenthostError

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"
BEGIN, END = "<!-- written by scripts/bench.py --write -->", "<!-- end of the written part -->"


def main() -> int:
    parser = argparse.ArgumentParser(description="measure agenthost beside the raw mechanisms")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds: about a minute")
    parser.add_argument("--write", action="store_true", help="write the table into docs/benchmarks.md")
    wanted = parser.parse_args()
    began, figures = time.monotonic(), list[Figure]()
    with tempfile.TemporaryDirectory(prefix="agenthost-bench-", ignore_cleanup_errors=True) as folder:
        try:
            # The journal first: no host runs beside it yet.
            stored = journal.measure(Path(folder), journal.QUICK if wanted.quick else journal.FULL)
            hosted = measure(Path(folder), QUICK if wanted.quick else FULL)
            mailed = mail.measure(Path(folder), quick=wanted.quick)
            slept = sleep.measure(Path(folder), quick=wanted.quick)
            for figure in itertools.chain(stored, mailed, slept, hosted):
                figures.append(figure)
                print(f"{time.monotonic() - began:6.1f} s  {figure.name}", file=sys.stderr, flush=True)
        except (AgenthostError, OSError, RuntimeError, zmq.ZMQError) as error:
            print(f"cannot measure: {error}", file=sys.stderr)
            return 1
    print(as_text(figures))
    where = _machine()
    print(f"\n{where}; {time.monotonic() - began:.0f} s")
    if wanted.write:
        _write(f"{as_markdown(figures)}\n\n{where}{', --quick' if wanted.quick else ''}.")
    return 0


def _machine() -> str:
    load = os.getloadavg()[0]
    return (
        f"{os.cpu_count()} cores, Linux {platform.release()}, Python {platform.python_version()}, "
        f"pyzmq {zmq.pyzmq_version()}, libzmq {zmq.zmq_version()}, load {load:.1f} at the end"
    )


def _write(part: str) -> None:
    page = PAGE.read_text(encoding="utf-8")
    fresh, count = re.subn(f"{BEGIN}.*{END}", lambda _: f"{BEGIN}\n\n{part}\n\n{END}", page, flags=re.DOTALL)
    if count != 1:
        raise SystemExit(f"cannot write {PAGE}: its two markers are missing; put them back: {BEGIN} and {END}")
    PAGE.write_text(fresh, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
