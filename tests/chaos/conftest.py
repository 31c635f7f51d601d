"""A host whose agents are awkward."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.witness import Witness
from tests.host.running import Running, running

Start = Callable[..., Running]
Watch = Callable[[Running, str], Witness]
NOBODY = 65534


@pytest.fixture
def folder(places: Path) -> Path:
    """For what awkward programs need in files; a set-user-ID program is in it if we are root."""
    made = places / "chaos"
    made.mkdir(mode=0o711)
    if os.geteuid() == 0:
        program = made / "set-user-id"
        shutil.copyfile("/bin/sleep", program)
        os.chown(program, NOBODY, NOBODY)
        program.chmod(0o4711)
    return made


@pytest.fixture
def start(places: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    monkeypatch.setenv("CHAOS_FOLDER", str(folder))
    with ExitStack() as stack:

        def begin(config_tree: dict[str, Any], **keys: Any) -> Running:
            return stack.enter_context(running(places, config_tree, **keys))

        yield begin


@pytest.fixture
def watch() -> Iterator[Watch]:
    """``watch(host, path)``: a witness of the incarnation that is there now."""
    with ExitStack() as stack:

        def begin(host: Running, path: str) -> Witness:
            witness = Witness(host, path)
            stack.callback(witness.close)
            return witness

        yield begin
