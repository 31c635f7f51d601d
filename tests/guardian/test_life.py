"""A guardian's ordinary life: start, signals, farewell, and what the host is born with. In and without a namespace."""

from __future__ import annotations

import errno
import json
import os
import pty
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.guardian.driving import NOBODY, PATIENCE_S, ROOT, Driven, interpreter_for, stat
from tests.waiting import wait_until

WALLS = pytest.mark.parametrize("walls", ["require", "never"])

_WITH_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


def options(walls: str, *more: str) -> tuple[str, ...]:
    return ("--namespace", walls, *more)


def looked(driven: Driven) -> dict[str, Any]:
    assert driven.wait_end() == 0
    facts: dict[str, Any] = json.loads(driven.facts_file.read_text())
    return facts


@WALLS
@pytest.mark.parametrize("status", [0, 7, 255])
def test_the_status_of_the_farewell_is_the_guardians(tmp_path: Path, walls: str, status: int) -> None:
    with Driven(tmp_path, "obedient", status, "now", options=options(walls)) as driven:
        assert driven.wait_end() == status
        driven.wait_none_left()
        assert len(driven.hosts()) == 1


@WALLS
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_asks_the_host_to_stop(tmp_path: Path, walls: str, signum: int) -> None:
    with Driven(tmp_path, "obedient", 0, "STOP", options=options(walls)) as driven:
        driven.wait_host()
        driven.guardian.send_signal(signum)
        assert driven.wait_end() == 0
        assert driven.facts("heard") == ["STOP"]


@WALLS
def test_the_second_signal_hurries_the_host(tmp_path: Path, walls: str) -> None:
    with Driven(tmp_path, "obedient", 4, "HURRY", options=options(walls)) as driven:
        driven.wait_host()
        driven.guardian.send_signal(signal.SIGTERM)
        driven.wait_heard("STOP")
        driven.guardian.send_signal(signal.SIGINT)
        assert driven.wait_end() == 4
        assert driven.facts("heard") == ["STOP", "HURRY"]


@WALLS
def test_the_third_signal_ends_everything(tmp_path: Path, walls: str) -> None:
    with Driven(tmp_path, "obedient", 0, "never", options=options(walls)) as driven:
        driven.wait_host()
        for word in ("STOP", "HURRY"):
            driven.guardian.send_signal(signal.SIGINT)
            driven.wait_heard(word)
        driven.guardian.send_signal(signal.SIGINT)
        assert driven.wait_end() == 1
        driven.wait_none_left()
        assert "killed at the third signal" in driven.said()
        assert len(driven.hosts()) == 1


@WALLS
def test_a_quit_signal_ends_everything_at_once(tmp_path: Path, walls: str) -> None:
    with Driven(tmp_path, "crowd", options=options(walls)) as driven:
        driven.wait_host()
        driven.guardian.send_signal(signal.SIGQUIT)
        assert driven.wait_end() == 1
        driven.wait_none_left()


def test_three_times_control_c_at_a_terminal_reach_only_the_guardian(tmp_path: Path) -> None:
    controller, terminal = pty.openpty()
    with Driven(
        tmp_path, "obedient", 0, "never", stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True,
        wrapper=(sys.executable, "-c", _WITH_TERMINAL),
    ) as driven:  # fmt: skip
        os.close(terminal)
        host = driven.wait_host()
        for word in ("STOP", "HURRY"):
            os.write(controller, b"\x03")
            driven.wait_heard(word)
            assert stat(host), "the host does not get the terminal's signal"
        os.write(controller, b"\x03")
        assert driven.wait_end() == 1
        driven.wait_none_left()
    assert b"killed at the third signal" in os.read(controller, 4096)
    os.close(controller)


def test_a_terminal_that_closes_stops_the_host(tmp_path: Path) -> None:
    controller, terminal = pty.openpty()
    with Driven(
        tmp_path, "obedient", 6, "STOP", stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True,
        wrapper=(sys.executable, "-c", _WITH_TERMINAL),
    ) as driven:  # fmt: skip
        os.close(terminal)
        driven.wait_host()
        os.close(controller)
        assert driven.wait_end() == 6
        driven.wait_none_left()


@WALLS
def test_a_hangup_signal_asks_for_a_reload(tmp_path: Path, walls: str) -> None:
    with Driven(tmp_path, "obedient", 0, "STOP", options=options(walls)) as driven:
        driven.wait_host()
        driven.guardian.send_signal(signal.SIGHUP)
        driven.wait_heard("RELOAD")
        driven.guardian.send_signal(signal.SIGTERM)
        assert driven.wait_end() == 0


def test_a_signal_before_the_host_listens_is_not_lost(tmp_path: Path) -> None:
    with Driven(tmp_path, "obedient", 0, "STOP") as driven:
        wait_until(lambda: len(driven.family()) >= 2, PATIENCE_S, "the init is there")
        driven.guardian.send_signal(signal.SIGTERM)
        driven.wait_end()
        driven.wait_none_left()
        assert driven.facts("heard") in (["STOP"], [])


def test_the_host_is_born_in_a_namespace_of_its_own(tmp_path: Path) -> None:
    with Driven(tmp_path, "looking", options=options("require")) as driven:
        facts = looked(driven)
    assert (facts["parent"], facts["init"]) == (1, "agenthost-init")
    assert facts["visible"] == 2, "/proc shows the init and the host, nothing else"
    assert facts["group"] == facts["pid"] != facts["session"] == 1
    assert facts["environment"]["AGENTHOST_NAMESPACE"] == "1"
    assert "AGENTHOST_USER_NAMESPACE" not in facts["environment"]
    assert facts["outer_pid"] == facts["outer_pid_of_pidfd"] != facts["pid"]
    assert facts["ignored"] == facts["blocked"] == 0


def test_without_a_namespace_the_host_has_its_own_session_and_the_guardians_pidfd(tmp_path: Path) -> None:
    with Driven(tmp_path, "looking", options=options("never")) as driven:
        facts = looked(driven)
        assert facts["parent"] == driven.guardian.pid
    assert facts["group"] == facts["session"] == facts["pid"]
    assert "AGENTHOST_NAMESPACE" not in facts["environment"]
    assert facts["environment"]["AGENTHOST_NAMESPACE_REFUSED"] == "--namespace never"
    pidfd = facts["environment"]["AGENTHOST_GUARDIAN_PIDFD"]
    assert "pidfd" in facts["descriptors"][pidfd]  # anon_inode:[pidfd]; its own file system from Linux 6.9 on
    assert facts["ignored"] == facts["blocked"] == 0


@WALLS
@pytest.mark.parametrize("stdin", ["open", "closed"])
def test_the_host_gets_only_the_descriptors_that_its_environment_names(tmp_path: Path, walls: str, stdin: str) -> None:
    read_fd, write_fd = os.pipe()
    closing = (sys.executable, "-c", "import os, sys; os.close(0); os.execv(sys.argv[1], sys.argv[1:])")
    with Driven(
        tmp_path, "looking", options=options(walls), pass_fds=(read_fd, write_fd), stdin=subprocess.PIPE,
        wrapper=closing if stdin == "closed" else (),
    ) as driven:  # fmt: skip
        facts = looked(driven)
        assert driven.guardian.stdin
        driven.guardian.stdin.close()
    os.close(read_fd)
    os.close(write_fd)
    environment = facts["environment"]
    named = {environment[name] for name in environment if name.startswith("AGENTHOST_") and name.endswith("FD")}
    assert len(named) == 2
    assert set(facts["descriptors"]) == {"0", "1", "2", *named}
    assert facts["descriptors"]["0"] == "/dev/null"


def test_variables_of_systemd_and_of_an_outer_agenthost_are_not_handed_down(tmp_path: Path) -> None:
    stale = {"NOTIFY_SOCKET": "/nowhere", "WATCHDOG_USEC": "1", "LISTEN_FDS": "1", "AGENTHOST_GUARDIAN_PIDFD": "99"}
    with Driven(tmp_path, "looking", environment=stale) as driven:
        assert not stale.keys() & looked(driven)["environment"].keys()


def test_systemd_hears_readiness_beats_and_the_end(tmp_path: Path) -> None:
    address = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(address))
        systemd.settimeout(PATIENCE_S)
        heard: list[str] = []

        def has_heard(line: str) -> bool:
            while line not in heard:
                heard.extend(systemd.recv(4096).decode().splitlines())
            return True

        environment = {"NOTIFY_SOCKET": str(address), "WATCHDOG_USEC": "3000000"}
        with Driven(tmp_path, "obedient", 0, "STOP", environment=environment) as driven:
            assert has_heard("READY=1")
            heard.clear()
            assert has_heard("WATCHDOG=1")
            driven.guardian.send_signal(signal.SIGTERM)
            assert has_heard("STOPPING=1")
            assert driven.wait_end() == 0


@pytest.mark.slow
def test_systemds_watchdog_watches_the_guardian_not_the_host(tmp_path: Path) -> None:
    """A host that hangs is the guardian's business: if systemd took offence as well, it would end them all."""
    address = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(address))
        systemd.settimeout(PATIENCE_S)
        environment = {"NOTIFY_SOCKET": str(address), "WATCHDOG_USEC": "2000000"}
        with Driven(tmp_path, "silent", environment=environment) as driven:
            heard = [systemd.recv(4096).decode()]
            while heard.count("WATCHDOG=1") < 4:
                heard.append(systemd.recv(4096).decode())
            assert "READY=1\nSTATUS=host is ready" in heard and len(driven.hosts()) == 1


@WALLS
def test_garbage_on_the_link_is_ignored(tmp_path: Path, walls: str) -> None:
    with Driven(tmp_path, "babbling", options=options(walls)) as driven:
        assert driven.wait_end() == 3
        driven.wait_none_left()
        assert "cannot empty 'relative'" in driven.said()
        assert "cannot empty /tmp: not a cgroup" in driven.said()
    assert Path("/tmp").is_dir()


@WALLS
def test_a_host_that_hangs_after_its_farewell_is_killed_and_not_started_again(tmp_path: Path, walls: str) -> None:
    with Driven(tmp_path, "silent", "bye", options=options(walls, "--silence", "0.5")) as driven:
        assert driven.wait_end() == 5
        driven.wait_none_left()
        assert len(driven.hosts()) == 1


def test_a_host_that_cannot_be_run_is_said_and_not_tried_again(tmp_path: Path) -> None:
    for walls in ("require", "never"):
        ended = subprocess.run(
            [sys.executable, "-m", "agenthost.guardian", "--namespace", walls, "--name", "team", "--", "/no/such/host"],
            env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=PATIENCE_S,
        )  # fmt: skip
        assert ended.returncode == 1
        assert ended.stderr == (
            "agenthost guardian (team): cannot start the host: /no/such/host: " + os.strerror(errno.ENOENT) + "\n"
        )


@pytest.mark.parametrize(
    "words",
    [[], ["--"], ["--nme", "x", "--", "h"], ["--name"], ["--namespace", "some", "--", "h"], ["--silence=0", "--", "h"],
     ["--silence=nan", "--", "h"]],
)  # fmt: skip
def test_wrong_arguments_end_with_status_2(words: list[str]) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "agenthost.guardian", *words],
        env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=PATIENCE_S,
    )  # fmt: skip
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("agenthost guardian: cannot ")


@pytest.mark.root
@pytest.mark.parametrize("walls", ["auto", "never"])
def test_an_unprivileged_user_gets_a_guardian_too(places: Path, walls: str) -> None:
    if interpreter_for(NOBODY) is None:
        pytest.skip("no Python 3.11 that an unprivileged user can run")
    with Driven(places, "looking", options=options(walls), uid=NOBODY) as driven:
        facts = looked(driven)
        driven.wait_none_left()
    assert facts["uid"] == NOBODY
    namespaced = facts["environment"].get("AGENTHOST_USER_NAMESPACE") == "1"
    assert namespaced == (walls == "auto" and "goes on without" not in driven.said())
    assert (facts["parent"] == 1) == namespaced


_WITHOUT_NAMESPACES = """
import os, sys
from agenthost import kernel
kernel.unshare(kernel.CLONE_NEWUSER)
for name, line in (("setgroups", "deny"), ("uid_map", "0 0 1"), ("gid_map", "0 0 1")):
    open(f"/proc/self/{name}", "w").write(line)
open("/proc/sys/user/max_pid_namespaces", "w").write("0")
os.execv(sys.argv[1], sys.argv[1:])
"""


@pytest.mark.root
def test_where_namespaces_are_refused_it_says_so_and_goes_on(tmp_path: Path) -> None:
    with Driven(tmp_path, "looking", wrapper=(sys.executable, "-c", _WITHOUT_NAMESPACES)) as driven:
        facts = looked(driven)
        refused = facts["environment"]["AGENTHOST_NAMESPACE_REFUSED"]
        assert "No space left" in refused
        assert len(driven.said().splitlines()) == 1
        assert f"goes on without a PID namespace: {refused}" in driven.said()
        assert "AGENTHOST_GUARDIAN_PIDFD" in facts["environment"]


@pytest.mark.root
def test_where_namespaces_are_refused_but_required_nothing_starts(tmp_path: Path) -> None:
    wrapper = (sys.executable, "-c", _WITHOUT_NAMESPACES)
    with Driven(tmp_path, "looking", options=options("require"), wrapper=wrapper) as driven:
        assert driven.wait_end() == 1
        assert "cannot make a PID namespace: " in driven.said()
        assert not driven.facts_file.read_text()


def test_a_guardian_stays_small(tmp_path: Path) -> None:
    for walls in ("require", "never"):
        with Driven(tmp_path, "obedient", 0, "STOP", options=options(walls)) as driven:
            driven.wait_host(1 if walls == "require" else 2)
            rollup = Path(f"/proc/{driven.guardian.pid}/smaps_rollup").read_text()
            dirty_kb = next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Private_Dirty"))
            assert dirty_kb < 6000
            driven.guardian.terminate()
            assert driven.wait_end() == 0
