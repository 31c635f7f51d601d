"""The journal, as the host knows it: its process comes and goes, it is told what the core decides, and what it says
itself reaches whoever that concerns. Who has a door to it is ``journal_doors``' business, who may be sent mail
``receivers``', what others ask it ``journal_asking``'s, what is wrong with it ``journal_trouble``'s.

The rule it keeps: nothing here waits for the journal; whoever asks it something does, and not for ever.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from typing import Any

from agenthost.core import effects as do
from agenthost.core import events as on
from agenthost.core.reason import Reason
from agenthost.core.tree import State
from agenthost.core.written import digest, write_beginning, write_event
from agenthost.host.incarnation import Incarnation
from agenthost.host.journal_asking import JournalAsking
from agenthost.host.journal_doors import JournalDoors
from agenthost.host.journal_link import JournalLink
from agenthost.host.journal_trouble import JournalTrouble
from agenthost.host.receivers import Receivers
from agenthost.host.schedules import schedules_of
from agenthost.host.session_sockets import SessionSockets
from agenthost.journal import words

Budgeting = words.Budgeted | words.Overspent | words.Granted | words.Unpriced


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
        self.on_remedied: Callable[[words.Remedied], None] = lambda word: None
        """Told of an attempt that failed, and what was decided."""
        self.on_connect: Callable[[], None] = lambda: None
        """A new one listens, and has been told what the last one has not done; before it hears who is there."""
        self.on_tree_changed: Callable[[], None] = lambda: None
        self.on_budget: Callable[[Budgeting], None] = lambda word: None
        self.on_open: Callable[[], None] = lambda: None
        """Told when a journal has opened its database."""
        self.tell: Callable[[on.Event], None] = lambda event: None
        """Reaches the core; set by the host."""
        self._boot, self._state, self._record, self._sockets = boot, state, record, sockets
        self._link = JournalLink(self._heard, lambda why: self._trouble.lost(why))
        self._trouble = JournalTrouble(self._link, record)
        self.receivers = Receivers(state, self._link)
        self.doors = JournalDoors(boot, self._link, self.receivers, present, record)
        self.asking = JournalAsking(state, self._link, self._trouble, self.receivers, sockets, record)
        self._event_number = 0
        self._chance = -1

    @property
    def trouble(self) -> str:
        """Why nothing durable can be done now; empty while all is well."""
        return self._trouble.why

    # ---- the process

    def connect(self, link: socket.socket, doors: socket.socket) -> None:
        self._trouble.connected()
        self._link.connect(link, doors)
        for listener in self._sockets.copies():
            self._link.pass_door(words.LISTENER, listener)
        self.on_connect()
        self.doors.connected()

    def disconnect(self) -> None:
        """The journal ends when its link does."""
        self._link.disconnect()
        self._trouble.ended()

    def close(self) -> None:
        self.asking.close()
        self.doors.close()
        self._trouble.close()
        self._link.disconnect()
        self._sockets.close()

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
        self._trouble.expect()
        if isinstance(event, on.Reload):
            asyncio.get_running_loop().call_soon(self._say_schedules)
            asyncio.get_running_loop().call_soon(self.on_tree_changed)
        if isinstance(event, on.Reload | on.Delete):
            asyncio.get_running_loop().call_soon(self.receivers.know_again)

    # ---- what it is told

    def keep(self, path: str, record: bytes | None) -> None:
        """A child that persists is to be started again by the next host, or no more."""
        self._link.say(words.Keep(self._link.next_id(), path, record))

    def clear(self, path: str, why: str) -> None:
        """Whoever gets this name next is somebody else."""
        self._link.say(words.Clear(self._link.next_id(), path, why))

    def crashed(self, path: str, boot: int, n: int, cause: str, **more: Any) -> None:
        """What ``recording`` knows of something that failed."""
        self._link.say(words.Crashed(self._link.next_id(), path, boot, n, cause=cause, **more))

    def say(self, word: Callable[[int], words.FromHost]) -> int:
        """Its number."""
        number = self._link.next_id()
        self._link.say(word(number))
        return number

    def is_heard(self, number: int) -> bool:
        """What was said under that number has survived."""
        return self._link.is_there and not self._link.is_open(number)

    def _say_schedules(self) -> None:
        """Those of the config as it is now."""
        wanted = tuple(schedules_of(self._state.root.spec))
        self._link.say(words.Schedules(self._link.next_id(), wanted))

    # ---- what it says

    def _heard(self, word: words.FromJournal) -> None:
        self._trouble.heard()
        match word:
            case words.Answer():
                self.asking.answered(word)
            case words.Waits(path=path):
                self.doors.mail_waits(path)
            case words.Knows(path=path):
                self.receivers.say_known(path)
            case words.Opened():
                self._trouble.opened()
                self.on_open()
                self._say_schedules()
            case words.Unfired():
                self._record("mail.unfired", word.path, schedule=word.name, why=word.why)
            case words.Trouble(why=why):
                self._trouble.said(why)
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
            "mail.asks" if word.question and not word.boot else "mail.failed",
            word.path,
            message=word.message,
            attempt=word.attempt,
            reason=word.reason,
            fingerprint=word.fingerprint,
            remedy=word.rung,
            why=word.why,
            pause_s=word.pause_ms / 1000,
            question=word.question or None,
        )
        self.on_remedied(word)
        if word.escalates and word.boot == self._boot:
            text = f"message {word.message} failed: {word.reason}"
            self.tell(on.Fault(word.path, word.n, Reason("escalated", text=text)))
