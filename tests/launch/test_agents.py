"""A Python agent as it is born from a zygote."""

# ruff: noqa: ASYNC240 - these tests may block their loop: it is theirs alone, and births do not need it

from __future__ import annotations

import os
import resource
import signal
from pathlib import Path

import pytest

from agenthost.launch.launcher import Release, Rlimits
from agenthost.protocol import birth, codec
from tests.launch.births import agent, changed, give_birth, launching, within
from tests.waiting import wait_until


def test_an_agent_is_a_child_of_the_host_contained_and_with_nothing_inherited() -> None:
    async def test() -> None:
        async with launching() as zygotes:
            newborn = await give_birth(zygotes, agent("report"))
            assert newborn.here() == newborn.born.pid
            facts = newborn.facts()
            assert newborn.wait_ended() == 0
        pid = newborn.born.pid
        assert facts["pid"] == facts["thread"] == facts["session"] == facts["group"] == pid
        assert facts["parent"] == os.getpid()
        assert facts["death_signal"] == signal.SIGKILL
        assert facts["descriptors"] == [0, 1, 2, facts["birth"], *facts["slate"]] and len(facts["slate"]) == 1
        assert facts["stdin"] == os.devnull
        assert facts["threads"] == 1
        assert facts["name"] == "planner"
        assert facts["no_new_privileges"] == 1
        assert facts["blocked"] == 0
        assert facts["ignored"] == 1 << signal.SIGPIPE - 1 | 1 << signal.SIGXFSZ - 1  # as in every Python
        assert facts["oom_score"] == 500
        assert facts["env"]["AGENTHOST_PATH"] == "/team/planner"
        assert facts["env"]["AGENTHOST_INCARNATION"] == "1.1"

    within(test())


def test_the_start_time_is_that_of_the_process() -> None:
    async def test() -> None:
        async with launching() as zygotes:
            newborn = await give_birth(zygotes, agent("wait"))
            line = Path(f"/proc/{newborn.born.pid}/stat").read_text()
            assert newborn.born.start_time == int(line.rpartition(")")[2].split()[19])
            newborn.kill()

    within(test())


@pytest.mark.parametrize("status", [0, 3, 255])
def test_its_exit_status_is_what_the_host_reaps(status: int) -> None:
    async def test() -> None:
        async with launching() as zygotes:
            assert (await give_birth(zygotes, agent("end", status=status))).wait_ended() == status
            assert (await give_birth(zygotes, agent("leave", status=status))).wait_ended() == status

    within(test())


def test_an_agent_that_returns_nothing_has_ended_well_and_sys_exit_with_words_has_not() -> None:
    async def test() -> None:
        async with launching() as zygotes:
            assert (await give_birth(zygotes, agent("end"))).wait_ended() == 0
            newborn = await give_birth(zygotes, agent("leave", status="no model to be had"))
            assert newborn.errors() == "no model to be had\n"
            assert newborn.wait_ended() == 1

    within(test())


def test_an_exception_is_a_traceback_on_stderr_and_exit_status_1() -> None:
    async def test() -> None:
        async with launching() as zygotes:
            newborn = await give_birth(zygotes, agent("fail"))
            errors = newborn.errors()
            assert errors.startswith("Traceback")
            assert errors.endswith("RuntimeError: the agent's own error\n")
            assert newborn.wait_ended() == 1

    within(test())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGSEGV, signal.SIGINT])
def test_a_signal_ends_it_and_the_host_sees_which(number: int) -> None:
    async def test() -> None:
        async with launching() as zygotes:
            newborn = await give_birth(zygotes, agent("hurt", signal=number))
            assert newborn.wait_ended() == -number

    within(test())


def test_what_it_registered_at_exit_and_its_threads_are_finished() -> None:
    async def test() -> None:
        async with launching() as zygotes:
            newborn = await give_birth(zygotes, agent("at_exit"))
            assert newborn.output() == "said by a thread\nsaid at exit\n"
            assert newborn.wait_ended() == 0

    within(test())


def test_a_held_agent_begins_only_after_go() -> None:
    async def test() -> None:
        async with launching() as zygotes:
            newborn = await give_birth(zygotes, changed(agent("end", status=4), hold=True))
            assert newborn.here() == newborn.born.pid
            wait_until(lambda: _state(newborn.born.pid) == "S", what="it waits")
            newborn.born.birth_socket.send(codec.encode(birth.Probe(id=1)))
            newborn.born.birth_socket.send(codec.encode(birth.Go()))
            assert newborn.wait_ended() == 4

    within(test())


def test_a_held_agent_ends_if_the_host_lets_go_of_its_birth_socket() -> None:
    async def test() -> None:
        async with launching() as zygotes:
            newborn = await give_birth(zygotes, changed(agent("end", status=4), hold=True))
            newborn.here()
            newborn.born.birth_socket.close()
            assert newborn.wait_ended() == 0

    within(test())


def test_arguments_of_a_megabyte_arrive_whole() -> None:
    async def test() -> None:
        async with launching() as zygotes:
            newborn = await give_birth(zygotes, agent("measure", text="ä€x" + "y" * 1_000_000))
            assert newborn.output() == "1000003 ä€x\n"
            assert newborn.wait_ended() == 0

    within(test())


def test_limits_hold_and_privileges_may_be_kept() -> None:
    async def test() -> None:
        async with launching() as zygotes:
            limits = Rlimits(((resource.RLIMIT_NOFILE, 64, 128),))
            order = changed(agent("report"), rlimits=limits, no_new_privileges=False)
            newborn = await give_birth(zygotes, order)
            facts = newborn.facts()
            assert facts["open_files"] == [64, 128]
            assert facts["no_new_privileges"] == 0
            assert newborn.wait_ended() == 0

    within(test())


def test_a_limit_that_cannot_be_set_is_a_failed_birth_that_names_the_step() -> None:
    async def test() -> None:
        async with launching() as zygotes:
            order = changed(agent("end"), rlimits=Rlimits(((resource.RLIMIT_NOFILE, 20, 10),)))
            newborn = await give_birth(zygotes, order)
            message, _ = newborn.packet()
            assert isinstance(message, birth.BirthFailed)
            assert message.step == "limits"
            assert newborn.wait_ended() == 70

    within(test())


def test_siblings_do_not_share_their_chance() -> None:
    async def test() -> None:
        async with launching() as zygotes:
            newborns = [await give_birth(zygotes, agent("report")) for _ in range(3)]
            assert len({newborn.facts()["random"] for newborn in newborns}) == 3
            for newborn in newborns:
                newborn.wait_ended()

    within(test())


def test_an_agent_outlives_its_zygote() -> None:
    async def test() -> None:
        async with launching() as zygotes:
            newborn = await give_birth(zygotes, agent("wait"))
            newborn.here()
        assert _state(newborn.born.pid) in ("R", "S")
        newborn.born.birth_socket.send(b"x")
        assert newborn.wait_ended() == 0

    within(test())


def test_a_release_brings_its_environment_folder_and_search_path(tmp_path: Path) -> None:
    async def test() -> None:
        release = Release(search_path=("/no/such",), env=(("TEAM", "blue"),), cwd=str(tmp_path))
        async with launching() as zygotes:
            newborn = await give_birth(zygotes, agent("report", release=release))
            facts = newborn.facts()
            assert facts["cwd"] == str(tmp_path)
            assert facts["env"]["TEAM"] == "blue"
            assert facts["path"][0] == "/no/such"
            assert newborn.wait_ended() == 0
        assert "TEAM" not in os.environ

    within(test())


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
