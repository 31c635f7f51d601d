"""The one interface to what survives. SQLite and the in-memory twin keep it; so will PostgreSQL.

What every store promises, and ``tests/journal/test_contract.py`` tries:

1. *One writer.* There is one ``Store`` for a journal at a time; any number of readers beside it, in other processes
   too.
2. *A batch is one commit.* When ``commit`` returns, every operation that was not answered ``Rejected`` survives the
   death of any process (and of the machine, with ``durability: power``). When it raises, nothing of it was written.
3. *An operation is atomic*, and sees those before it in the batch. A ``Rejected`` one has written nothing.
4. *The fence.* An operation that carries an incarnation is refused as ``stale``, in the commit's own transaction,
   unless that incarnation is the last one that ``Own`` announced for the path.
5. *Order.* Of each lane (see ``ops``) at most one message is leased, always the oldest; of each receiver at most one.
   Messages that wait in several lanes are leased in the order in which they entered them.
6. *Numbers.* Ids of messages grow and are never given twice, log entries count from 1 without gaps. The same operations
   with the same ``now_ms`` give the same answers: there is no clock and no chance in here.

Failures of ``commit``, as exceptions of ``errors``; nothing is overwritten by any of them:

===========================  =======================================================================================
``JournalFull``              no room on the disk; the same batch succeeds once there is
``JournalUnavailable``       read-only, locked by somebody, or the disk fails: may succeed later, says what to do
``JournalDamaged``           what is read is not what was written; every later write is refused in the same way
``JournalForeign``           at opening alone: somebody else's file, or one written by a newer agenthost
``UsageError``               the store was closed
===========================  =======================================================================================
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from agenthost.core.budget.amounts import Amounts
from agenthost.journal import values
from agenthost.journal.answers import Answer, Retained
from agenthost.journal.limits import ALL_BYTES
from agenthost.journal.ops import Op, Retention


class Reader(Protocol):
    """Looks at what is committed. Every method is one consistent look; none waits for the writer or makes it wait.

    Lists come in pages: up to ``limit`` (at most ``limits.PAGE``) after ``after``, in its order; a shorter page is the
    last. Raises ``JournalUnavailable`` or ``JournalDamaged``.
    """

    # ---- mail

    def message(self, id: int) -> values.Mail | None: ...

    def receiver(self, id: int) -> str:
        """Whose message it is; "" if there is none."""
        ...

    def history(self, id: int) -> tuple[values.Failure, ...]:
        """What went wrong with it, oldest first."""
        ...

    def by_key(self, sender: str, key: str) -> values.Mail | None: ...

    def mailbox(self, receiver: str, after: int = 0, limit: int = 100) -> tuple[values.Mail, ...]:
        """Its open messages, by id."""
        ...

    def glance(self, receiver: str, limit: int = 100) -> tuple[values.Mail, ...]:
        """As ``mailbox``, without bodies, which are not even read."""
        ...

    def open_count(self, receiver: str) -> int: ...

    def dead_count(self, receiver: str, limit: int = 100) -> int:
        """Its dead letters; not more than ``limit`` are counted."""
        ...

    def mailboxes(self, after: str = "", limit: int = 100) -> tuple[tuple[str, int], ...]:
        """(receiver, its open messages) of those that have any, by path."""
        ...

    def receivers(self, after: str = "", limit: int = 100) -> tuple[str, ...]:
        """Who has a message that could be leased now, by path: whom to wake when the host starts."""
        ...

    def held(self, path: str) -> values.Mail | None:
        """What is leased to it."""
        ...

    def overdue(self, now_ms: int, limit: int = 100) -> tuple[values.Mail, ...]:
        """Leases past their ``until_ms``, the longest overdue first: their holders are to be ended."""
        ...

    def holders(self, after: str = "", limit: int = 100) -> tuple[str, ...]:
        """To whom a message is leased, by path."""
        ...

    def next_due_ms(self) -> int:
        """When ``Ripen`` has something to do next, 0 for never. Periodic messages are not in it."""
        ...

    def dead_letters(self, prefix: str = "", after: int = 0, limit: int = 100) -> tuple[values.Mail, ...]:
        """Of receivers whose path begins with ``prefix``, by id."""
        ...

    def parked(self, prefix: str = "", after: int = 0, limit: int = 100) -> tuple[values.Mail, ...]:
        """What waits for a person, of receivers whose path begins with ``prefix``, by id."""
        ...

    def lapsed(self, now_ms: int, limit: int = 100) -> tuple[values.Mail, ...]:
        """Parked messages past their ``until_ms`` (as ``due_ms``), the longest first."""
        ...

    def delayed(self, after: tuple[int, int] = (0, 0), limit: int = 100) -> tuple[values.Mail, ...]:
        """Messages that have not entered their lane yet, by (``due_ms``, ``id``)."""
        ...

    def cron(self, name: str) -> values.Cron | None: ...

    def crons(self, after: str = "", limit: int = 100) -> tuple[values.Cron, ...]:
        """Periodic messages, by name."""
        ...

    # ---- agents and sessions

    def owner(self, path: str) -> values.Incarnation | None: ...

    def sessions(self, prefix: str = "", after: str = "", limit: int = 100) -> tuple[values.Session, ...]:
        """By path; without those that were removed."""
        ...

    def session_count(self, above: str) -> int:
        """Of those right below the folder ``above``, which ends with "/"."""
        ...

    def session(self, path: str) -> values.Session | None: ...

    def tombstone(self, path: str) -> values.Tombstone | None: ...

    def state(self, path: str, checkpoint: str = "") -> values.State | None:
        """None if there is no session, or no state yet, or no such checkpoint. ``JournalDamaged`` if its bytes are not
        those that were written: go back to a checkpoint that reads."""
        ...

    def checkpoints(self, path: str) -> tuple[values.State, ...]:
        """Newest first, each without its bytes (``state`` is empty)."""
        ...

    def stashes(self, after: str = "", limit: int = 100) -> tuple[tuple[str, values.Incarnation], ...]:
        """Whose turn has something stashed, by path."""
        ...

    def log(self, path: str, after: int = 0, limit: int = 100, most_bytes: int = ALL_BYTES) -> values.LogPage:
        """Entries numbered above ``after``; the page ends with the first one that makes its bodies more than
        ``most_bytes``. Without a session an empty page, its ``last_seq`` 0, or the tombstone's."""
        ...

    def kept(self, after: str = "", limit: int = 100) -> tuple[values.Kept, ...]:
        """Children of run time that persist, by path."""
        ...

    def repeats(self, path: str) -> bytes:
        """What its agent has counted of what it repeats, as it has said it."""
        ...

    def intents(self, path: str, message: int | None = None) -> tuple[values.Intent, ...]:
        """Tool calls of its turns that are not committed yet, in the order they were intended; of one message."""
        ...

    # ---- meters

    def used(self, path: str) -> Amounts:
        """At ``path`` and below it, since it was first heard of or its session removed."""
        ...

    def metered(self, prefix: str = "", after: str = "", limit: int = 100) -> tuple[values.Metered, ...]:
        """Of paths that begin with ``prefix``, by path."""
        ...

    def spending(self, path: str) -> values.Spending | None: ...

    def spent(self, message: int) -> Amounts:
        """For it, by all of its attempts."""
        ...

    def grants(self, path: str, message: int = 0) -> tuple[values.Granted, ...]:
        """Those of the path, and those for turns of that message, oldest first."""
        ...

    def counted(self, boot: int) -> int:
        """The number of the host's last word on what was used, 0 if there was none."""
        ...

    # ---- what failed

    def crash(self, id: int) -> values.Crash | None: ...

    def crashes(
        self, path: str = "", before: int = 0, since_ms: int = 0, limit: int = 100, *, below: bool = True
    ) -> tuple[values.Crash, ...]:
        """Of ``path`` and, with ``below``, all below it ("": of all), newest first, each without its ``details``;
        numbered below ``before`` unless that is 0, and not older than ``since_ms``."""
        ...

    # ---- the core

    def boots(self) -> tuple[int, ...]: ...

    def core(
        self, boot: int, after: int = -1, limit: int = 100
    ) -> tuple[values.Noted | values.Snapshot | values.Gap, ...]:
        """In order: what is about events numbered above ``after`` (a snapshot before the first event has 0). A snapshot
        follows its event, a gap stands at its first. Page on with the ``number`` or the gap's ``last`` of the last
        one; a page may be one longer, for it never ends between an event and its snapshot."""
        ...

    def last_snapshot(self, boot: int) -> values.Snapshot | None: ...

    def last_number(self, boot: int) -> int: ...

    # ---- all

    def stats(self) -> values.Stats: ...

    def export(self) -> Iterator[values.Exported]:
        """Everything, as one look at one moment, however long it takes."""
        ...

    def close(self) -> None: ...


class Store(Protocol):
    """The writer. One thread at a time; ``commit`` blocks until the batch survives."""

    def commit(self, batch: Sequence[Op], now_ms: int) -> list[Answer]:
        """Answers in the order of the operations."""
        ...

    def reader(self) -> Reader:
        """Of its own; close it."""
        ...

    def retain(self, policy: Retention, now_ms: int, limit: int = 1000) -> Retained:
        """One step: at most about ``limit`` things of each kind, so that commits need not wait long. Repeat it while
        ``more``."""
        ...

    def vacuum(self, limit_bytes: int = 1 << 24) -> int:
        """Give room that was freed back to the disk, at most about so much; bytes given."""
        ...

    def check(self) -> tuple[str, ...]:
        """Read everything and say what is wrong, in words; empty if it is whole."""
        ...

    def close(self) -> None: ...
