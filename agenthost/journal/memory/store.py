"""The writer of a journal in memory. See ``agenthost.journal.store.Store``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Self

from agenthost.errors import UsageError
from agenthost.journal import ops
from agenthost.journal.answers import Answer, Retained
from agenthost.journal.limits import too_large
from agenthost.journal.memory import chronology, crashes, keeping, mail, meters, repeating, sessions, upkeep
from agenthost.journal.memory.data import Data
from agenthost.journal.memory.reading import MemoryReader

_HANDLERS: dict[type[ops.Op], Callable[[Data, Any, int], Answer]] = {
    ops.Own: mail.own,
    ops.Accept: mail.accept,
    ops.Lease: mail.lease,
    ops.Extend: mail.extend,
    ops.CommitTurn: sessions.commit_turn,
    ops.Release: mail.settle,
    ops.BackOff: mail.settle,
    ops.Park: mail.settle,
    ops.DeadLetter: mail.settle,
    ops.Move: mail.settle,
    ops.Resume: meters.resume,
    ops.Requeue: mail.requeue,
    ops.Drop: mail.drop,
    ops.Strand: mail.strand,
    ops.Ripen: mail.ripen,
    ops.Cancel: mail.cancel,
    ops.Shift: mail.shift,
    ops.Skip: mail.skip,
    ops.Schedule: mail.schedule,
    ops.Unschedule: mail.unschedule,
    ops.Fire: mail.fire,
    ops.Intend: sessions.intend,
    ops.Conclude: sessions.conclude,
    ops.Append: sessions.append,
    ops.Stash: sessions.stash,
    ops.BreakOff: sessions.break_off,
    ops.Checkpoint: sessions.checkpoint,
    ops.RollBack: sessions.roll_back,
    ops.EndSession: sessions.end,
    ops.RemoveSession: sessions.remove,
    ops.Revive: sessions.revive,
    ops.Fork: sessions.fork,
    ops.Import: sessions.import_,
    ops.Keep: keeping.keep,
    ops.Unkeep: keeping.unkeep,
    ops.Repeated: repeating.repeated,
    ops.Charge: meters.charge,
    ops.Counted: meters.counted,
    ops.Grant: meters.grant,
    ops.Crash: crashes.note,
    ops.Note: chronology.note,
    ops.Picture: chronology.picture,
    ops.Missed: chronology.missed,
}


class MemoryStore:
    def __init__(self) -> None:
        self._data: Data | None = Data()

    def commit(self, batch: Sequence[ops.Op], now_ms: int) -> list[Answer]:
        data = self._open()
        return [too_large(op) or _HANDLERS[type(op)](data, op, now_ms) for op in batch]

    def reader(self) -> MemoryReader:
        return MemoryReader(self._open())

    def retain(self, policy: ops.Retention, now_ms: int, limit: int = 1000) -> Retained:
        return upkeep.retain(self._open(), policy, now_ms, max(1, limit))

    def vacuum(self, limit_bytes: int = 1 << 24) -> int:
        return 0

    def check(self) -> tuple[str, ...]:
        """What is in memory is what was put there."""
        self._open()
        return ()

    def close(self) -> None:
        self._data = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _open(self) -> Data:
        if self._data is None:
            raise UsageError("cannot use this journal: it was closed", hint="make a new one")
        return self._data
