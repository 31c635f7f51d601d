"""Where nobody has delegated a cgroup, the guardian stays where it is; where systemd has, it makes room."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agenthost.containment import ground, hierarchy
from tests.guardian.driving import NOBODY, ROOT, interpreter_for
from tests.waiting import wait_until

ENTER = "from agenthost.guardian import leaf; print(leaf.try_enter()); print(open('/proc/self/cgroup').read())"
JOIN = 'echo 0 > $0/cgroup.procs && exec "$@"'


@pytest.fixture
def folder() -> Iterator[str]:
    """A cgroup v2 of our own."""
    own = hierarchy.own_folders().get("")
    if own is None or os.geteuid() != 0:
        pytest.skip("needs root and cgroup v2")
    made = f"{own}/agenthost-test.{os.getpid()}"
    try:
        os.mkdir(made)
    except OSError as error:
        pytest.skip(f"no cgroup can be made below {own}: {error.strerror}")
    yield made
    wait_until(lambda: hierarchy.try_remove(made), 10, f"{made} is removed")


def entered(folder: str) -> list[str]:
    """What ``try_enter`` says in a process in that cgroup, and the entry it is in then."""
    words = ["sh", "-c", JOIN, folder, sys.executable, "-c", ENTER]
    done = subprocess.run(words, capture_output=True, text=True, cwd=ROOT, timeout=60, check=True)
    why, *entries = done.stdout.splitlines()
    return [why, *(line[3:] for line in entries if line.startswith("0::"))]


@pytest.mark.parametrize("mark", ["user.delegate", "trusted.delegate"])
def test_a_guardian_leaves_a_delegated_cgroup_for_a_leaf_of_it(folder: str, mark: str) -> None:
    os.setxattr(folder, mark, b"1")
    assert entered(folder) == ["None", f"{hierarchy.entry_of(folder)}/agenthost-guardian"]
    assert entered(folder)[0] == "None", "it may be there from an earlier life"
    assert Path(folder, "cgroup.procs").read_text() == ""


def test_its_host_sees_through_the_leaf(folder: str) -> None:
    os.setxattr(folder, "user.delegate", b"1")
    _, entry = entered(folder)
    assert ground.outer(f"{os.path.dirname(folder)}/{os.path.basename(folder)}/{os.path.basename(entry)}") == folder


@pytest.mark.parametrize("mark", [None, b"0"])
def test_a_guardian_stays_where_nothing_was_delegated(folder: str, mark: bytes | None) -> None:
    if mark is not None:
        os.setxattr(folder, "user.delegate", mark)
    assert entered(folder) == ["None", hierarchy.entry_of(folder)]
    assert not Path(folder, "agenthost-guardian").exists()


def test_without_a_mark_a_user_who_owns_it_and_stands_in_it_alone_makes_room(folder: str) -> None:
    assert entered_as_nobody(folder, owned=True) == ["None", f"{hierarchy.entry_of(folder)}/agenthost-guardian"]


def test_a_user_stays_where_others_stand_or_what_is_not_his(folder: str) -> None:
    assert entered_as_nobody(folder, owned=False) == ["None", hierarchy.entry_of(folder)]
    with subprocess.Popen(["sh", "-c", JOIN, folder, "cat"], stdin=subprocess.PIPE) as other:
        wait_until(lambda: str(other.pid) in Path(folder, "cgroup.procs").read_text().split(), 10, "it stands there")
        assert entered_as_nobody(folder, owned=True) == ["None", hierarchy.entry_of(folder)]
        assert other.stdin is not None
        other.stdin.close()


def entered_as_nobody(folder: str, *, owned: bool) -> list[str]:
    python = interpreter_for(NOBODY)
    if python is None:
        pytest.skip("no interpreter here can be run by another user")
    for path in (folder, f"{folder}/cgroup.procs"):
        os.chown(path, NOBODY if owned else 0, -1)
    drop = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    words = ["sh", "-c", JOIN, folder, *drop, python, "-c", ENTER]
    done = subprocess.run(words, capture_output=True, text=True, cwd=ROOT, timeout=60, check=True)
    why, *entries = done.stdout.splitlines()
    return [why, *(line[3:] for line in entries if line.startswith("0::"))]
