"""The end of a turn that has something durable, and mail as turns: one course for both desks.

They lend it their way of waiting (``until``), as they do to ``kin``.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import msgspec

from agenthost.agent.agent import Message
from agenthost.agent.durable import FENCED, Durable, check_name
from agenthost.agent.stored_state import EMPTY, opened, version_of
from agenthost.agent.turn import Undone, exit_status, one_line, trace_of, words_of
from agenthost.errors import (
    AgenthostError,
    JournalFull,
    JournalUnavailable,
    ProtocolError,
    Refuse,
    TimedOut,
    TurnInterrupted,
    UsageError,
)
from agenthost.protocol import mail
from agenthost.protocol.codec import unpack_body

if TYPE_CHECKING:
    from agenthost.agent.door import Asked

SHOWN = 32
"""Messages that a plain desk asks to be shown, beside the one that it is given."""
NOTHING = -1
"""Instead of the number of the message that comes next: none is wanted."""
AGAIN_S = 1.0
LAST_WORD_S = 3.0
"""How long a process that is about to end waits until the journal has heard of its failure."""
_VERY_LONG_S = 100_000.0

Until = Callable[[Callable[[], bool], float], Awaitable[bool]]
"""Until the first is true, or False after the time on ``time.monotonic``."""


async def commit(durable: Durable, until: Until, *, of: mail.Mail | None = None, take: bool = False) -> None:
    """Returns when it is true, or, after a turn of mail, when the next one may begin upon it (``ahead``). Raises what
    it was refused for; ``SystemExit`` if we have a successor. For a turn of mail a disk that is full is waited for:
    the message is done, only that cannot be written yet."""
    state = durable.changed_state()
    telling = durable.telling
    entries = telling.entries() if telling is not None else ()
    if of is None and state is None and not (durable.sends or durable.cancels or durable.checkpoint or entries):
        return
    turn = telling.new_turn() if telling is not None and entries and of is None else 0
    door = durable.open()
    version, checkpoint = version_of(durable.agent), durable.checkpoint
    sends = tuple(durable.sends)
    if of is None:  # nothing else tells that the turn is the same, if it has to be said again
        sends = tuple(
            mail.Sending(one.to, one.body, one.key or durable.new_key(), one.due_ms, one.by_clock) for one in sends
        )
    cancels = tuple(durable.cancels)
    message, attempt = (of.message, of.attempt) if of is not None else (0, 0)
    loops = durable.brake.kept(of) if durable.brake is not None and of is not None else None
    if telling is not None:
        telling.hold()

    def make(number: int, coming: int, upon: int) -> mail.Commit:
        return mail.Commit(
            number,
            message,
            attempt,
            state,
            version,
            sends,
            take and coming != NOTHING,
            checkpoint=checkpoint,
            cancels=cancels,
            entries=entries,
            turn=turn,
            next=max(0, coming),
            show=show if not coming else 0,
            upon=upon,
            loops=loops,
        )

    ahead, show, upon = durable.ahead, 0, 0
    if ahead is not None and of is not None:
        if take and not entries and loops is None and ahead.next(durable) is not None:
            ahead.say(durable, make, of, state, version)
            if door.is_blocked:
                await ahead.settle(durable, until)
            return
        ahead.shown.clear()
        show, upon = SHOWN if take else 0, ahead.last
    while True:
        asked = door.ask(lambda number: make(number, 0, upon))  # noqa: B023 - called at once
        if upon and ahead is not None:
            try:
                await ahead.settle(durable, until)
            except Undone:
                # It is refused, too. Unless a journal has ended after all of it was committed and before that was said:
                # then the answer to the one before names what comes after this one, which is true as well.
                if isinstance(await wait_answer(until, asked), mail.Refused):
                    raise
        answer = await wait_answer(until, asked)
        if not isinstance(answer, mail.Refused):
            break
        if answer.code == mail.UNDONE:
            durable.go_back(*durable.stored)
            durable.waits = True
            raise Undone
        upon = 0
        error = durable.error(answer)
        if of is None or not isinstance(error, JournalUnavailable):
            if telling is not None:
                telling.hold(is_refused=True)
            raise error
        await until(lambda: False, time.monotonic() + AGAIN_S)
    durable.committed(state)
    if take:
        leased(durable, answer)


def leased(durable: Durable, answer: mail.Leased) -> None:
    durable.mail = answer.mail
    if durable.ahead is not None:
        durable.ahead.shown.extend(answer.shown)
    if answer.loops and durable.brake is not None:
        durable.brake.resume(answer.loops)


async def wait_answer(until: Until, asked: Asked) -> Any:
    """A stalled journal stalls turns."""
    while not await until(lambda: asked.answer is not None, time.monotonic() + _VERY_LONG_S):
        continue
    return asked.answer


async def post(durable: Durable, until: Until, path: str, body: bytes, deadline: float, *, in_turn: bool) -> None:
    """In a turn it leaves with the commit; else it is one by itself. ``UnknownName`` at once."""
    await know(durable, until, path, deadline)
    if in_turn:
        durable.sends.append(mail.Sending(path, body))
    else:
        key = durable.new_key()
        await request(durable, until, lambda number: mail.Send(number, path, body, key), f"send to {path}", deadline)


async def know(durable: Durable, until: Until, path: str, deadline: float) -> None:
    """That mail may be sent there; the journal is asked once. ``UnknownName``."""
    if path not in durable.known:
        await request(durable, until, lambda number: mail.Knows(number, path), f"send to {path}", deadline)
        durable.known.add(path)


async def roll_back(durable: Durable, until: Until, name: str, deadline: float, *, in_turn: bool) -> None:
    """The agent's state is that of the checkpoint; it is kept with the commit of the turn in hand."""
    if not in_turn:
        raise UsageError(f"cannot go back to {name!r}: the turn of this ctx is over")
    check_name(name)
    door = durable.open()
    asked = door.ask(lambda number: mail.Load(number, checkpoint=name))
    try:
        if not await until(lambda: asked.answer is not None, deadline):
            raise TimedOut(f"cannot go back to {name!r}: the journal has not answered in time")
    finally:
        if asked.answer is None:
            door.forget(asked)
    answer, agent = asked.answer, durable.agent
    if isinstance(answer, mail.Refused):
        raise durable.error(answer)
    assert agent is not None
    there = answer.state is not None
    packed, version = (answer.state, answer.state_version) if there else (EMPTY, version_of(agent))
    agent.state = opened(agent, packed, version)


async def request(
    durable: Durable, until: Until, make: Callable[[int], mail.FromAgent], what: str, deadline: float
) -> None:
    """Returns when it is done. ``TimedOut`` says that ``what`` cannot be done; it may be all the same."""
    door = durable.open()
    asked = door.ask(make)
    try:
        if not await until(lambda: asked.answer is not None, deadline):
            raise TimedOut(f"cannot {what}: the journal has not answered in time")
    finally:
        if asked.answer is None:
            door.forget(asked)
    if isinstance(asked.answer, mail.Refused):
        raise durable.error(asked.answer)


def take(durable: Durable) -> None:
    """Ask for the next message; ``durable.mail`` is set when it comes."""
    if durable.is_taking:
        return

    def came(answer: Any) -> None:
        durable.is_taking = False
        if isinstance(answer, mail.Leased):
            leased(durable, answer)
        elif answer.code in (JournalUnavailable.code, JournalFull.code):
            durable.waits = True  # it was tried for long
        elif answer.code == mail.STALE:
            sys.stderr.write("a newer incarnation has taken over\n")
            sys.stderr.flush()
            import os

            os._exit(FENCED)

    durable.is_taking, durable.waits = True, False
    show = 0 if durable.ahead is None else SHOWN
    durable.open().ask(lambda number: mail.Take(number, show), came)


def open_mail(one: mail.Mail) -> Message:
    """Raises ``ProtocolError`` if the body is no msgpack."""
    return Message(unpack_body(one.body), one.sender, one.message, "send", None, one.attempt)


async def failed(durable: Durable, until: Until, one: mail.Mail, error: BaseException) -> int | None:
    """The journal hears of it, then the status to exit with is returned; None if the agent goes on."""
    from agenthost.agent.blame import Inapplicable, failure_of

    if durable.ahead is not None:
        durable.ahead.shown.clear()  # its lane is held up
    durable.revert()
    survives = isinstance(error, AgenthostError | TurnInterrupted | Inapplicable)
    if isinstance(error, SystemExit) and error.code == FENCED:
        return FENCED
    why = words_of(error) if survives else one_line(error)
    trace = "" if survives else trace_of(error)
    status = None if survives else exit_status(error, trace)
    brake, loops = durable.brake, None
    failure = failure_of(error if brake is None or brake.found is None else brake.found)
    if brake is not None and not isinstance(error, Inapplicable):
        failure, why = brake.failed_turn(failure, why)
        loops = brake.kept(one)
    fail = mail.Fail(
        0,
        one.message,
        one.attempt,
        why,
        final=isinstance(error, Refuse | ProtocolError),
        failure=failure,
        loops=loops,
        skipped=isinstance(error, Inapplicable),
    )
    if durable.telling is not None:
        durable.telling.flush()
    await _tell(durable, until, fail, None if survives else LAST_WORD_S)
    durable.in_hand = None
    if durable.telling is not None:
        durable.telling.committed()
    return status


def last_word(durable: Durable, error: AgenthostError) -> None:
    """Of a turn whose process ends now; nothing waits for the answer."""
    from agenthost.agent.blame import failure_of

    one = durable.in_hand
    if one is not None:
        fail = mail.Fail(0, one.message, one.attempt, words_of(error), failure=failure_of(error))
        durable.open().ask(lambda number: msgspec.structs.replace(fail, id=number))


async def give_back(durable: Durable, until: Until) -> None:
    """Before an orderly end: what is leased and was not begun."""
    one, durable.mail = durable.mail, None
    if one is not None:
        unused = mail.Fail(0, one.message, one.attempt, "it was stopped before", unused=True)
        await _tell(durable, until, unused, LAST_WORD_S)


async def _tell(durable: Durable, until: Until, fail: mail.Fail, patience_s: float | None) -> None:
    door = durable.open()
    asked = door.ask(lambda number: msgspec.structs.replace(fail, id=number))
    patience_s = _VERY_LONG_S if patience_s is None else patience_s
    await until(lambda: asked.answer is not None, time.monotonic() + patience_s)
    if asked.answer is None:
        door.forget(asked)
    elif isinstance(asked.answer, mail.Refused):
        durable.waits = True  # it is ours still: whoever asks gets it again
