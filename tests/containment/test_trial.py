"""A mechanism is tried for real, by several hosts at a time, and whoever is killed in it is cleaned up after."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from agenthost.containment import ground
from agenthost.containment.trial import FORGOTTEN_S, PREFIX
from tests.containment.conftest import probe

TRIAL = [sys.executable, "-m", "agenthost.containment.trial"]


@pytest.fixture
def folder(record_tier: Callable[..., None]) -> Path:
    found = probe()[0]
    record_tier("cgroup", None if found.available else found.why)
    return Path(ground.own_folders()[""])


def groups(folder: Path) -> set[str]:
    return {one.name for one in folder.iterdir() if one.name.startswith(PREFIX)}


@pytest.mark.root
def test_two_hosts_that_have_the_same_pid_in_their_namespaces_do_not_disturb_each_other(folder: Path) -> None:
    of_another = folder / f"{PREFIX}1"
    of_another.mkdir()
    try:
        tried = subprocess.run(["unshare", "--pid", "--fork", *TRIAL, "cgroup", str(folder)], capture_output=True)
        assert (tried.returncode, tried.stdout) == (0, b"")
        assert of_another.exists()
    finally:
        of_another.rmdir()


def test_groups_that_a_killed_trial_has_left_are_removed_by_a_later_one(folder: Path) -> None:
    old, young = folder / f"{PREFIX}old", folder / f"{PREFIX}young"
    old.mkdir()
    young.mkdir()
    try:
        long_ago = time.time() - FORGOTTEN_S - 1
        os.utime(old, (long_ago, long_ago))
        before = groups(folder)
        tried = subprocess.run([*TRIAL, "cgroup", str(folder)], capture_output=True)
        assert (tried.returncode, tried.stdout) == (0, b"")
        assert young.exists() and not old.exists()
        assert old.name in before
    finally:
        young.rmdir()
        if old.exists():
            old.rmdir()
