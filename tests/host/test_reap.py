"""``turn: {reap: true}``: what a turn leaves behind in its agent's cell is gone before its reply."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.host.conftest import Start
from tests.host.running import Running, is_alive, tree
from tests.host.test_tools import KINDS, do, tier, tooler

__all__ = ["tier"]


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_left_behind_is_killed_and_said_and_children_live_on(start: Start, tier: str, kind: str) -> None:
    host: Running = start(tree(tooler(kind, turn={"reap": True})), containment=tier)
    do(host, "keep", argv=["cat"])
    pid = host.pid("/smith")
    assert do(host, "by_subprocess")
    assert host.row("/smith", members=True)["cell"]["processes"] == 2  # the agent, and the server that it keeps
    assert not any("sleep" in what for what in host.survivors().values())
    assert do(host, "facts")["children"] == []
    assert do(host, "ask_server", line=b"still there") == b"still there\n"
    assert host.pid("/smith") == pid
    host.wait(lambda: "the turn left behind, and the host has killed: " in host.printed("/smith"), "it is said")
    assert "sleep (pid " in host.printed("/smith")


def test_without_it_what_was_left_behind_stays_in_the_cell_until_the_agent_ends(start: Start) -> None:
    host: Running = start(tree(tooler()))
    do(host, "by_subprocess")
    members = {one["pid"] for one in host.row("/smith", members=True)["members"]}
    assert len(members) >= 5
    host.ask("stop", path="/smith")
    assert not any(map(is_alive, members))


def test_a_lines_program_cannot_have_it(tmp_path: Path) -> None:
    from agenthost.config.load import load
    from agenthost.errors import ConfigError

    config = tmp_path / "host.yaml"
    worker: Any = "{name: p, command: [cat], protocol: lines, turn: {reap: true}}"
    config.write_text(f"agenthost: 1\ntree: {{children: [{worker}]}}\n")
    with pytest.raises(ConfigError, match="reap would end the program itself"):
        load(config)
