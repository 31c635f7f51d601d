"""The end of a turn against its interruption, stepped: it hits that turn or nobody, never the next one, and is answered
once."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from agenthost.agent.interruption import Interruption
from agenthost.agent.sentry import Sentry
from agenthost.protocol import birth
from agenthost.protocol.codec import read_from_process
from agenthost.transport.data import MAX_BODY_BYTES


class Turn:
    """Stands for a context."""

    def __init__(self) -> None:
        self.interrupted = False


class Steps(list[Interruption]):
    """What is not answered yet; a test says what the turn's thread does before and after each addition."""

    before: Callable[[], None] = staticmethod(lambda: None)
    after: Callable[[], None] = staticmethod(lambda: None)

    def append(self, one: Interruption) -> None:
        self.before()
        super().append(one)
        self.after()


class Stage:
    """The sentry's part is played by the test as well, in the same thread, so every order of steps can be had."""

    def __init__(self) -> None:
        self.ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.struck: list[Interruption] = []
        self.on_strike: Callable[[], None] = lambda: None
        self.sentry = Sentry(theirs, 1000.0, self._strike)
        self._theirs = theirs
        self.steps = self.sentry._open = Steps()

    def _strike(self, one: Interruption) -> None:
        self.struck.append(one)
        self.on_strike()

    def interrupt(self) -> None:
        self.sentry._interrupt(birth.Interrupt(id=1, why="the test"))

    def said(self) -> list[Any]:
        self.ours.setblocking(False)
        packets = []
        try:
            while True:
                packets.append(read_from_process(self.ours.recv(MAX_BODY_BYTES)))
        except BlockingIOError:
            return [packet for packet in packets if isinstance(packet, birth.Interrupted)]

    def close(self) -> None:
        self._theirs.shutdown(socket.SHUT_RDWR)
        self._theirs.close()
        self.ours.close()


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    monkeypatch.setattr(Sentry, "_arm", lambda self: None)  # its thread would take steps of its own
    stage = Stage()
    yield stage
    stage.close()


@pytest.mark.parametrize("next_begins", [False, True], ids=["nothing_follows", "the_next_begins"])
@pytest.mark.parametrize("at", ["before", "after", "strike", "late"])
def test_a_turn_that_ends_at_any_step_of_its_interruption(stage: Stage, at: str, next_begins: bool) -> None:
    first, second = Turn(), Turn()
    sentry = stage.sentry

    def ends() -> None:
        sentry.end()
        if next_begins:
            sentry.begin(second)

    sentry.begin(first)
    if at == "before":
        stage.steps.before = ends  # type: ignore[method-assign]
    elif at == "after":
        stage.steps.after = ends  # type: ignore[method-assign]
    elif at == "strike":
        stage.on_strike = ends
    stage.interrupt()
    if at == "late":
        ends()
    assert sentry.to_strike() is None, "nobody else can be struck"
    assert not second.interrupted
    [answer] = stage.said()
    assert answer.in_turn and answer.by_itself
    sentry.end()
    assert stage.said() == [] and not stage.steps


def test_one_that_comes_before_the_turn_or_after_it_hits_nobody(stage: Stage) -> None:
    stage.interrupt()
    turn = Turn()
    stage.sentry.begin(turn)
    stage.sentry.end()
    stage.interrupt()
    assert [answer.in_turn for answer in stage.said()] == [False, False]
    assert not turn.interrupted and not stage.struck


def test_one_that_strikes_is_answered_at_the_end_of_its_turn(stage: Stage) -> None:
    turn = Turn()
    stage.sentry.begin(turn)
    stage.interrupt()
    assert turn.interrupted and stage.said() == []
    one = stage.sentry.to_strike()
    assert one is not None and one.context is turn
    stage.sentry.struck(one)
    assert stage.sentry.to_strike() is None, "it strikes once"
    struck = stage.sentry.struck_by()
    assert struck is not None and struck.why == "the test"
    stage.sentry.end()
    [answer] = stage.said()
    assert answer.in_turn and not answer.by_itself
    stage.sentry.begin(Turn())
    assert stage.sentry.struck_by() is None
