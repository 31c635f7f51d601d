"""Opening the file: whose it is, of what version, one writer, and the pragmas. Looks before it touches anything."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from agenthost.errors import JournalForeign, JournalUnavailable, StateError
from agenthost.journal.sqlite import statements
from agenthost.journal.sqlite.failures import translated

APPLICATION_ID = 0x61674A31
"""In the file's header (sqlite.org, "Database File Format", 1.3.17): this is a journal of agenthost."""

BUSY_S = 2.0
"""How long a commit waits for somebody who has locked the database by hand."""

CHECKPOINT_PAGES = 4000
CACHE_KIB = 32_768
WAL_KEPT_BYTES = 64 * 1024 * 1024

Durability = Literal["process", "power"]


def lock(path: Path) -> int:
    """A descriptor that holds the writer's lock until it is closed. ``JournalUnavailable`` if somebody else has it."""
    beside = path.with_name(path.name + ".lock")
    try:
        fd = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise JournalUnavailable(
            f"cannot open the journal {path}: {beside.name}: {error.strerror}",
            hint="is its folder there, and writable?",
        ) from None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        raise JournalUnavailable(
            f"cannot write the journal {path}: another process writes it",
            hint="two hosts on one state folder? stop one",
        ) from None
    return fd


def writer(path: Path, durability: Durability) -> sqlite3.Connection:
    """The connection of the one writer; the lock is held already. Makes the file, and brings it up to our version."""
    with translated(str(path)):
        fresh = _look(path)
        if fresh:
            # SQLite gives its other files the rights of this one; the umask is not to be relied on.
            os.close(_create(path))
        # What cannot be written SQLite opens to be read, for good (sqlite.org/c3ref/open.html): that is no writer, also
        # when the file has become writable since. Asked by name: a descriptor's close(2) would end SQLite's locks.
        if not os.access(path, os.W_OK):
            raise JournalUnavailable(
                f"cannot write the journal {path}: the file or its file system is read-only",
                hint="make it writable; nothing is lost",
            )
        connection = _connect(path, "rw")
        try:
            if fresh:
                connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # before anything else is written
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(f"PRAGMA synchronous = {'FULL' if durability == 'power' else 'NORMAL'}")
            connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
            connection.execute(f"PRAGMA journal_size_limit = {WAL_KEPT_BYTES}")
            connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
            _migrate(connection)
        except BaseException:
            connection.close()
            raise
        return connection


def reader(path: Path) -> sqlite3.Connection:
    """Can write nothing, the pages of the WAL included, nor bring it up to our version."""
    with translated(str(path)):
        if _look(path):
            raise StateError(f"cannot read the journal {path}: there is none", hint="it is made when its host starts")
        connection = _connect(path, "ro")
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        newest = statements.migrations()[-1][0]
        if version < newest:
            connection.close()
            raise StateError(
                f"cannot read the journal {path}: it has version {version}, this agenthost reads {newest}",
                hint="start its host with this agenthost, which brings it up to date; or read it with the older one",
            )
        return connection


def _create(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise JournalUnavailable(
            f"cannot make the journal {path}: {error.strerror}", hint="is the disk full or read-only?"
        ) from None


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    return sqlite3.connect(
        f"file:{quote(str(path))}?mode={mode}",
        uri=True,
        timeout=BUSY_S,
        isolation_level=None,  # transactions are begun and ended by name
        check_same_thread=False,
        cached_statements=256,
    )


def _look(path: Path) -> bool:
    """True if there is nothing yet. Refuses what is not ours, or newer than we are; reads only."""
    try:
        if path.stat().st_size == 0:
            return True
    except FileNotFoundError:
        return True
    except OSError as error:
        raise JournalUnavailable(f"cannot open the journal {path}: {error.strerror}") from None
    connection = _connect(path, "ro")
    try:
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    finally:
        connection.close()
    if not tables and not version and not application:
        return True  # killed between the file and its first table
    if application != APPLICATION_ID:
        raise JournalForeign(
            f"cannot use {path} as a journal: it is the database of another program",
            hint="move it away, or name another state folder",
        )
    newest = statements.migrations()[-1][0]
    if version > newest:
        raise JournalForeign(
            f"cannot use the journal {path}: it has version {version}, this agenthost knows up to {newest}",
            hint="nothing was changed; use the newer agenthost again",
        )
    return False


def _migrate(connection: sqlite3.Connection) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    for number, script in statements.migrations():
        if number > version:
            mark = f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {number};"
            try:
                connection.executescript(f"BEGIN IMMEDIATE; {script} {mark} COMMIT;")
            except sqlite3.Error:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
