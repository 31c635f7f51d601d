"""An interrupted turn ends at once, with one error for its caller; the agent goes on with the next message."""

from __future__ import annotations

import itertools
import threading
from pathlib import Path
from typing import Any

import pytest

from agenthost.agent.sending import pack_code
from agenthost.client import Client
from agenthost.errors import AgenthostError, HandlerFailed, Interrupted
from agenthost.protocol import birth, control
from agenthost.protocol.codec import encode
from tests.agent import interrupted as interrupted_agents
from tests.agent.fake_host import FakeHost, Hosted
from tests.waiting import wait_until

WHY = "its turn was interrupted by the test"
PLAIN, ASYNC = "tests.agent.interrupted:Plain", "tests.agent.interrupted:Async"
BOTH = pytest.mark.parametrize("agent", [PLAIN, ASYNC], ids=["plain", "async"])
_ids = itertools.count(1)


def interrupt(it: Hosted, turn: int = 0) -> int:
    number = next(_ids)
    it.sock.send(encode(birth.Interrupt(id=number, why=WHY, turn=turn)))
    return number


def wait_answered(it: Hosted, number: int) -> birth.Interrupted:
    return wait_until(
        lambda: next((one for one in it.told(birth.Interrupted) if one.id == number), None), 60, "the answer"
    )


class Caller(threading.Thread):
    """Calls, and keeps what came of it."""

    def __init__(self, host: FakeHost, body: Any, path: str = "/it") -> None:
        super().__init__()
        self._host, self._body, self._path = host, body, path
        self.outcome: Any = None
        self.start()

    def run(self) -> None:
        with Client(self._host.endpoint) as client:
            try:
                self.outcome = client.call(self._path, self._body, timeout=60)
            except AgenthostError as error:
                self.outcome = error

    def result(self) -> Any:
        self.join()
        return self.outcome


def interrupted(host: FakeHost, it: Hosted, *body: Any) -> Any:
    """What a call comes to that is interrupted while the agent is where it says "there"."""
    said = it.stdout().count("there")
    caller = Caller(host, list(body))
    wait_until(lambda: it.stdout().count("there") > said, 60, "the turn is under way")
    answer = wait_answered(it, interrupt(it))
    assert answer.in_turn and not answer.by_itself
    return caller.result()


def assert_interrupted(outcome: Any) -> None:
    assert type(outcome) is Interrupted and str(outcome) == f"cannot get an answer from /it: {WHY}"


def assert_goes_on(client: Client, it: Hosted) -> None:
    for number in range(3):
        assert client.call("/it", ["echo", number]) == number
    assert it.is_alive and not it.stderr()


WAYS = [
    "sleep",
    "compute",
    *(pytest.param(way, marks=pytest.mark.slow) for way in ("wait_for_a_program", "read_a_socket", "wait_for_a_lock")),
    pytest.param("log", marks=pytest.mark.slow),
]
ASYNC_WAYS = [
    "sleep",
    "block",
    *(pytest.param(way, marks=pytest.mark.slow) for way in ("timeout", "group_of_tasks", "executor")),
]


@pytest.mark.parametrize("way", WAYS)
def test_a_plain_agent_is_interrupted_wherever_it_is(host: FakeHost, client: Client, way: str) -> None:
    it = host.start(PLAIN)
    assert_interrupted(interrupted(host, it, way))
    assert_interrupted(interrupted(host, it, way))
    assert_goes_on(client, it)


@pytest.mark.parametrize("way", ASYNC_WAYS)
def test_an_async_agent_is_interrupted_wherever_it_waits(host: FakeHost, client: Client, way: str) -> None:
    it = host.start(ASYNC)
    assert_interrupted(interrupted(host, it, way))
    assert_interrupted(interrupted(host, it, way))
    assert_goes_on(client, it)
    assert client.call("/it", ["count_cancellations"]) == 0, "nothing is left of it"


@BOTH
@pytest.mark.parametrize("way", ["call", "gather"])
def test_calls_under_way_are_given_up_and_their_late_replies_are_nobodys(
    host: FakeHost, client: Client, agent: str, way: str, tmp_path: Path
) -> None:
    it, other = host.start(agent), host.start("Clerk", "/other")
    assert_interrupted(interrupted(host, it, way, "/other", ["wait_file", str(tmp_path / "go")]))
    (tmp_path / "go").touch()
    assert client.call("/it", ["call", "/other", ["echo", "fresh"]]) == "fresh"
    assert_goes_on(client, it)
    assert other.is_alive


@pytest.mark.slow
@BOTH
def test_wherever_in_our_book_keeping_it_comes_everything_still_works_after_it(
    host: FakeHost, client: Client, agent: str
) -> None:
    it = host.start(agent)
    host.start("Echo", "/other")
    for _ in range(150):
        assert_interrupted(interrupted(host, it, "chatter", "/other"))
        for number in range(3):
            assert client.call("/it", ["call", "/other", number]) == number
    assert_goes_on(client, it)


@pytest.mark.parametrize("kind", ["function", "async_function"])
def test_a_function_that_is_an_agent_can_be_interrupted(host: FakeHost, client: Client, kind: str) -> None:
    it = host.spawn("tests.agent.interrupted:Plain", "/it", code=pack_code(getattr(interrupted_agents, kind), 100_000))
    host.agents.append(it)
    wait_until(lambda: it.heard(control.Ready), 60, "it is ready")
    assert_interrupted(interrupted(host, it, "sleep"))
    assert client.call("/it", ["echo"]) == "echo"


@BOTH
def test_the_children_of_a_scope_are_gone_when_its_turn_was_interrupted(
    host: FakeHost, client: Client, agent: str
) -> None:
    it = host.start(agent)
    assert_interrupted(interrupted(host, it, "scope"))
    assert not host.family.children("/it")
    assert_goes_on(client, it)


@BOTH
def test_an_author_can_tidy_up_and_knows_why(host: FakeHost, client: Client, agent: str) -> None:
    it = host.start(agent)
    assert_interrupted(interrupted(host, it, "tidy_up"))
    assert client.call("/it", ["notes"]) == [WHY, "tidy"]


@BOTH
@pytest.mark.parametrize("how", ["swallow", "refuse"])
def test_whatever_the_author_answers_then_the_caller_gets_one_error(
    host: FakeHost, client: Client, agent: str, how: str
) -> None:
    it = host.start(agent)
    assert_interrupted(interrupted(host, it, how))
    assert_goes_on(client, it)


@BOTH
def test_what_breaks_while_it_tidies_up_is_a_crash(host: FakeHost, agent: str) -> None:
    it = host.start(agent)
    outcome = interrupted(host, it, "break")
    assert type(outcome) is HandlerFailed and "the tidying up failed" in str(outcome)
    assert host.wait_end(it) == 1


def test_a_thread_of_the_author_sees_it_on_its_context(host: FakeHost, tmp_path: Path) -> None:
    it = host.start(PLAIN)
    assert_interrupted(interrupted(host, it, "thread", str(tmp_path / "seen")))
    wait_until(lambda: (tmp_path / "seen").exists(), 60, "the thread has seen it")


def test_a_cancellation_of_the_authors_own_is_no_interruption(host: FakeHost, client: Client) -> None:
    it = host.start(ASYNC)
    with pytest.raises(HandlerFailed, match="CancelledError"):
        client.call("/it", ["cancel_oneself"])
    assert host.wait_end(it) == 1


@BOTH
def test_a_message_that_was_only_sent_is_gone_and_the_next_one_is_served(
    host: FakeHost, client: Client, agent: str
) -> None:
    it = host.start(agent)
    client.send("/it", ["sleep"], durable=False)
    wait_until(lambda: "there" in it.stdout(), 60, "the turn")
    assert wait_answered(it, interrupt(it)).in_turn
    assert_goes_on(client, it)


@BOTH
def test_a_turn_of_on_down_can_be_interrupted_as_well(host: FakeHost, client: Client, agent: str) -> None:
    it, other = host.start(agent), host.start("Clerk", "/other")
    client.call("/it", ["on_down", "/other"])
    host.kill(other)
    wait_until(lambda: "there" in it.stdout(), 60, "the turn of on_down")
    assert wait_answered(it, interrupt(it)).in_turn
    assert client.call("/it", ["notes"]) == ["down"]
    assert_goes_on(client, it)


@BOTH
def test_between_turns_nobody_is_interrupted(host: FakeHost, client: Client, agent: str) -> None:
    it = host.start(agent)
    assert not wait_answered(it, interrupt(it)).in_turn
    client.call("/it", ["echo", 1])
    assert not wait_answered(it, interrupt(it)).in_turn
    assert_goes_on(client, it)


@BOTH
def test_an_interruption_of_a_turn_that_is_over_does_not_hit_the_next_one(
    host: FakeHost, client: Client, agent: str
) -> None:
    it = host.start(agent, beat_s=0.02)
    client.call("/it", ["echo", 1])
    caller = Caller(host, ["sleep"])
    [first, *_] = wait_until(lambda: it.told(birth.Beat), 60, "a beat")
    assert not wait_answered(it, interrupt(it, first.turn - 1)).in_turn
    assert not wait_answered(it, interrupt(it, first.turn + 1)).in_turn
    assert caller.is_alive()
    assert wait_answered(it, interrupt(it, first.turn)).in_turn
    assert_interrupted(caller.result())


@pytest.mark.slow
@BOTH
def test_each_interruption_hits_one_turn_or_none_while_thousands_of_short_ones_come_and_go(
    host: FakeHost, client: Client, agent: str
) -> None:
    it = host.start(agent)
    outcomes: list[Any] = []
    stop = threading.Event()

    def call() -> None:
        with Client(host.endpoint) as mine:
            while not stop.is_set():
                number = len(outcomes)
                try:
                    outcomes.append(mine.call("/it", ["brief", number], timeout=60) == number)
                except Interrupted as error:
                    outcomes.append(error)

    calls = threading.Thread(target=call)
    calls.start()
    try:
        answers = [wait_answered(it, interrupt(it)) for _ in range(300)]
    finally:
        stop.set()
        calls.join()
    hits = sum(one.in_turn and not one.by_itself for one in answers)
    assert 0 < hits < 300
    assert sum(isinstance(one, Interrupted) for one in outcomes) == hits
    assert all(one is True or isinstance(one, Interrupted) for one in outcomes)
    assert len({one.id for one in it.told(birth.Interrupted)}) == len(it.told(birth.Interrupted)), "each answered once"
    assert_goes_on(client, it)


def test_beats_come_as_often_as_the_host_says(host: FakeHost, client: Client) -> None:
    it = host.start("Clerk", beat_s=1000.0)
    client.send("/it", ["sleep", 60], durable=False)
    wait_until(lambda: "sleeping" in it.stdout(), 60, "the turn")
    it.sock.send(encode(birth.Pace(beat_s=0.02)))
    wait_until(lambda: len(it.told(birth.Beat)) >= 3, 60, "beats")
