"""What others want to know of the journal, or have done by it: asked, and waited for. What the host says to it without
waiting is ``journaling``'s.

The rule it keeps: nobody waits for ever; who has waited too long is told why.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Any

from agenthost.core.tree import State
from agenthost.errors import AgenthostError, JournalUnavailable, Overloaded, UnknownName, from_wire
from agenthost.host.journal_link import JournalLink
from agenthost.host.journal_trouble import STALL_S, JournalTrouble
from agenthost.host.receivers import Receivers
from agenthost.host.session_sockets import SessionSockets
from agenthost.host.sleepers_counted import SleepersCounted
from agenthost.journal import words
from agenthost.protocol.sessions import TICKET_BYTES

PATIENCE_S = 30.0
SLOW_S = 1.5
"""Who waits for longer is told why, and goes on waiting."""
REMOVED_S = 0.5
ASKED_AT_ONCE = 10_000
LOOK_AGAIN_S = 0.25
_OF_PEOPLE = frozenset({"asked", "answer", "crashes", "crash", "budgets", "grant", "letters", "letter"})
"""A person waits for the answer: not longer than until the journal counts as stalled."""


class JournalAsking:
    """``record(name, path, **fields)``. Each raises ``JournalUnavailable`` where it does not say otherwise."""

    def __init__(
        self,
        state: State,
        link: JournalLink,
        trouble: JournalTrouble,
        receivers: Receivers,
        sockets: SessionSockets,
        record: Callable[..., None],
    ) -> None:
        self._link, self._trouble, self._receivers = link, trouble, receivers
        self._sockets, self._record = sockets, record
        self._asked: dict[int, asyncio.Future[Any]] = {}
        self._sleepers_counted = SleepersCounted(state, lambda pools: self.ask("asleep", {"pools": pools}))

    def close(self) -> None:
        self._sleepers_counted.close()
        for future in self._asked.values():
            future.cancel()

    @property
    def slow(self) -> str:
        """Why who asks now has to wait; "" if he has not."""
        silent_s = self._link.silent_s
        return self._trouble.why or (f"it has not answered for {silent_s:.0f} s" if silent_s >= SLOW_S else "")

    def answered(self, word: words.Answer) -> None:
        """By the journal."""
        future = self._asked.get(word.id)
        if future is None or future.done():
            return
        if word.code:
            future.set_exception(from_wire(word.code, word.why, word.hint or None))
        else:
            future.set_result(word.result)

    async def send(
        self,
        sender: str,
        to: str,
        body: bytes,
        key: str,
        due_ms: int = 0,
        *,
        by_clock: bool = False,
        in_session: bool = False,
        seat: str = "",
    ) -> dict[str, Any]:
        """Of a client. Returns when it will not be lost; ``UnknownName``, ``Overloaded``, ``JournalUnavailable``.
        ``in_session``: also ``Busy``, if somebody else than the holder of ``seat`` may speak there."""
        terms = self._receivers.receiver(to)
        found: dict[str, Any] = await self._answer_to(
            lambda number: words.Send(number, sender, to, body, key, terms, due_ms, by_clock, in_session, seat),
            PATIENCE_S,
        )
        return found

    async def attach(self, path: str, uid: int) -> dict[str, Any]:
        """A ticket for one connection of ``uid`` that reads sessions. ``UnknownName`` with a ``path`` that is neither
        an agent's nor a session's; ``JournalUnavailable``."""
        if path:
            try:
                self._receivers.receiver(path, "follow")
            except UnknownName as unknown:
                try:
                    await self.ask("session", {"path": path})
                except UnknownName:
                    raise unknown from None
        ticket, who = os.urandom(TICKET_BYTES), f"uid {uid}"
        await self._answer_to(lambda number: words.Admit(number, ticket, who), PATIENCE_S)
        return {"address": self._sockets.address(uid), "ticket": ticket}

    async def schedule(self, sender: str, what: words.Periodic) -> Any:
        """As ``send``, for a periodic message."""
        self._receivers.receiver(what.receiver)
        return await self._answer_to(lambda number: words.Schedule(number, sender, what), PATIENCE_S)

    async def ask(self, what: str, args: dict[str, Any] | None = None, timeout_s: float = PATIENCE_S) -> Any:
        is_hasty = what in _OF_PEOPLE
        return await self._answer_to(lambda number: words.Ask(number, what, args or {}), timeout_s, is_hasty=is_hasty)

    async def answer(self, message: int, text: str, by: str, *, yes: bool, nth: int = 0) -> None:
        """A person's word on a message that waits for one; ``nth`` as in ``operations.Answer``."""
        path = await self.ask("answer", {"message": message, "text": text, "by": by, "yes": yes, "nth": nth})
        said = ("yes" if yes else "no") + (f": {text}" if text else "")
        self._record("mail.answered", path, message=message, answer=said, by=by)

    async def mailboxes(self, timeout_s: float) -> dict[str, int] | None:
        """Open messages by path; None if the journal does not say in time."""
        if not self._trouble.is_over:
            return None
        try:
            found: dict[str, int] = await self.ask("mailboxes", timeout_s=timeout_s)
        except AgenthostError:
            return None
        return found

    async def is_removed(self, path: str) -> bool:
        """Its session has a tombstone. False while that cannot be known."""
        if not self._trouble.is_over:
            return False
        try:
            return bool(await self.ask("removed", {"path": path}, REMOVED_S))
        except AgenthostError:
            return False

    async def asleep(self, patience_s: float) -> dict[str, int] | None:
        """Members of each pool that sleep, as far as they have a session; None if that is not known yet."""
        if not self._trouble.is_over:
            return None
        return await self._sleepers_counted.by_pool(patience_s)

    async def _answer_to(
        self, word: Callable[[int], words.FromHost], timeout_s: float, *, is_hasty: bool = False
    ) -> Any:
        if is_hasty and self._link.silent_s >= STALL_S:
            raise JournalUnavailable(f"cannot reach the journal: {self._trouble.why}", hint="see agenthost doctor")
        if len(self._asked) >= ASKED_AT_ONCE:
            raise Overloaded(f"cannot ask the journal: {len(self._asked)} wait for it already", hint="try again later")
        number = self._link.next_id()
        future = self._asked[number] = asyncio.get_running_loop().create_future()
        self._link.say(word(number))
        self._trouble.expect()
        try:
            async with asyncio.timeout(timeout_s):
                while is_hasty and not future.done():
                    await asyncio.wait({future}, timeout=LOOK_AGAIN_S)
                    if self._link.silent_s >= STALL_S:
                        raise TimeoutError
                return await future
        except TimeoutError:
            why = self._trouble.why or f"it has not answered for {timeout_s:g} s"
            raise JournalUnavailable(f"cannot reach the journal: {why}", hint="see agenthost doctor") from None
        finally:
            self._link.answered(number)
            del self._asked[number]
