"""A turn that does not get on is interrupted; whoever is ended is looked at before, by whatever means there are."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest

from agenthost.errors import Down, Interrupted
from agenthost.host.py_spy import VARIABLE, py_spy
from tests.host import watched
from tests.host.conftest import Start
from tests.host.running import Running, tree
from tests.host.test_interrupts import Caller, busy

FROM_OUTSIDE = "py-spy" if py_spy() else "faulthandler"


def agent(name: str, kind: str = "Plain", **turn: Any) -> dict[str, Any]:
    """In a group, which beats early."""
    return {"name": name, "agent": f"{watched.__file__}:{kind}", "group": "them", "turn": turn, "backoff": "none"}


def look(host: Running, path: str, count: int = 1) -> str:
    """What the record says of how it was looked at."""
    return str(host.wait_event("agent.examined", path, count)["fields"]["text"])


def fifo(folder: Path, name: str) -> str:
    os.mkfifo(folder / name)
    return str(folder / name)


def test_who_does_not_get_on_is_looked_at_and_interrupted_and_who_does_not_come_back_is_ended(
    start: Start, tmp_path: Path
) -> None:
    bounds = {"progress": "1200ms", "silence": "60s", "interrupt": "400ms"}
    names = ("ticks", "listens", "stands", "swallows")
    host = start(
        tree(
            *(agent(name, **bounds) for name in names),
            agent("awaits", "Async", **bounds),
            agent("holds", silence="700ms"),
            agent("grabs", silence="700ms"),
        )
    )
    pid = host.call("/stands", ["pid"])
    ticks, listens = Caller(host, "/ticks", "tick", 18), Caller(host, "/listens", "listen", 18)
    stands, awaits = Caller(host, "/stands", "stand"), Caller(host, "/awaits", "wait")
    host.client.send("/grabs", ["grab", fifo(tmp_path, "too")], durable=False)  # nobody waits for it
    swallows, holds = Caller(host, "/swallows", "swallow"), Caller(host, "/holds", "hold", fifo(tmp_path, "never"))

    for caller, path, place in ((stands, "/stands", "Plain.stand"), (awaits, "/awaits", "Async.wait")):
        error = caller.error()
        assert type(error) is Interrupted and "its turn has not got on for 1.2 s" in str(error)
        assert re.search(rf"not got on for 1\.2 s in watched\.py:\d+, {place}; stack: its own thread", look(host, path))
        assert host.wait_event("turn.overran", path)["fields"]["kind"] == "no_progress"
    assert host.call("/stands", ["pid"]) == pid, "its process goes on"

    assert type(swallows.error()) is Down
    assert host.wait_event("agent.exited", "/swallows")["fields"]["kind"] == "no_progress"
    again = look(host, "/swallows", 2)
    assert re.search(r"did not come back within 0\.4 s in watched\.py:\d+, Plain\.swallow", again)

    assert "no beat for 0.7 s" in str(holds.error())
    seen = look(host, "/holds")
    assert f"stack: {FROM_OUTSIDE}; its async tasks are not known" in seen and re.search(
        r"watched\.py:\d+, .*grab", seen
    )

    grabbed = host.wait_event("agent.exited", "/grabs")["fields"]
    assert grabbed["reason"] == "killed: silent: its interpreter has not answered for 0.7 s"
    assert FROM_OUTSIDE in look(host, "/grabs") and "grab" in look(host, "/grabs")

    for caller, path in ((ticks, "/ticks"), (listens, "/listens")):
        caller.join()
        assert caller.outcome == 18 and not host.events("turn.overran", path)

    host.client.send("/stands", ["stand"])
    failed = host.wait_event("mail.failed", "/stands")["fields"]
    assert failed["fingerprint"] == "no_progress" and "has not got on for 1.2 s" in failed["reason"]


def test_an_agent_is_looked_at_as_it_is_and_goes_on(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, "")  # without py-spy: by the signal
    host = start(tree(agent("a"), agent("b", "Async"), agent("c")))
    go = fifo(tmp_path, "go")
    held = busy(host, "/c", "hold", go)
    busy(host, "/a", "tool")
    busy(host, "/b", "wait")

    host.wait(lambda: len(host.ask("inspect", path="/a")["processes"]) == 3, "its tool runs")
    seen = host.ask("inspect", path="/a", stack=True)
    main, shell, sleep = seen["processes"]
    assert main["pid"] == seen["pid"] == host.pid("/a") and main["argv"] == [f"{watched.__file__}:Plain"]
    assert sleep["ppid"] == shell["pid"] and sleep["name"] == "sleep"
    assert shell["argv"][-2:] == ["--password", "***"] and watched.SECRET not in str(seen)
    assert seen["stack_means"] == "its own thread" and "in Plain.tool" in seen["stack"]

    tasks = host.ask("inspect", path="/b", stack=True)["stack"]
    assert "task beside:" in tasks and "in Async.wait" in tasks
    host.ask("freeze", path="/b")
    frozen = host.ask("inspect", path="/b", stack=True)
    assert frozen["frozen"] and frozen["stack_means"].startswith("none: it is frozen")
    host.ask("thaw", path="/b")

    host.wait(lambda: host.ask("inspect", path="/c", stack=True)["stack_means"] != "its own thread", "it holds on")
    seen = host.ask("inspect", path="/c", stack=True)
    assert seen["stack_means"].startswith("faulthandler") and "in hold" in seen["stack"].replace("Plain.", "")
    assert seen["turn"] == 1 and seen["silent_s"] > 0
    with open(go, "r+b", buffering=0) as file:
        file.write(b"!")
    held.join()
    assert held.outcome == "held", "it goes on"
    host.ask("interrupt", path="/")
    assert not any(row["restarts"] for row in host.rows().values())
