"""The number of a life of a host: it grows, also where the state folder was removed and groups of an earlier life are
left."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agenthost.containment import ground
from agenthost.host.home import Home
from agenthost.host.life_before import UNKNOWN, LifeBefore, life_before
from agenthost.transport.places import Places
from tests.places import VARIABLES


def cut_off(*, before: str = "") -> dict[str, Any] | None:
    """What the next host is told of the last one; it is cut off itself."""
    home = Home(Places("here"))
    found = life_before(home, SimpleNamespace(before=before))  # type: ignore[arg-type]  # as much of a guard as is read
    home.begin()
    os.close(home._fd)  # as the kernel does
    return None if found is None else found.described()


def begun(beyond: int = 0) -> int:
    home = Home(Places("here"), beyond)
    home.close()
    return home.boot


def test_a_host_with_a_new_state_folder_takes_no_number_of_which_something_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, variable in VARIABLES.items():
        monkeypatch.setenv(variable, str(tmp_path / name))
    os.makedirs(Places("here").state_folder)
    own = {"": str(tmp_path / "v2"), "memory": str(tmp_path / "v1")}
    for folder in ("v2/agenthost-here-1/agents/a", "v1/agenthost-here-4", "v2/agenthost-other-9", "v2/agenthost-here"):
        (tmp_path / folder).mkdir(parents=True)
    assert ground.last_boot("here", own) == 4 and ground.last_boot("nobody", own) == 0
    assert begun(ground.last_boot("here", own)) == 5
    assert begun() == 6, "it has noted that"
    assert begun(4) == 7, "of an earlier one"


def test_a_host_knows_of_the_one_before_that_was_cut_off_and_of_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, variable in VARIABLES.items():
        monkeypatch.setenv(variable, str(tmp_path / name))
    os.makedirs(Places("here").state_folder)
    assert cut_off() is None, "the first of all"
    killed = {"boot": 1, "ended": "host killed by SIGKILL", "at": 17.5}
    assert cut_off(before="17.5 host killed by SIGKILL") == killed
    assert cut_off() == {"boot": 2, "ended": UNKNOWN, "at": None}, "its guardian was another one"
    assert begun() == 4, "as planned"
    assert begun() == 5, "one that could not start its tree"
    assert cut_off() is None
    home = Home(Places("here"))
    assert home.cut_off == 6
    home.close()


def test_it_is_recorded_once_as_what_failed_in_that_life() -> None:
    said: list[Any] = []
    before = LifeBefore(3, "host killed by SIGKILL", 17.5)
    before.tell(
        lambda *told, **fields: said.append((told, fields)), lambda *told, **fields: said.append((told, fields))
    )
    assert said == [
        (("host.recovered", "/"), {"before": 3, "ended": "host killed by SIGKILL"}),
        (("/.system/host", 3, 0, "signal"), {"ended": "host killed by SIGKILL", "number": 0, "at_ms": 17500}),
    ]
