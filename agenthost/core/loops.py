"""What repeats: the same call, the same error, the same answer, so often that it is a loop. Pure: counts, no clock.

Counts go over the turn in hand and the ``across`` turns before it, so that an agent which goes round in many short
turns is found too. Answers are counted in a row, for there is one in a turn. What was found is counted anew after that:
who goes on in circles is found again, and who had reason to repeat himself lost one turn.

What is the same others say: by a digest, or where that would cost too much for each call by a number that holds in this
process alone, and has its digest (its *name*) made when it is near its bound. The rule: what is kept of it (``kept``)
survives a process, so a crash is no way out of a loop; what is far from its bound is not kept, so that most agents have
nothing to keep, and nothing to make digests of.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from typing import Literal

import msgspec

Sort = Literal["same_call", "same_error", "same_answer"]
KEYS = 4096
"""Different things that are counted in one turn; more are not."""
KEYS_LATER = 64
"""Of a turn that is over, those that were there most often."""
MOST_ACROSS = 100
NEAR = 10
"""A count of less than a tenth of its bound is not kept."""


class Loops(msgspec.Struct, frozen=True, array_like=True):
    """So many of the same are a loop; 0: not counted. ``across``: turns before that count too."""

    same_call: int = 1000
    same_error: int = 1000
    same_answer: int = 100
    across: int = 10


USUAL = Loops()


class _Kept(msgspec.Struct, array_like=True):
    turns: list[dict[bytes, int]]
    answer: bytes = b""
    answers: int = 0
    told: tuple[int, int] = (0, 0)


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Kept).decode
_CALL, _ERROR, _LONG = b"c", b"e", b"l"
_Turn = dict[bytes | int, int]


class Repeats:
    """Of one session. ``told``: the message and the attempt of the last turn that was counted."""

    __slots__ = (
        "_answer",
        "_answers",
        "_before",
        "_has_begun",
        "_is_near",
        "_left",
        "_loops",
        "_names",
        "_turn",
        "_turns",
        "told",
    )

    def __init__(self, loops: Loops) -> None:
        self._loops = loops
        self._turn: _Turn = {}
        """Of the turn in hand."""
        self._turns: list[_Turn] = []
        self._before: _Turn = {}
        """The sum of ``_turns``."""
        self._names: dict[int, bytes] = {}
        """Of the numbers that are, or were, near their bound."""
        self._left: set[bytes] = set()
        """Names of calls that an earlier process has left, whose numbers here are not known yet."""
        self._answer, self._answers = b"", 0
        self._is_near = self._has_begun = False
        self.told = (0, 0)

    # ---- what happens

    def begin(self) -> None:
        """The next turn."""
        if self._turn or (self._turns and self._has_begun):
            self._push(self._turn)
            self._turn = {}
        self._has_begun = True

    def call(self, key: bytes) -> int:
        """How often it was made now, if that is a loop; else 0."""
        return self._count(_CALL + key, self._loops.same_call)

    def quick_call(self, number: int, name: Callable[[], bytes]) -> int:
        """As ``call``. ``number`` tells it from others in this process; ``name`` is its key."""
        most = self._loops.same_call
        if not most or (count := self._tally_named(number, _CALL, name, most)) < most:
            return 0
        self._forget(number)
        return count

    def long_call(self, number: int, outline: Callable[[], bytes], key: Callable[[], bytes]) -> int:
        """As ``call``, of one that is long. ``number`` and ``outline``, its name: what is cheap to know of it, and the
        same if it is the same. Until half of the bound is reached that is enough, from there on ``key`` has to be the
        same as well."""
        most = self._loops.same_call
        cheap = (most - 1) // 2
        if not most or self._tally_named(number, _LONG, outline, most) <= cheap:
            return 0
        if not self._count(_CALL + key(), most - cheap):
            return 0
        self._forget(number)
        return most

    def error(self, key: bytes) -> int:
        """As ``call``."""
        return self._count(_ERROR + key, self._loops.same_error)

    def answer(self, key: bytes) -> int:
        """As ``call``: how often it was given in a row."""
        if not self._loops.same_answer:
            return 0
        self._answers = self._answers + 1 if key == self._answer else 1
        self._answer = key
        if self._answers < self._loops.same_answer:
            return 0
        found, self._answers = self._answers, 0
        return found

    def made_before(self, keys: Iterable[bytes]) -> None:
        """Calls of an attempt that was cut off before it could tell of them."""
        turn: _Turn = {}
        for key in keys:
            if len(turn) < KEYS or _CALL + key in turn:
                turn[_CALL + key] = turn.get(_CALL + key, 0) + 1
                self._is_near = True
        self._push(turn)

    def _count(self, key: bytes, most: int) -> int:
        if not most or (count := self._tally(key, most)) < most:
            return 0
        self._forget(key)
        return count

    def _tally_named(self, number: int, sort: bytes, name: Callable[[], bytes], most: int) -> int:
        if self._left and number not in self._names:
            self._recognise(number, sort + name())
        count = self._tally(number, most)
        if count * NEAR >= most and number not in self._names:
            self._names[number] = sort + name()
        return count

    def _recognise(self, number: int, name: bytes) -> None:
        """What was left under ``name`` is what has this number here."""
        if name not in self._left:
            return
        self._left.discard(name)
        self._names[number] = name
        for turn in (self._before, *self._turns):
            if name in turn:
                turn[number] = turn.get(number, 0) + turn.pop(name)

    def _tally(self, key: bytes | int, most: int) -> int:
        turn = self._turn
        here = turn.get(key, 0) + 1
        if here == 1 and len(turn) >= KEYS:
            return 0
        turn[key] = here
        count = here + self._before.get(key, 0) if self._before else here
        if count * NEAR >= most:
            self._is_near = True
        return count

    def _forget(self, key: bytes | int) -> None:
        """It was found: it is counted anew."""
        for turn in (self._turn, self._before, *self._turns):
            turn.pop(key, None)

    def _push(self, turn: _Turn) -> None:
        if not self._loops.across:
            self._names.clear()
            return
        if len(turn) > KEYS_LATER:
            turn = dict(heapq.nlargest(KEYS_LATER, turn.items(), key=lambda item: item[1]))
        self._turns.append(turn)
        for key, count in turn.items():
            self._before[key] = self._before.get(key, 0) + count
        if len(self._turns) > self._loops.across:
            for key, count in self._turns.pop(0).items():
                left = self._before.get(key, 0) - count
                if left > 0:
                    self._before[key] = left
                else:
                    self._before.pop(key, None)
                    if isinstance(key, bytes):
                        self._left.discard(key)
            if not self._before:
                self._turns.clear()
        if len(self._names) > len(self._before):
            self._names = {key: name for key, name in self._names.items() if key in self._before}

    # ---- what survives

    def kept(self) -> bytes:
        """Empty where nothing is near its bound. To be called as a turn ends."""
        loops = self._loops
        has_answers = self._answers * NEAR >= loops.same_answer > 0
        if not self._is_near and not has_answers:
            return b""
        turns = [*self._turns, self._turn] if loops.across else []
        total = dict(self._before)
        for key, count in self._turn.items():
            total[key] = total.get(key, 0) + count
        most = {_CALL: loops.same_call, _LONG: loops.same_call, _ERROR: loops.same_error, b"": 0}
        near: dict[bytes | int, bytes] = {}
        for key, count in total.items() if turns else ():
            name = self._names.get(key, b"") if isinstance(key, int) else key
            if count * NEAR >= most[name[:1]] > 0:
                near[key] = name
        if not near:
            self._is_near = False
            if not has_answers:
                return b""
        kept = [{near[key]: count for key, count in turn.items() if key in near} for turn in turns[-loops.across :]]
        while kept and not kept[0]:
            kept.pop(0)
        kept = [_most(turn) for turn in kept]
        answer = (self._answer, self._answers) if has_answers else (b"", 0)
        return _encode(_Kept(kept, *answer, self.told))

    def resume(self, kept: bytes) -> None:
        """What an earlier process has kept, unless something was counted here already. What does not read is nothing:
        counts are no reason to fail."""
        if self._turns or self._turn or self._answers:
            return
        try:
            found = _decode(kept)
        except (msgspec.DecodeError, ValueError):
            return
        for turn in found.turns:
            self._push(dict[bytes | int, int](turn.items()))
        self._left = {key for key in self._before if isinstance(key, bytes) and key[:1] in (_CALL, _LONG)}
        self._answer, self._answers, self.told = found.answer, found.answers, found.told
        self._is_near = bool(found.turns)


def _most(turn: dict[bytes, int]) -> dict[bytes, int]:
    if len(turn) <= KEYS_LATER:
        return turn
    return dict(heapq.nlargest(KEYS_LATER, turn.items(), key=lambda item: item[1]))
