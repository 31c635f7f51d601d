"""Nothing escapes: every awkward program, however its agent ends, in every tier this machine offers.

``fields`` says which fields there are and which are empty, ``witness`` who is left. Zombies count.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.chaos import agents
from tests.chaos.awkward import PROGRAMS
from tests.chaos.conftest import Start, Watch
from tests.chaos.fields import OF_TURN, Field, fields, is_quick, why_empty
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
        **rights(name),
        **keys,
    }


def rights(name: str) -> dict[str, Any]:
    """A set-user-ID program has its effect only where new privileges may be got."""
    return {"no_new_privs": False} if name == "setuid" else {}


def parent(name: str) -> dict[str, Any]:
    """An agent that has the program below it, and may be silent for a second."""
    return {
        "name": "it",
        "agent": f"{agents.__file__}:Parent",
        "args": {"program": name},
        "turn": {"silence": "1s"},
        "backoff": "none",
        "start_timeout": "60s",
        **rights(name),
    }


def turner(name: str, how: str) -> dict[str, Any]:
    """An agent that has the program below it in a turn."""
    timeout = "30s" if PROGRAMS[name].processes > 1000 else "2s"  # so many are not all born in two seconds
    turn = {"turn_timeout": {"turn": {"timeout": timeout, "interrupt": "20s"}}, "reap": {"turn": {"reap": True}}}
    return {
        "name": "it",
        "agent": f"{agents.__file__}:Turner",
        "start_timeout": "60s",
        **rights(name),
        **turn.get(how, {}),
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
    host.client.send(IT, {"after_s": 1.5}, durable=False)
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
    for one in (host.guardian_pid, pid):
        os.kill(one, signal.SIGSTOP)
    for one in (host.guardian_pid, pid):
        kill(one)  # with a namespace the kernel may have been faster


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
@pytest.mark.parametrize("field", [marked(one) for one in fields() if one.how in OF_TURN])
def test_nothing_of_a_turn_survives_it_and_the_agent_goes_on(
    start: Start, watch: Watch, record_tier: Callable[..., None], folder: Path, field: Field
) -> None:
    if why := why_empty(field):
        pytest.skip(why)
    record_tier(field.walls[0])
    containment, namespace = field.walls
    host = start(family(turner(field.what, field.how)), containment=containment, namespace=namespace)
    agent_alone = set(watch(host, IT).look())
    before = host.row(IT)
    born, over = folder / "born", folder / "over"
    is_tool = field.how != "reap"
    until = str(over) if field.how in ("turn_end", "reap") else None
    words = {"program": field.what, "as": "tool" if is_tool else "own", "born": str(born), "until": until}
    host.client.send(IT, words, durable=False)
    host.wait(born.exists, "the program is born")
    old = watch(host, f"{IT}/tool" if is_tool else IT)
    least = PROGRAMS[field.what].processes
    host.wait(lambda: len(old.look().keys() - agent_alone) >= least, f"{least} processes are seen")
    if field.how == "interrupt":
        host.wait(lambda: "busy" in host.row(IT)["flags"], "it is seen to be busy")
        host.ask("interrupt", path=IT)
    elif field.how == "turn_timeout":
        host.wait_event("turn.overran", IT)
    else:
        over.touch()
    if field.how != "interrupt":
        assert host.call(IT, {"as": "nothing"}) == "done"  # the next turn
    left = [str(one) for key, one in old.look().items() if key not in agent_alone]
    assert not left, f"{field}: {len(left)} left: {left[:10]}"
    after = host.row(IT)
    assert (after["pid"], after["incarnation"], after["state"]) == (before["pid"], before["incarnation"], "ready")
    assert host.call("/echo", 1) == 1


@pytest.mark.timeout(200)
@pytest.mark.parametrize("field", [marked(one) for one in fields() if one.how not in OF_TURN])
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
