"""What operators ask about sessions, as questions to a reader and operations for the store. No sockets in here.

The rule it keeps: no answer is longer than a message may be. What is longer is asked for in pieces.
"""

from __future__ import annotations

import zlib
from typing import Any

import msgspec

from agenthost.errors import UnknownName, UsageError
from agenthost.journal import ops, values
from agenthost.journal.limits import PAGE
from agenthost.journal.store import Reader

ANSWER_BYTES = 4 * 1024 * 1024
"""Of bodies in one answer."""
AT_ONCE = 8
"""Entries read from the store in one go."""

LOOKS = frozenset({"sessions", "session", "log", "piece"})
CHANGES = frozenset({"fork", "import", "remove", "revive", "rollback"})

_Row = tuple[str, bytes, int, int, bool]
_entries = msgspec.msgpack.Decoder(list[_Row]).decode


def look(reader: Reader, what: str, args: dict[str, Any]) -> Any:
    """``what`` is one of ``LOOKS``. ``UnknownName``."""
    match what:
        case "sessions":
            return _sessions(reader, args["prefix"], args["after"], min(args["limit"], PAGE))
        case "session":
            return _session(reader, args["path"])
        case "log":
            return _log(reader, args["path"], args["after"], min(args["limit"], PAGE))
        case _:
            return _piece(reader, args["path"], args["seq"], args["checkpoint"], args["at"])


def change(reader: Reader, what: str, args: dict[str, Any]) -> ops.Op | None:
    """The operation for ``what``, one of ``CHANGES``; None if it was done before. ``UsageError``."""
    path = args["path"]
    match what:
        case "fork":
            return ops.Fork(args["source"], path, args["checkpoint"])
        case "rollback":
            return ops.RollBack(path, args["checkpoint"])
        case "remove":
            return ops.RemoveSession(path)
        case "revive":
            return ops.Revive(path)
    try:
        entries = tuple(values.Entry(*row) for row in _entries(args["entries"])) if args["entries"] else ()
    except msgspec.DecodeError as error:
        raise UsageError(f"cannot import into {path}: {error}") from None
    if not args["after"]:
        return ops.Import(path, args["state"], args["state_version"], entries)
    found = reader.session(path)
    last_seq = found.last_seq if found else 0
    if last_seq == args["after"] + len(entries):
        return None  # the answer to the first time was lost
    if last_seq != args["after"]:
        raise UsageError(f"cannot go on with the import into {path}: its log ends at {last_seq}, not {args['after']}")
    return ops.Append(path, entries)


def last_seq(reader: Reader, path: str) -> int:
    found = reader.session(path)
    return found.last_seq if found else 0


def _sessions(reader: Reader, prefix: str, after: str, limit: int) -> list[dict[str, Any]]:
    """At ``prefix`` and below: to the store ``/a`` is a prefix of ``/ab`` too."""
    whole = prefix.rstrip("/")
    found: list[values.Session] = []
    if whole and whole > after and (one := reader.session(whole)) is not None:
        found.append(one)
    found += reader.sessions(f"{whole}/" if whole else "", after, limit)
    return [_plain(one) for one in found[:limit]]


def _plain(one: values.Session) -> dict[str, Any]:
    return {
        "path": one.path,
        "created": one.created_ms / 1000,
        "changed": one.changed_ms / 1000,
        "ended": one.ended_ms / 1000,
        "first_seq": one.first_seq,
        "last_seq": one.last_seq,
        "state_bytes": one.state_bytes,
        "state_version": one.state_version,
    }


def _session(reader: Reader, path: str) -> dict[str, Any]:
    if (one := reader.session(path)) is None:
        if (buried := reader.tombstone(path)) is not None:
            return {"path": path, "removed": buried.removed_ms / 1000, "last_seq": buried.last_seq}
        raise UnknownName(f"cannot show the session of {path}: there is none", hint="see: agenthost sessions ls")
    points = [
        {"name": point.name, "at": point.at_ms / 1000, "seq": point.seq, "state_version": point.state_version}
        for point in reader.checkpoints(path)
    ]
    return {**_plain(one), "mail": reader.open_count(path), "checkpoints": points}


def _log(reader: Reader, path: str, after: int, limit: int) -> dict[str, Any]:
    """Few at a time: a page of a thousand might have a thousand times 16 MiB."""
    entries: list[dict[str, Any]] = []
    room_bytes = ANSWER_BYTES
    while True:
        page = reader.log(path, after, min(limit - len(entries), AT_ONCE))
        for one in page.entries:
            fits = len(one.body) <= ANSWER_BYTES
            if entries and fits and len(one.body) > room_bytes:
                return {"first_seq": page.first_seq, "last_seq": page.last_seq, "entries": entries}
            entries.append(_plain_entry(one, fits))
            room_bytes -= len(one.body) if fits else 0
            after = one.seq
        if not page.entries or len(entries) >= limit:
            return {"first_seq": page.first_seq, "last_seq": page.last_seq, "entries": entries}


def _plain_entry(one: values.Logged, fits: bool) -> dict[str, Any]:
    return {
        "seq": one.seq,
        "at": one.at_ms / 1000,
        "type": one.type,
        "body": one.body if fits else None,
        "bytes": len(one.body),
        "message": one.message,
        "attempt": one.attempt,
        "broken": one.broken,
    }


def _piece(reader: Reader, path: str, seq: int, checkpoint: str, at: int) -> dict[str, Any] | None:
    if seq:
        page = reader.log(path, seq - 1, 1)
        if not page.entries or page.entries[0].seq != seq:
            return None
        whole, stood_at, version = page.entries[0].body, seq, 0
    else:
        state = reader.state(path, checkpoint)
        if state is None:
            return None
        whole, stood_at, version = state.state, state.seq, state.state_version
    return {
        "data": whole[at : at + ANSWER_BYTES],
        "bytes": len(whole),
        "digest": zlib.crc32(whole),
        "seq": stood_at,
        "state_version": version,
    }
