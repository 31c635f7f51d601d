"""The processes of a cell are told parents before children, with what they use and without secrets."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from agenthost.containment import procfs
from agenthost.host import process_tree
from agenthost.host.autopsy import LONGEST_WORD, MOST_WORDS
from agenthost.host.process_tree import LEFT_OUT, processes_of
from agenthost.host.scrubbing import Known
from tests.waiting import wait_until

Family = tuple[int, int]


@pytest.fixture
def family() -> Iterator[Family]:
    """A shell and its child."""
    words = ["sh", "-c", "sleep 1000; true", "sh", "--token", "hunter2", "x" * 500, *map(str, range(40))]
    shell = subprocess.Popen(words, stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        wait_until(lambda: procfs.children(shell.pid), what="its child")
        child = procfs.children(shell.pid)[0]
        wait_until(lambda: b"sleep" in (procfs.read_bytes(f"/proc/{child}/comm") or b""), what="it is a sleep")
        wait_until(lambda: {_state(shell.pid), _state(child)} == {"S"}, what="both wait")
        yield shell.pid, child
    finally:
        os.killpg(shell.pid, 9)
        shell.wait()


def _state(pid: int) -> str:
    found = procfs.stat(pid)
    return found.state if found is not None else ""


def told(pids: list[int], **how: Any) -> list[Any]:
    return processes_of(pids, **how)


def test_parents_come_before_children_whatever_the_order_they_are_given_in(family: Family) -> None:
    shell, child = family
    parent, below = told([child, shell])
    assert (parent["pid"], parent["ppid"], parent["name"]) == (shell, os.getpid(), "sh")
    assert (below["pid"], below["ppid"], below["argv"]) == (child, shell, ["sleep", "1000"])
    assert parent["state"] == below["state"] == "sleeping" and below["threads"] == 1
    assert parent["memory_bytes"] > 0 and parent["age_s"] >= below["age_s"] >= 0


def test_words_are_scrubbed_and_bounded(family: Family) -> None:
    (shell,) = told([family[0]])
    words = shell["argv"]
    assert words[3:6] == ["sh", "--token", "***"] and len(words[6]) == LONGEST_WORD
    assert len(words) == MOST_WORDS + 1 and words[-1] == f"... {47 - MOST_WORDS} more"
    (known,) = told([family[1]], known=Known(["1000"]))
    assert known["argv"] == ["sleep", "***"]


def test_an_agent_s_own_process_is_called_by_its_agent_and_pids_are_those_that_people_see(family: Family) -> None:
    shell, child = family
    first, second = told([shell, child], forked=shell, forked_as="crew:Coder", outer=lambda pid: pid + 100_000)
    assert first["argv"] == ["crew:Coder"]
    assert (second["pid"], second["ppid"]) == (child + 100_000, shell + 100_000)


def test_who_has_ended_is_left_out(family: Family) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    assert [one["pid"] for one in told([ended.pid, family[0]])] == [family[0]]


def test_of_a_crowd_the_main_process_and_the_oldest_are_told_and_words_as_far_as_there_is_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    crowd = [subprocess.Popen(["sh", "-c", "read x", "y" * 50], stdin=subprocess.PIPE) for _ in range(8)]
    try:
        wait_until(lambda: all(b"sh\0-c" in (procfs.read_bytes(f"/proc/{one.pid}/cmdline") or b"") for one in crowd))
        pids = [one.pid for one in crowd]
        monkeypatch.setattr(process_tree, "MOST_PROCESSES", 3)
        shown = told([*reversed(pids), *pids], main=pids[-1])
        assert {one["pid"] for one in shown} == {pids[-1], *sorted(pids[:-1])[:2]}
        assert [one["argv"][1] for one in shown] == ["-c"] * 3
        looked_through = list[list[str]]()
        shown_of = process_tree._shown
        monkeypatch.setattr(
            process_tree, "_shown", lambda words, known: looked_through.append(words) or shown_of(words, known)
        )
        monkeypatch.setattr(process_tree, "PROCESSES_BYTES", 100)
        assert [one["argv"] for one in told(pids)][2] == ["sh", LEFT_OUT]
        assert len(looked_through) == 2, "what is not told is not looked through"
    finally:
        for one in crowd:
            one.communicate()
