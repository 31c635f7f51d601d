"""Calls and tools of a turn of durable mail: what was intended, how it ended, and what a later attempt does about it.

The same call is the same tool with equal arguments; the first of the same stands for the first now, the second for the
second. Before one is made its *intent* is in the journal, after it its *outcome*; both go with the turn's commit. So an
attempt finds of each call of those before

* a recorded success: that is the outcome now, nothing is called;
* a failure that is known (refused, not begun, an exit status other than 0): it is made again;
* nothing, or an end that leaves open what was done (timed out, cut off): ``OutcomeUnknown``, unless it is idempotent.

``attempt`` shows this to authors; ``Journal`` is who keeps it. The rule: an intent is true before its call is made.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import msgspec

from agenthost.agent.attempt import ToolCall
from agenthost.errors import AgenthostError, Down, Interrupted, OutcomeUnknown, TimedOut, ToolFailed
from agenthost.protocol.codec import pack_body, unpack_body
from agenthost.protocol.mail import Called
from agenthost.transport.data import check_size

if TYPE_CHECKING:
    from agenthost.agent.loops import Brake

try:
    from _blake2 import blake2b  # hashlib would bring OpenSSL into every zygote, for one digest
except ImportError:  # another Python's
    from hashlib import blake2b

ARGUMENTS_BYTES = 64 * 1024
"""Longer arguments are not kept; what is the same call is told by their digest."""
OUTCOME_BYTES = 4 * 1024 * 1024
_OPEN_ENDED = (TimedOut, Down, Interrupted, OutcomeUnknown)
"""Errors of a call that may have been done all the same."""
_NOT_AGAIN = ("open", "unknown", "large", "talked")
"""Of the kinds of outcome: it may have been done, or was, and nothing can stand for it."""


class Wish(NamedTuple):
    """A call to be made. ``shown`` are the arguments for people; with ``hidden``, which is kept as a digest alone, they
    say what is the same call."""

    tool: str
    shown: Any
    hidden: Any = None

    def named(self) -> str:
        """For people: "/tools/pay", or "run rg"."""
        return f"{self.tool} {self.shown['argv'][0]}" if self.tool in ("run", "popen") else self.tool


class Journal(Protocol):
    """Keeps the calls of one message."""

    async def intend(self, calls: Sequence[Called], deadline: float) -> None:
        """Returns when all of it will not be lost. Raises what it was refused for, ``TimedOut``."""

    def conclude(self, key: str, outcome: bytes) -> None:
        """It need not be waited for: if it is lost the outcome is not known."""


class _Slot:
    """One call, over all attempts. ``last`` is its latest try, None if it may be made as if it never had been;
    ``is_taken``: this attempt has made it, or been given its outcome."""

    __slots__ = ("is_taken", "key", "last", "tries")

    def __init__(self, key: str) -> None:
        self.key = key
        self.last: Called | None = None
        self.is_taken = False
        self.tries = 0
        """Of this attempt."""


class _Begun:
    __slots__ = ("called", "slot")

    def __init__(self, slot: _Slot, called: Called) -> None:
        self.slot, self.called = slot, called


class Round:
    """Calls that are asked for together: ``wanted`` are the places, in the order they were asked for, of those that are
    to be made now. Each of them is concluded once, as soon as its outcome is there."""

    def __init__(self, calls: ToolCalls, outcomes: list[Any], begun: dict[int, _Begun]) -> None:
        self._calls, self._outcomes, self._begun = calls, outcomes, begun
        self.wanted = list(begun)

    def tell(self, nth: int, outcome: Any, may_have: bool = True) -> None:
        """A value or an error of the n-th of ``wanted``, from 0. ``may_have``: it may have been had."""
        begun = self._begun.pop(self.wanted[nth], None)
        if begun is not None:
            self._calls.conclude(begun, _recorded(outcome, may_have=may_have))

    def talked(self, reason: str, status: int | None) -> None:
        """The end of the one tool, which was talked to."""
        for place in list(self._begun):
            kind = "talked" if status == 0 else "failed" if status is not None else "unknown"
            self._calls.conclude(self._begun.pop(place), {"k": kind, "why": reason})

    def outcomes(self, made: Sequence[Any]) -> list[Any]:
        """Those of all, in the order they were asked for, from those that were made."""
        for nth, (place, outcome) in enumerate(zip(self.wanted, made, strict=True)):
            self.tell(nth, outcome)
            self._outcomes[place] = outcome
        return self._outcomes


class ToolCalls:
    """``earlier`` are those of the attempts before, in the order they were intended."""

    def __init__(self, journal: Journal, attempt: int, earlier: Sequence[Called] = ()) -> None:
        self._journal, self._attempt = journal, attempt
        self.brake: Brake | None = None
        """Counts those that are made."""
        self._same: dict[str, list[_Slot]] = {}
        """By digest, in order."""
        for one in earlier:
            digest, number, _ = one.key.split(".")
            slots = self._same.setdefault(digest, [])
            while len(slots) < int(number):
                slots.append(_Slot(f"{digest}.{len(slots) + 1}"))
            slots[int(number) - 1].last = one
        self.made = [(one.attempt, one.key.partition(".")[0]) for one in earlier]
        """(attempt, what tells it from others) of every call of the attempts before."""

    # ---- what was

    def open(self) -> list[ToolCall]:
        return [_told(one) for one in self._earlier() if _is_open(one)]

    def done(self) -> list[ToolCall]:
        return [_told(one) for one in self._earlier() if not _is_open(one)]

    def forget(self, call: ToolCall) -> None:
        slot = next((one for one in self._slots() if one.last is not None and one.last.key == call.key), None)
        if slot is not None and slot.last is not None and slot.last.attempt < self._attempt:
            slot.last, slot.is_taken = None, False

    def _slots(self) -> list[_Slot]:
        return [slot for slots in self._same.values() for slot in slots]

    def _earlier(self) -> list[Called]:
        last = [slot.last for slot in self._slots()]
        found = [one for one in last if one is not None and one.attempt < self._attempt]
        return sorted(found, key=lambda one: one.at_ms)

    # ---- what is to be

    async def begin(self, wishes: Sequence[Wish], deadline: float, *, idempotent: bool) -> Round:
        """Returns when those that are to be made now are intended. ``OutcomeUnknown`` is an outcome as others are.
        Raises what cannot be packed, and what the journal says: then nothing was begun."""
        brake = self.brake
        if brake is not None:
            brake.check()
        packed = [(wish, check_size(pack_body(wish.shown)), _digest(wish)) for wish in wishes]
        outcomes: list[Any] = [None] * len(wishes)
        begun: dict[int, _Begun] = {}
        now_ms = int(time.time() * 1000)
        for place, (wish, arguments, digest) in enumerate(packed):
            slot = self._slot(digest)
            known = "" if slot.last is None else _read(slot.last)["k"]
            if slot.last is not None and known in _NOT_AGAIN and not idempotent:
                outcomes[place] = _unknown(slot.last)
                continue
            slot.is_taken = True
            if slot.last is not None and known == "ok":
                outcomes[place] = _value(slot.last)
                continue
            if brake is not None:
                brake.recorded(wish.named(), digest)
            kept = arguments if len(arguments) <= ARGUMENTS_BYTES else b""
            key = f"{slot.key}.{slot.tries}"
            slot.tries += 1
            slot.last = Called(key, wish.tool, self._attempt, now_ms, kept, idempotent)
            begun[place] = _Begun(slot, slot.last)
        if begun:
            try:
                await self._journal.intend([one.called for one in begun.values()], deadline)
            except BaseException as error:  # interrupted, too: what was not begun need not count as unknown
                failed = error if isinstance(error, AgenthostError) else AgenthostError("it was not begun")
                for one in begun.values():
                    self.conclude(one, {"k": "failed", "why": f"it was not begun: {failed}"})
                raise
        return Round(self, outcomes, begun)

    def conclude(self, begun: _Begun, outcome: dict[str, Any]) -> None:
        packed = pack_body(outcome)
        if len(packed) > OUTCOME_BYTES:
            packed = pack_body({"k": "large", "bytes": len(packed)})
        last = begun.slot.last
        if last is not None and last.key == begun.called.key:
            begun.slot.last = msgspec.structs.replace(begun.called, outcome=packed)
            if outcome["k"] == "failed":
                begun.slot.is_taken = False  # the next of the same is another try of this one
        self._journal.conclude(begun.called.key, packed)

    def _slot(self, digest: str) -> _Slot:
        slots = self._same.setdefault(digest, [])
        for slot in slots:
            if not slot.is_taken:
                return slot
        slots.append(_Slot(f"{digest}.{len(slots) + 1}"))
        return slots[-1]


# ---- outcomes, as they are kept


def _recorded(outcome: Any, *, may_have: bool) -> dict[str, Any]:
    from agenthost.agent.ran import Ran

    if isinstance(outcome, Ran):
        kind = "ok" if outcome.status == 0 else "failed" if outcome.status is not None else "unknown"
        kept = {name: getattr(outcome, name) for name in Ran.__struct_fields__}
        return {"k": kind, "ran": kept, "why": outcome.reason}
    if isinstance(outcome, ToolFailed) and outcome.ran is not None:
        return _recorded(outcome.ran, may_have=may_have)
    if isinstance(outcome, AgenthostError):
        kind = "unknown" if may_have and isinstance(outcome, _OPEN_ENDED) else "failed"
        return {"k": kind, "why": outcome.message}
    return {"k": "ok", "value": outcome}


def _read(called: Called) -> dict[str, Any]:
    found: dict[str, Any] = unpack_body(called.outcome) if called.outcome else {"k": "open"}
    return found


def _is_open(called: Called) -> bool:
    return _read(called)["k"] in ("open", "unknown")


def _value(called: Called) -> Any:
    found = _read(called)
    return _ran(found["ran"]) if "ran" in found else found["value"]


def _ran(kept: dict[str, Any]) -> Any:
    from agenthost.agent.ran import Ran

    return Ran(**{**kept, "argv": tuple(kept["argv"])})


def _why(found: dict[str, Any]) -> str:
    match found["k"]:
        case "open":
            return "it is not known how it ended"
        case "unknown":
            return f"it may have been done: {found['why']}"
        case "large":
            return f"it was done, and its outcome of {found['bytes']} bytes was too large to keep"
        case "talked":
            return "it ended well, and what was said to it is not kept"
    return str(found.get("why", ""))


def _told(called: Called) -> ToolCall:
    found = _read(called)
    outcome = _ran(found["ran"]) if "ran" in found else found.get("value")
    return ToolCall(
        tool=called.tool,
        arguments=unpack_body(called.arguments) if called.arguments else None,
        at=called.at_ms / 1000,
        attempt=called.attempt,
        idempotent=called.idempotent,
        outcome=outcome,
        error="" if found["k"] in ("ok", "talked") else _why(found),
        key=called.key,
    )


def _unknown(called: Called) -> OutcomeUnknown:
    told = _told(called)
    return OutcomeUnknown(
        f"cannot repeat {told.words()}: attempt {told.attempt} of this message has begun it, and {_why(_read(called))}",
        call=told,
        hint="find out what became of it; ctx.attempt.forget(call) or idempotent=True let it be made again",
    )


# ---- what is the same call


def _digest(wish: Wish) -> str:
    hidden = None if wish.hidden is None else _canonical(wish.hidden)
    packed = pack_body([wish.tool, _canonical(wish.shown), hidden])
    return blake2b(packed, digest_size=16).hexdigest()


def _canonical(value: Any) -> Any:
    """Equal maps are packed alike, whatever their order."""
    if isinstance(value, Mapping):
        items = [(_canonical(key), _canonical(item)) for key, item in value.items()]
        return ["map", *sorted(items, key=lambda item: pack_body(item[0]))]
    if isinstance(value, list | tuple):
        return ["list", *map(_canonical, value)]
    return value
