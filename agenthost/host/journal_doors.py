"""Doors to the journal: who has one, who wants one, whose mail waits for one.

A door is made for an incarnation that asks for one, or has mail. Before it may say anything there the journal is told
that it owns its path, and when nothing is left of it, that it does no more. Agents that use nothing durable never have
one.

The rule it keeps: mail that was told of is somebody's concern until an incarnation of its path has a door.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Callable
from itertools import count

from agenthost.core.birth import AgentBirth
from agenthost.core.reason import Reason
from agenthost.core.remedy.failure import of_end
from agenthost.core.wanted import meaning_of
from agenthost.host.incarnation import Incarnation
from agenthost.host.journal_link import NOT_NOW, JournalLink
from agenthost.host.receivers import Receivers, terms_of
from agenthost.journal import words
from agenthost.protocol import birth as said
from agenthost.protocol.codec import encode

GIVE_LATER_S = 0.05


class JournalDoors:
    """``present(path)`` is the incarnation that runs now; ``record(name, path, **fields)``."""

    def __init__(
        self,
        boot: int,
        link: JournalLink,
        receivers: Receivers,
        present: Callable[[str], Incarnation | None],
        record: Callable[..., None],
    ) -> None:
        self._boot, self._link, self._receivers, self._present, self._record = boot, link, receivers, present, record
        self.on_waits: Callable[[str], None] = lambda path: None
        """Told that there is mail for one that may be asleep."""
        self._numbers = count(1)
        self._doors: dict[int, tuple[Incarnation, int]] = {}
        """Who has a door, and the number of the last one, by n."""
        self._wanting: dict[int, Incarnation] = {}
        """Who has asked while there was no journal."""
        self._up: set[int] = set()
        self._waiting: set[str] = set()
        """Paths with mail, whose incarnation has no door yet."""
        self._to_give: deque[tuple[Incarnation, int, socket.socket]] = deque()

    def connected(self) -> None:
        """A new journal listens: whoever had a door, or wants one, gets one to it."""
        had = [incarnation for incarnation, _ in self._doors.values()]
        wanting, self._wanting = self._wanting, {}
        for incarnation in {one.n: one for one in (*had, *wanting.values())}.values():
            self._give(incarnation)

    def close(self) -> None:
        while self._to_give:
            self._to_give.popleft()[2].close()

    def want_door(self, incarnation: Incarnation, had: int) -> None:
        """It asks for one; ``had`` is the number of the one that it has lost, 0 for none."""
        if incarnation.n not in self._doors or self._doors[incarnation.n][1] <= had:
            self._give(incarnation)

    def is_here(self, incarnation: Incarnation) -> None:
        """It runs. One that may sleep has something to read: its door is there before it asks."""
        if incarnation.drowsy_s:
            self._give(incarnation)

    def is_up(self, incarnation: Incarnation) -> None:
        self._up.add(incarnation.n)
        if incarnation.path in self._waiting:
            self._give(incarnation)

    def ended(self, incarnation: Incarnation, reason: Reason | None) -> None:
        """Its cell is empty."""
        self._up.discard(incarnation.n)
        self._wanting.pop(incarnation.n, None)
        if self._doors.pop(incarnation.n, None) is not None:
            why = "" if reason is None or not meaning_of(reason).blame else reason.words()
            number, birth = self._link.next_id(), incarnation.birth
            assert isinstance(birth, AgentBirth)  # nobody else is given a door
            terms = terms_of(birth)
            failure = of_end(reason) if why and reason is not None else None
            self._link.say(words.Disown(number, incarnation.path, self._boot, incarnation.n, why, terms, failure))
        if incarnation.path in self._waiting:  # it was about to end, and may be asleep now
            asyncio.get_running_loop().call_soon(self.on_waits, incarnation.path)
        self._receivers.ended(incarnation.path)

    def mail_waits(self, path: str) -> None:
        """The journal says so."""
        self._waiting.add(path)  # until somebody has a door: the one that is there may be about to end
        incarnation = self._present(path)
        if incarnation is not None and incarnation.n in self._up and incarnation.n not in self._doors:
            self._give(incarnation)
        else:
            self.on_waits(path)

    def still_waits(self, path: str) -> bool:
        """Mail that was told of, for nobody yet."""
        return path in self._waiting

    def _give(self, incarnation: Incarnation) -> None:
        if incarnation.exited or incarnation.born is None or not isinstance(incarnation.birth, AgentBirth):
            return
        if not self._link.is_there:
            self._wanting[incarnation.n] = incarnation
            return
        try:
            theirs, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        except OSError as error:
            self._record("journal.no_door", incarnation.path, why=str(error.strerror))
            self._wanting[incarnation.n] = incarnation
            asyncio.get_running_loop().call_later(1.0, self._give_again)
            return
        self._receivers.introduce(incarnation.path)
        number = next(self._numbers)
        self._doors[incarnation.n] = incarnation, number
        self._waiting.discard(incarnation.path)
        self._link.pass_door(number, theirs)
        terms = terms_of(incarnation.birth)
        self._link.say(words.Own(self._link.next_id(), incarnation.path, self._boot, incarnation.n, number, terms))
        self._to_give.append((incarnation, number, its))
        if len(self._to_give) == 1:
            self._give_all()

    def _give_again(self) -> None:
        while self._wanting and self._link.is_there:
            self._give(self._wanting.popitem()[1])

    def _give_all(self) -> None:
        later: list[tuple[Incarnation, int, socket.socket]] = []
        while self._to_give:
            incarnation, number, its = self._to_give.popleft()
            given = self._doors.get(incarnation.n)
            if incarnation.exited or incarnation.born is None or given is None or given[1] != number:
                its.close()
                continue
            packet = encode(said.Door(number=number))
            try:
                socket.send_fds(incarnation.born.birth_socket, [packet], [its.fileno()], socket.MSG_NOSIGNAL)
            except OSError as error:
                if error.errno in NOT_NOW:
                    later.append((incarnation, number, its))
                    continue
                # it has ended, as its pidfd will tell
            its.close()
        if later:
            self._to_give.extend(later)
            asyncio.get_running_loop().call_later(GIVE_LATER_S, self._give_all)
