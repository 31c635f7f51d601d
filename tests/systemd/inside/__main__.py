"""Runs all cases, one after the other, and writes what came of each as a line of JSON to the second serial line."""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from typing import Any

from tests.systemd.inside.cases import CASES, Facts
from tests.systemd.inside.shell import run

REPORT = "/dev/ttyS1"


def main() -> None:
    with open(os.environ.get("REPORT", REPORT), "w", encoding="ascii") as report:

        def say(**fields: Any) -> None:
            report.write(json.dumps(fields) + "\n")
            report.flush()

        install = ["/opt/agenthost/bin/pip", "install", "-q", "--no-index", "--no-deps", "/opt/wheels"]
        [wheel] = os.listdir(install.pop())
        _report_on(lambda facts: run(*install, f"/opt/wheels/{wheel}"), "install", say)
        wanted = sys.argv[1:]
        for case in CASES:
            if not wanted or case.__name__ in wanted:
                _report_on(case, case.__name__, say)
        say(case="end")


def _report_on(case: Any, name: str, say: Any) -> None:
    began = time.monotonic()
    facts: Facts = {}
    why = ""
    try:
        case(facts)
    except Exception:  # of any kind: the next case has its chance, and this one its traceback in the report
        why = traceback.format_exc() + run("journalctl", "-n", "40", "--no-pager", "-o", "cat", status=None)
    say(case=name, why=why, seconds=round(time.monotonic() - began, 1), facts=facts)


if __name__ == "__main__":
    main()
