"""Requests that go on: records as they come (``events``), and waiting for a state (``wait``).

Whoever waits hears something every two seconds, so a silent stream is told from a dead one, and the router tells us of
a peer that has gone. It asks again when it is back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from agenthost.core.tree import State
from agenthost.core.view import shown
from agenthost.errors import TimedOut, UnknownName
from agenthost.host.chronicle import Chronicle
from agenthost.observe.record import Record

Question = tuple[bytes, int]
"""(peer, id of its Request)."""
OnEnd = Callable[[TimedOut | None], None]

KEEPALIVE_S = 2.0
BATCH_BYTES = 256 * 1024
_WITHOUT_PROCESS = {"down", "done", "gave_up", "waiting", "asleep"}
STATES = {"stopped": _WITHOUT_PROCESS, "exit": _WITHOUT_PROCESS}


@dataclass(frozen=True, slots=True)
class _Wait:
    path: str
    word: str
    states: frozenset[str]
    on_end: OnEnd


class Following:
    """``stream(question, result)`` answers with more to come."""

    def __init__(self, chronicle: Chronicle, state: State, stream: Callable[[Question, Any], None]) -> None:
        self._chronicle, self._state, self._stream = chronicle, state, stream
        self._followers: set[Question] = set()
        self._waits: dict[Question, _Wait] = {}
        self._keepalive: asyncio.TimerHandle | None = None
        self._look_is_due = False
        chronicle.followers["following"] = self._recorded

    def batches(self, start: int | None) -> list[list[dict[str, Any]]]:
        """Records numbered ``start`` and later, each list small enough for a message; at least one list."""
        found: list[list[dict[str, Any]]] = [[]]
        size_bytes = 0
        for record in self._chronicle.since(start) if start is not None else ():
            plain = msgspec.to_builtins(record)
            size_bytes += len(msgspec.msgpack.encode(plain))
            if size_bytes > BATCH_BYTES and found[-1]:
                found.append([])
                size_bytes = 0
            found[-1].append(plain)
        return found

    def follow(self, question: Question) -> None:
        self._followers.add(question)
        self._arm()

    def wait(
        self,
        question: Question,
        path: str,
        word: str,
        timeout_s: float | None,
        on_end: Callable[[TimedOut | None], None],
    ) -> None:
        """``on_end`` once: None when ``path`` is in the state that ``word`` names. ``UnknownName``."""
        if path not in self._state.nodes:
            raise UnknownName(f"there is no {path}")
        wait = self._waits[question] = _Wait(path, word, frozenset(STATES.get(word, {word})), on_end)
        if timeout_s is not None:
            asyncio.get_running_loop().call_later(timeout_s, self._too_late, question, wait)
        self._arm()
        self._look()

    def gone(self, peer: bytes) -> list[Question]:
        """Forget what ``peer`` asked for; which questions those were."""
        gone = [question for question in (*self._followers, *self._waits) if question[0] == peer]
        for question in gone:
            self._followers.discard(question)
            self._waits.pop(question, None)
        return gone

    def close(self) -> None:
        if self._keepalive is not None:
            self._keepalive.cancel()

    def _recorded(self, record: Record) -> None:
        if self._followers:
            result = [msgspec.to_builtins(record)]
            for question in list(self._followers):
                self._stream(question, result)
        if self._waits and not self._look_is_due:
            # The core has not finished the step that this record belongs to.
            self._look_is_due = True
            asyncio.get_running_loop().call_soon(self._look)

    def _look(self) -> None:
        self._look_is_due = False
        for question, wait in list(self._waits.items()):
            if self._shown(wait.path) in wait.states:
                del self._waits[question]
                wait.on_end(None)

    def _too_late(self, question: Question, wait: _Wait) -> None:
        if self._waits.get(question) is wait:
            del self._waits[question]
            text = f"cannot wait any longer: {wait.path} is {self._shown(wait.path)}, not {wait.word}"
            wait.on_end(TimedOut(text))

    def _shown(self, path: str) -> str:
        node = self._state.nodes.get(path)
        return shown(node) if node is not None else "gone"

    def _arm(self) -> None:
        if self._keepalive is None:
            self._keepalive = asyncio.get_running_loop().call_later(KEEPALIVE_S, self._keep_alive)

    def _keep_alive(self) -> None:
        self._keepalive = None
        waiting = [*self._followers, *self._waits]
        for question in waiting:
            self._stream(question, [])
        if waiting:
            self._arm()
