"""Turns of durable mail that begin before the commit of the one before is answered: short turns need not wait.

The journal shows what comes next (``mail.Leased.shown``). A turn that ends says its Commit, names the next one in it,
and that turn begins at once, upon a state that is not known to be true yet. The journal commits one after the other; if
one is refused, so are those that were said upon it, and the agent goes back to the last state that is true: the turns
after that count for nothing and are done anew. Whoever wants more in such a turn than its state and mail (a call, a
tool, anything that somebody sees) waits first until all is true (``settle``).

The rules: no turn begins before the Commit of the one before has left this process, so that of an agent that dies the
message in hand is known; and turns go on like this for ``LONGEST_S`` at most, then their commits are waited for.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from agenthost.agent.committing import AGAIN_S, NOTHING, Until, failed, wait_answer
from agenthost.agent.turn import Undone
from agenthost.errors import JournalFull, JournalUnavailable
from agenthost.protocol import mail

if TYPE_CHECKING:
    from agenthost.agent.door import Asked
    from agenthost.agent.durable import Durable

LONGEST_S = 0.005


Make = Callable[[int, int, int], mail.Commit]
"""Of the number of the request, that of the message that comes next, and that of the one before that is open."""


class _Said:
    """A Commit that is not answered. ``state`` None: unchanged."""

    __slots__ = ("asked", "make", "of", "state", "version")

    def __init__(self, asked: Asked, make: Make, of: mail.Mail, state: bytes | None, version: int) -> None:
        self.asked, self.make, self.of, self.state, self.version = asked, make, of, state, version


class Ahead:
    """Of one agent whose handler is a plain function."""

    __slots__ = ("_began", "_said", "shown", "true_state")

    def __init__(self) -> None:
        self._said: deque[_Said] = deque()
        self._began = 0.0
        self.shown: deque[mail.Mail] = deque()
        """What comes after the message in hand, if nothing happens."""
        self.true_state: tuple[bytes | None, int] = (None, 0)
        """Of the last turn that is true, and its version, while any is not."""

    @property
    def is_open(self) -> bool:
        """Something was said that is not known to be true."""
        return bool(self._said)

    @property
    def last(self) -> int:
        """The message whose Commit was said last, and is not answered; 0: none."""
        return self._said[-1].of.message if self._said else 0

    def next(self, durable: Durable) -> mail.Mail | None:
        """The message whose turn may begin as soon as the Commit of the one in hand is said."""
        door = durable.door
        if not self.shown or durable.spending is not None or door is None or door.sock is None or door.is_blocked:
            return None
        now = time.monotonic()
        if not self._said:
            self._began = now
        return self.shown[0] if now - self._began < LONGEST_S else None

    def say(self, durable: Durable, make: Make, of: mail.Mail, state: bytes | None, version: int) -> None:
        """Not waited for."""
        said = self._said
        if not said:
            self.true_state = durable.stored
        upon, coming = self.last, self.shown.popleft()
        asked = durable.open().ask(lambda number: make(number, coming.message, upon))
        said.append(_Said(asked, make, of, state, version))
        durable.committed(state)
        durable.mail = coming

    async def settle(self, durable: Durable, until: Until) -> None:
        """Returns when all that was said is true, and the message in hand is ours. ``Undone`` if that is not so;
        ``durable`` is then as it was after the last turn that is true."""
        last: mail.Leased | None = None
        refused: tuple[_Said, mail.Refused] | None = None
        while self._said:
            said = self._said[0]
            answer = await wait_answer(until, said.asked)
            self._said.popleft()
            if refused is not None:
                continue  # it was said upon what is not true
            if isinstance(answer, mail.Refused):
                refused = said, answer
                continue
            last = answer
            if said.state is not None:
                self.true_state = said.state, said.version
        if refused is None and (last is None or last.same):
            return
        self.shown.clear()
        durable.go_back(*self.true_state)
        durable.mail = None if last is None else last.mail
        durable.waits = True
        if refused is not None and refused[1].code != mail.UNDONE:
            await self._refused(durable, until, *refused)
        raise Undone

    async def _refused(self, durable: Durable, until: Until, said: _Said, answer: mail.Refused) -> None:
        """What was refused on its own account: as at the end of any turn."""
        durable.mail = None
        error = durable.error(answer)
        while isinstance(error, JournalUnavailable | JournalFull):
            await until(lambda: False, time.monotonic() + AGAIN_S)
            asked = durable.open().ask(lambda number: said.make(number, NOTHING, 0))
            again = await wait_answer(until, asked)
            if not isinstance(again, mail.Refused):
                if said.state is not None:
                    durable.go_back(said.state, said.version)
                return
            error = durable.error(again)
        await failed(durable, until, said.of, error)
