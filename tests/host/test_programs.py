"""Programs that know nothing of agenthost: how they say that they can work, what they may have, and how they ended."""

from __future__ import annotations

import os
import resource
import signal
import socket
import stat
from pathlib import Path
from typing import Any

import pytest

from tests.host.conftest import Start
from tests.host.running import Running, agent, is_alive, tree

TIERS = ["auto", *(pytest.param(tier, marks=pytest.mark.slow) for tier in ("pidns", "walk"))]
STAY = "; exec sleep 1000"
NOTIFY = """
import os, socket, sys, time
address = os.environ["NOTIFY_SOCKET"]
def say(text):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.sendto(text.encode(), address)
"""


def shell(name: str, script: str, **keys: Any) -> dict[str, Any]:
    return {"name": name, "command": ["sh", "-c", script], **keys}


def python(name: str, script: str, **keys: Any) -> dict[str, Any]:
    return {"name": name, "command": ["python3", "-c", script], **keys}


def reason(host: Running, path: str) -> str:
    return str(host.wait_event("agent.exited", path)["fields"]["reason"])


def temporary(worker: dict[str, Any]) -> dict[str, Any]:
    return {**worker, "restart": "temporary"}


def begun(start: Start, *children: dict[str, Any], **keys: Any) -> Running:
    """A host whose root outlives children that do not come up: they are members of a pool."""
    pool = {"name": "p", "pool": {key: value for key, value in children[0].items() if key != "name"}}
    host = start(tree(pool), **keys)
    host.ask("start", path="/p/x", wait=False)
    return host


# ---- readiness


@pytest.mark.parametrize("tier", TIERS)
def test_a_program_is_ready_when_it_says_so_as_to_systemd(start: Start, tier: str) -> None:
    script = NOTIFY + "say('STATUS=loading\\nREADY=1'); time.sleep(1000)"
    host = start(tree(python("p", script, ready={"notify": True})), containment=tier)
    assert (host.state("/p"), host.row("/p")["says"]) == ("ready", "loading")


@pytest.mark.slow
def test_it_is_not_ready_before_it_says_so(places: Path) -> None:
    gate = places / "gate"
    script = (
        NOTIFY
        + f"""
while not os.path.exists({str(gate)!r}): time.sleep(0.01)
say("READY=1\\nSTATUS=serves 3 models")
time.sleep(1000)
"""
    )
    host = Running(places, tree(python("p", script, ready={"notify": True})))
    try:
        host.start()
        host.wait(lambda: host.places.control_socket(host.places.uid).exists(), "the host can be asked")
        host.wait(lambda: host.pid("/p"), "it runs")
        assert host.state("/p") == "starting"
        gate.touch()
        host.wait_state("/p", "ready")
        assert host.row("/p")["says"] == "serves 3 models"
        assert host.stop() == 0
        host.assert_nothing_left()
    finally:
        host.end()


@pytest.mark.slow
def test_the_socket_is_for_one_process_and_goes_with_it(start: Start) -> None:
    worker = python("p", NOTIFY + "say('READY=1'); time.sleep(1000)", ready={"notify": True})
    host = start(tree(worker))
    sockets = [entry for entry in host.places.data_folder(host.places.uid).iterdir() if entry.name.startswith("n-")]
    assert len(sockets) == 1 and stat.S_ISSOCK(sockets[0].stat().st_mode)
    host.ask("restart", path="/p")
    host.wait_state("/p", "ready")
    assert not sockets[0].exists()
    host.ask("stop", path="/p")
    host.wait_state("/p", "stopped", "down")
    assert not [one for one in host.places.data_folder(host.places.uid).iterdir() if one.name.startswith("n-")]


@pytest.mark.slow
def test_nobody_else_can_say_that_it_is_ready(start: Start) -> None:
    """A process of the same user, in no cell of the host, or in another one."""
    worker = python("p", NOTIFY + "time.sleep(1000)", ready={"notify": True, "timeout": "4s"})
    host = begun(start, worker)
    host.wait_state("/p/x", "starting")
    folder = host.places.data_folder(host.places.uid)
    address = host.wait(lambda: next((str(one) for one in folder.iterdir() if one.name.startswith("n-")), ""), "bound")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.sendto(b"READY=1", address)
    assert reason(host, "/p/x") == "not ready in time: not ready within 4 s"


@pytest.mark.slow
def test_systemd_notify_of_a_shell_script_is_heard(start: Start) -> None:
    """It ends at once after it has spoken; it waits for that with BARRIER=1."""
    host = start(tree(shell("p", "systemd-notify --ready --status='up and well'" + STAY, ready={"notify": True})))
    assert host.row("/p")["says"] == "up and well"


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("number", [3, *(pytest.param(number, marks=pytest.mark.slow) for number in (5, 200))])
def test_a_program_is_ready_when_it_writes_a_line_end_to_its_descriptor(start: Start, tier: str, number: int) -> None:
    script = f"import os, time; os.write({number}, b'up\\n'); os.close({number}); time.sleep(1000)"
    host = start(tree(python("p", script, ready={"fd": number})), containment=tier)
    assert host.state("/p") == "ready"


@pytest.mark.slow
def test_who_closes_the_descriptor_without_a_word_can_never_be_ready(start: Start) -> None:
    host = begun(start, shell("p", "exec 4>&-" + STAY, ready={"fd": 4}))
    assert "it closed descriptor 4 without a line end" in reason(host, "/p/x")


@pytest.mark.slow
def test_who_ends_without_a_word_ended_of_what_it_ended_of(start: Start) -> None:
    host = begun(start, shell("p", "exit 7", ready={"fd": 4}))
    assert reason(host, "/p/x") == "exit status 7"


@pytest.mark.slow
def test_a_program_has_no_descriptor_but_the_one_it_asked_for(start: Start) -> None:
    host = start(tree(shell("p", "ls /proc/$$/fd; echo >&9" + STAY, ready={"fd": 9})))
    host.wait(lambda: "9" in host.printed("/p"), "it has printed its descriptors")
    assert host.printed("/p").split() == ["0", "1", "2", "9"]


# ---- terminals


@pytest.mark.parametrize("tier", TIERS)
def test_a_program_with_a_terminal_has_it_as_its_controlling_one(start: Start, tier: str) -> None:
    script = "tty -s && echo is a terminal; stty size; echo term $TERM; echo hello >/dev/tty; echo error >&2"
    host = start(tree(shell("p", script + STAY, pty=True)), containment=tier)
    host.wait(lambda: "error" in host.printed("/p"), "all is printed")
    assert host.printed("/p").splitlines() == ["is a terminal", "40 120", "term xterm-256color", "hello", "error"]
    assert is_alive(host.pid("/p"))


@pytest.mark.slow
def test_nothing_that_a_program_printed_to_its_terminal_is_lost_when_it_ends(start: Start) -> None:
    lines = 3000
    script = f"i=0; while [ $i -lt {lines} ]; do i=$((i+1)); echo line $i; done; printf last"
    host = start(tree(*(temporary(shell(f"p{n}", script, pty=True)) for n in range(5))))
    for n in range(5):
        host.wait_event("agent.ended", f"/p{n}")
        file = host.places.logs / f"p{n}.log"
        host.wait(lambda file=file: file.exists() and b"+last\n" in file.read_bytes(), "its end is kept")
        found = [line.partition("|")[2] for line in file.read_text().splitlines()]
        assert found[:lines] == [f"line {i}" for i in range(1, lines + 1)]


@pytest.mark.slow
def test_a_program_that_mistreats_its_terminal_disturbs_nobody(start: Start) -> None:
    script = """
import fcntl, os, signal, struct, sys, termios, time, tty
signal.signal(signal.SIGHUP, signal.SIG_IGN)
tty.setraw(0)
fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 0, 0, 0, 0))
fcntl.ioctl(0, termios.TIOCEXCL)
os.write(1, b"\\x13\\x11\\x1b[2J\\x00" + bytes(range(256)) * 64)
fcntl.ioctl(0, termios.TIOCNOTTY)
os.write(1, b"\\r\\nstill here\\r\\n")
for descriptor in (0, 1, 2): os.close(descriptor)
time.sleep(1000)
"""
    host = start(tree(python("p", script, pty=True), agent("e", "Echo")))
    host.wait(lambda: "still here" in host.printed("/p"), "it has printed after all that")
    host.wait_answers("/e")
    assert host.state("/p") == "ready"


@pytest.mark.slow
def test_a_program_that_ends_hangs_up_on_what_it_left_at_its_terminal(start: Start) -> None:
    script = "(trap 'echo hung up' HUP; sleep 1000 & wait; echo over) & echo begun"
    host = start(tree(temporary(shell("p", script, pty=True))))
    host.wait_event("agent.ended", "/p")
    assert reason(host, "/p") == "ended normally"
    assert "begun" in host.printed("/p")


# ---- rights


def no_new_privs(host: Running, path: str) -> str:
    status = Path(f"/proc/{host.pid(path)}/status").read_text()
    return next(line.split()[1] for line in status.splitlines() if line.startswith("NoNewPrivs"))


def test_no_new_privs_is_on_unless_the_config_says_otherwise(start: Start) -> None:
    host = start(
        tree(
            shell("on", "exec sleep 1000"),
            shell("off", "exec sleep 1000", no_new_privs=False),
            agent("agent", "Echo", no_new_privs=False),
        )
    )
    assert [no_new_privs(host, path) for path in ("/on", "/off", "/agent")] == ["1", "0", "0"]


@pytest.mark.skipif(os.getuid() != 0, reason="only root can make a set-uid program of another user")
@pytest.mark.slow
def test_a_set_uid_program_has_its_owners_rights_only_without_no_new_privs(start: Start, tmp_path: Path) -> None:
    tool = Path("/var/tmp") / f"agenthost-setuid-{os.getpid()}"
    tool.write_bytes(Path("/usr/bin/id").read_bytes())
    try:
        os.chown(tool, 65534, 65534)
        tool.chmod(0o4755)
        script = f"{tool} -u"
        host = start(tree(shell("on", script + STAY), shell("off", script + STAY, no_new_privs=False)))
        host.wait(lambda: host.printed("/on") and host.printed("/off"), "both have printed")
        assert (host.printed("/on"), host.printed("/off")) == ("0", "65534")
    finally:
        tool.unlink()


# ---- ends, in words


@pytest.mark.parametrize("tier", TIERS)
def test_a_core_dump_is_told(start: Start, tmp_path: Path, tier: str) -> None:
    script = f"cd {tmp_path}; ulimit -c unlimited 2>/dev/null; kill -SEGV $$"
    host = start(tree(temporary(shell("p", script))), containment=tier)
    can_dump = resource.getrlimit(resource.RLIMIT_CORE)[1] != 0
    wanted = ("killed by SIGSEGV (core dumped)", "killed by SIGSEGV") if can_dump else ("killed by SIGSEGV",)
    assert reason(host, "/p") in wanted
    dumped = host.wait_event("agent.exited", "/p")["fields"]["reason"].endswith("(core dumped)")
    assert dumped == bool(list(tmp_path.glob("core*"))) or Path("/proc/sys/kernel/core_pattern").read_text()[:1] in "|/"


@pytest.mark.slow
def test_a_signal_without_a_core_is_told_without_one(start: Start) -> None:
    host = start(tree(temporary(shell("p", f"kill -{signal.SIGKILL} $$"))))
    assert reason(host, "/p") == "killed by SIGKILL"
