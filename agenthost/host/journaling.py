"""The journal, as the host knows it: who has a door to it, whose mail waits, what the core decides; its troubles.

A door is made for an incarnation that asks for one, or has mail. Before it may say anything there the journal is told
that it owns its path, and when nothing is left of it, that it does no more. Agents that use nothing durable never have
one. Whoever stands in the tree may be sent mail, whether it runs or not.

The rule it keeps: nothing here waits for the journal but those who ask it something, and they not for ever.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Callable
from itertools import count
from typing import Any

import msgspec

from agenthost.core import events as on
from agenthost.core.birth import AgentBirth
from agenthost.core.reason import Reason
from agenthost.core.tree import AnyNode, State, Worker, owner_of
from agenthost.errors import AgenthostError, JournalUnavailable, Overloaded, UnknownName, from_wire
from agenthost.host.incarnation import Incarnation
from agenthost.host.journal_link import NOT_NOW, JournalLink
from agenthost.journal import words
from agenthost.protocol import birth as said
from agenthost.protocol.codec import encode

PATIENCE_S = 30.0
ASKED_AT_ONCE = 10_000
GIVE_LATER_S = 0.05
STALL_S = 5.0
"""A journal that has said nothing for so long is stalled."""
_BLAMELESS = frozenset({"shutdown", "killed", "ignore"})
"""Ends that somebody wanted: what was in hand is not to blame for them."""


class Journaling:
    """``present(path)`` is the incarnation that runs now; ``record(name, path, **fields)``."""

    def __init__(
        self, *, boot: int, state: State, present: Callable[[str], Incarnation | None], record: Callable[..., None]
    ) -> None:
        self._boot, self._state, self._present, self._record = boot, state, present, record
        self._link = JournalLink(self._heard, self._lost)
        self._numbers = count(1)
        self._doors: dict[int, tuple[Incarnation, int]] = {}
        """Who has a door, and the number of the last one, by n."""
        self._wanting: dict[int, Incarnation] = {}
        """Who has asked while there was no journal."""
        self._up: set[int] = set()
        self._waiting: set[str] = set()
        """Paths with mail, whose incarnation has no door yet."""
        self._known: set[str] = set()
        self._planted: dict[str, AnyNode] = {}
        """What agents have started and the journal knows, by path."""
        self._asked: dict[int, asyncio.Future[Any]] = {}
        self._event_number = 0
        self._chance = b""
        self._to_give: deque[tuple[Incarnation, int, socket.socket]] = deque()
        self._trouble = "it has not said yet that its database is open"
        self._is_open = False
        self._stall: asyncio.TimerHandle | None = None
        self._is_stalled = False

    @property
    def trouble(self) -> str:
        """Why nothing durable can be done now; empty while all is well."""
        silent_s = self._link.silent_s
        return self._trouble or (f"it has not answered for {silent_s:.0f} s" if silent_s >= STALL_S else "")

    # ---- the process

    def connect(self, link: socket.socket, doors: socket.socket) -> None:
        self._is_open = False
        self._link.connect(link, doors)
        had = [incarnation for incarnation, _ in self._doors.values()]
        wanting, self._wanting = self._wanting, {}
        for incarnation in {one.n: one for one in (*had, *wanting.values())}.values():
            self._give(incarnation)

    def disconnect(self) -> None:
        """The journal ends when its link does."""
        self._link.disconnect()
        self._trouble = "the journal's process has ended"

    def close(self) -> None:
        for future in self._asked.values():
            future.cancel()
        while self._to_give:
            self._to_give.popleft()[2].close()
        if self._stall is not None:
            self._stall.cancel()
        self._link.disconnect()

    def _lost(self, why: str) -> None:
        self._trouble = why
        self._record("journal.lost", "/.system/journal", why=why)

    # ---- what the core decides

    def began(self, spec: Any, seed: int, now: float) -> None:
        """Before the first event: what replay begins with."""
        state = _pack({"spec": spec, "seed": seed})
        self._link.say(words.Picture(self._link.next_id(), self._boot, now, state))

    def noted(self, event: on.Event, now: float) -> None:
        self._event_number += 1
        chance = self._state.chance.state.to_bytes(8, "big")
        told, self._chance = (b"" if chance == self._chance else chance), chance
        number = self._event_number
        self._link.say(words.Event(self._link.next_id(), self._boot, number, now, _pack(event), told))
        if self._stall is None:
            self._stall = asyncio.get_running_loop().call_later(STALL_S, self._look_for_stall)
        if isinstance(event, on.Reload | on.Delete):
            asyncio.get_running_loop().call_soon(self._know_again)

    # ---- incarnations

    def want_door(self, incarnation: Incarnation, had: int) -> None:
        """It asks for one; ``had`` is the number of the one that it has lost, 0 for none."""
        if incarnation.n not in self._doors or self._doors[incarnation.n][1] <= had:
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
            why = "" if reason is None or reason.kind in _BLAMELESS else reason.words()
            number, birth = self._link.next_id(), incarnation.birth
            assert isinstance(birth, AgentBirth)  # nobody else is given a door
            terms = terms_of(birth)
            self._link.say(words.Disown(number, incarnation.path, self._boot, incarnation.n, why, terms))
        if incarnation.path in self._known or incarnation.path in self._planted:
            asyncio.get_running_loop().call_soon(self._know_again, incarnation.path)

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
        self._make_clean(incarnation.path)
        number = next(self._numbers)
        self._doors[incarnation.n] = incarnation, number
        self._waiting.discard(incarnation.path)
        self._known.add(incarnation.path)
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

    # ---- receivers

    def receiver(self, path: str) -> words.Terms:
        """How mail for it is treated. ``UnknownName`` if none can be sent there."""
        node = self._state.nodes.get(path)
        if node is None:
            raise UnknownName(f"cannot send to {path}: there is no such agent")
        if not isinstance(node, Worker):
            raise UnknownName(f"cannot send to {path}: it is a supervisor", hint="name one of its agents")
        if not isinstance(node.spec.birth, AgentBirth):
            raise UnknownName(f"cannot send to {path}: it is a program that takes no messages")
        self._make_clean(path)
        self._known.add(path)
        return terms_of(node.spec.birth)

    def _make_clean(self, path: str) -> None:
        """What an agent has started has no past, even if another of that name had one."""
        node = self._state.nodes.get(path)
        if node is None or owner_of(node) is None or self._planted.get(path) is node:
            return
        self._planted[path] = node
        self._link.say(words.Clear(self._link.next_id(), path, "it was for an earlier agent of this name"))

    def _know_again(self, only: str = "") -> None:
        """The tree has changed: of what the journal knows, some may be gone, or be wanted in another way."""
        for path in [only] if only else list(self._known | self._planted.keys()):
            node = self._state.nodes.get(path)
            if (planted := self._planted.get(path)) is not None and planted is not node:
                del self._planted[path]
                self._link.say(words.Clear(self._link.next_id(), path, "the agent has ended, and will not come back"))
            if path not in self._known:
                continue
            if isinstance(node, Worker) and isinstance(node.spec.birth, AgentBirth):
                if not only:
                    self._link.say(words.Known(self._link.next_id(), path, terms_of(node.spec.birth)))
            else:
                self._known.discard(path)
                self._link.say(words.Known(self._link.next_id(), path, None, f"cannot send to {path}: it was removed"))

    # ---- asking

    async def send(self, sender: str, to: str, body: bytes, key: str) -> dict[str, Any]:
        """Of a client. Returns when it will not be lost; ``UnknownName``, ``Overloaded``, ``JournalUnavailable``."""
        terms = self.receiver(to)
        found: dict[str, Any] = await self._answer_to(
            lambda number: words.Send(number, sender, to, body, key, terms), PATIENCE_S
        )
        return found

    async def ask(self, what: str, args: dict[str, Any] | None = None, timeout_s: float = PATIENCE_S) -> Any:
        return await self._answer_to(lambda number: words.Ask(number, what, args or {}), timeout_s)

    async def mailboxes(self, timeout_s: float) -> dict[str, int] | None:
        """Open messages by path; None if the journal does not say in time."""
        if not self._is_open or self.trouble:
            return None
        try:
            found: dict[str, int] = await self.ask("mailboxes", timeout_s=timeout_s)
        except AgenthostError:
            return None
        return found

    async def _answer_to(self, word: Callable[[int], words.FromHost], timeout_s: float) -> Any:
        if len(self._asked) >= ASKED_AT_ONCE:
            raise Overloaded(f"cannot ask the journal: {len(self._asked)} wait for it already", hint="try again later")
        number = self._link.next_id()
        future = self._asked[number] = asyncio.get_running_loop().create_future()
        self._link.say(word(number))
        if self._stall is None:
            self._stall = asyncio.get_running_loop().call_later(STALL_S, self._look_for_stall)
        try:
            async with asyncio.timeout(timeout_s):
                return await future
        except TimeoutError:
            why = self.trouble or f"it has not answered for {timeout_s:g} s"
            raise JournalUnavailable(f"cannot reach the journal: {why}", hint="see agenthost doctor") from None
        finally:
            self._link.answered(number)
            del self._asked[number]

    # ---- what it says

    def _heard(self, word: words.FromJournal) -> None:
        if self._is_stalled:
            self._is_stalled = False
            self._tell_trouble(self._trouble)
        match word:
            case words.Answer(id=id):
                future = self._asked.get(id)
                if future is None or future.done():
                    return
                if word.code:
                    future.set_exception(from_wire(word.code, word.why, word.hint or None))
                else:
                    future.set_result(word.result)
            case words.Waits(path=path):
                self._mail_waits(path)
            case words.Knows(path=path):
                self._say_known(path)
            case words.Opened():
                self._is_open = True
                self._trouble = ""
            case words.Trouble(why=why):
                self._change(why)
            case words.SetAside():
                self._record(
                    "mail.dead_letter",
                    word.path,
                    message=word.message,
                    sender=word.sender,
                    attempt=word.attempt,
                    reason=word.why,
                )

    def _change(self, why: str) -> None:
        if why != self._trouble:
            self._trouble = why
            self._tell_trouble(why)

    def _tell_trouble(self, why: str) -> None:
        self._record("journal.trouble" if why else "journal.well", "/.system/journal", **({"why": why} if why else {}))

    def _look_for_stall(self) -> None:
        """Some time after something was said to it."""
        self._stall = None
        if self._link.silent_s >= STALL_S and not self._is_stalled:
            self._is_stalled = True
            self._tell_trouble(self.trouble)
        if self._link.silent_s:
            self._stall = asyncio.get_running_loop().call_later(STALL_S, self._look_for_stall)

    def _mail_waits(self, path: str) -> None:
        self._waiting.add(path)  # until somebody has a door: the one that is there may be about to end
        incarnation = self._present(path)
        if incarnation is not None and incarnation.n in self._up and incarnation.n not in self._doors:
            self._give(incarnation)

    def _say_known(self, path: str) -> None:
        try:
            terms = self.receiver(path)
        except UnknownName as error:
            self._link.say(words.Known(self._link.next_id(), path, None, str(error)))
        else:
            self._link.say(words.Known(self._link.next_id(), path, terms))


def terms_of(birth: AgentBirth) -> words.Terms:
    mail = birth.mail
    return words.Terms(
        mail.attempts, round(mail.initial_s * 1000), round(mail.max_s * 1000), mail.limit, mail.when_full
    )


def _pack(value: Any) -> bytes:
    return msgspec.msgpack.encode(value, enc_hook=repr)
