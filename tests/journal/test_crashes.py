"""SIGKILL at any instant loses nothing that was acknowledged, and leaves nothing half. The checker would notice."""

from __future__ import annotations

import copy
import json
import os
import random
import select
import signal
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from msgspec.structs import replace

from agenthost.journal import ops
from agenthost.journal.answers import Answer
from agenthost.journal.memory.data import Data
from agenthost.journal.memory.store import MemoryStore
from agenthost.journal.sqlite import opening
from agenthost.journal.sqlite.reading import SqliteReader
from agenthost.journal.sqlite.store import SqliteStore
from tests.journal.labour import SINK, Acknowledged, Labour, contradictions

LIVES_OF_ONE_JOURNAL = 20
QUICK_KILLS, SLOW_KILLS = 20, 400


@pytest.mark.parametrize("kills", [QUICK_KILLS, pytest.param(SLOW_KILLS, marks=pytest.mark.slow)])
def test_a_journal_whose_process_is_killed_keeps_what_it_acknowledged(tmp_path: Path, kills: int) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    written = 0
    for number in range(0, kills, LIVES_OF_ONE_JOURNAL):
        told, path = Acknowledged(), tmp_path / f"journal{number}"
        for boot in range(1, LIVES_OF_ONE_JOURNAL + 1):
            _live_and_die(path, boot, rng, told)
            if not path.exists() or not path.stat().st_size:
                continue  # killed before there was anything
            with SqliteReader(path) as read:
                assert contradictions(read, told) == [], f"seed {seed}, journal {number}, life {boot}"
        with SqliteStore(path) as store:
            assert store.check() == (), f"seed {seed}, journal {number}"
        written += len(told.mail) + sum(told.turns.values())
        assert told.mail and told.turns
    print(f"{kills} kills, {written} acknowledgements")


def _live_and_die(path: Path, boot: int, rng: random.Random, told: Acknowledged) -> None:
    """A child that works as fast as it can, killed from outside after a random time."""
    seed, pages = rng.random(), rng.choice((1, 20, 200, 4000))
    alive_s = rng.choice((0.002, 0.02, 0.05, 0.1)) * rng.random() + 0.002
    read, write = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.close(read)
            opening.CHECKPOINT_PAGES = pages  # so that it is killed while pages move, too
            labour = Labour(SqliteStore(path), boot, random.Random(seed), lambda line: _write(write, line))
            _write(write, [])
            while True:
                labour.step()
        finally:
            os._exit(1)
    os.close(write)
    try:
        parts = _read_until(read, alive_s)
        os.kill(child, signal.SIGKILL)
        parts += _read_until(read, None)
    finally:
        os.close(read)
        _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL, "it ended before it was killed"
    for line in parts.decode().splitlines():
        if line != "[]":
            told.add(json.loads(line))


def _write(fd: int, line: object) -> None:
    os.write(fd, json.dumps(line).encode() + b"\n")  # one write below PIPE_BUF: whole or not at all, pipe(7)


def _read_until(fd: int, alive_s: float | None) -> bytes:
    """What was said in ``alive_s`` after its first word; without, until it is closed."""
    parts, deadline = b"", None
    while True:
        left_s = None if alive_s is None else 60 if deadline is None else deadline - time.monotonic()
        if left_s is not None and left_s <= 0:
            return parts
        if not select.select([fd], [], [], left_s)[0]:
            assert deadline is not None, "it said nothing for a minute"
            return parts
        part = os.read(fd, 65536)
        if not part:
            return parts
        if deadline is None and alive_s is not None:
            deadline = time.monotonic() + alive_s
        parts += part


# ---- the checker is worth something


class Faulty(MemoryStore):
    """Does one commit wrong, the one numbered ``at``."""

    def __init__(self, fault: str, at: int) -> None:
        super().__init__()
        self.fault, self.at, self.done = fault, at, False

    def commit(self, batch: Sequence[ops.Op], now_ms: int) -> list[Answer]:
        self.at -= 1
        if self.at > 0 or self.done:
            return super().commit(batch, now_ms)
        before = copy.deepcopy(self._data)
        answers = super().commit(batch, now_ms)
        data = self._data
        assert data is not None and before is not None
        self.done = getattr(self, f"_{self.fault}")(data, before, batch)
        return answers

    def _loses(self, data: Data, before: Data, batch: Sequence[ops.Op]) -> bool:
        """Everything of the batch, as a database that was not written through."""
        for name in Data.__slots__:
            setattr(data, name, getattr(before, name))
        return any(isinstance(op, (ops.Accept, ops.CommitTurn)) for op in batch)

    def _doubles(self, data: Data, before: Data, batch: Sequence[ops.Op]) -> bool:
        """The log entries of a turn."""
        turns = [op for op in batch if isinstance(op, ops.CommitTurn)]
        for turn in turns[:1]:
            super().commit([ops.Append(turn.path, turn.entries)], 1)
        return bool(turns)

    def _halves(self, data: Data, before: Data, batch: Sequence[ops.Op]) -> bool:
        """A turn without its send."""
        new = [one for one in data.mail.values() if one.receiver == SINK and one.id not in before.mail]
        for one in new[:1]:
            del data.mail[one.id]
            data.boxes[SINK].discard(one.id)
        return bool(new)

    def _reorders(self, data: Data, before: Data, batch: Sequence[ops.Op]) -> bool:
        """Two messages of one sender that wait."""
        waiting = [one for one in data.mail.values() if one.status == "waiting" and one.receiver != SINK]
        for first in waiting:
            for second in waiting:
                if first.id < second.id and (first.sender, first.receiver) == (second.sender, second.receiver):
                    data.mail[first.id] = replace(first, place=second.place)
                    data.mail[second.id] = replace(second, place=first.place)
                    return True
        return False

    def _forgets_state(self, data: Data, before: Data, batch: Sequence[ops.Op]) -> bool:
        """The log is written, the state of before stays."""
        for turn in batch:
            if isinstance(turn, ops.CommitTurn) and turn.path in before.sessions:
                data.sessions[turn.path].state = before.sessions[turn.path].state
                return True
        return False

    def _forgets_acknowledgement(self, data: Data, before: Data, batch: Sequence[ops.Op]) -> bool:
        for turn in batch:
            if isinstance(turn, ops.CommitTurn):
                data.mail[turn.message] = before.mail[turn.message]
                data.boxes[turn.path].add(turn.message)
                return True
        return False


@pytest.mark.parametrize(
    "fault", ["loses", "doubles", "halves", "reorders", "forgets_state", "forgets_acknowledgement"]
)
@pytest.mark.parametrize("at", [3, 30, 60])
def test_the_checker_catches_a_store_that_does_one_commit_wrong(fault: str, at: int) -> None:
    found = _found(Faulty(fault, at))
    assert found, f"a store that {fault} commit {at} was not caught"


def test_the_checker_has_nothing_to_say_of_a_good_store() -> None:
    assert _found(MemoryStore()) == []


def _found(store: MemoryStore) -> list[str]:
    told = Acknowledged()
    labour = Labour(store, 1, random.Random(7), told.add)
    try:
        for _ in range(80):
            labour.step()
    except AssertionError as error:
        return [str(error)]
    assert not isinstance(store, Faulty) or store.done
    return contradictions(store.reader(), told)
