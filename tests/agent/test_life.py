"""How an agent begins, is stopped, and ends with its host."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

from agenthost.agent.sentry import HOST_GONE
from agenthost.client import Client
from agenthost.errors import Down, HandlerFailed, NotRunning
from agenthost.protocol import control
from tests.agent.fake_host import FakeHost
from tests.waiting import wait_until


def test_ready_is_said_again_until_it_is_welcomed(host: FakeHost, kind: str) -> None:
    host.deaf_to[control.Ready] = 2
    it = host.start(kind)
    assert len(it.heard(control.Ready)) == 1
    assert host.deaf_to[control.Ready] == 0


def test_on_start_runs_before_ready_and_logs(host: FakeHost) -> None:
    it = host.start("Clerk")
    assert it.stdout() == "starting where=/it\n"


def test_an_agent_may_say_that_there_is_nothing_to_do(host: FakeHost, kind: str) -> None:
    it = host.start(kind, args={"start": "ignore"}, wait=False)
    assert host.wait_end(it) == 0
    assert [type(said) for said in it.said] == [control.Ignore]


def test_a_start_that_raises_is_reported_with_its_traceback(host: FakeHost, kind: str) -> None:
    it = host.start(kind, args={"start": "raise"}, wait=False)
    assert host.wait_end(it) == 1
    (failed,) = it.said
    assert isinstance(failed, control.Failed)
    assert failed.error == "ValueError: no licence"
    assert "on_start" in failed.trace and "on_start" in it.stderr()


def test_others_cannot_be_called_in_on_start(host: FakeHost) -> None:
    it = host.start("Clerk", args={"start": "call"}, wait=False)
    assert host.wait_end(it) == 1
    assert "/other in on_start" in it.heard(control.Failed)[0].error


@pytest.mark.parametrize(
    ("agent", "why"),
    [
        ("Nobody", "has no Nobody"),
        ("NoAgent", "no subclass of agenthost.Agent"),
        ("Handleless", "defines no handle"),
        ("Mixed", "is async, handle.. is not"),
        ("no.such.module:Agent", "ModuleNotFoundError"),
        ("/no/such/file.py:Agent", "FileNotFoundError"),
    ],
)
def test_what_cannot_be_loaded_is_named(host: FakeHost, agent: str, why: str) -> None:
    it = host.start(agent, wait=False)
    assert host.wait_end(it) == 1
    with pytest.raises(AssertionError, match=why):
        raise AssertionError(it.heard(control.Failed)[0].error)


def test_an_agent_may_live_in_a_file(host: FakeHost, client: Client, tmp_path: Path) -> None:
    file = tmp_path / "my-agent.py"
    file.write_text("from agenthost import Agent\nclass A(Agent):\n    def handle(self, m, ctx): return __name__\n")
    host.start(f"{file}:A")
    assert client.call("/it").startswith("agenthost_file_")


def test_a_synchronous_agent_does_without_asyncio(host: FakeHost, client: Client, tmp_path: Path) -> None:
    file = tmp_path / "lean.py"
    file.write_text(
        "import sys\nfrom agenthost import Agent\nclass A(Agent):\n"
        "    def handle(self, m, ctx): return sorted(sys.modules)\n"
    )
    host.start(f"{file}:A")
    loaded = client.call("/it")
    assert not {"asyncio", "psutil", "rich", "typer"} & set(loaded)
    assert not [name for name in loaded if name.startswith("agenthost.agent.async_")]


def test_stop_of_an_idle_agent_runs_on_stop_and_ends_well(host: FakeHost, kind: str) -> None:
    it = host.start(kind)
    host.stop(it)
    assert host.wait_end(it) == 0
    assert "goodbye" in it.stdout()
    assert it.stderr() == ""
    assert len(it.heard(control.Stopping)) == 1
    assert not list(host.folder.glob("d-*"))


def test_tasks_that_an_agent_leaves_running_do_not_keep_it(host: FakeHost, client: Client) -> None:
    it = host.start("AsyncClerk")
    client.call("/it", ["leave_task"])
    host.stop(it)
    assert host.wait_end(it) == 0
    assert it.stderr() == ""


@pytest.mark.parametrize("asked", [True, False])
def test_a_task_that_will_not_be_cancelled_does_not_keep_an_agent(host: FakeHost, client: Client, asked: bool) -> None:
    it = host.start("AsyncClerk")
    client.call("/it", ["leave_stubborn_task"])
    if asked:
        host.stop(it)
    else:
        with pytest.raises(HandlerFailed):
            client.call("/it", ["raise"])
    assert host.wait_end(it) == (0 if asked else 1)


@pytest.mark.slow
def test_a_thread_that_runs_on_does_not_keep_an_agent_that_has_crashed(
    host: FakeHost, client: Client, kind: str
) -> None:
    it = host.start(kind)
    with pytest.raises(HandlerFailed):
        client.call("/it", ["raise_beside_a_thread"])
    assert host.wait_end(it) == 1


def test_stop_is_said_again_until_it_is_seen(host: FakeHost, kind: str) -> None:
    it = host.start(kind)
    host.deaf_to[control.Stopping] = 1
    host.stop(it)
    assert host.wait_end(it) == 0


def test_stop_in_a_turn_lets_it_finish_and_answers_the_rest(
    host: FakeHost, client: Client, kind: str, tmp_path: Path
) -> None:
    it = host.start(kind)
    outcomes: list[object] = []

    def call(body: object) -> None:
        with Client(host.endpoint) as mine:
            try:
                outcomes.append(mine.call("/it", body))
            except (NotRunning, Down) as error:  # Down if it ended before the message came in
                outcomes.append(error)

    first = threading.Thread(target=call, args=(["wait_file", str(tmp_path / "go")],))
    first.start()
    wait_until(lambda: "waiting" in it.stdout(), what="the turn")
    second = threading.Thread(target=call, args=(["echo", "too late"],))
    second.start()
    if kind == "AsyncClerk":  # a busy synchronous agent hears nothing before its turn is over
        wait_until(lambda: len(it.heard(control.Expecting)) == 2, what="the second caller")
    host.stop(it)
    if kind == "AsyncClerk":
        wait_until(lambda: it.heard(control.Stopping), what="Stopping in the turn")
    (tmp_path / "go").touch()
    first.join()
    second.join()
    assert host.wait_end(it) == 0
    assert "waited" in outcomes
    others = [outcome for outcome in outcomes if outcome != "waited"]
    assert len(others) == 1
    assert isinstance(others[0], (NotRunning, Down)) or others == ["too late"]
    if kind == "AsyncClerk":
        assert isinstance(others[0], NotRunning)


def test_a_turn_can_see_that_it_should_end(host: FakeHost, kind: str) -> None:
    it = host.start(kind)
    with Client(host.endpoint) as client:
        client.send("/it", ["wait_stop"], durable=False)
        wait_until(lambda: "waiting" in it.stdout(), what="the turn")
        host.stop(it)
        assert host.wait_end(it) == 0


def test_on_stop_can_still_reach_others(host: FakeHost, client: Client) -> None:
    it = host.start("Clerk", args={"farewell": "/heir"})
    host.start("Clerk", "/heir")
    host.stop(it)
    assert host.wait_end(it) == 0
    assert client.call("/heir", ["notes"]) == ["farewell"]


def test_an_agent_ends_with_its_host(host: FakeHost, client: Client, kind: str) -> None:
    fresh = host.start(kind, "/fresh")
    used = host.start(kind, "/used")
    client.call("/used", ["echo", 1])  # its sentry has the birth socket now
    for it in (fresh, used):
        it.sock.shutdown(socket.SHUT_RDWR)
        assert host.wait_end(it) == HOST_GONE


def test_messages_of_the_host_that_cannot_be_read_are_survived(host: FakeHost, client: Client, kind: str) -> None:
    it = host.start(kind)
    for garbage in (b"", b"\xff" * 100, b"\x81\xa1t\xa4nope", b"\x81\xa1t\xa4down"):
        host.say_raw(it, garbage)
    host.say_raw(it, b"two", b"frames")
    assert client.call("/it", ["echo", 1]) == 1


def test_an_agent_that_is_born_without_a_router_is_ready_when_there_is_one(host: FakeHost, kind: str) -> None:
    host.close_router()
    it = host.start(kind, wait=False)
    host.open_router()
    wait_until(lambda: it.heard(control.Ready), what="Ready")
    host.stop(it)
    assert host.wait_end(it) == 0


def test_a_stop_that_was_said_while_the_router_was_dead_arrives(
    host: FakeHost, client: Client, kind: str, tmp_path: Path
) -> None:
    it = host.start(kind)
    client.send("/it", ["wait_stop"], durable=False)
    wait_until(lambda: "waiting" in it.stdout(), what="the turn")
    host.close_router()
    host.stop(it)
    host.open_router()
    assert host.wait_end(it) == 0
    assert it.heard(control.Stopping)


@pytest.mark.parametrize("when", ["before the look-up", "in a call"])
def test_a_restart_of_the_router_costs_a_pause_only(
    host: FakeHost, client: Client, kind: str, when: str, tmp_path: Path
) -> None:
    host.start("Clerk")
    front = host.start(kind, "/front")
    if when == "before the look-up":
        host.restart_router()
        assert client.call("/front", ["ask", "/it", ["echo", 1]]) == 1
    else:
        assert client.call("/front", ["echo", 1]) == 1
        go = str(tmp_path / "go")
        client.send("/front", ["ask", "/it", ["wait_file", go]], durable=False)
        wait_until(lambda: host.agents[0].heard(control.Expecting), what="the look-up")
        host.restart_router()
        Path(go).touch()
        assert client.call("/front", ["echo", 2]) == 2
    host.stop(front)
    assert host.wait_end(front) == 0


def test_a_look_up_is_repeated_until_it_is_answered(host: FakeHost, client: Client, kind: str) -> None:
    host.start("Clerk")
    host.start(kind, "/front")
    assert client.call("/front", ["echo", 1]) == 1
    host.deaf_to[control.Lookup] = 2
    host.deaf_to[control.Expecting] = 1
    assert client.call("/front", ["ask", "/it", ["echo", 2]]) == 2


def test_down_is_acknowledged_each_time(host: FakeHost, client: Client, kind: str) -> None:
    it = host.start("Clerk")
    host.start(kind, "/front")
    assert client.call("/front", ["ask", "/it", ["echo", 1]]) == 1
    host.deaf_to[control.Seen] = 1
    host.kill(it)
    host.wait_end(it)
    wait_until(lambda: len(host.seen) >= 1, what="Seen")
    assert client.call("/front", ["ask_safely", "/it", ["echo", 1]])["error"] == "NotRunning"
