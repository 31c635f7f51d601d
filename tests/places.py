"""A folder with ``run`` and ``state``, for whoever starts a host; short, for a socket's path has 107 bytes."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests import reaper

VARIABLES = {"run": "AGENTHOST_RUNTIME_DIR", "state": "AGENTHOST_STATE_DIR"}
_NUMBERS = itertools.count()


@contextmanager
def place(patch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The environment names it, until the end."""
    folder = Path(reaper.run_folder(), str(next(_NUMBERS)))
    folder.mkdir(mode=0o711)  # agents of other users find their sockets in it
    for name, variable in VARIABLES.items():
        (folder / name).mkdir(mode=0o711)
        patch.setenv(variable, str(folder / name))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)
