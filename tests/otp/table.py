"""The table of docs/otp.md: each case of the suite, its tests, where they run, and how a run of them ended.

    python -m tests.otp.table docs/otp.md [--junit FILE ...]

What a case is stands in ``cases.txt``; which tests it has, in their ``otp`` marks; the results come from a run: that of
FILE, as ``pytest --junit-xml`` writes it (or of several that complete each other), or one that is made now.
"""

from __future__ import annotations

import argparse
import importlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from tests.otp.forms import FORMS

FOLDER = Path(__file__).resolve().parent
ROOT = FOLDER.parents[1]
WORLDS = ("spec", "sim", "host", *FORMS)
"""Where a test can run. "spec": values alone; "host": a host, where the form of its children does not matter."""
REAL = frozenset({"host", *FORMS})
AT_LEAST_REAL = 65

HEAD = """# Erlang's supervisor suite

Written by `python -m tests.otp.table docs/otp.md`; a test says when that is to be done again.

Every case of OTP's `supervisor_SUITE` has a test here of that name. Each runs against the core in simulation (sim),
unless it is about what is refused before the core sees it (spec). Those about processes also run with a host as a user
starts it, in three forms of the child that a supervisor cannot tell apart: a Python agent (agent), a program that knows
nothing of agenthost (program), and a program whose work and helpers are daemons in sessions of their own, deaf to TERM
(escaping). After each of these no process is left. A few are about a host and not about its children (host). The cases
assert Erlang's own results, under `otp_strict: true`; where ours differ by default, a test of the same case says so and
names the deviation. D5 (unknown keys are refused) is a rule of the config's reader, and holds under `otp_strict` too.
"""


@dataclass(frozen=True)
class Test:
    """``worlds`` are those of its mark; ``why`` is why it does not run in every form."""

    name: str
    module: str
    numbers: tuple[int, ...]
    worlds: tuple[str, ...]
    why: str


@dataclass(frozen=True)
class Row:
    number: int
    name: str
    words: str
    tests: tuple[Test, ...]

    @property
    def worlds(self) -> list[str]:
        return [world for world in WORLDS if any(world in test.worlds for test in self.tests)]

    @property
    def is_real(self) -> bool:
        return not REAL.isdisjoint(self.worlds)

    @property
    def why(self) -> str:
        """Why not every form is there, by the tests that come nearest; empty if all are."""
        if set(FORMS) <= set(self.worlds):
            return ""
        nearest = [test for test in self.tests if not self.is_real or not REAL.isdisjoint(test.worlds)]
        return "; ".join(dict.fromkeys(test.why for test in nearest if test.why))

    def cells(self, result: str) -> str:
        names = "<br>".join(f"`{test.name}`" for test in self.tests)
        cells = (str(self.number), f"`{self.name}`", self.words, names, ", ".join(self.worlds), result, self.why)
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def rows() -> list[Row]:
    found = list(written())
    made = []
    for line in (FOLDER / "cases.txt").read_text().splitlines():
        head, _, words = line.partition(": ")
        number, _, name = head.partition(" ")
        made.append(Row(int(number), name, words, tuple(test for test in found if int(number) in test.numbers)))
    return made


def written() -> Iterator[Test]:
    """Functions with an ``otp`` mark, in the order they are written."""
    for file in sorted(FOLDER.glob("test_*.py")):
        module = importlib.import_module(f"tests.otp.{file.stem}")
        for name, value in vars(module).items():
            mark = mark_of(value) if name.startswith("test_") else None
            if mark is not None:
                worlds = tuple(mark.kwargs.get("forms", ("sim",)))
                yield Test(name, file.stem, mark.args, worlds, mark.kwargs.get("why", ""))


def mark_of(test: Any) -> Any:
    return next((mark for mark in getattr(test, "pytestmark", ()) if mark.name == "otp"), None)


def text(results: dict[tuple[str, str], str]) -> str:
    """The page. ``results``: (module, test) to "passed", "failed" or "skipped"; what is not there was not run."""
    table = rows()
    real = sum(row.is_real for row in table)
    lines = [HEAD, f"{len(table)} cases; {real} of them with real processes.", ""]
    lines += ["| | case | here | tests | runs in | result | why not in every form |", "| --: | - | - | - | - | - | - |"]
    return "\n".join([*lines, *(row.cells(result_of(row, results)) for row in table)]) + "\n"


def result_of(row: Row, results: dict[tuple[str, str], str]) -> str:
    """The worst of its tests."""
    found = {results.get((test.module, test.name), "not run") for test in row.tests} or {"no test"}
    return next(word for word in ("failed", "no test", "not run", "skipped", "passed") if word in found)


def results_of(files: list[Path]) -> dict[tuple[str, str], str]:
    found: dict[tuple[str, str], str] = {}
    for item in (item for file in files for item in ET.parse(file).iter("testcase")):
        name = (item.attrib["classname"].rpartition(".")[2], item.attrib["name"].partition("[")[0])
        tags = {child.tag for child in item}
        word = "failed" if tags & {"failure", "error"} else "skipped" if "skipped" in tags else "passed"
        found[name] = min(found.get(name, word), word)  # by the alphabet: failed, passed, skipped
    return found


def run(junit: Path) -> None:
    """All tests of the suite; some may fail, the table tells."""
    command = [sys.executable, "-m", "pytest", "-q", f"--junit-xml={junit}", f"--ignore={FOLDER}/test_table.py"]
    subprocess.run([*command, str(FOLDER)], cwd=ROOT, check=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("page", type=Path)
    parser.add_argument("--junit", type=Path, nargs="+")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        files: list[Path] = given.junit or [Path(folder, "junit.xml")]
        if given.junit is None:
            run(files[0])
        given.page.write_text(text(results_of(files)))


if __name__ == "__main__":
    main()
