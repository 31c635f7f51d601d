"""A reader with a connection of its own: it sees what is committed, and can write nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from agenthost.core.budget.amounts import Amounts
from agenthost.errors import JournalDamaged, UsageError
from agenthost.journal import values
from agenthost.journal.limits import ALL_BYTES, PAGE
from agenthost.journal.sqlite import opening, statements
from agenthost.journal.sqlite.crashes import crash_of
from agenthost.journal.sqlite.failures import damaged, translated
from agenthost.journal.sqlite.mail import mail_of
from agenthost.journal.sqlite.meters import metered_of, read_amounts, spending_of
from agenthost.journal.sqlite.sessions import digest_of, read_entries

Row = tuple[Any, ...]
SNAPSHOT = 2
"""``what`` of the table ``core``."""
AT_ONCE = 200
"""Rows that are fetched in one go by what reads everything."""


class SqliteReader:
    """See ``agenthost.journal.store.Reader``. One thread at a time."""

    def __init__(self, path: Path) -> None:
        self._path = str(path)
        self._sql = statements.load()
        self._connection: sqlite3.Connection | None = opening.reader(path)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    # ---- mail

    def message(self, id: int) -> values.Mail | None:
        return self._mail("message", id=id)

    def receiver(self, id: int) -> str:
        rows = self._all("read_receiver", id=id)
        return str(rows[0][0]) if rows else ""

    def history(self, id: int) -> tuple[values.Failure, ...]:
        return tuple(values.Failure(*row) for row in self._all("read_history", id=id))

    def by_key(self, sender: str, key: str) -> values.Mail | None:
        return self._mail("read_by_key", sender=sender, key=key) if key else None

    def mailbox(self, receiver: str, after: int = 0, limit: int = 100) -> tuple[values.Mail, ...]:
        rows = self._all("read_mailbox", receiver=receiver, after=after, limit=_page(limit))
        return tuple(mail_of(row) for row in rows)

    def glance(self, receiver: str, limit: int = 100) -> tuple[values.Mail, ...]:
        return tuple(map(mail_of, self._all("read_glance", receiver=receiver, limit=_page(limit))))

    def dead_count(self, receiver: str, limit: int = 100) -> int:
        ((count,),) = self._all("read_dead_count", receiver=receiver, limit=limit)
        return int(count)

    def open_count(self, receiver: str) -> int:
        ((count,),) = self._all("read_open_count", receiver=receiver)
        return int(count)

    def mailboxes(self, after: str = "", limit: int = 100) -> tuple[tuple[str, int], ...]:
        return tuple((path, count) for path, count in self._all("read_mailboxes", after=after, limit=_page(limit)))

    def receivers(self, after: str = "", limit: int = 100) -> tuple[str, ...]:
        return self._steps("read_next_receiver", after, _page(limit))

    def held(self, path: str) -> values.Mail | None:
        return self._mail("read_held", path=path)

    def overdue(self, now_ms: int, limit: int = 100) -> tuple[values.Mail, ...]:
        return tuple(mail_of(row) for row in self._all("read_overdue", now_ms=now_ms, limit=_page(limit)))

    def holders(self, after: str = "", limit: int = 100) -> tuple[str, ...]:
        return tuple(path for (path,) in self._all("read_holders", after=after, limit=_page(limit)))

    def next_due_ms(self) -> int:
        ((due_ms,),) = self._all("read_next_due")
        return due_ms or 0

    def dead_letters(self, prefix: str = "", after: int = 0, limit: int = 100) -> tuple[values.Mail, ...]:
        rows = self._all("read_dead_letters", prefix=prefix, after=after, limit=_page(limit))
        return tuple(mail_of(row) for row in rows)

    def parked(self, prefix: str = "", after: int = 0, limit: int = 100) -> tuple[values.Mail, ...]:
        rows = self._all("read_parked", prefix=prefix, after=after, limit=_page(limit))
        return tuple(mail_of(row) for row in rows)

    def lapsed(self, now_ms: int, limit: int = 100) -> tuple[values.Mail, ...]:
        return tuple(mail_of(row) for row in self._all("read_lapsed", now_ms=now_ms, limit=_page(limit)))

    def delayed(self, after: tuple[int, int] = (0, 0), limit: int = 100) -> tuple[values.Mail, ...]:
        due_ms, number = after
        return tuple(mail_of(row) for row in self._all("read_delayed", due_ms=due_ms, id=number, limit=_page(limit)))

    def cron(self, name: str) -> values.Cron | None:
        for row in self._all("cron", name=name):
            return values.Cron(*row)
        return None

    def crons(self, after: str = "", limit: int = 100) -> tuple[values.Cron, ...]:
        return tuple(values.Cron(*row) for row in self._all("read_crons", after=after, limit=_page(limit)))

    # ---- agents and sessions

    def owner(self, path: str) -> values.Incarnation | None:
        for boot, n in self._all("read_owner", path=path):
            return (boot, n)
        return None

    def sessions(self, prefix: str = "", after: str = "", limit: int = 100) -> tuple[values.Session, ...]:
        rows = self._all("read_sessions", prefix=prefix, after=after, limit=_page(limit))
        return tuple(values.Session(*row) for row in rows)

    def session_count(self, above: str) -> int:
        ((count,),) = self._all("read_session_count", above=above)
        return int(count)

    def session(self, path: str) -> values.Session | None:
        for row in self._all("read_session", path=path):
            return values.Session(*row)
        return None

    def tombstone(self, path: str) -> values.Tombstone | None:
        for row in self._all("tombstone", path=path):
            return values.Tombstone(*row)
        return None

    def state(self, path: str, checkpoint: str = "") -> values.State | None:
        statement = "read_checkpoint" if checkpoint else "read_state"
        for row in self._all(statement, path=path, name=checkpoint):
            return None if row[1] is None else self._state(row)
        return None

    def checkpoints(self, path: str) -> tuple[values.State, ...]:
        return tuple(values.State(*row) for row in self._all("read_checkpoints", path=path))

    def log(self, path: str, after: int = 0, limit: int = 100, most_bytes: int = ALL_BYTES) -> values.LogPage:
        with self._one_look():
            ends = self._all("read_log_ends", path=path)
            if not ends:
                buried = self.tombstone(path)
                last_seq = buried.last_seq if buried else 0
                return values.LogPage(last_seq + 1, last_seq, ())
            ((session, first_seq, last_seq),) = ends
            found, size_bytes = list[values.Logged](), 0
            row = {"path": path, "session": session, "after": after, "limit": _page(limit)}
            with translated(self._path):
                for one in self._open().execute(self._sql["read_log"], row):  # a row is read when it is asked for
                    found.append(_logged(one))
                    size_bytes += len(found[-1].body)
                    if size_bytes > most_bytes:
                        break
        return values.LogPage(first_seq, last_seq, tuple(found))

    def kept(self, after: str = "", limit: int = 100) -> tuple[values.Kept, ...]:
        return tuple(values.Kept(*row) for row in self._all("read_kept", after=after, limit=_page(limit)))

    def stashes(self, after: str = "", limit: int = 100) -> tuple[tuple[str, values.Incarnation], ...]:
        rows = self._all("read_stashes", after=after, limit=_page(limit))
        return tuple((path, (boot, n)) for path, boot, n in rows)

    def repeats(self, path: str) -> bytes:
        rows = self._all("read_repeats", path=path)
        return rows[0][0] if rows else b""

    def intents(self, path: str, message: int | None = None) -> tuple[values.Intent, ...]:
        return tuple(_intent(row) for row in self._all("read_intents", path=path, message=message))

    # ---- meters

    def used(self, path: str) -> Amounts:
        rows = self._all("read_used", path=path)
        return metered_of(rows[0]).used if rows else Amounts()

    def metered(self, prefix: str = "", after: str = "", limit: int = 100) -> tuple[values.Metered, ...]:
        rows = self._all("read_metered", prefix=prefix, after=after, limit=_page(limit))
        return tuple(map(metered_of, rows))

    def spending(self, path: str) -> values.Spending | None:
        rows = self._all("read_spending", path=path)
        return spending_of(rows[0]) if rows else None

    def spent(self, message: int) -> Amounts:
        rows = self._all("read_spent", message=message)
        return read_amounts(rows[0][0]) if rows else Amounts()

    def grants(self, path: str, message: int = 0) -> tuple[values.Granted, ...]:
        found = (values.Granted(*row) for row in self._all("read_grants", path=path))
        return tuple(one for one in found if one.message in (0, message))

    def counted(self, boot: int) -> int:
        rows = self._all("read_counted", boot=boot)
        return int(rows[0][0]) if rows else 0

    # ---- what failed

    def crash(self, id: int) -> values.Crash | None:
        for row in self._all("read_crash", id=id):
            return crash_of(row)
        return None

    def crashes(
        self, path: str = "", before: int = 0, since_ms: int = 0, limit: int = 100, *, below: bool = True
    ) -> tuple[values.Crash, ...]:
        rows = self._all("read_crashes", path=path, before=before, since_ms=since_ms, below=below, limit=_page(limit))
        return tuple(map(crash_of, rows))

    # ---- the core

    def boots(self) -> tuple[int, ...]:
        return self._steps("read_next_boot", -1, 1 << 62)

    def core(
        self, boot: int, after: int = -1, limit: int = 100
    ) -> tuple[values.Noted | values.Snapshot | values.Gap, ...]:
        with self._one_look():
            rows = self._all("read_core", boot=boot, after=after, limit=_page(limit))
            if rows and rows[-1][2] != SNAPSHOT:
                rows += self._all("read_picture", boot=boot, number=rows[-1][3])
        return tuple(_of_core(row) for row in rows)

    def last_snapshot(self, boot: int) -> values.Snapshot | None:
        for row in self._all("read_last_picture", boot=boot):
            found = _of_core(row)
            assert isinstance(found, values.Snapshot)
            return found
        return None

    def last_number(self, boot: int) -> int:
        for (until,) in self._all("core_last", boot=boot):
            return int(until)
        return 0

    # ---- all

    def stats(self) -> values.Stats:
        with self._one_look() as connection:
            size, pages, free = (
                connection.execute(f"PRAGMA {name}").fetchone()[0]
                for name in ("page_size", "page_count", "freelist_count")
            )
            ((sessions, opened, dead),) = self._all("read_counts")
        files = (Path(self._path + suffix) for suffix in ("", "-wal"))
        on_disk = sum(file.stat().st_size for file in files if file.exists())
        return values.Stats((pages - free) * size, on_disk, sessions, opened, dead)

    def export(self) -> Iterator[values.Exported]:
        """Uses this reader until it is exhausted or closed."""
        with self._one_look():
            yield from (mail_of(row) for row in self._each("export_mail"))
            yield from (values.Failure(*row) for row in self._each("export_failures"))
            yield from (values.Cron(*row) for row in self._each("export_crons"))
            yield from (values.Owner(path, (boot, n), turn) for path, boot, n, turn in self._each("export_owners"))
            yield from (_stashed(row) for row in self._each("export_stashes"))
            yield from (values.Session(*row) for row in self._each("export_sessions"))
            yield from (self._state(row) for row in self._each("export_states"))
            yield from (self._state(row) for row in self._each("export_checkpoints"))
            yield from (_logged(row) for row in self._each("export_log"))
            yield from (_intent(row) for row in self._each("export_intents"))
            yield from (values.Tombstone(*row) for row in self._each("export_tombstones"))
            yield from (values.Kept(*row) for row in self._each("export_kept"))
            yield from (values.Repeats(*row) for row in self._each("export_repeats"))
            yield from (metered_of(row) for row in self._each("export_metered"))
            yield from (spending_of(row) for row in self._each("export_spending"))
            yield from (values.Spent(number, read_amounts(used)) for number, used in self._each("export_spent"))
            yield from (values.Granted(*row) for row in self._each("export_grants"))
            yield from (values.Counted(*row) for row in self._each("export_counted"))
            yield from map(crash_of, self._each("export_crashes"))
            yield from (_of_core(row) for row in self._each("export_core"))

    def check(self) -> tuple[str, ...]:
        """Every page, every index, every digest."""
        try:
            with self._one_look() as connection, translated(self._path):
                found = [row[0] for row in connection.execute("PRAGMA integrity_check(100)") if row[0] != "ok"]
                if not found:
                    found += self._wrong_states()
        except JournalDamaged as error:
            found = [error.message]
        return tuple(found)

    def _wrong_states(self) -> list[str]:
        wrong = []
        for statement in ("export_states", "export_checkpoints"):
            for row in self._each(statement):
                try:
                    self._state(row)
                except JournalDamaged as error:
                    wrong.append(error.message)
        return wrong

    # ---- how

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _mail(self, statement: str, **row: Any) -> values.Mail | None:
        for found in self._all(statement, **row):
            return mail_of(found)
        return None

    def _state(self, row: Row) -> values.State:
        *fields, digest = row
        state = values.State(*fields)
        if digest != digest_of(state.state):
            which = f"checkpoint {state.name!r} of {state.path}" if state.name else f"the state of {state.path}"
            raise damaged(self._path, f"{which} is not what was written; its other checkpoints may be")
        return state

    def _all(self, statement: str, **row: Any) -> list[Row]:
        with translated(self._path):
            return self._open().execute(self._sql[statement], row).fetchall()

    def _each(self, statement: str) -> Iterator[Row]:
        with translated(self._path):
            cursor = self._open().execute(self._sql[statement])
            while rows := cursor.fetchmany(AT_ONCE):
                yield from rows

    def _steps(self, statement: str, after: Any, limit: int) -> tuple[Any, ...]:
        """From one value of an index to the next larger one."""
        found = list[Any]()
        with self._one_look():
            while len(found) < limit:
                ((after,),) = self._all(statement, after=after)
                if after is None:
                    break
                found.append(after)
        return tuple(found)

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            raise UsageError(f"cannot read the journal {self._path}: this reader was closed", hint="ask for a new one")
        return self._connection

    def _one_look(self) -> _Look:
        return _Look(self._open(), self._path)


class _Look:
    """A read transaction: what is read in it is of one moment. Inside another one it is that one."""

    def __init__(self, connection: sqlite3.Connection, path: str) -> None:
        self._connection = connection
        self._path = path
        self._outer = False

    def __enter__(self) -> sqlite3.Connection:
        self._outer = not self._connection.in_transaction
        if self._outer:
            with translated(self._path):
                self._connection.execute("BEGIN")
        return self._connection

    def __exit__(self, *error: object) -> None:
        if self._outer and self._connection.in_transaction:
            self._connection.execute("ROLLBACK")


def _page(limit: int) -> int:
    return max(1, min(limit, PAGE))


def _logged(row: Row) -> values.Logged:
    session, seq, at_ms, type_, body, message, attempt, broken = row
    return values.Logged(session, seq, at_ms, type_, body, message, attempt, bool(broken))


def _stashed(row: Row) -> values.Stashed:
    path, boot, n, packed = row
    return values.Stashed(path, (boot, n), read_entries(packed))


def _intent(row: Row) -> values.Intent:
    path, message, call, attempt, tool, arguments, idempotent, *rest = row
    at_ms, outcome, outcome_ms = rest
    return values.Intent(path, message, call, attempt, tool, arguments, bool(idempotent), at_ms, outcome, outcome_ms)


def _of_core(row: Row) -> values.Noted | values.Snapshot | values.Gap:
    boot, number, what, until, now_s, at_ms, chance, body, effects = row
    match what:
        case 0:
            return values.Noted(boot, number, now_s, chance, body, at_ms, effects)
        case 2:
            return values.Snapshot(boot, number, now_s, body, at_ms)
        case _:
            return values.Gap(boot, number, until, body.decode(), at_ms)
