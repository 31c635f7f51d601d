"""One boot of the machine: qemu without KVM, everything in memory, two serial lines to files: console and report."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

from tests.systemd import image
from tests.waiting import wait_until

LONGEST_S = 3000.0
_QEMU = (
    "qemu-system-x86_64 -accel tcg,thread=single -icount shift=0,sleep=off -rtc clock=vm -cpu max -smp 1 -m 3072"
    " -nodefaults -no-reboot -display none"
).split()
"""Its clock is that of its instructions, one a nanosecond: who shares our processors makes it late, but no agent in it
too slow; and where all in it wait, time jumps."""
_KERNEL = (
    "console=ttyS0 rdinit=/lib/systemd/systemd cgroup_no_v1=all mitigations=off tsc=reliable loglevel=4"
    " systemd.show_status=0 systemd.default_timeout_start_sec=300"
)


class Machine:
    """``report`` after ``wait_end``: name of a case to what came of it."""

    def __init__(self, folder: Path) -> None:
        self._report, self._console, self._said = folder / "report", folder / "console", folder / "said"
        initrd = image.initrd(folder)
        words = [*_QEMU, "-serial", f"file:{self._console}", "-serial", f"file:{self._report}"]
        words += ["-kernel", str(image.base() / "vmlinuz"), "-initrd", str(initrd), "-append", _KERNEL]
        with self._said.open("wb") as said:
            self._process = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=said, preexec_fn=_modest
            )

    def wait_end(self) -> dict[str, dict[str, Any]]:
        """``AssertionError`` with the end of the console if it does not get to the last case."""
        try:
            wait_until(lambda: self._process.poll() is not None, LONGEST_S, "the machine is off")
        finally:
            self.kill()
        lines = self._report.read_text(errors="replace").splitlines() if self._report.exists() else []
        report = {line["case"]: line for line in map(json.loads, lines)}
        if "end" not in report:
            said = self.console()[-6000:]
            raise AssertionError(f"the machine came to {list(report)}\n{self._said.read_text()}\n{said}")
        return report

    def console(self) -> str:
        return self._console.read_text(errors="replace") if self._console.exists() else ""

    def kill(self) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)
        self._process.wait()


def _modest() -> None:
    """It takes two cores for minutes, and ends with pytest."""
    from agenthost import kernel

    os.nice(19)
    kernel.set_parent_death_signal(signal.SIGKILL)
