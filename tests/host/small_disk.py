"""A disk that is soon full, in the place of a folder."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.waiting import wait_until


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A tmpfs of that size (tmpfs(5)) over ``folder``; skips the test where it cannot be mounted."""
    options = f"size={size},mode=711"
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"cannot mount a tmpfs: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        # a host that was just killed may hold it for a moment
        wait_until(lambda: subprocess.run(["umount", str(folder)], capture_output=True).returncode == 0, what="umount")


def fill(folder: Path) -> None:
    """With one file, ``filler``, until nothing more is taken."""
    with open(folder / "filler", "wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError:
            return
