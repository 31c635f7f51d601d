"""The two pure halves of the data plane against each other, in every order in which things can happen."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from agenthost.errors import AgenthostError, Down, HandlerFailed, Overloaded, ProtocolError, TimedOut, UnknownName
from agenthost.protocol import control, data
from agenthost.protocol.codec import encode, read_from_callee
from agenthost.transport.callee import Callee
from agenthost.transport.caller import (
    ENDED,
    GREETING,
    LOOKING,
    MAX_LINKS,
    OPEN,
    TOOK,
    Call,
    Caller,
    Close,
    Doubt,
    Link,
    Look,
    Open,
    Send,
)

PATH, INC, TICKET = "/it", "1.1", b"t" * 16


class Wire:
    """One caller, one callee, and what is between them, in order in each direction."""

    def __init__(self, credit: int = 3, max_queued: int = 1000) -> None:
        self.caller = Caller("/me", "1.2")
        self.callee = Callee(INC, credit, max_queued)
        self.there: list[list[bytes]] = []
        self.back: list[list[bytes]] = []
        self.looks: list[int] = []
        self.doubts: list[tuple[str, str]] = []
        self.link: Link | None = None

    def carry_out(self) -> None:
        for action in self.caller.out:
            if isinstance(action, Send):
                self.there.append(action.frames)
            elif isinstance(action, Look):
                self.looks.append(action.id)
            elif isinstance(action, Open):
                self.link = action.link
            elif isinstance(action, Doubt):
                self.doubts.append((action.path, action.inc))
            else:
                assert isinstance(action, Close)
                self.link = None
        self.caller.out.clear()

    def find(self) -> None:
        number = self.looks.pop()
        self.callee.expect(TICKET, "/me", "1.2")
        self.caller.found(control.Found(id=number, path=PATH, inc=INC, address="ipc://x", ticket=TICKET))
        self.carry_out()

    def go(self, now: float = 0.0) -> None:
        """One message on its way to the callee arrives."""
        self.callee.receive([b"peer", *self.there.pop(0)], now)
        self.say()

    def say(self) -> None:
        self.back += [frames[1:] for frames in self.callee.out]
        self.callee.out.clear()

    def come(self, now: float = 0.0) -> None:
        """One message on its way to the caller arrives."""
        frames = self.back.pop(0)
        if self.link is not None:
            self.caller.receive(self.link, frames, now)
            self.carry_out()

    def settle(self, now: float = 0.0) -> None:
        self.carry_out()
        while self.there or self.back:
            while self.there:
                self.go(now)
            while self.back:
                self.come(now)

    def opened(self) -> Wire:
        self.caller.look(PATH)
        self.carry_out()
        self.find()
        self.settle()
        assert self.link is not None and self.link.state == OPEN
        return self


def test_the_first_message_looks_up_and_the_later_ones_do_not() -> None:
    wire = Wire()
    first = wire.caller.call(PATH, b"1", None, 0.0)
    wire.caller.call(PATH, b"2", None, 0.0)
    wire.carry_out()
    assert len(wire.looks) == 1
    assert first.link.state == LOOKING
    wire.find()
    assert first.link.state == GREETING
    wire.settle()
    assert first.link.state == OPEN
    assert [turn.body for turn in iter(lambda: wire.callee.take(0.0), None)] == [b"1", b"2"]


def test_one_message_may_follow_hello_at_once_and_counts() -> None:
    wire = Wire(credit=2)
    for number in range(4):
        wire.caller.call(PATH, b"%d" % number, None, 0.0)
    wire.carry_out()
    wire.callee.expect(TICKET, "/me", "1.2")
    found = control.Found(id=wire.looks.pop(), path=PATH, inc=INC, address="ipc://x", ticket=TICKET)
    wire.caller.found(found, 0.0)
    wire.carry_out()
    assert [len(frames) for frames in wire.there] == [1, 2], "Hello, and one Call"
    wire.settle()
    assert wire.callee.queued == 2, "not more than it has granted"
    bodies = list[bytes]()
    while (turn := wire.callee.take(0.0)) is not None:
        bodies.append(turn.body)
        wire.callee.reply(turn, b"")
        wire.say()
        wire.settle()
    assert bodies == [b"0", b"1", b"2", b"3"]


def test_what_followed_a_hello_that_was_never_read_is_asked_of_the_next_incarnation() -> None:
    wire = Wire()
    call = wire.caller.call(PATH, b"1", None, 0.0)
    wire.carry_out()
    found = control.Found(id=wire.looks.pop(), path=PATH, inc=INC, address="ipc://x", ticket=TICKET)
    wire.caller.found(found, 0.0)
    wire.carry_out()
    assert wire.link is not None
    wire.caller.fell_asleep(wire.link, all_told=False)
    wire.carry_out()
    assert call.outcome is None and len(wire.looks) == 1


def test_a_repeated_found_is_taken_for_what_it_is() -> None:
    wire = Wire()
    wire.caller.look(PATH)
    wire.carry_out()
    found = control.Found(id=wire.looks[0], path=PATH, inc=INC, address="ipc://x", ticket=TICKET)
    wire.caller.found(found)
    wire.caller.found(found)
    assert [type(action) for action in wire.caller.out] == [Open, Send]


def test_a_refused_look_up_fails_all_that_waited_for_it_and_the_next_call_asks_anew() -> None:
    wire = Wire()
    calls = [wire.caller.call(PATH, b"", None, 0.0) for _ in range(3)]
    wire.carry_out()
    wire.caller.refused(control.Refused(id=wire.looks[0], code="unknown_name", why="no such path"))
    assert all(isinstance(call.outcome, UnknownName) for call in calls)
    wire.caller.call(PATH, b"", None, 0.0)
    wire.carry_out()
    assert len(wire.looks) == 2


def test_no_more_than_the_credit_is_under_way() -> None:
    wire = Wire(credit=3).opened()
    calls = [wire.caller.call(PATH, b"%d" % number, None, 0.0) for number in range(10)]
    wire.settle()
    assert wire.callee.queued == 3
    for number in range(10):
        turn = wire.callee.take(0.0)
        assert turn is not None and turn.body == b"%d" % number
        wire.callee.reply(turn, b"r" + turn.body)
        wire.say()
        wire.settle()
    assert [call.outcome for call in calls] == [b"r%d" % number for number in range(10)]


def test_a_cast_gives_its_credit_back_once_it_is_in_the_mailbox() -> None:
    wire = Wire(credit=1).opened()
    casts = [wire.caller.cast(PATH, b"", 0.0) for _ in range(5)]
    wire.settle()
    assert [cast.outcome for cast in casts] == [TOOK] * 5
    assert wire.callee.queued == 5


def test_a_full_mailbox_is_said_to_be_full() -> None:
    wire = Wire(credit=1, max_queued=2).opened()
    casts = [wire.caller.cast(PATH, b"", 0.0) for _ in range(3)]
    wire.settle()
    assert [cast.outcome for cast in casts[:2]] == [TOOK, TOOK]
    assert isinstance(casts[2].outcome, Overloaded)


def test_a_mailbox_is_bounded_in_bytes_too() -> None:
    wire = Wire().opened()
    wire.callee.max_queued_bytes = 10
    calls = [wire.caller.call(PATH, b"123456", None, 0.0) for _ in range(2)]
    wire.settle()
    assert calls[0].outcome is None
    assert isinstance(calls[1].outcome, Overloaded)


def test_who_opens_more_than_the_credit_is_refused_it() -> None:
    callee = Callee(INC, credit=2)
    callee.expect(TICKET, "/me", "1.2")
    callee.receive([b"p", encode(data.Hello(ticket=TICKET, caller="/me", inc="1.2"))], 0.0)
    for number in range(3):
        callee.receive([b"p", encode(data.Call(id=number)), b"\xc0"], 0.0)
    last = read_from_callee(callee.out[-1][1])
    assert isinstance(last, data.Error) and last.code == "overloaded" and last.id == 2
    assert callee.queued == 2


def test_a_call_past_its_deadline_is_not_begun() -> None:
    wire = Wire().opened()
    call = wire.caller.call(PATH, b"", 1.5, 0.0)
    wire.settle(now=10.0)
    assert wire.callee.take(11.4) is not None
    late = wire.caller.call(PATH, b"", 1.5, 0.0)
    wire.settle(now=10.0)
    assert wire.callee.take(11.6) is None
    wire.say()
    wire.settle()
    assert call.outcome is None
    assert isinstance(late.outcome, TimedOut)


def test_a_cancelled_call_that_waits_is_not_begun_and_its_credit_comes_back() -> None:
    wire = Wire(credit=1).opened()
    first = wire.caller.call(PATH, b"1", None, 0.0)
    wire.settle()
    wire.caller.abandon(first, TimedOut("enough"))
    second = wire.caller.call(PATH, b"2", None, 0.0)
    wire.settle()
    turn = wire.callee.take(0.0)
    assert turn is not None and turn.body == b"2"
    assert isinstance(first.outcome, TimedOut)
    assert second.outcome is None


def test_calls_that_wait_for_a_greeting_do_not_pile_up_and_cast_doubt() -> None:
    wire = Wire()
    for number in range(100):
        call = wire.caller.call(PATH, b"", None, 0.0)
        wire.carry_out()
        if wire.looks:
            wire.caller.abandon(call, TimedOut("the host has not answered"))
            assert wire.doubts == []
            wire.find()
        else:
            wire.caller.abandon(call, TimedOut("enough"))
            wire.carry_out()
            assert len(wire.doubts) == number
    assert not call.link.waiting
    wire.settle()
    assert call.link.state == OPEN
    assert wire.callee.queued == 0


@pytest.mark.parametrize("timeout_s", [float("inf"), 1e12])
def test_a_deadline_beyond_all_measure_is_none(timeout_s: float) -> None:
    wire = Wire().opened()
    wire.caller.call(PATH, b"", timeout_s, 0.0)
    wire.settle()
    turn = wire.callee.take(1e8)
    assert turn is not None and turn.deadline is None


def test_a_late_reply_is_dropped() -> None:
    wire = Wire().opened()
    call = wire.caller.call(PATH, b"", None, 0.0)
    wire.settle()
    turn = wire.callee.take(0.0)
    assert turn is not None
    wire.caller.abandon(call, TimedOut("enough"))
    wire.callee.reply(turn, b"late")
    wire.say()
    wire.settle()
    assert isinstance(call.outcome, TimedOut)
    assert wire.caller.late == 1
    assert call.link.credit == 3


def test_an_error_carries_code_words_and_trace() -> None:
    wire = Wire().opened()
    call = wire.caller.call(PATH, b"", None, 0.0)
    wire.settle()
    turn = wire.callee.take(0.0)
    assert turn is not None
    wire.callee.fail(turn, "handler_failed", "ValueError: no", "Traceback ...")
    wire.say()
    wire.settle()
    assert isinstance(call.outcome, HandlerFailed)
    assert "ValueError: no" in str(call.outcome)
    assert call.outcome.trace == "Traceback ..."


def test_down_fails_what_is_open_and_what_waits_and_the_next_call_looks_up_anew() -> None:
    wire = Wire(credit=1).opened()
    calls = [wire.caller.call(PATH, b"", None, 0.0) for _ in range(3)]
    wire.settle()
    assert wire.caller.link_to(PATH, "1.0") is None
    link = wire.caller.link_to(PATH, INC)
    assert link is not None
    wire.caller.down(link, "killed")
    wire.carry_out()
    for call in calls:
        assert isinstance(call.outcome, Down)
        assert call.outcome.reason == "killed"
    assert link.state == ENDED
    wire.caller.call(PATH, b"", None, 0.0)
    wire.carry_out()
    assert len(wire.looks) == 1


def test_a_stopping_callee_answers_what_waits_and_what_comes() -> None:
    wire = Wire().opened()
    first = wire.caller.call(PATH, b"1", None, 0.0)
    second = wire.caller.call(PATH, b"2", None, 0.0)
    wire.caller.cast(PATH, b"3", 0.0)
    wire.settle()
    turn = wire.callee.take(0.0)
    assert turn is not None
    assert wire.callee.close("it is stopping") == 1
    third = wire.caller.call(PATH, b"4", None, 0.0)
    wire.callee.reply(turn, b"done")
    wire.say()
    wire.settle()
    assert first.outcome == b"done"
    for call in (second, third):
        assert isinstance(call.outcome, AgenthostError) and call.outcome.code == "not_running"


def closed(callee: Callee) -> str:
    answer = read_from_callee(callee.out[-1][1])
    assert isinstance(answer, data.Closed)
    return answer.why


@pytest.mark.parametrize(
    "hello",
    [
        data.Hello(ticket=b"?" * 16, caller="/me", inc="1.2"),
        data.Hello(ticket=TICKET, caller="/somebody", inc="1.2"),
        data.Hello(ticket=TICKET, caller="/me", inc="1.3"),
        data.Hello(ticket=TICKET, caller="/me", inc="1.2", protocol=99),
    ],
)
def test_a_stranger_is_not_let_in(hello: data.Hello) -> None:
    callee = Callee(INC)
    callee.expect(TICKET, "/me", "1.2")
    callee.receive([b"p", encode(hello)], 0.0)
    assert closed(callee)
    callee.receive([b"p", encode(data.Call(id=1)), b"\xc0"], 0.0)
    assert "Hello" in closed(callee)
    assert callee.take(0.0) is None
    assert callee.garbage == 2


def test_a_ticket_is_good_for_one_connection_also_when_it_is_announced_again() -> None:
    callee = Callee(INC)
    hello = encode(data.Hello(ticket=TICKET, caller="/me", inc="1.2"))
    callee.expect(TICKET, "/me", "1.2")
    callee.receive([b"p", hello], 0.0)
    callee.receive([b"p", hello], 0.0)
    assert all(isinstance(read_from_callee(frames[1]), data.Accepted) for frames in callee.out)
    callee.expect(TICKET, "/me", "1.2")
    callee.receive([b"thief", hello], 0.0)
    assert "used" in closed(callee)


def test_a_peer_that_sends_garbage_is_a_stranger_from_then_on() -> None:
    wire = Wire().opened()
    call = wire.caller.call(PATH, b"", None, 0.0)
    wire.settle()
    wire.there.append([b"\xff\xff"])
    wire.settle()
    assert isinstance(call.outcome, ProtocolError)
    assert wire.callee.take(0.0) is None
    assert wire.callee.queued == 0


def test_many_cancelled_calls_do_not_pile_up() -> None:
    wire = Wire(credit=1).opened()
    for _ in range(1000):
        call = wire.caller.call(PATH, b"x" * 100, None, 0.0)
        wire.settle()
        wire.caller.abandon(call, TimedOut("enough"))
        wire.settle()
    assert wire.callee.queued == 0
    assert len(wire.callee._queue) < 100


def test_links_that_are_not_used_make_room() -> None:
    caller = Caller("/me", "1.2")
    links = []
    for number in range(600):
        link = caller.look(f"/{number}")
        caller.found(control.Found(id=link.lookup, path=link.path, inc=INC, address="ipc://x", ticket=TICKET))
        caller.receive(link, [encode(data.Accepted(inc=INC, credit=1))], 0.0)
        links.append(link)
    assert sum(link.state == OPEN for link in links) == MAX_LINKS
    assert caller.look("/599") is links[599]


def test_look_ups_beyond_the_limit_wait_until_a_link_is_free() -> None:
    caller = Caller("/me", "1.2")
    calls = [caller.call(f"/{number}", b"", None, 0.0) for number in range(MAX_LINKS + 50)]
    opened = 0
    while any(call.outcome is None for call in calls):
        looks = [action for action in caller.out if isinstance(action, Look)]
        opened += len(looks) - sum(isinstance(action, Close) for action in caller.out)
        assert 0 < opened <= MAX_LINKS
        caller.out.clear()
        for look in looks:
            link = caller.look(look.path)
            caller.found(control.Found(id=look.id, path=look.path, inc=INC, address="ipc://x", ticket=TICKET))
            caller.receive(link, [encode(data.Accepted(inc=INC, credit=1))], 0.0)
        call = next(call for call in calls if call.outcome is None and call.id in call.link.open)
        caller.receive(call.link, [encode(data.Reply(id=call.id)), b"\xc0"], 0.0)
    assert all(call.outcome == b"\xc0" for call in calls)


def test_links_that_nothing_is_sent_over_make_room_once_they_are_open() -> None:
    caller = Caller("/me", "1.2")
    links = [caller.look(f"/{number}") for number in range(MAX_LINKS + 50)]
    while looks := [action for action in caller.out if isinstance(action, Look)]:
        caller.out.clear()
        for look in looks:
            caller.found(control.Found(id=look.id, path=look.path, inc=INC, address="ipc://x", ticket=TICKET))
            link = next(link for link in links if link.path == look.path)
            caller.receive(link, [encode(data.Accepted(inc=INC, credit=1))], 0.0)
    assert all(link.inc == INC for link in links)


frames = st.lists(st.binary(max_size=40), min_size=1, max_size=4)
half_valid = st.builds(
    lambda message, rest: [encode(message), *rest],
    st.one_of(
        st.builds(data.Hello, ticket=st.binary(max_size=16), caller=st.text(max_size=5), inc=st.text(max_size=5)),
        st.builds(data.Call, id=st.integers(-1, 3), left_ms=st.none() | st.integers(-(2**40), 2**40)),
        st.builds(data.Cast, id=st.integers(-1, 3)),
        st.builds(data.Cancel, id=st.integers(-1, 3)),
    ),
    st.lists(st.binary(max_size=5), max_size=3),
)


@given(st.lists(st.tuples(st.sampled_from([b"a", b"b"]), frames | half_valid), max_size=30))
def test_no_stranger_gets_a_turn_whatever_it_says(messages: list[tuple[bytes, list[bytes]]]) -> None:
    callee = Callee(INC)
    callee.expect(TICKET, "/me", "1.2")
    for routing_id, message in messages:
        before = len(callee.out)
        callee.receive([routing_id, *message], 0.0)
        assert len(callee.out) == before + 1
        assert isinstance(read_from_callee(callee.out[-1][1]), data.Closed)
    assert callee.take(0.0) is None
    assert callee.garbage == len(messages)


@given(st.lists(frames | half_valid, max_size=30), st.integers(1, 3))
def test_an_accepted_peer_can_say_anything_and_nothing_breaks(messages: list[list[bytes]], credit: int) -> None:
    callee = Callee(INC, credit, max_queued=5)
    callee.expect(TICKET, "/me", "1.2")
    callee.receive([b"p", encode(data.Hello(ticket=TICKET, caller="/me", inc="1.2"))], 0.0)
    for message in messages:
        callee.receive([b"p", *message], 0.0)
        assert callee.queued <= 5
    while (turn := callee.take(0.0)) is not None:
        callee.reply(turn, b"\xc0")
    assert callee.queued == 0
    assert callee._queued_bytes == 0


@given(st.lists(frames, max_size=20))
def test_a_caller_survives_whatever_a_callee_says(messages: list[list[bytes]]) -> None:
    wire = Wire().opened()
    assert wire.link is not None
    for message in messages:
        wire.caller.receive(wire.link, message, 0.0)


class Exchange(RuleBasedStateMachine):
    """Calls, casts, replies, cancels and deaths in any order: each message has exactly one outcome at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.wire = Wire(credit=2, max_queued=3)
        self.calls: list[Call] = []
        self.outcomes: dict[int, list[Any]] = {}
        self.turns: list[Any] = []
        self.handled: list[bytes] = []
        self.now = 0.0

    def begun(self, call: Call) -> None:
        self.calls.append(call)
        self.outcomes.setdefault(call.id, [])
        self.wire.carry_out()

    def note(self, call: Call) -> None:
        self.outcomes.setdefault(call.id, []).append(call.outcome)

    @rule(left=st.none() | st.floats(0.5, 5))
    def call(self, left: float | None) -> None:
        deadline = None if left is None else self.now + left
        body = b"%d" % len(self.calls)
        self.begun(self.wire.caller.call(PATH, body, deadline, self.now, self.note))

    @rule()
    def cast(self) -> None:
        self.begun(self.wire.caller.cast(PATH, b"%d" % len(self.calls), self.now, self.note))

    @precondition(lambda self: self.wire.looks)
    @rule()
    def find(self) -> None:
        self.wire.find()

    @precondition(lambda self: self.wire.looks)
    @rule()
    def refuse(self) -> None:
        self.wire.caller.refused(control.Refused(id=self.wire.looks.pop(), code="not_running", why="no"))
        self.wire.carry_out()

    @precondition(lambda self: self.wire.there)
    @rule()
    def go(self) -> None:
        self.wire.go(self.now)

    @precondition(lambda self: self.wire.back)
    @rule()
    def come(self) -> None:
        self.wire.come(self.now)

    @rule()
    def take(self) -> None:
        turn = self.wire.callee.take(self.now)
        self.wire.say()
        if turn is not None:
            self.turns.append(turn)
            self.handled.append(turn.body)

    @precondition(lambda self: self.turns)
    @rule(well=st.booleans())
    def end_turn(self, well: bool) -> None:
        turn = self.turns.pop(0)
        if well:
            self.wire.callee.reply(turn, b"reply " + turn.body)
        else:
            self.wire.callee.fail(turn, "refused", "no")
        self.wire.say()

    @precondition(lambda self: self.calls)
    @rule(which=st.integers(0, 100))
    def abandon(self, which: int) -> None:
        self.wire.caller.abandon(self.calls[which % len(self.calls)], TimedOut("enough"))
        self.wire.carry_out()

    @rule(seconds=st.floats(0.1, 3))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @precondition(lambda self: self.wire.link is not None)
    @rule()
    def die(self) -> None:
        """The callee's process ends; a new one takes its place."""
        link = self.wire.link
        assert link is not None
        while self.wire.back and self.wire.link is link:  # what it had said is heard first
            self.wire.come(self.now)
        if self.wire.link is link:
            self.wire.caller.down(link, "killed")
        self.wire.there.clear()
        self.wire.back.clear()
        self.wire.carry_out()
        self.wire.callee = Callee(INC, 2, 3)
        self.turns.clear()

    @invariant()
    def nothing_has_two_outcomes(self) -> None:
        assert all(len(outcomes) <= 1 for outcomes in self.outcomes.values())

    @invariant()
    def replies_belong_to_their_calls(self) -> None:
        for number, call in enumerate(self.calls):
            if call.is_call and isinstance(call.outcome, bytes):
                assert call.outcome == b"reply %d" % number

    @invariant()
    def no_message_is_handled_twice(self) -> None:
        assert len(set(self.handled)) == len(self.handled)

    @invariant()
    def credit_is_kept(self) -> None:
        link = self.wire.link
        if link is not None and link.state == OPEN:
            assert link.credit + len(link.open) == 2

    def teardown(self) -> None:
        """Everything goes on to its end, and then nothing is left without an outcome."""
        wire = self.wire
        wire.callee.max_queued = 1000
        for _ in range(10 + 3 * len(self.calls)):
            wire.carry_out()
            if wire.looks:
                wire.find()
            wire.settle(self.now)
            while (turn := wire.callee.take(self.now)) is not None:
                self.turns.append(turn)
            for turn in self.turns:
                wire.callee.reply(turn, b"reply " + turn.body)
            self.turns.clear()
            wire.say()
            wire.settle(self.now)
        assert all(len(outcomes) == 1 for outcomes in self.outcomes.values())
        assert wire.link is None or not wire.link.open


Exchange.TestCase.settings = settings(max_examples=150, stateful_step_count=60)
TestExchange = Exchange.TestCase
