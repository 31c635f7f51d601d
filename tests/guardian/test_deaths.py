"""Nothing is left, whoever is killed and whenever; and the host comes back. In and without a namespace."""

from __future__ import annotations

import os
import random
import signal
import time
from functools import partial
from pathlib import Path

import pytest

from tests.guardian.driving import NOBODY, PATIENCE_S, Driven, interpreter_for, stat
from tests.waiting import wait_until

WALLS = pytest.mark.parametrize("walls", ["require", "never"])
PATIENCE = pytest.mark.parametrize("walls", ["require", pytest.param("never", marks=pytest.mark.slow)])
"""How often it tries again does not depend on walls, and takes seconds."""
AWKWARD = 12
"""At least so many processes make a full family: guardian, init or not, host, and the crowd."""


def options(walls: str, *more: str) -> tuple[str, ...]:
    return ("--namespace", walls, *more)


def has_family_of(driven: Driven, size: int) -> bool:
    return len(driven.family()) >= size


def start_crowd(folder: Path, walls: str, uid: int | None = None) -> Driven:
    if uid is not None and interpreter_for(uid) is None:
        pytest.skip("no Python 3.11 that an unprivileged user can run")
    return Driven(folder, "crowd", options=options(walls), uid=uid)


USERS = pytest.mark.parametrize("uid", [None, pytest.param(NOBODY, marks=pytest.mark.root)])


@WALLS
@USERS
def test_a_host_killed_with_its_crowd_is_started_again_and_nothing_of_the_old_one_is_left(
    places: Path, walls: str, uid: int | None
) -> None:
    with start_crowd(places, walls, uid) as driven:
        first = driven.wait_host()
        old = driven.family()
        assert len(old) >= AWKWARD
        os.kill(first, signal.SIGKILL)
        second = driven.wait_host(2)
        assert second != first
        gone = {process for process in old if process[0] != driven.guardian.pid}
        assert not [pid for pid, start in gone if stat(pid)[19:20] == [start]]
        assert "host killed by SIGKILL; starting it again (1 of 5 in 60 s)" in driven.said()
        driven.guardian.terminate()
        assert driven.wait_end() == 0
        driven.wait_none_left()


@WALLS
def test_many_that_fork_and_exit_all_the_time_do_not_outrun_it(tmp_path: Path, walls: str) -> None:
    with Driven(tmp_path, "crowd", 30, options=options(walls)) as driven:
        os.kill(driven.wait_host(), signal.SIGKILL)
        driven.wait_host(2)
        driven.guardian.terminate()
        assert driven.wait_end() == 0
        driven.wait_none_left()


@WALLS
@USERS
def test_a_planned_end_leaves_none_of_the_crowd(places: Path, walls: str, uid: int | None) -> None:
    with start_crowd(places, walls, uid) as driven:
        driven.wait_host()
        driven.family()
        driven.guardian.terminate()
        assert driven.wait_end() == 0
        assert not driven.survivors(), "the guardian ends last"


@WALLS
@USERS
def test_a_killed_guardian_leaves_none(places: Path, walls: str, uid: int | None) -> None:
    with start_crowd(places, walls, uid) as driven:
        driven.wait_host()
        assert len(driven.family()) >= AWKWARD
        driven.guardian.kill()
        driven.wait_end()
        driven.wait_none_left()


@USERS
def test_guardian_and_host_killed_at_once_leave_none_in_a_namespace(places: Path, uid: int | None) -> None:
    with start_crowd(places, "require", uid) as driven:
        host = driven.wait_host()
        assert len(driven.family()) >= AWKWARD
        driven.guardian.send_signal(signal.SIGSTOP)
        os.kill(host, signal.SIGKILL)
        driven.guardian.kill()
        driven.wait_end()
        driven.wait_none_left()


def test_a_killed_init_is_a_crash_of_the_host(places: Path) -> None:
    with start_crowd(places, "require") as driven:
        driven.wait_host()
        os.kill(driven.init(), signal.SIGKILL)
        driven.wait_host(2)
        assert "the host's init killed by SIGKILL; starting it again" in driven.said()
        driven.guardian.terminate()
        assert driven.wait_end() == 0
        driven.wait_none_left()


@WALLS
def test_whoever_is_killed_whenever_nothing_is_left(places: Path, walls: str) -> None:
    """The family is caught at every size while it grows, and the victim is any of it."""
    chance = random.Random(f"{walls}")
    for size in (2, 2, 3, 3, 4, 5, 6, 8, 10, 11, 12):
        with start_crowd(places, walls) as driven:
            wait_until(partial(has_family_of, driven, size), PATIENCE_S, f"a family of {size}")
            victim, _ = chance.choice(sorted(driven.family()))
            try:
                os.kill(victim, signal.SIGKILL)
            except ProcessLookupError:  # the relay has run on
                pass
            driven.guardian.send_signal(signal.SIGQUIT)
            driven.wait_end()
            driven.wait_none_left()


@WALLS
def test_a_silent_host_is_killed_and_started_again(tmp_path: Path, walls: str) -> None:
    with Driven(tmp_path, "silent", options=options(walls, "--silence", "0.5")) as driven:
        driven.wait_host(2)
        assert "host killed after 0.5 s of silence; starting it again (1 of 5 in 60 s)" in driven.said()
        driven.guardian.send_signal(signal.SIGQUIT)
        assert driven.wait_end() == 1
        driven.wait_none_left()


@WALLS
def test_a_host_that_closes_its_link_is_killed_and_started_again(tmp_path: Path, walls: str) -> None:
    with Driven(tmp_path, "silent", "deaf", options=options(walls)) as driven:
        driven.wait_host(2)
        assert "host killed because it closed its link; starting it again (1 of 5 in 60 s)" in driven.said()
        driven.guardian.send_signal(signal.SIGQUIT)
        assert driven.wait_end() == 1
        driven.wait_none_left()


@WALLS
def test_a_stopped_host_counts_as_silent(tmp_path: Path, walls: str) -> None:
    with Driven(tmp_path, "obedient", 0, "STOP", options=options(walls, "--silence", "0.5")) as driven:
        os.kill(driven.wait_host(), signal.SIGSTOP)
        driven.wait_host(2)
        driven.guardian.terminate()
        assert driven.wait_end() == 0


@pytest.mark.slow
def test_the_guardians_own_pause_is_no_silence_of_the_host(tmp_path: Path) -> None:
    with Driven(tmp_path, "obedient", 0, "STOP", options=options("require", "--silence", "1")) as driven:
        host = driven.wait_host()
        os.kill(host, signal.SIGSTOP)  # a suspended machine stops both
        driven.guardian.send_signal(signal.SIGSTOP)
        wait_until(lambda: stat(driven.guardian.pid)[0] == "T", what="the guardian is stopped")
        resumed = guardians_clock()
        wait_until(lambda: guardians_clock() - resumed > 3, what="longer than the silence allowed")
        driven.guardian.send_signal(signal.SIGCONT)
        os.kill(host, signal.SIGCONT)
        driven.guardian.terminate()
        assert driven.wait_end() == 0
        assert driven.hosts() == [host] and driven.said() == ""


def guardians_clock() -> float:
    """The clock the guardian reads."""
    return time.monotonic()


@PATIENCE
def test_a_host_that_crashes_again_and_again_is_given_up(tmp_path: Path, walls: str) -> None:
    with Driven(tmp_path, "crashing", options=options(walls)) as driven:
        assert driven.wait_end() == 1
        driven.wait_none_left()
        assert len(driven.hosts()) == 6
        assert driven.said().splitlines()[-1] == (
            "agenthost guardian: host ended with status 3 without a farewell; gives up: 5 restarts in 60 s"
        )


@PATIENCE
def test_a_signal_while_it_waits_to_start_again_stops(tmp_path: Path, walls: str) -> None:
    with Driven(tmp_path, "crashing", options=options(walls)) as driven:
        driven.wait_said("4 of 5")
        driven.guardian.terminate()
        assert driven.wait_end() == 1
        driven.wait_none_left()
        assert len(driven.hosts()) == 4
        assert "stopped before the host was started again" in driven.said()


@WALLS
def test_a_host_that_crashes_while_it_stops_is_not_started_again(tmp_path: Path, walls: str) -> None:
    with Driven(tmp_path, "obedient", 0, "never", options=options(walls)) as driven:
        host = driven.wait_host()
        driven.guardian.terminate()
        driven.wait_heard("STOP")
        os.kill(host, signal.SIGKILL)
        assert driven.wait_end() == 1
        driven.wait_none_left()
        assert "host killed by SIGKILL while it was stopping" in driven.said()
        assert len(driven.hosts()) == 1


def test_children_of_the_command_that_became_the_guardian_are_spared(tmp_path: Path) -> None:
    wrapper = ("/bin/sh", "-c", 'sleep 300 & echo $! >"$0"; exec "$@"', str(tmp_path / "pid"))
    with Driven(tmp_path, "obedient", 0, "STOP", options=options("never"), wrapper=wrapper) as driven:
        host = driven.wait_host()
        sleeper = int((tmp_path / "pid").read_text())
        os.kill(host, signal.SIGKILL)
        driven.wait_host(2)
        assert stat(sleeper)[0] == "S"
        driven.guardian.terminate()
        assert driven.wait_end() == 0
        assert stat(sleeper)[0] == "S"
        os.kill(sleeper, signal.SIGKILL)
        driven.wait_none_left()
