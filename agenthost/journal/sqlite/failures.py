"""What SQLite reports, as the errors of the journal, each with what to do."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator

from agenthost.errors import AgenthostError, JournalDamaged, JournalForeign, JournalFull, JournalUnavailable

_PRIMARY = 0xFF
"""The low byte of an extended result code is the primary one (sqlite.org, "Result and Error Codes")."""


def meaning(error: sqlite3.Error, path: str) -> AgenthostError | None:
    """None if it is our own mistake (a wrong statement, a broken constraint): that must be seen as it is."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        return None
    match code & _PRIMARY:
        case sqlite3.SQLITE_FULL:
            return JournalFull(f"cannot write the journal {path}: the disk is full", hint="make room; nothing is lost")
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            why = f"cannot write the journal {path}: another process holds a lock on it"
            return JournalUnavailable(why, hint="end the program that has it open (fuser names it)")
        case sqlite3.SQLITE_READONLY:
            why = f"cannot write the journal {path}: the file or its file system is read-only"
            return JournalUnavailable(why, hint="make it writable; nothing is lost")
        case sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM | sqlite3.SQLITE_AUTH:
            why = f"cannot open the journal {path}: {error}"
            return JournalUnavailable(why, hint="does its folder exist, is it writable, are descriptors left?")
        case sqlite3.SQLITE_CORRUPT:
            return damaged(path, str(error))
        case sqlite3.SQLITE_NOTADB:
            return JournalForeign(
                f"cannot use {path} as a journal: {error}", hint="move it away, or name another folder"
            )
        case sqlite3.SQLITE_IOERR | sqlite3.SQLITE_PROTOCOL | sqlite3.SQLITE_NOMEM | sqlite3.SQLITE_INTERRUPT:
            why = f"cannot use the journal {path}: {error} ({getattr(error, 'sqlite_errorname', code)})"
            return JournalUnavailable(why, hint="look at the disk and the kernel's log")
    return None


def damaged(path: str, why: str) -> JournalDamaged:
    return JournalDamaged(
        f"cannot read the journal {path}: {why}",
        hint="nothing was overwritten: copy the file and those beside it, then `agenthost journal check` and `export`",
    )


@contextlib.contextmanager
def translated(path: str) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        meant = meaning(error, path)
        if meant is None:
            raise
        raise meant from error
