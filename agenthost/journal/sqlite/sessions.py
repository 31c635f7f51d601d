"""Carries out what is asked about sessions: logs, checkpoints, the end, removal, copies; and intents of tool calls."""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

from agenthost.journal import ops
from agenthost.journal.answers import Answer, Appended, Done, Rejected
from agenthost.journal.limits import CHECKPOINTS
from agenthost.journal.sqlite.boxes import Box, Boxes
from agenthost.journal.values import Entry, Incarnation

_pack_entries = msgspec.msgpack.Encoder().encode
read_entries = msgspec.msgpack.Decoder(tuple[Entry, ...]).decode


_OF_PATH = (
    *("drop_box", "unschedule_all", "remove_intents", "drop_stash"),
    *("remove_meters", "remove_spending", "remove_grants", "remove_repeats"),
)
"""What goes with a session."""


def digest_of(state: bytes | None) -> int | None:
    return None if state is None else zlib.crc32(state)


class Sessions:
    """Within a transaction that somebody else has begun."""

    def __init__(self, connection: sqlite3.Connection, sql: dict[str, str], boxes: Boxes) -> None:
        self._run = connection.execute
        self._run_many = connection.executemany
        self._sql = sql
        self._boxes = boxes

    # ---- growing

    def append(self, op: ops.Append, now_ms: int) -> Answer:
        box = self._boxes.of(op.path)
        refusal = box.gone("append to the log of")
        if refusal is None and op.incarnation is not None:
            refusal = box.fence(op.incarnation, "append to the log of")
        if refusal is not None:
            return refusal
        first = box.last_seq + 1
        if op.incarnation is not None:
            self.drop_stash(box)
        if op.incarnation is None or not self.is_written(box, op.turn):
            self.grow(box, op.entries, now_ms)
        return Appended(first, box.last_seq)

    def stash(self, op: ops.Stash, now_ms: int) -> Answer:
        box = self._boxes.of(op.path)
        refusal = box.gone("stash a turn of") or box.fence(op.incarnation, "stash a turn of")
        if refusal is not None:
            return refusal
        if op.entries:
            boot, n = op.incarnation
            row = {"path": op.path, "boot": boot, "n": n, "entries": _pack_entries(op.entries)}
            self._run(self._sql["stash"], row)
            box.stashed = True
        else:
            self.drop_stash(box)
        return Done()

    def break_off(self, op: ops.BreakOff, now_ms: int) -> Answer:
        box = self._boxes.of(op.path)
        if refusal := box.gone("break off a turn of"):
            return refusal
        first = box.last_seq + 1
        self.break_stash(box, now_ms, op.incarnation)
        return Appended(first, box.last_seq)

    def break_stash(self, box: Box, now_ms: int, of: Incarnation | None = None) -> None:
        """That of ``of``, or whoever's it is."""
        if not box.stashed:
            return
        boot, n, packed = self._run(self._sql["stashed"], {"path": box.path}).fetchone()
        if of in (None, (boot, n)):
            self.drop_stash(box)
            self.grow(box, [replace(one, broken=True) for one in read_entries(packed)], now_ms)

    def drop_stash(self, box: Box) -> None:
        if box.stashed:
            self._run(self._sql["drop_stash"], {"path": box.path})
            box.stashed = False

    def is_written(self, box: Box, turn: int) -> bool:
        """That turn of its owner, by its number; if it is not, it is from here on."""
        if not turn:
            return False
        if turn <= box.turn:
            return True
        box.turn = turn
        self._run(self._sql["own_turn"], {"path": box.path, "turn": turn})
        return False

    def grow(self, box: Box, entries: Sequence[Entry], now_ms: int) -> None:
        """The state stays as it is."""
        if box.late_state is not None:
            self._boxes.settle()
        last_seq = box.last_seq + len(entries)
        if box.session:
            self._run(self._sql["session_grown"], {"session": box.session, "now_ms": now_ms, "last_seq": last_seq})
        else:
            self._make(box, None, 0, last_seq, now_ms)
        self._log(box, entries, now_ms)

    def change(self, box: Box, state: bytes, state_version: int, entries: Sequence[Entry], now_ms: int) -> None:
        last_seq = box.last_seq + len(entries)
        if box.session:
            if box.late_state is None:
                self._boxes.late(box)
            box.late_state = (now_ms, last_seq, state_version, len(state), digest_of(state), state, box.session)
        else:
            self._make(box, state, state_version, last_seq, now_ms)
        self._log(box, entries, now_ms)

    def _make(
        self, box: Box, state: bytes | None, state_version: int, last_seq: int, now_ms: int, first_seq: int = 1
    ) -> None:
        row = {
            "path": box.path,
            "now_ms": now_ms,
            "first_seq": first_seq,
            "last_seq": last_seq,
            "state_version": state_version,
            "state_bytes": len(state or b""),
            "digest": digest_of(state),
            "state": state,
        }
        box.session = self._run(self._sql["session_new"], row).lastrowid or 0

    def _log(self, box: Box, entries: Sequence[Entry], now_ms: int) -> None:
        if not entries:
            return
        rows = [
            (box.session, seq, now_ms, one.type, one.message, one.attempt, one.broken, one.body)
            for seq, one in enumerate(entries, box.last_seq + 1)
        ]
        if len(rows) == 1:
            self._run(self._sql["log"], rows[0])
        else:
            self._run_many(self._sql["log"], rows)
        box.last_seq += len(rows)

    # ---- points to go back to

    def room_for_checkpoint(self, box: Box, name: str) -> Rejected | None:
        if not box.session:
            return None
        count, same = self._run(self._sql["checkpoint_count"], {"session": box.session, "name": name}).fetchone()
        if count < CHECKPOINTS or same:
            return None
        why = f"cannot keep checkpoint {name!r} of {box.path}: it has {count}; use one of their names again"
        return Rejected("too_many", why, box.path)

    def keep_checkpoint(self, box: Box, name: str, now_ms: int) -> None:
        self._boxes.settle()
        made = self._boxes.next_number()
        self._run(self._sql["checkpoint"], {"session": box.session, "name": name, "made": made, "now_ms": now_ms})

    def checkpoint(self, op: ops.Checkpoint, now_ms: int) -> Answer:
        box = self._boxes.of(op.path)
        refusal = self._absent(box, "keep a checkpoint of") or self.room_for_checkpoint(box, op.name)
        if refusal is not None:
            return refusal
        self.keep_checkpoint(box, op.name, now_ms)
        return Done()

    def roll_back(self, op: ops.RollBack, now_ms: int) -> Answer:
        box = self._boxes.of(op.path)
        if refusal := self._absent(box, "roll back"):
            return refusal
        row = {"session": box.session, "name": op.name, "now_ms": now_ms}
        if self._run(self._sql["roll_back"], row).rowcount:
            return Done()
        return Rejected("unknown", f"cannot roll {op.path} back to {op.name!r}: there is no such checkpoint", op.name)

    # ---- the end

    def end(self, op: ops.EndSession, now_ms: int) -> Answer:
        box = self._boxes.of(op.path)
        if refusal := self._absent(box, "end"):
            return refusal
        self._run(self._sql["session_end"], {"session": box.session, "now_ms": now_ms})
        return Done()

    def remove(self, op: ops.RemoveSession, now_ms: int) -> Answer:
        box = self._boxes.of(op.path)
        if box.removed:
            return Done()
        row = {"path": op.path, "session": box.session, "now_ms": now_ms, "last_seq": box.last_seq}
        for statement in (*_OF_PATH, "bury"):
            self._run(self._sql[statement], row)
        if box.session:
            for statement in ("remove_log", "remove_checkpoints", "remove_session"):
                self._run(self._sql[statement], row)
        self._boxes.forget_one(op.path)
        return Done()

    def revive(self, op: ops.Revive, now_ms: int) -> Answer:
        row = self._run(self._sql["tombstone"], {"path": op.path}).fetchone()
        if row is None:
            return Rejected("unknown", f"cannot revive {op.path}: it was not removed", op.path)
        self._run(self._sql["dig_up"], {"path": op.path})
        self._boxes.forget_one(op.path)
        self._make(self._boxes.of(op.path), None, 0, row[2], now_ms, first_seq=row[2] + 1)
        self._boxes.forget_one(op.path)
        return Done()

    # ---- copies

    def fork(self, op: ops.Fork, now_ms: int) -> Answer:
        source, target = self._boxes.of(op.source), self._boxes.of(op.target)
        if refusal := self._absent(source, "fork") or self._present(target, "fork to"):
            return refusal
        row = {"source": source.session, "target": op.target, "now_ms": now_ms, "seq": source.last_seq}
        made = -1  # of all
        if op.checkpoint:
            found = self._run(self._sql["fork_point"], {"session": source.session, "name": op.checkpoint}).fetchone()
            if found is None:
                why = f"cannot fork {op.source} at {op.checkpoint!r}: there is no such checkpoint"
                return Rejected("unknown", why, op.checkpoint)
            made, row["seq"], row["state_version"], row["digest"], row["state"] = found
        number = self._run(self._sql["fork_session" if op.checkpoint else "fork_now"], row).lastrowid
        row = {"source": source.session, "target": number, "seq": row["seq"], "made": made if made >= 0 else 1 << 62}
        self._run(self._sql["fork_log"], row)
        self._run(self._sql["fork_checkpoints"], row)
        self._boxes.forget_one(op.target)
        return Done()

    def import_(self, op: ops.Import, now_ms: int) -> Answer:
        box = self._boxes.of(op.path)
        if refusal := self._present(box, "import"):
            return refusal
        self._make(box, op.state, op.state_version, len(op.entries), now_ms)
        self._log(box, op.entries, now_ms)
        return Done()

    # ---- tool calls

    def intend(self, op: ops.Intend, now_ms: int) -> Answer:
        box = self._boxes.of(op.path)
        refusal = box.gone("intend a call for") or box.fence(op.incarnation, "intend a call for")
        row = {name: getattr(op, name) for name in op.__struct_fields__ if name != "incarnation"} | {"now_ms": now_ms}
        if refusal is None and self._run(self._sql["intent"], row).fetchone():
            why = f"cannot intend call {op.call!r} of {op.path}: this attempt has intended it; give each call its name"
            refusal = Rejected("conflict", why, op.call)
        if refusal is not None:
            return refusal
        self._run(self._sql["intend"], row)
        box.intents = True
        return Done()

    def conclude(self, op: ops.Conclude, now_ms: int) -> Answer:
        box = self._boxes.of(op.path)
        if refusal := box.fence(op.incarnation, "conclude a call of"):
            return refusal
        row = {"path": op.path, "message": op.message, "call": op.call, "outcome": op.outcome, "now_ms": now_ms}
        found = self._run(self._sql["open_intent"], row).fetchone()
        if found is None:
            return Rejected("unknown", f"cannot conclude call {op.call!r} of {op.path}: it was not intended", op.call)
        if found[1] is None:
            self._run(self._sql["conclude"], row | {"id": found[0]})
        return Done()

    def settle_intents(self, box: Box, message: int) -> None:
        if box.intents:
            self._run(self._sql["settle_intents"], {"path": box.path, "message": message})

    # ---- refusals

    @staticmethod
    def _absent(box: Box, what: str) -> Rejected | None:
        if box.session:
            return None
        return box.gone(what) or Rejected("unknown", f"cannot {what} {box.path}: there is no such session", box.path)

    @staticmethod
    def _present(box: Box, what: str) -> Rejected | None:
        if box.session:
            return Rejected("conflict", f"cannot {what} {box.path}: there is a session of this name", box.path)
        return box.gone(what)
