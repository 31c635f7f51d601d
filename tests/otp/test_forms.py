"""The forms of the test child are what they say: without that the suite would prove little."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.host.running import marked
from tests.otp.forms import ENTRY
from tests.otp.play import Play
from tests.otp.real import Real
from tests.otp.shape import Child, sup


def pids_of(stage: Real) -> set[int]:
    return set(marked(f"{ENTRY}={stage.token}"))


def test_a_program_finds_no_library_of_ours() -> None:
    done = subprocess.run(
        [sys.executable, "-S", "-E", "-c", "import agenthost"], cwd="/", capture_output=True, text=True
    )
    assert "ModuleNotFoundError" in done.stderr


@pytest.mark.parametrize("play", ["escaping"], indirect=True)
def test_three_of_four_processes_of_one_that_escapes_are_in_other_groups_and_sessions(play: Play) -> None:
    stage = play(sup(Child("a")))
    main = stage.handle("a")
    others = stage.wait(lambda: len(pids := pids_of(stage)) == 4 and pids - {main}, "all four are there")
    stage.wait(lambda: len({os.getsid(pid) for pid in {main, *others}}) == 4, "each has a session of its own")
    assert all(os.getpgid(pid) != os.getpgid(main) for pid in others)
    stage.kill("a")
    assert not others & pids_of(stage)


@pytest.mark.parametrize("play", ["program"], indirect=True)
def test_a_plain_program_is_one_process(play: Play) -> None:
    stage = play(sup(Child("a")))
    assert pids_of(stage) == {stage.handle("a")}
