"""A load whose every result can be checked, and the checker.

Senders number what they send to each receiver; receivers fold what they handle into their state, which they read anew
for each turn, write one log entry and send one message for it. So the log of a receiver is the whole truth: whatever is
lost, doubled, halved or out of order shows as a contradiction between log, state, mail and what was acknowledged.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from agenthost.journal import ops
from agenthost.journal.answers import Accepted, Answer, Committed, Leased
from agenthost.journal.store import Reader, Store
from agenthost.journal.values import Entry, Mail, Noted

SENDERS = ("/s0", "/s1", "/s2")
RECEIVERS = ("/r0", "/r1")
SINK = "/sink"


@dataclass
class Acknowledged:
    """What somebody was told to be safe."""

    mail: dict[str, int] = field(default_factory=dict)
    turns: dict[str, int] = field(default_factory=dict)
    """Of each receiver: how many turns."""
    events: dict[int, int] = field(default_factory=dict)

    def add(self, line: list[Any]) -> None:
        kind, which, number = line
        if kind == "mail":
            self.mail[which] = number
        elif kind == "turn":
            self.turns[which] = max(number, self.turns.get(which, 0))
        else:
            self.events[which] = max(number, self.events.get(which, 0))


class Labour:
    """One life of it: begins from what the store holds, ends when ``step`` is no longer called."""

    def __init__(self, store: Store, boot: int, rng: random.Random, tell: Callable[[list[Any]], None]) -> None:
        self._store, self._boot, self._rng, self._tell = store, boot, rng, tell
        self._now_ms = boot * 1_000_000
        self._read = read = store.reader()
        self._sent = {(sender, to): self._last_sent(read, sender, to) for sender in SENDERS for to in RECEIVERS}
        self._event = 0
        self._held: dict[str, Mail] = {}
        store.commit([ops.Own(to, (boot, 1)) for to in RECEIVERS], self._now_ms)

    def step(self) -> None:
        rng, self._now_ms = self._rng, self._now_ms + 1
        batch: list[ops.Op] = []
        told: list[Callable[[Answer], list[list[Any]]]] = []
        for _ in range(rng.randint(0, 4)):
            sender, to = rng.choice(SENDERS), rng.choice(RECEIVERS)
            self._sent[sender, to] += 1
            key = f"{sender}>{to}:{self._sent[sender, to]}"
            batch.append(ops.Accept(to, sender, key.encode() + b"." * rng.choice((0, 100, 9000)), key=key))
            told.append(lambda answer, key=key: [["mail", key, _accepted(answer)]])  # type: ignore[misc]
        for _ in range(rng.randint(0, 2)):
            self._event += 1
            batch.append(ops.Note(self._boot, self._event, 0.0, b"event"))
            told.append(lambda answer, n=self._event: [["event", self._boot, n]])  # type: ignore[misc]
        for to in RECEIVERS:
            batch.append(self._of_receiver(to))
            told.append(lambda answer, to=to: self._handled(to, answer))  # type: ignore[misc]
        answers = self._store.commit(batch, self._now_ms)
        for answer, tell in zip(answers, told, strict=True):
            for line in tell(answer):
                self._tell(line)

    def _of_receiver(self, to: str) -> ops.Op:
        mail = self._held.pop(to, None)
        if mail is None:
            return ops.Lease(to, (self._boot, 1), self._now_ms)
        if self._rng.random() < 0.1:
            return ops.Release(mail.id, mail.attempt, "once more")
        key = mail.body.rstrip(b".").decode()
        state = _state(self._read, to)
        state["count"] += 1
        state[mail.sender] = int(key.split(":")[1])
        send = ops.Accept(SINK, to, b"%d" % state["count"], key=f"{to}:{state['count']}")
        return ops.CommitTurn(
            to,
            (self._boot, 1),
            mail.id,
            mail.attempt,
            json.dumps(state).encode(),
            sends=(send,),
            entries=(Entry("handled", key.encode(), mail.id, mail.attempt),),
            outcome=b"done " + key.encode(),
            lease_until_ms=1,
        )

    def _handled(self, to: str, answer: Answer) -> list[list[Any]]:
        match answer:
            case Leased(mail=mail) | Committed(next=Leased(mail=mail)):
                self._held[to] = mail
        match answer:
            case Committed(last_seq=last_seq):
                return [["turn", to, last_seq]]
        return []

    @staticmethod
    def _last_sent(read: Reader, sender: str, to: str) -> int:
        number = 0
        while read.by_key(sender, f"{sender}>{to}:{number + 1}") is not None:
            number += 1
        return number


def _accepted(answer: Answer) -> int:
    assert isinstance(answer, Accepted), answer
    return answer.message


def _state(read: Reader, path: str) -> dict[str, int]:
    state = read.state(path)
    return {"count": 0} if state is None else json.loads(state.state)


def contradictions(read: Reader, told: Acknowledged) -> list[str]:
    """What is wrong with what the store holds; empty if every promise was kept."""
    wrong = list[str]()
    mail = {one.id: one for one in read.export() if isinstance(one, Mail)}
    for key, number in told.mail.items():
        if number not in mail or mail[number].key != key:
            wrong.append(f"message {number} was acknowledged as {key}, and is not there")
    for to in RECEIVERS:
        wrong += _of_receiver(read, told, to, mail)
    for boot, last in told.events.items():
        kept = list[int]()
        while page := [one.number for one in read.core(boot, kept[-1] if kept else 0) if isinstance(one, Noted)]:
            kept += page
        if kept != list(range(1, len(kept) + 1)) or len(kept) < last:
            wrong.append(f"events of boot {boot}: {last} were acknowledged, {len(kept)} are there")
    return wrong


def _of_receiver(read: Reader, told: Acknowledged, to: str, mail: dict[int, Mail]) -> list[str]:
    wrong, entries = list[str](), list[Any]()
    while page := read.log(to, len(entries), 1000).entries:
        entries += page
    if len(entries) < told.turns.get(to, 0):
        wrong.append(f"{to}: {told.turns[to]} turns were acknowledged, {len(entries)} are there")
    fold: dict[str, int] = {"count": 0}
    for entry in entries:
        sender, _, number = entry.body.decode().replace(">", ":").split(":")
        if int(number) != fold.get(sender, 0) + 1:
            wrong.append(f"{to}: {entry.body!r} was handled after number {fold.get(sender, 0)} of its sender")
        fold[sender] = int(number)
        fold["count"] += 1
        handled = mail.get(entry.message)
        if handled is None or handled.status != "done" or handled.outcome != b"done " + entry.body:
            wrong.append(f"{to}: {entry.body!r} is in the log, its message is not acknowledged")
    if _state(read, to) != fold:
        wrong.append(f"{to}: the state is {_state(read, to)}, the log adds up to {fold}")
    done = sum(one.receiver == to and one.status == "done" for one in mail.values())
    if done != len(entries):
        wrong.append(f"{to}: {done} messages are done, {len(entries)} are in the log")
    sent = [int(one.body) for one in mail.values() if one.receiver == SINK and one.sender == to]
    if sent != list(range(1, len(entries) + 1)):
        wrong.append(f"{to}: its turns sent {sent[-3:]}, {len(entries)} are in the log")
    return wrong
