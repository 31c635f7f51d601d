"""The walk: stopping before killing, and the remnants that the host finds among its own children."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from typing import Any

import pytest

from agenthost import kernel
from agenthost.containment import descent, procfs
from agenthost.containment.walk import WalkCell, WalkContainment, kill_remnants, remnants
from agenthost.core.birth import Limits
from tests.containment import births
from tests.containment.births import Birth, Say, bear
from tests.waiting import wait_until


def as_host(act: Callable[[], Any]) -> Any:
    """Run ``act`` in a process that is a subreaper, as a host is; what it returns comes back as JSON."""
    told, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.close(told)
            kernel.become_subreaper()
            os.write(tell, json.dumps(act()).encode())
            status = 0
        finally:
            os._exit(status)
    os.close(tell)
    with open(told, "rb") as answer:
        text = answer.read()
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    return json.loads(text)


def ended(cell: WalkCell, birth: Birth) -> bool:
    cell.kill()
    return birth.none_left()


def leaves_a_daemon(say: Say) -> None:
    births.child(lambda: births.daemon(say))


def test_what_an_ended_agent_left_is_found_among_the_hosts_children_and_killed() -> None:
    def host() -> list[bool]:
        cell = WalkContainment().cell("/coder", "1.1", Limits())
        birth = bear(cell, births.leaves_a_child)
        sibling = births.child(births.rest)
        wait_until(birth.reap)
        wait_until(lambda: len(remnants(os.getpid(), {sibling})) == 1)
        wait_until(lambda: kill_remnants(os.getpid(), {sibling}) == 0)
        spared = not birth.none_left() or procfs.stat(sibling) is not None
        ended = birth.none_left()
        children = procfs.children(os.getpid())
        os.kill(sibling, signal.SIGKILL)
        os.waitpid(sibling, 0)
        return [cell.is_empty(), spared, ended, children == [sibling]]

    assert as_host(host) == [True, True, True, True]


def test_a_remnant_is_killed_with_all_below_it_and_reaped() -> None:
    def host() -> list[int]:
        cell = WalkContainment().cell("/coder", "1.1", Limits())
        birth = bear(cell, leaves_a_daemon)
        birth.wait_said(2)
        wait_until(birth.reap)
        found = len(remnants(os.getpid(), ()))
        wait_until(lambda: kill_remnants(os.getpid(), ()) == 0)
        wait_until(birth.none_left)
        wait_until(lambda: kill_remnants(os.getpid(), ()) == 0 and not procfs.children(os.getpid()))
        return [found, len(procfs.children(os.getpid()))]

    assert as_host(host) == [2, 0]


def test_a_birth_under_way_is_no_remnant() -> None:
    def host() -> list[int]:
        ordered = procfs.now_ticks()
        wait_until(lambda: procfs.now_ticks() > ordered)
        newborn = births.child(births.rest)
        seen = remnants(os.getpid(), (), born_before_ticks=ordered)
        later = remnants(os.getpid(), ())
        os.kill(newborn, signal.SIGKILL)
        os.waitpid(newborn, 0)
        return [len(seen), len(later)]

    assert as_host(host) == [0, 1]


def test_a_pid_that_now_belongs_to_somebody_else_is_not_touched() -> None:
    other = births.child(births.rest)
    one = procfs.stat(other)
    assert one
    assert descent.kill({other: one.start_time - 1}) == {}
    assert procfs.living(other, one.start_time)
    assert descent.kill({other: one.start_time}) == {other: one.start_time}
    os.waitpid(other, 0)


def test_whom_freeze_did_not_stop_thaw_does_not_resume() -> None:
    cell = WalkContainment().cell("/coder", "1.1", Limits())
    birth = bear(cell, births.stopped)
    birth.wait_said(2)
    main = birth.pid
    (below,) = procfs.children(main)

    def state(pid: int) -> str:
        one = procfs.stat(pid)
        return one.state if one else ""

    wait_until(lambda: state(below) == "T")
    cell.freeze()
    wait_until(lambda: state(main) == "T")
    cell.thaw()
    wait_until(lambda: state(main) == "S")
    assert state(below) == "T"
    wait_until(lambda: ended(cell, birth))
    wait_until(cell.is_empty)
    birth.forget()
    cell.close()


@pytest.mark.parametrize("with_children_files", [True, False])
def test_the_walk_finds_the_same_with_and_without_the_kernels_lists_of_children(
    monkeypatch: pytest.MonkeyPatch, with_children_files: bool
) -> None:
    if with_children_files and not procfs._children_files:
        pytest.skip("this kernel has no /proc/PID/task/TID/children (CONFIG_PROC_CHILDREN)")
    monkeypatch.setattr(procfs, "_children_files", with_children_files)
    cell = WalkContainment().cell("/coder", "1.1", Limits())
    birth = bear(cell, births.daemon)
    birth.wait_said(2)
    assert len(cell.members()) == 2
    assert birth.pid in procfs.children(os.getpid())
    wait_until(lambda: ended(cell, birth))
    wait_until(cell.is_empty)
    birth.forget()
    cell.close()
