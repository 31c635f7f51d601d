"""The journal, as the host knows it: who has a door to it, whose mail waits, what the core decides; its troubles.

A door is made for an incarnation that asks for one, or has mail. Before it may say anything there the journal is told
that it owns its path, and when nothing is left of it, that it does no more. Agents that use nothing durable never have
one. Whoever stands in the tree may be sent mail, whether it runs or not.

The rule it keeps: nothing here waits for the journal but those who ask it something, and they not for ever.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from typing import Any

from agenthost.core import effects as do
from agenthost.core import events as on
from agenthost.core.birth import AgentBirth
from agenthost.core.reason import Reason
from agenthost.core.remedy.failure import of_end
from agenthost.core.spec import SupervisorSpec
from agenthost.core.tree import AnyNode, State, Supervisor, Worker, owner_of
from agenthost.core.written import digest, write_beginning, write_event
from agenthost.errors import AgenthostError, JournalUnavailable, Overloaded, UnknownName, from_wire
from agenthost.host.incarnation import Incarnation
from agenthost.host.journal_link import NOT_NOW, JournalLink
from agenthost.host.session_sockets import SessionSockets
from agenthost.journal import words
from agenthost.protocol import birth as said
from agenthost.protocol.codec import encode, pack_body
from agenthost.protocol.sessions import TICKET_BYTES

Budgeting = words.Budgeted | words.Overspent | words.Granted | words.Unpriced
PATIENCE_S = 30.0
REMOVED_S = 0.5
ASLEEP_SHARE = 20
"""To count a million that sleep takes the journal some time; it is asked again after so many times as long."""
ASKED_AT_ONCE = 10_000
GIVE_LATER_S = 0.05
STALL_S = 5.0
"""A journal that has said nothing for so long is stalled."""
_BLAMELESS = frozenset({"shutdown", "killed", "ignore", "asleep", "escalated"})
"""Ends that somebody wanted: what was in hand is not to blame for them."""


class Journaling:
    """``present(path)`` is the incarnation that runs now; ``record(name, path, **fields)``."""

    def __init__(
        self,
        *,
        boot: int,
        state: State,
        present: Callable[[str], Incarnation | None],
        record: Callable[..., None],
        sockets: SessionSockets,
    ) -> None:
        self._sockets = sockets
        self.template: Callable[[str], AgentBirth | None] = lambda path: None
        """What a member of a pool that is not there would be."""
        self.on_waits: Callable[[str], None] = lambda path: None
        """Told that there is mail for one that may be asleep."""
        self.on_remedied: Callable[[words.Remedied], None] = lambda word: None
        """Told of an attempt that failed, and what was decided."""
        self.on_connect: Callable[[], None] = lambda: None
        """A new one listens, and has been told what the last one has not done; before it hears who is there."""
        self.on_tree_changed: Callable[[], None] = lambda: None
        self.on_budget: Callable[[Budgeting], None] = lambda word: None
        self.on_open: Callable[[], None] = lambda: None
        """Told when a journal has opened its database."""
        self._asleep: dict[str, int] = {}
        self._asleep_until = 0.0
        self.tell: Callable[[on.Event], None] = lambda event: None
        """Reaches the core; set by the host."""
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
        self._chance = -1
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
        for listener in self._sockets.copies():
            self._link.pass_door(words.LISTENER, listener)
        self.on_connect()
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
        self._sockets.close()

    def _lost(self, why: str) -> None:
        self._trouble = why
        self._record("journal.lost", "/.system/journal", why=why)

    # ---- what the core decides

    def began(self, spec: Any, seed: int, now: float) -> None:
        """Before the first event: what replay begins with."""
        self._link.say(words.Picture(self._link.next_id(), self._boot, now, write_beginning(spec, seed)))

    def noted(self, event: on.Event, now: float, chance: int, effects: Sequence[do.Effect]) -> None:
        """``chance`` is what it was decided with, ``effects`` what that was."""
        self._event_number += 1
        told, self._chance = (b"" if chance == self._chance else chance.to_bytes(8, "big")), chance
        number, data = self._event_number, write_event(event)
        self._link.say(words.Event(self._link.next_id(), self._boot, number, now, data, told, digest(effects)))
        if self._stall is None:
            self._stall = asyncio.get_running_loop().call_later(STALL_S, self._look_for_stall)
        if isinstance(event, on.Reload):
            asyncio.get_running_loop().call_soon(self._say_schedules)
            asyncio.get_running_loop().call_soon(self.on_tree_changed)
        if isinstance(event, on.Reload | on.Delete):
            asyncio.get_running_loop().call_soon(self._know_again)

    # ---- incarnations

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
            why = "" if reason is None or reason.kind in _BLAMELESS else reason.words()
            number, birth = self._link.next_id(), incarnation.birth
            assert isinstance(birth, AgentBirth)  # nobody else is given a door
            terms = terms_of(birth)
            failure = of_end(reason) if why and reason is not None else None
            self._link.say(words.Disown(number, incarnation.path, self._boot, incarnation.n, why, terms, failure))
        if incarnation.path in self._waiting:  # it was about to end, and may be asleep now
            asyncio.get_running_loop().call_soon(self.on_waits, incarnation.path)
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

    def receiver(self, path: str, verb: str = "send to") -> words.Terms:
        """How mail for it is treated. ``UnknownName`` if none can be sent there; ``verb`` is for its words."""
        node = self._state.nodes.get(path)
        if node is None and (birth := self.template(path)) is not None:
            self._known.add(path)
            return terms_of(birth)
        if node is None:
            raise UnknownName(f"cannot {verb} {path}: there is no such agent")
        if not isinstance(node, Worker):
            raise UnknownName(f"cannot {verb} {path}: it is a supervisor", hint="name one of its agents")
        if not isinstance(node.spec.birth, AgentBirth):
            raise UnknownName(f"cannot {verb} {path}: it is a program that takes no messages")
        self._make_clean(path)
        self._known.add(path)
        return terms_of(node.spec.birth)

    def keep(self, path: str, record: bytes | None) -> None:
        """A child that persists is to be started again by the next host, or no more."""
        self._link.say(words.Keep(self._link.next_id(), path, record))

    def clear(self, path: str, why: str) -> None:
        """Whoever gets this name next is somebody else."""
        self._link.say(words.Clear(self._link.next_id(), path, why))

    def _make_clean(self, path: str) -> None:
        """What an agent has started has no past, even if another of that name had one; unless it persists."""
        node = self._state.nodes.get(path)
        if node is None or owner_of(node) is None or node.spec.persist or self._planted.get(path) is node:
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
            elif only and self.template(path) is not None:
                self._known.discard(path)  # a member that sleeps; the journal asks again
            elif (birth := self.template(path)) is not None:
                self._link.say(words.Known(self._link.next_id(), path, terms_of(birth)))
            else:
                self._known.discard(path)
                self._link.say(words.Known(self._link.next_id(), path, None, f"cannot send to {path}: it was removed"))

    def crashed(self, path: str, boot: int, n: int, cause: str, **more: Any) -> None:
        """What ``recording`` knows of something that failed."""
        self._link.say(words.Crashed(self._link.next_id(), path, boot, n, cause, **more))

    def say(self, word: Callable[[int], words.FromHost]) -> int:
        """Its number."""
        number = self._link.next_id()
        self._link.say(word(number))
        return number

    def is_heard(self, number: int) -> bool:
        """What was said under that number has survived."""
        return self._link.is_there and not self._link.is_open(number)

    # ---- asking

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
        terms = self.receiver(to)
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
                self.receiver(path, "follow")
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
        self.receiver(what.receiver)
        return await self._answer_to(lambda number: words.Schedule(number, sender, what), PATIENCE_S)

    async def ask(self, what: str, args: dict[str, Any] | None = None, timeout_s: float = PATIENCE_S) -> Any:
        return await self._answer_to(lambda number: words.Ask(number, what, args or {}), timeout_s)

    async def answer(self, message: int, text: str, by: str, *, yes: bool) -> None:
        """A person's word on a message that waits for one."""
        path = await self.ask("answer", {"message": message, "text": text, "by": by, "yes": yes})
        said = ("yes" if yes else "no") + (f": {text}" if text else "")
        self._record("mail.answered", path, message=message, answer=said, by=by)

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
                self.on_open()
                self._say_schedules()
            case words.Unfired():
                self._record("mail.unfired", word.path, schedule=word.name, why=word.why)
            case words.Trouble(why=why):
                self._change(why)
            case words.Budgeted() | words.Overspent() | words.Granted() | words.Unpriced():
                self.on_budget(word)
            case words.Remedied():
                self._remedied(word)
            case words.SetAside():
                self._record(
                    "mail.dead_letter",
                    word.path,
                    message=word.message,
                    sender=word.sender,
                    attempt=word.attempt,
                    reason=word.why,
                )

    def _remedied(self, word: words.Remedied) -> None:
        self._record(
            "mail.failed",
            word.path,
            message=word.message,
            attempt=word.attempt,
            reason=word.reason,
            fingerprint=word.fingerprint,
            remedy=word.rung,
            why=word.why,
            pause_s=word.pause_ms / 1000,
        )
        self.on_remedied(word)
        if word.escalates and word.boot == self._boot:
            text = f"message {word.message} failed: {word.reason}"
            self.tell(on.Fault(word.path, word.n, Reason("escalated", text=text)))

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
        else:
            self.on_waits(path)

    def still_waits(self, path: str) -> bool:
        """Mail that was told of, for nobody yet."""
        return path in self._waiting

    async def is_removed(self, path: str) -> bool:
        """Its session has a tombstone. False while that cannot be known."""
        if not self._is_open or self.trouble:
            return False
        try:
            return bool(await self.ask("removed", {"path": path}, REMOVED_S))
        except AgenthostError:
            return False

    async def asleep(self, timeout_s: float) -> dict[str, int] | None:
        """Members of each pool that sleep, as far as they have a session; None if the journal does not say in time."""
        if not self._is_open or self.trouble:
            return None
        pools = {
            path: list(node.children)
            for path, node in self._state.nodes.items()
            if isinstance(node, Supervisor) and node.is_pool
        }
        now = time.monotonic()
        if now >= self._asleep_until and pools:
            try:
                self._asleep = await self.ask("asleep", {"pools": pools}, timeout_s)
            except AgenthostError:
                return None
            took_s = time.monotonic() - now
            self._asleep_until = now + took_s * ASLEEP_SHARE
        return self._asleep

    def _say_schedules(self) -> None:
        """Those of the config as it is now."""
        wanted = tuple(_periodic(self._state.root.spec, ""))
        self._link.say(words.Schedules(self._link.next_id(), wanted))

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
        mail.attempts,
        round(mail.initial_s * 1000),
        round(mail.max_s * 1000),
        mail.limit,
        mail.when_full,
        birth.recovery,
    )


def _periodic(spec: SupervisorSpec, path: str) -> Iterator[words.Periodic]:
    for child in spec.children:
        below = f"{path}/{child.name}"
        if isinstance(child, SupervisorSpec):
            yield from _periodic(child, below)
        elif isinstance(child.birth, AgentBirth):
            for one in child.birth.cron:
                yield words.Periodic(f"config:{below}#{one.name}", below, one.cron, pack_body(one.body))
