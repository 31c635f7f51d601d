"""Standard streams that agents give to their tools: descriptors that come over a birth socket, and the Run that is for
them, over the control plane. Whichever comes first waits here for the other.

The rule: every descriptor that came is closed here, or handed on by ``take`` to whoever gives birth. Only pipes and
/dev/null are accepted, whose last close never waits.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import stat
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from agenthost.errors import AgenthostError, Overloaded, TimedOut, UsageError
from agenthost.launch.unwanted import let_go

MOST_OF_ONE, MOST = 64, 1024
"""Sets of streams, and Runs, that wait for each other: of one agent, and of all together."""
PATIENCE_S = 10.0
DESCRIPTORS = 3

Key = tuple[int, int]
"""Number of the agent's incarnation, and its own number for the streams."""


@dataclass(slots=True)
class Given:
    """What a tool's owner has given it. ``stdin`` None is /dev/null."""

    stdout: int
    stderr: int
    stdin: int | None
    env: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    def close(self) -> None:
        for descriptor in {self.stdout, self.stderr, *(() if self.stdin is None else (self.stdin,))}:
            os.close(descriptor)


@dataclass(slots=True)
class _Waiting:
    timer: asyncio.TimerHandle
    given: Given | None = None
    then: Callable[[int], None] | None = None
    late: Callable[[AgenthostError], None] | None = None


class Streams:
    def __init__(self) -> None:
        self._waiting: dict[Key, _Waiting] = {}
        self._count: Counter[int] = Counter()
        """How many of ``_waiting`` are of an incarnation."""
        self._numbers = itertools.count(1)
        self._taken: dict[int, Given] = {}

    def came(self, n: int, id: int, descriptors: list[int]) -> None:
        """The packet Streams of incarnation ``n``. What is not wanted is closed; then Run is refused in time."""
        if not 2 <= len(descriptors) <= DESCRIPTORS or not all(map(_is_harmless, descriptors)):
            let_go(descriptors)
            return
        key = n, id
        given = Given(descriptors[0], descriptors[1], descriptors[2] if len(descriptors) > 2 else None)
        one = self._waiting.get(key)
        if one is not None and one.then is not None:
            self._over(key)
            one.then(self._keep(given))
        elif one is not None or not self._has_room(n):
            given.close()
        else:
            self._wait(key, given=given)

    def want(
        self, n: int, id: int, then: Callable[[int], None], late: Callable[[AgenthostError], None], what: str
    ) -> None:
        """``then`` gets the number that ``take`` and ``drop`` know them by, at once if they are there; or ``late`` is
        told why not. Raises ``UsageError`` if another waits for the same, ``Overloaded``."""
        key = n, id
        one = self._waiting.get(key)
        if one is not None and one.given is not None:
            self._over(key)
            then(self._keep(one.given))
        elif one is not None:
            raise UsageError(f"cannot start {what}: another tool waits for its streams {id}", hint="number them anew")
        elif not self._has_room(n):
            raise Overloaded(f"cannot start {what}: too many tools wait for their streams; try again later")
        else:
            self._wait(key, then=then, late=late)

    def lay_down(self, given: Given) -> int:
        """Of somebody of the host who has made them himself; the number that ``take`` and ``drop`` know them by."""
        return self._keep(given)

    def give_up(self, n: int, id: int, why: AgenthostError) -> None:
        """Whoever waits for these is told ``why``, and they are closed if they come."""
        one = self._waiting.get((n, id))
        if one is not None and one.late is not None:
            self._over((n, id))
            one.late(why)

    def take(self, number: int) -> Given | None:
        """They are the taker's now. None if they were taken or dropped."""
        return self._taken.pop(number, None)

    def equip(self, number: int, env: dict[str, str]) -> None:
        """With the environment of the tool: it must stand nowhere where people look."""
        self._taken[number].env = tuple(env.items())

    def drop(self, number: int) -> None:
        """Nobody was born with them; or somebody was, and has taken them."""
        given = self._taken.pop(number, None)
        if given is not None:
            given.close()

    def ended(self, n: int) -> None:
        """Nobody waits for a tool of this incarnation any more."""
        for key in [key for key in self._waiting if key[0] == n]:
            given = self._over(key).given
            if given is not None:
                given.close()

    def close(self) -> None:
        for n in {key[0] for key in self._waiting}:
            self.ended(n)
        for number in list(self._taken):
            self.drop(number)

    def _keep(self, given: Given) -> int:
        number = next(self._numbers)
        self._taken[number] = given
        return number

    def _has_room(self, n: int) -> bool:
        return self._count[n] < MOST_OF_ONE and len(self._waiting) < MOST

    def _wait(self, key: Key, **who: Any) -> None:
        self._waiting[key] = _Waiting(asyncio.get_running_loop().call_later(PATIENCE_S, self._late, key), **who)
        self._count[key[0]] += 1

    def _late(self, key: Key) -> None:
        one = self._over(key)
        if one.given is not None:
            one.given.close()
        if one.late is not None:
            one.late(TimedOut(f"cannot start a tool: its streams have not come within {PATIENCE_S:g} s"))

    def _over(self, key: Key) -> _Waiting:
        one = self._waiting.pop(key)
        one.timer.cancel()
        self._count[key[0]] -= 1
        if not self._count[key[0]]:
            del self._count[key[0]]
        return one


def _is_harmless(descriptor: int) -> bool:
    found = os.fstat(descriptor)
    is_null = stat.S_ISCHR(found.st_mode) and (os.major(found.st_rdev), os.minor(found.st_rdev)) == (1, 3)
    return is_null or stat.S_ISFIFO(found.st_mode)
