"""The last word of a callee that falls asleep: what it has not begun is asked again, once, and nothing else is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import zmq
from hypothesis import given
from hypothesis import strategies as some

from agenthost.errors import Down
from agenthost.protocol import control, data
from agenthost.protocol.codec import encode, pack_body, read_from_callee
from agenthost.transport.callee import Callee
from agenthost.transport.caller import TOOK, Call, Caller, Close, Link, Look, Open, Send
from agenthost.transport.data import Links

PEER = b"peer"


class Pair:
    """A caller and the incarnations of one callee, one after the other. ``carry`` moves what was said, in order."""

    def __init__(self) -> None:
        self.caller = Caller("/me", "1.1")
        self.n = 0
        self.looked: list[int] = []
        self.begun: list[bytes] = []
        """Bodies, in the order in which their turns began."""
        self.to_callee: list[list[bytes]] = []
        self.to_caller: list[list[bytes]] = []
        self.wake()

    def wake(self) -> None:
        self.n += 1
        self.callee = Callee(f"1.{self.n}")
        self.is_asleep = False
        self.link: Link | None = None
        self.to_callee, self.to_caller = [], []

    def call(self, body: Any, *, cast: bool = False) -> Call:
        packed = pack_body(body)
        found = self.caller.cast("/a", packed, 0.0) if cast else self.caller.call("/a", packed, None, 0.0)
        self.flush()
        return found

    def flush(self) -> None:
        for action in self.caller.out:
            match action:
                case Look(id=id):
                    self.looked.append(id)
                case Open(link=link):
                    self.link = link
                case Send(link=link, frames=frames):
                    if link is self.link:
                        self.to_callee.append(frames)
                case Close():
                    self.link = None
        self.caller.out.clear()

    def answer_lookups(self) -> None:
        """The host, which wakes it first."""
        while self.looked:
            if self.is_asleep:
                self.wake()
            ticket = b"t%d.%d" % (self.n, self.looked[0])
            self.callee.expect(ticket, "/me", "1.1")
            found = control.Found(id=self.looked.pop(0), path="/a", inc=self.callee.inc, address="x", ticket=ticket)
            self.caller.found(found)
            self.flush()

    def hear(self) -> None:
        """The callee hears one message."""
        if self.to_callee:
            self.callee.receive([PEER, *self.to_callee.pop(0)], 0.0)
            self._flush_callee()

    def work(self) -> None:
        """One turn."""
        turn = self.callee.take(0.0)
        if turn is not None:
            self.begun.append(turn.body)
            self.callee.reply(turn, turn.body)
        self._flush_callee()

    def fall_asleep(self) -> None:
        """If nothing waits, as an agent does."""
        if not self.callee.queued and not self.is_asleep:
            self.is_asleep = True
            self.callee.fall_asleep()
            self._flush_callee()

    def tell(self) -> None:
        """The caller hears one message."""
        if self.to_caller and self.link is not None:
            self.caller.receive(self.link, self.to_caller.pop(0), 0.0)
            self.flush()

    def down(self) -> None:
        """The host says that it has ended; what it said before is heard first, as ``Links.down`` has it."""
        if self.is_asleep and self.link is not None:
            while self.to_caller and self.link is not None:
                self.tell()
            if self.link is not None:
                self.caller.fell_asleep(self.link, all_told=False)
                self.flush()

    def _flush_callee(self) -> None:
        self.to_caller.extend(frames[1:] for frames in self.callee.out)
        self.callee.out.clear()


def connected() -> Pair:
    pair = Pair()
    first = pair.call("first")
    pair.answer_lookups()
    for _ in range(3):
        pair.hear()
        pair.tell()
        pair.work()
        pair.tell()
    assert first.decoded() == "first"
    return pair


def test_the_last_word_goes_to_every_peer_and_to_whoever_comes_later() -> None:
    pair = connected()
    pair.callee.expect(b"ticket", "/late", "1.9")
    pair.callee.fall_asleep()
    assert [type(read_from_callee(frames[1])) for frames in pair.callee.out] == [data.Asleep]
    pair.callee.out.clear()
    pair.callee.receive([b"late", encode(data.Hello(ticket=b"ticket", caller="/late", inc="1.9"))], 0.0)
    pair.callee.receive([PEER, encode(data.Call(id=77)), b"\xc0"], 0.0)
    assert [type(read_from_callee(frames[1])) for frames in pair.callee.out] == [data.Asleep] * 2
    assert pair.callee.queued == 0


def test_what_was_sent_and_not_begun_is_asked_of_the_next_incarnation() -> None:
    pair = connected()
    pair.fall_asleep()
    calls = [pair.call("a"), pair.call("b", cast=True), pair.call("c")]
    assert len(pair.to_callee) == 3
    pair.tell()
    assert pair.looked and all(call.outcome is None for call in calls)
    pair.answer_lookups()
    for _ in range(8):
        pair.hear()
        pair.tell()
        pair.work()
        pair.tell()
    assert [call.outcome for call in calls] == [pack_body("a"), TOOK, pack_body("c")]
    assert pair.begun == [pack_body(body) for body in ("first", "a", "b", "c")]


def test_what_was_abandoned_meanwhile_is_not_asked_again() -> None:
    pair = connected()
    pair.fall_asleep()
    call = pair.call("a")
    pair.caller.abandon(call, Down("nobody waits"))
    pair.flush()
    pair.tell()
    assert pair.looked == []


def test_a_link_that_nothing_is_open_on_is_closed_and_no_more() -> None:
    pair = connected()
    pair.fall_asleep()
    pair.tell()
    assert pair.looked == []
    assert pair.link is None


def test_without_the_last_word_what_was_sent_fails_and_what_was_not_is_asked_again() -> None:
    pair = connected()
    pair.is_asleep = True
    link = pair.link
    assert link is not None
    link.credit = 1
    sent, waiting = pair.call("a"), pair.call("b")
    pair.down()
    assert isinstance(sent.outcome, Down)
    assert waiting.outcome is None
    assert pair.looked


STEPS = ("call", "cast", "hear", "work", "sleep", "tell", "lookup", "down")


@given(some.lists(some.sampled_from(STEPS), max_size=60))
def test_in_whatever_order_every_call_is_had_once_and_in_order(steps: list[str]) -> None:
    pair = Pair()
    calls: list[Call] = []
    for step in [*steps, *(["lookup", "hear", "work", "tell"] * (4 * len(steps) + 8))]:
        match step:
            case "call" | "cast":
                calls.append(pair.call(len(calls), cast=step == "cast"))
            case "hear":
                pair.hear()
            case "work":
                pair.work()
            case "sleep":
                pair.fall_asleep()
            case "tell":
                pair.tell()
            case "lookup":
                pair.answer_lookups()
            case "down":
                pair.down()
    for _ in range(len(calls)):
        pair.work()
        pair.tell()
    assert [call.outcome for call in calls] == [
        pack_body(number) if call.is_call else TOOK for number, call in enumerate(calls)
    ]
    assert pair.begun == [pack_body(number) for number in range(len(calls))]


@pytest.mark.parametrize("kind", ["call", "cast"])
def test_a_callee_that_sleeps_lets_nothing_in(kind: str) -> None:
    pair = connected()
    pair.fall_asleep()
    pair.call("late", cast=kind == "cast")
    pair.hear()
    pair.work()
    assert pair.begun == [pack_body("first")]


@pytest.mark.parametrize("asleep", [False, True])
def test_an_end_that_is_heard_in_the_same_breath_as_the_address_is_an_end(asleep: bool, tmp_path: Path) -> None:
    """The socket is not open yet: whoever passed over that would greet a callee that has gone, and wait for ever."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    caller, looked = Caller("/me", "1.1"), list[control.Lookup]()
    links = Links(context, caller, looked.append, lambda overdue: None)
    call = caller.call("/a", pack_body(1), None, 0.0)
    links.flush()
    address = f"ipc://{tmp_path}/gone"
    caller.found(control.Found(id=looked[0].id, path="/a", inc="1.1", address=address, ticket=b"t"))
    links.down("/a", "1.1", "fell asleep", 0.0, asleep=asleep)
    assert isinstance(call.outcome, Down) != asleep
    assert len(looked) == (2 if asleep else 1)
    links.close()
    context.term()
