"""A scenario through real Erlang: one virtual machine, asked line by line."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from types import TracebackType

from tests.conformance.scenario import Scenario, term

SCRIPT = Path(__file__).with_name("supervisors.escript")
MISSING = None if shutil.which("escript") else "no escript: install Erlang/OTP (Debian: apt install erlang-base)"
"""Why nothing can be compared here."""


class Otp:
    """Context manager. The script ends when its stdin does."""

    def __enter__(self) -> Otp:
        self._process = subprocess.Popen(
            ["escript", str(SCRIPT)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._process.kill()  # it may be in the middle of something endless
        self._process.communicate()

    def run(self, scenario: Scenario) -> list[str]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(term(scenario) + "\n")
        self._process.stdin.flush()
        lines: list[str] = []
        for line in self._process.stdout:
            if line == "done\n":
                return lines
            lines.append(line.rstrip("\n"))
        raise AssertionError("Erlang ended in the middle of a scenario:\n" + "\n".join(lines))
