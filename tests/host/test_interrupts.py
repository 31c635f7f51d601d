"""The host interrupts a turn: by hand, for whoever started the agent, by its time. The agent goes on, or is ended."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from agenthost.client import Client
from agenthost.errors import AgenthostError, Busy, Down, Interrupted, NotRunning
from tests.host import interruptible
from tests.host.conftest import Start
from tests.host.running import PATIENCE_S, Running, tree
from tests.host.test_freezing import TIERS

slow = pytest.mark.slow
PLAIN_FIRST = pytest.mark.parametrize("kind", ["Plain", pytest.param("Async", marks=slow)])


def agent(name: str, kind: str, **keys: Any) -> dict[str, Any]:
    """In a group, which beats early: so it is soon seen to be busy."""
    return {"name": name, "agent": f"{interruptible.__file__}:{kind}", "group": "them", **keys}


class Caller(threading.Thread):
    """Calls, and keeps what came of it."""

    def __init__(self, host: Running, path: str, *body: Any) -> None:
        super().__init__()
        self._host, self._path, self._body = host, path, list(body)
        self.outcome: Any = None
        self.start()

    def run(self) -> None:
        with self._host.new_client() as client:
            try:
                self.outcome = client.call(self._path, self._body, PATIENCE_S)
            except AgenthostError as error:
                self.outcome = error

    def error(self) -> AgenthostError:
        self.join()
        assert isinstance(self.outcome, AgenthostError), self.outcome
        return self.outcome


def busy(host: Running, path: str, *body: Any) -> Caller:
    """A turn that has beaten."""
    caller = Caller(host, path, *body)
    host.wait(lambda: "busy" in host.row(path)["flags"], f"{path} is busy")
    return caller


def interrupt(host: Running, path: str, reason: str = "") -> str:
    with Client(host.endpoint) as client:
        return client.interrupt(path, reason, timeout=PATIENCE_S)


def test_an_interrupted_turn_ends_at_once_and_the_same_process_goes_on(start: Start) -> None:
    host = start(tree(agent("a", "Plain"), agent("b", "Async")))
    for path in ("/a", "/b"):
        with pytest.raises(NotRunning, match=f"no turn is in hand at {path}"):
            interrupt(host, path)
        pid = host.call(path, ["pid"])
        caller = busy(host, path, "sleep")
        text = interrupt(host, path, "too slow")
        assert text.startswith("its turn of ") and text.endswith("s")
        error = caller.error()
        assert type(error) is Interrupted
        assert str(error).startswith(f"cannot get an answer from {path}: its turn was interrupted by uid ")
        assert str(error).endswith("(too slow)")
        assert host.call(path, ["pid"]) == pid
        told = host.wait_event("agent.interrupted", path)
        assert told["fields"]["text"] == text and "too slow" in told["fields"]["why"]
        assert host.row(path)["restarts"] == 0
    with pytest.raises(NotRunning, match="no turn is in hand at or below /"):
        interrupt(host, "/")


@PLAIN_FIRST
def test_the_tools_of_an_interrupted_turn_are_killed_and_named(start: Start, kind: str) -> None:
    host = start(tree(agent("a", kind)))
    caller = busy(host, "/a", "run", "sleep", "1000")
    [tool] = [path for path in host.rows() if path.startswith("/a/")]
    pid = host.pid(tool)
    text = interrupt(host, "/a")
    assert text.endswith(f"; killed: {tool.rpartition('/')[2]} (pid {pid})")
    assert type(caller.error()) is Interrupted
    assert not Path(f"/proc/{pid}").exists()
    assert list(host.rows()) == ["/", "/a"]


@PLAIN_FIRST
def test_what_the_end_of_a_tool_breaks_in_an_interrupted_turn_is_no_crash(start: Start, kind: str) -> None:
    """The tool is killed right after the agent was told, whichever it notices first."""
    host = start(tree(agent("a", kind)))
    pid = host.call("/a", ["pid"])
    for _ in range(10):
        caller = busy(host, "/a", "talk")
        host.wait(lambda: any(path.startswith("/a/") for path in host.rows()), "the tool runs")
        assert "just ended by itself" not in interrupt(host, "/a")
        assert type(caller.error()) is Interrupted
    assert host.call("/a", ["pid"]) == pid


@slow
@pytest.mark.parametrize("kind", ["Plain", "Async"])
def test_an_agent_that_cannot_hear_it_is_ended_and_that_is_said(start: Start, kind: str) -> None:
    host = start(tree(agent("a", kind, turn={"interrupt": "300ms"})))
    pid = host.call("/a", ["pid"])
    caller = Caller(host, "/a", "hold")
    host.wait(lambda: _silent(host, "/a"), "it computes")
    words = "it did not come back within 0.3 s"
    text = interrupt(host, "/a")
    assert text.startswith("its process was ended, killed: interrupted by uid ") and text.endswith(words)
    error = caller.error()
    assert type(error) is Down and words in str(error)
    host.wait(lambda: host.state("/a") == "ready" and host.call("/a", ["pid"]) != pid, "it is back")


def _silent(host: Running, path: str) -> bool:
    """Its turn has begun: its mailbox has given the message out, and it answers to nobody else."""
    cpu = host.row(path)["cell"]["processes"]
    with host.new_client() as client:
        try:
            client.call(path, ["pid"], 0.3)
        except AgenthostError:
            return bool(cpu)
    return False


@slow
def test_an_author_who_swallows_every_interruption_is_ended(start: Start) -> None:
    host = start(tree(agent("a", "Plain", turn={"interrupt": "300ms"})))
    caller = busy(host, "/a", "swallow")
    assert "its process was ended" in interrupt(host, "/a")
    assert type(caller.error()) is Down


@slow
def test_a_program_below_a_supervisor_is_not_meant_by_its_name(start: Start) -> None:
    host = start(tree({"name": "p", "command": ["sleep", "1000"]}))
    pid = host.pid("/p")
    with pytest.raises(NotRunning, match="no turn is in hand at or below /"):
        interrupt(host, "/")
    assert host.pid("/p") == pid


@slow
def test_a_supervisor_stands_for_all_below_it_that_are_in_a_turn(start: Start) -> None:
    crew = {"name": "crew", **tree(agent("a", "Plain"), agent("b", "Async"), agent("c", "Plain"))}
    host = start(tree(crew, agent("other", "Plain")))
    callers = [busy(host, path, "sleep") for path in ("/crew/a", "/crew/b", "/other")]
    text = interrupt(host, "/crew")
    assert "/crew/a: its turn of " in text and "/crew/b: its turn of " in text and "/crew/c" not in text
    assert [type(caller.error()) for caller in callers[:2]] == [Interrupted, Interrupted]
    assert callers[2].is_alive()
    interrupt(host, "/other")
    callers[2].join()


@slow
def test_a_frozen_agent_is_not_interrupted_and_that_is_said(start: Start) -> None:
    host = start(tree(agent("a", "Plain")))
    caller = busy(host, "/a", "sleep")
    host.ask("freeze", path="/a")
    with pytest.raises(Busy, match="thaw /a first"):
        interrupt(host, "/a")
    host.ask("thaw", path="/a")
    interrupt(host, "/a")
    caller.join()


@slow
@pytest.mark.parametrize("tier", TIERS)
def test_a_program_gets_sigint(start: Start, tmp_path: Path, tier: str) -> None:
    there, got = tmp_path / "there", tmp_path / "got"
    code = f"trap 'touch {got}' INT; touch {there}; while :; do sleep 0.01; done"
    host = start(tree({"name": "p", "command": ["sh", "-c", code]}), containment=tier)
    host.wait(there.exists, "it listens")
    pid = host.pid("/p")
    assert interrupt(host, "/p") == "it is a program and has no turns: its main process got SIGINT"
    host.wait(got.exists, "it has got it")
    assert host.pid("/p") == pid


@slow
def test_an_agent_interrupts_the_turn_of_its_child(start: Start, tmp_path: Path) -> None:
    host = start(tree(agent("a", "Plain", args={"file": str(tmp_path / "busy")})))
    assert host.call("/a", ["bear"]) == {"idle": False, "done": True, "same": True}
    told = host.wait_event("agent.interrupted", "/a/sub")
    assert told["fields"]["why"] == "its turn was interrupted by /a (enough)"


# ---- its time


@slow
@pytest.mark.parametrize("kind", ["Plain", "Async"])
def test_a_turn_that_takes_longer_than_it_may_is_interrupted(start: Start, kind: str) -> None:
    host = start(tree(agent("a", kind, turn={"timeout": "300ms"})))
    pid = host.call("/a", ["pid"])
    for _ in range(2):
        error = Caller(host, "/a", "sleep").error()
        assert type(error) is Interrupted
        assert str(error) == "cannot get an answer from /a: its turn took longer than 0.3 s"
    assert host.call("/a", ["pid"]) == pid
    assert host.wait_event("turn.overran", "/a", 2)
    assert host.call("/a", ["sleep", 0.05]) == "slept"


def test_whose_time_is_over_is_interrupted_and_who_cannot_hear_it_is_ended(start: Start) -> None:
    turn = {"timeout": "300ms", "interrupt": "300ms"}
    host = start(tree(agent("a", "Async", turn=turn), agent("b", "Plain", turn=turn)))
    pid = host.call("/b", ["pid"])
    callers = Caller(host, "/a", "hold", 0.25), Caller(host, "/b", "sleep")
    error = callers[1].error()
    assert type(error) is Interrupted
    assert str(error) == "cannot get an answer from /b: its turn took longer than 0.3 s"
    assert host.call("/b", ["pid"]) == pid
    error = callers[0].error()
    assert type(error) is Down
    words = "killed: its turn took longer than 0.3 s, and it did not come back within 0.3 s"
    assert words in str(error)
    assert host.wait_event("agent.exited", "/a")["fields"]["kind"] == "turn_timeout"


@slow
def test_the_time_in_which_it_is_frozen_does_not_count(start: Start) -> None:
    host = start(tree(agent("a", "Plain", turn={"timeout": "2s"}), agent("other", "Plain")))
    caller = Caller(host, "/a", "sleep", 1.0)
    host.wait(lambda: "busy" in host.row("/a")["flags"], "it is busy")
    host.ask("freeze", path="/a")
    host.call("/other", ["sleep", 2.5])
    host.ask("thaw", path="/a")
    caller.join()
    assert caller.outcome == "slept"
    assert not host.events("turn.overran")


@slow
def test_a_timeout_that_came_by_reload_holds_for_the_turn_in_hand(start: Start) -> None:
    def children(**turn: str) -> dict[str, Any]:
        wanted = agent("a", "Plain", turn={"silence": "60s", **turn})
        del wanted["group"]  # it beats once a second at first
        return tree(wanted)

    host = start(children())
    pid = host.call("/a", ["pid"])
    caller = busy(host, "/a", "sleep")
    rewritten = {"agenthost": 1, "name": host.name, "tree": children(timeout="400ms", interrupt="7s")}
    host.config.write_text(json.dumps(rewritten))
    plan = {one["path"]: one for one in host.ask("plan")}
    assert plan["/a"]["what"] == "live"
    assert plan["/a"]["why"] == "turn.interrupt 5.0 -> 7.0, turn.timeout none -> 0.4"
    host.ask("reload")
    assert "its turn took longer than 0.4 s" in str(caller.error())
    assert type(Caller(host, "/a", "sleep").error()) is Interrupted, "it beats early enough now"
    assert host.call("/a", ["pid"]) == pid
