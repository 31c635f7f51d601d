"""Nothing escapes: every awkward program, however its agent ends, in every tier this machine offers.

``fields`` says which fields there are and which are empty, ``witness`` who is left. Zombies count.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

import pytest

from tests.chaos import agents
from tests.chaos.awkward import PROGRAMS
from tests.chaos.conftest import Start, Watch
from tests.chaos.fields import Field, fields, is_quick, why_empty
from tests.chaos.witness import Witness
from tests.host.running import PATIENCE_S, Running, agent, kill, tree
from tests.waiting import wait_until

IT = "/it"


def program(name: str, **keys: Any) -> dict[str, Any]:
    command = [sys.executable, "-S", "-E", agents.AWKWARD, name]
    return {
        "name": "it",
        "command": command,
        "ready": {"line": "^born$"},
        "start_timeout": "60s",
        "shutdown": "300ms",
        "backoff": "none",
        **keys,
    }


def parent(name: str) -> dict[str, Any]:
    """An agent that has the program below it, and may be silent for a second."""
    return {
        "name": "it",
        "agent": f"{agents.__file__}:Parent",
        "args": {"program": name},
        "turn": {"progress": "1s"},
        "backoff": "none",
        "start_timeout": "60s",
    }


def family(child: dict[str, Any]) -> dict[str, Any]:
    return tree(agent("echo", "Echo"), child, intensity=100)


def stop(host: Running, old: Witness) -> None:
    host.ask("stop", path=IT)
    assert host.row(IT)["pid"] is None


def kill_(host: Running, old: Witness) -> None:
    host.ask("kill", path=IT)
    wait_next(host, old)


def restart(host: Running, old: Witness) -> None:
    assert host.ask("restart", path=IT)["state"] == "ready"
    wait_next(host, old)


def crash(host: Running, old: Witness) -> None:
    kill(old.main)
    wait_next(host, old)


def reload(host: Running, old: Witness) -> None:
    changed = json.loads(host.config.read_text())
    changed["tree"]["children"][1]["env"] = {"CHANGED": "1"}
    host.config.write_text(json.dumps(changed))
    host.ask("reload")
    wait_next(host, old)


def frozen_stop(host: Running, old: Witness) -> None:
    host.ask("freeze", path=IT)
    stop(host, old)


def frozen_kill(host: Running, old: Witness) -> None:
    host.ask("freeze", path=IT)
    kill_(host, old)


def silence(host: Running, old: Witness) -> None:
    """C code holds the interpreter: no beat."""
    host.client.send(IT, {"after_s": 1.5})
    wait_next(host, old)
    [said] = [one for one in host.events("agent.exited", IT) if one["fields"]["incarnation"] == old.incarnation]
    assert "no beat" in said["fields"]["reason"]


def host_(host: Running, old: Witness) -> None:
    [pid] = host.own_pids("host")
    host.hang_up()
    kill(pid)


def guardian(host: Running, old: Witness) -> None:
    host.hang_up()
    kill(host.guardian_pid)


def both(host: Running, old: Witness) -> None:
    """Neither sees the other's end."""
    [pid] = host.own_pids("host")
    host.hang_up()
    for signum in (signal.SIGSTOP, signal.SIGKILL):
        os.kill(host.guardian_pid, signum)
        os.kill(pid, signum)


HOW: dict[str, Callable[[Running, Witness], None]] = {
    "stop": stop,
    "kill": kill_,
    "restart": restart,
    "crash": crash,
    "reload": reload,
    "frozen_stop": frozen_stop,
    "frozen_kill": frozen_kill,
    "silence": silence,
    "host": host_,
    "guardian": guardian,
    "both": both,
}
PARTS = ("host", "guardian", "both")


def wait_next(host: Running, old: Witness) -> None:
    host.wait(
        lambda: (row := host.row(IT))["state"] == "ready" and row["incarnation"] != old.incarnation,
        "the next incarnation is ready",
    )


def marked(field: Field) -> Any:
    marks = [] if is_quick(field) else [pytest.mark.slow]
    return pytest.param(field, id=str(field), marks=marks)


def begin(start: Start, watch: Watch, field: Field) -> tuple[Running, Witness]:
    child = parent(field.what) if field.how == "silence" else program(field.what)
    containment, namespace = field.walls
    host = start(family(child), containment=containment, namespace=namespace)
    said = host.host()
    assert said["containment"] == containment and said["namespace"] == (namespace == "auto")
    witness = watch(host, IT)
    least = PROGRAMS[field.what].processes + (field.how == "silence")
    try:
        host.wait(lambda: len(witness.look()) >= least, f"{least} processes are seen")
    except AssertionError as error:
        pytest.fail(f"seen are {witness.left()[:20]}\n{error}")
    witness.look()
    return host, witness


@pytest.mark.timeout(200)
@pytest.mark.parametrize("field", [marked(one) for one in fields()])
def test_nothing_of_it_survives(start: Start, watch: Watch, record_tier: Callable[..., None], field: Field) -> None:
    if why := why_empty(field):
        pytest.skip(why)
    record_tier(field.walls[0])
    host, old = begin(start, watch, field)
    HOW[field.how](host, old)
    if field.how not in PARTS:
        left = old.left()  # down is down, and a next one is born only when nothing of the last is left: no waiting
        assert not left, f"{field}: {len(left)} left: {left[:10]}"
        assert host.call("/echo", 1) == 1
        host.ask("stop", path=IT)
        return
    wait_until(lambda: not old.left(), PATIENCE_S, f"{field}: {old.left()[:10]} are gone")
    if field.how == "host":
        host.wait(lambda: host.host().get("state") == "ready", "it is ready again")
        host.wait_answers("/echo")
        fresh = watch(host, IT)
        assert fresh.incarnation != old.incarnation and fresh.living()
        assert not old.left()
    else:
        wait_until(lambda: not host.survivors(), PATIENCE_S, f"{field}: nothing survives")
