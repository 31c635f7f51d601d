"""The number of a life of a host: it grows, also where the state folder was removed and groups of an earlier life are
left."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agenthost.containment import ground
from agenthost.host.home import Home
from agenthost.transport.places import Places
from tests.places import VARIABLES


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
