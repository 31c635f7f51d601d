"""What a zygote does not carry along: every fork would copy it, every agent would hold it."""

from __future__ import annotations

from pathlib import Path

from agenthost.launch.launcher import Release
from tests.launch.births import agent, give_birth, launching, within


def command_line(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text()


def test_an_agent_carries_nothing_of_what_started_its_zygote(tmp_path: Path) -> None:
    async def test() -> None:
        (tmp_path / "authors.py").write_text(
            "import sys\n"
            "def say(): return sorted({'multiprocess', 'dill', 'hashlib', 'subprocess'} & set(sys.modules))\n"
        )
        release = Release(modules=("authors",), search_path=(str(tmp_path),))
        async with launching() as zygotes:
            newborn = await give_birth(zygotes, agent("call", release=release, module="authors", function="say"))
            assert newborn.output() == "[]\n"
            assert newborn.wait_ended() == 0

    within(test())


def test_what_is_told_to_a_zygote_is_not_for_all_to_see() -> None:
    async def test() -> None:
        release = Release(env=(("SECRET", "known-to-nobody"),))
        async with launching() as zygotes:
            newborn = await give_birth(zygotes, agent("wait", release=release))
            (status,) = zygotes.status()
            assert "known-to-nobody" not in command_line(status.pid)
            newborn.kill()

    within(test())
