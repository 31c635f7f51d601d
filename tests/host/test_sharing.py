"""A host that tests share is as it was for each of them; who leaves it otherwise fails."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.host import sharing
from tests.host.running import MARK, Running, agent, tree
from tests.host.sharing import SharedHosts, put_back


def test_who_leaves_it_otherwise_fails_and_the_next_one_gets_another(
    places: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sharing, "AGAIN_S", 0.2)
    with SharedHosts() as hosts:

        @contextmanager
        def share() -> Iterator[Running]:
            with hosts.borrowed(places, monkeypatch, tree(agent("echo", "Echo")), {}) as host:
                yield host

        with share() as first:
            first.ask("kill", path="/echo")
            first.wait_event("agent.ready", "/echo")
        with share() as same:
            assert same is first and not same.events()
            same.ask("stop", path="/echo")
            put_back(same)
        with pytest.raises(AssertionError, match="as it was"), share() as left:
            left.ask("stop", path="/echo")
        assert not first.survivors()
        with share() as another:
            assert another is not first and another.call("/echo", 1) == 1
        stray = subprocess.Popen(["sleep", "1000"], env={MARK: another.mark})
        try:
            with pytest.raises(AssertionError, match=f"unknown: {{{stray.pid}: 'sleep'}}"), share():
                pass
        finally:
            stray.kill()
            stray.wait()
