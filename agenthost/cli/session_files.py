"""Sessions as files: lines of JSON as ``journal export`` writes them, of one session; and back.

The rule it keeps: what is written belongs together. The state is taken first, as a whole; then the log up to where it
was at that moment. Bytes are base64, so nothing is lost and nothing needs to be understood.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import msgspec

from agenthost.errors import Busy, ProtocolError, UnknownName, UsageError
from agenthost.journal.export import parse
from agenthost.journal.values import Logged, Session, State
from agenthost.protocol.codec import unpack_body
from agenthost.protocol.limits import PEER_MESSAGE_BYTES

if TYPE_CHECKING:
    from agenthost.client.client import Client

WHOLE = "is it whole, as sessions export has written it?"
TRIES = 10
"""A state longer than a piece must not change between two of them."""
PAGE, PIECE_BYTES = 1000, PEER_MESSAGE_BYTES - 4096
ENTRIES_BYTES = 4 * 1024 * 1024
"""Of entries sent at a time."""

_encode = msgspec.json.Encoder().encode
_pack = msgspec.msgpack.Encoder().encode


def exported(asked: Client, path: str) -> Iterator[bytes]:
    """Lines: the session, its state, its checkpoints, its log."""
    about = asked.request("session", {"path": path})
    if about.get("removed"):
        raise UsageError(f"cannot export {path}: it was removed")
    state = state_of(asked, path)
    last_seq = state.seq if state is not None else about["last_seq"]
    about["last_seq"] = max(last_seq, about["first_seq"] - 1)
    milliseconds = {f"{name}_ms": round(about[name] * 1000) for name in ("created", "changed", "ended")}
    plain = {name: about[name] for name in ("path", "first_seq", "last_seq", "state_bytes", "state_version")}
    yield _encode(Session(**plain, **milliseconds)) + b"\n"
    if state is not None:
        yield _encode(state) + b"\n"
    for point in about["checkpoints"]:
        if (kept := state_of(asked, path, point["name"])) is not None:
            yield _encode(kept) + b"\n"
    for entry in entries(asked, path, 0, last_seq):
        yield _encode(entry) + b"\n"


def entries(asked: Client, path: str, after: int, up_to: int | None = None) -> Iterator[Logged]:
    """Of the log, above ``after``, up to the last one or ``up_to``."""
    while up_to is None or after < up_to:
        page = asked.request("log", {"path": path, "after": after, "limit": PAGE})["entries"]
        if not page:
            return
        for one in page:
            if up_to is not None and one["seq"] > up_to:
                return
            after = one["seq"]
            body = one["body"] if one["body"] is not None else _whole(asked, {"path": path, "seq": after})[0]
            plain = {name: one[name] for name in ("seq", "type", "message", "attempt", "broken")}
            yield Logged(session=path, at_ms=round(one["at"] * 1000), body=body, **plain)


def state_of(asked: Client, path: str, checkpoint: str = "") -> State | None:
    data, about = _whole(asked, {"path": path, "checkpoint": checkpoint})
    return None if about is None else State(path, data, about["state_version"], about["seq"], checkpoint)


def _whole(asked: Client, args: dict[str, Any]) -> tuple[bytes, dict[str, Any] | None]:
    """All pieces, and what the last one said of the whole. ``Busy``: it changes faster than it can be read."""
    for _ in range(TRIES):
        found = b""
        first = piece = asked.request("piece", args)
        while piece is not None and (piece["digest"], piece["seq"]) == (first["digest"], first["seq"]):
            found += piece["data"]
            if len(found) >= piece["bytes"]:
                return found, piece
            piece = asked.request("piece", {**args, "at": len(found)})
        if piece is None and first is None:
            return b"", None
    raise Busy(f"cannot read the state of {args['path']}: it changes all the time", hint="stop the agent first")


@contextmanager
def opened(file: Path) -> Iterator[IO[bytes]]:
    """It is read twice, so what cannot be is copied."""
    with open(0 if str(file) == "-" else file, "rb", closefd=str(file) != "-") as given:
        if given.seekable():
            yield given
            return
        with tempfile.TemporaryFile() as copy:
            shutil.copyfileobj(given, copy)
            copy.seek(0)
            yield copy


def check_target(asked: Client, path: str) -> None:
    """Nothing is stopped for what will be refused."""
    try:
        if not asked.request("session", {"path": path}).get("removed"):
            raise UsageError(
                f"cannot import {path}: there is a session of this name", hint="see: agenthost sessions rm"
            )
    except UnknownName:
        pass
    row = next((row for row in asked.request("status", {"paths": [path]})["tree"] if row["path"] == path), None)
    if row is not None and row["kind"] == "supervisor":
        raise UsageError(f"cannot import {path}: it is a supervisor", hint="name one of its agents")


def check(lines: Iterable[bytes]) -> None:
    """Before anything is stopped or written for them. ``UsageError``: they are no whole export of one session."""
    about: Session | None = None
    due, has_state = 0, False
    for line in lines:
        if not line.strip():
            continue
        match parse(line):
            case Session() as found:
                if about is not None:
                    raise UsageError(f"cannot import more than one session at once: {about.path}, {found.path}")
                about, due = found, found.first_seq
            case State(name=name, state=state):
                _check_body(state, "its state")
                has_state = has_state or not name
            case Logged(seq=seq, body=body):
                if seq != due:
                    raise UsageError(
                        f"cannot import: entry {seq} stands where {due or 'the session'} should", hint=WHOLE
                    )
                _check_body(body, f"entry {seq}")
                due += 1
    if about is None:
        raise UsageError("cannot import: there is no session in it", hint="agenthost sessions export writes one")
    if due <= about.last_seq:
        raise UsageError(f"cannot import: it ends before entry {due} of {about.last_seq}", hint=WHOLE)
    if about.state_bytes and not has_state:
        raise UsageError("cannot import: its state is missing", hint=WHOLE)


def _check_body(body: bytes, what: str) -> None:
    try:
        unpack_body(body)
    except ProtocolError as error:
        raise UsageError(f"cannot import: {what} is damaged: {error}", hint=WHOLE) from None


def imported(asked: Client, path: str, lines: Iterable[bytes]) -> int:
    """``path`` begins as what the lines tell, without the checkpoints. The number of its last entry. ``UsageError``:
    they are no export of one session."""
    sessions, rows = set[str](), list[tuple[Any, ...]]()
    state: State | None = None
    size_bytes, after, has_begun = 0, 0, False

    def send() -> None:
        nonlocal after, size_bytes, has_begun
        args: dict[str, Any] = {"path": path, "after": after, "entries": _upload(asked, _pack(rows)) if rows else ""}
        if not has_begun and state is not None:
            args |= {"state": _upload(asked, state.state), "state_version": state.state_version}
        after = asked.request("import", args)
        rows.clear()
        size_bytes, has_begun = 0, True

    for line in lines:
        if not line.strip():
            continue
        match parse(line):
            case Session(path=source):
                sessions.add(source)
            case State(path=source, name="") as state:
                sessions.add(source)
                if has_begun:
                    raise UsageError("cannot import: the state comes after a long log", hint="put its line first")
            case Logged(session=source) as one:
                sessions.add(source)
                rows.append((one.type, one.body, one.message, one.attempt, one.broken))
                size_bytes += len(one.body) + 100
                if size_bytes > ENTRIES_BYTES:
                    send()
        if len(sessions) > 1:
            raise UsageError(f"cannot import more than one session at once: {', '.join(sorted(sessions))}")
    if not sessions:
        raise UsageError("cannot import: there is no session in it", hint="agenthost sessions export writes one")
    if rows or not has_begun:
        send()
    return after


def _upload(asked: Client, data: bytes) -> str:
    name = os.urandom(12).hex()
    for at in range(0, max(1, len(data)), PIECE_BYTES):
        asked.request("upload", {"name": name, "at": at, "data": data[at : at + PIECE_BYTES]})
    return name
