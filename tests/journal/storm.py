"""A journal's clerk and writer, agents at their doors and a host, without processes, over a store that fails on demand.

Weather strikes at commits. ``refused``: the disk says no, a few times; ``full``: the same, and it is the room;
``slow``: the commit takes a minute, as far as the clock goes; ``broken``: the store has a bug with this batch;
``killed``: the journal dies before the commit; ``unheard``: it dies right after it, before anybody was answered;
``torn``: it dies in the midst, and what the database gives back is as before. After a death there is another journal:
the host says again what was in no Did, agents come to new doors and say again what was not answered, as real ones do.

What is counted: a client sends numbers to ``/a``, which passes them to ``/b`` and, a while later, to ``/c``. Each has
to count each number once; ``/a`` and ``/b`` in order. A periodic message for ``/c`` is sent once for each time.
That the checker sees is shown by ``a lie``: a commit that is answered, and was not made.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any, Literal

import msgpack
from msgspec.structs import replace

from agenthost.errors import AgenthostError, JournalFull, JournalUnavailable
from agenthost.journal import ops, words
from agenthost.journal.answers import Accepted, Answer
from agenthost.journal.clerk import Clerk
from agenthost.journal.memory.data import Data
from agenthost.journal.memory.store import MemoryStore
from agenthost.journal.orders import Orders
from agenthost.journal.party import Party
from agenthost.journal.values import Mail
from agenthost.journal.writer import Writer
from agenthost.protocol import mail as say

Kind = Literal["refused", "full", "slow", "broken", "killed", "unheard", "torn", "a lie"]
KINDS: tuple[Kind, ...] = ("refused", "full", "slow", "broken", "killed", "unheard", "torn")
STEP_MS = 20
REFUSALS = 3
LATER_MS = 700
TICK = "CRON_TZ=UTC */5 * * * * *"
TERMS = words.Terms(attempts=1_000_000, initial_ms=10, max_ms=50)


class Killed(BaseException):
    """Not an Exception: whoever is killed catches nothing."""


class Weather(MemoryStore):
    """``forecast`` says what happens at commit number so and so, from 1; None for nothing."""

    def __init__(self, forecast: Callable[[int], Kind | None]) -> None:
        super().__init__()
        self._forecast = forecast
        self._refusals = 0
        self.commits = 0
        self.struck: list[Kind] = []
        self.lost_ms = 0
        self.fired: list[int] = []
        """The times that periodic messages were sent for."""

    def commit(self, batch: Sequence[ops.Op], now_ms: int) -> list[Answer]:
        self.commits += 1
        if self._refusals:
            self._refusals -= 1
            raise JournalUnavailable("cannot write: the disk fails")
        kind = self._forecast(self.commits)
        if kind is None:
            return self._keep(batch, now_ms)
        self.struck.append(kind)
        before = copy.deepcopy(self._open())
        match kind:
            case "refused" | "full":
                self._refusals = REFUSALS
                raise (JournalFull if kind == "full" else JournalUnavailable)("cannot write: no")
            case "slow":
                self.lost_ms += 60_000
            case "broken":
                raise ValueError("a bug of the store")
            case "killed":
                raise Killed
            case "unheard":
                self._keep(batch, now_ms)
                raise Killed
            case "a lie":
                answers = self._keep(batch, now_ms)
                self._restore(before)
                return answers
            case "torn":
                super().commit(batch[: len(batch) // 2 + 1], now_ms)
                self._restore(before)
                raise Killed
        return self._keep(batch, now_ms)

    def _restore(self, before: Data) -> None:
        data = self._open()
        for name in (field.name for field in fields(data)):
            setattr(data, name, getattr(before, name))

    def _keep(self, batch: Sequence[ops.Op], now_ms: int) -> list[Answer]:
        answers = super().commit(batch, now_ms)
        for op, answer in zip(batch, answers, strict=True):
            if isinstance(op, ops.Fire) and isinstance(answer, Accepted):
                self.fired.append(op.due_ms)
        return answers


class Agent:
    """At its door; ``open`` is what was not answered."""

    def __init__(self, world: World, path: str) -> None:
        self.world, self.path = world, path
        self.begin()

    def begin(self) -> None:
        self.n = self.world.next_n()
        self.open: dict[int, say.FromAgent] = {}
        self._last_id = 0
        self.state: dict[str, Any] | None = None
        self.is_waiting = self.is_taking = False
        self.come()
        self._ask(say.Load)

    def come(self) -> None:
        """To a door, a new one perhaps, of the journal that there is."""
        self.party = self.world.own(self.path, self.n)
        for message in list(self.open.values()):
            self.world.office.clerk.hear(self.party, message, self.world.now_ms)

    def _ask(self, kind: Any, *words: Any, **more: Any) -> None:
        self._last_id += 1
        self._say(kind(self._last_id, *words, **more))

    def _say(self, message: say.FromAgent) -> None:
        self.open[message.id] = message
        self.world.office.clerk.hear(self.party, message, self.world.now_ms)

    def listen(self) -> None:
        said = list(self.party.out)
        self.party.out.clear()
        for word in said:
            if isinstance(word, say.Waiting):
                self.is_waiting = True
            elif (message := self.open.pop(word.id, None)) is not None:
                self._hear(message, word)
        if self.is_waiting and self.state is not None and not self.open:
            self.is_waiting = False
            self._ask(say.Take)

    def _hear(self, message: say.FromAgent, word: say.FromJournal) -> None:
        match word:
            case say.State(state=state):
                self.state = {"seen": [], "wrong": []} if state is None else msgpack.unpackb(state)
            case say.Leased(mail=one):
                if isinstance(message, say.Commit):
                    assert message.state is not None
                    self.state = msgpack.unpackb(message.state)
                if one is not None:
                    self._turn(one)
            case say.Refused(code="journal_unavailable" | "journal_full"):
                self._last_id += 1
                self._say(replace(message, id=self._last_id))  # type: ignore[type-var]
            case say.Refused():
                self.world.crash(self, word.why)

    def _turn(self, one: say.Mail) -> None:
        assert self.state is not None
        if self.world.chance.random() < 0.05:
            self.world.crash(self, "killed by SIGKILL")
            return
        state = {**self.state, "seen": list(self.state["seen"])}
        body, now_ms, sends = msgpack.unpackb(one.body), self.world.now_ms, ()
        if body == "tick":
            state["ticks"] = state.get("ticks", 0) + 1
        else:
            number, due_ms = body
            if now_ms < due_ms:
                state["wrong"] = [*state["wrong"], f"{number} came {due_ms - now_ms} ms early"]
            state["seen"].append(number)
            if self.path == "/a":
                later_ms = now_ms + LATER_MS
                sends = (
                    say.Sending("/b", _packed([number, 0])),
                    say.Sending("/c", _packed([number, later_ms]), "", later_ms),
                    say.Sending("/c", _packed([-number, 0]), f"={number}", now_ms + 3_600_000),
                )
        cancels = (f"={number - 1}",) if self.path == "/a" and body != "tick" else ()
        self._ask(say.Commit, one.message, one.attempt, _packed(state), 0, sends, True, cancels=cancels)


class Office:
    """One life of the journal."""

    def __init__(self, world: World) -> None:
        self.told: list[words.FromJournal] = []
        self.writer = Writer(world.store)
        self.clerk = Clerk(world.store, self.writer, self.told.append)
        self.parties: dict[int, Party] = {}
        self.orders = Orders(world.store, self.clerk, self.told.append, self._own, lambda word: None)

    def _own(self, word: words.Own, party: Party) -> None:
        self.parties[word.n] = party


class World:
    """The host, the client and the clock."""

    def __init__(self, seed: int, forecast: Callable[[int], Kind | None]) -> None:
        self.chance = random.Random(seed)
        self.store = Weather(forecast)
        self.now_ms = 1_000_000
        self._n = self._id = self.deaths = 0
        self._open: dict[int, words.FromHost] = {}
        """What the host says again to the next journal."""
        self.agents: list[Agent] = []
        self.sent = self.acknowledged = 0
        self._asked = 0
        self._begin()
        self.agents = [Agent(self, path) for path in ("/a", "/b", "/c")]
        self._say(words.Schedules(self._new_id(), (words.Periodic("config:/c#t", "/c", TICK, _packed("tick")),)))

    def next_n(self) -> int:
        self._n += 1
        return self._n

    def _new_id(self) -> int:
        self._id += 1
        return self._id

    def _begin(self) -> None:
        self.office = Office(self)
        self.office.clerk.opened(self.now_ms)
        again = list(self._open.values())
        for agent in self.agents:
            agent.come()
        for word in again:
            self.office.orders.hear(word, self.now_ms)

    def own(self, path: str, n: int) -> Party:
        self.office.orders.hear(words.Own(self._new_id(), path, 1, n, n, TERMS), self.now_ms)
        return self.office.parties[n]

    def crash(self, agent: Agent, why: str) -> None:
        self.office.clerk.there.lost(agent.party)
        self._say(words.Disown(self._new_id(), agent.path, 1, agent.n, why, TERMS))
        agent.begin()

    def _say(self, word: words.FromHost) -> None:
        self._open[word.id] = word
        self.office.orders.hear(word, self.now_ms)

    def step(self, *, is_sending: bool) -> None:
        self.now_ms += STEP_MS
        if is_sending and not self._asked:
            if self.acknowledged == self.sent:
                self.sent += 1
            self._asked = self._new_id()
            key, body = str(self.sent), _packed([self.sent, 0])
            self._say(words.Send(self._asked, "client:0", "/a", body, key, TERMS))
        try:
            for outcome in self.office.writer.try_commit(self.now_ms):
                self._guarded(outcome.token, outcome.answers, outcome.error)
        except Killed:
            self.deaths += 1
            self._begin()
            return
        finally:
            self.now_ms += self.store.lost_ms
            self.store.lost_ms = 0
        self._guarded(self.office.clerk.tick, self.now_ms)
        self._hear()
        for agent in self.agents:
            agent.listen()

    @staticmethod
    def _guarded(deed: Callable[..., Any], *args: Any) -> None:
        try:
            deed(*args)
        except AgenthostError:
            pass  # as the process does it: the writer tells

    def _hear(self) -> None:
        told = list(self.office.told)
        self.office.told.clear()
        for number in self.office.orders.did:
            self._open.pop(number, None)
        self.office.orders.did.clear()
        for word in told:
            match word:
                case words.Answer(id=id, code=code):
                    self._open.pop(id, None)
                    if id == self._asked:
                        self._asked = 0
                        self.acknowledged += not code
                case words.Knows(path=path):
                    self._say(words.Known(self._new_id(), path, TERMS))
                case words.SetAside(path=path, why=why):
                    raise AssertionError(f"{path} lost a message: {why}")

    def is_done(self, messages: int) -> bool:
        done = set(range(1, messages + 1))
        seen = [set((agent.state or {}).get("seen", ())) for agent in self.agents]
        return all(done <= one for one in seen) and not any(agent.open for agent in self.agents)

    def faults(self, messages: int) -> list[str]:
        found = []
        for agent in self.agents:
            state = agent.state or {"seen": [], "wrong": []}
            seen = state["seen"]
            wanted = list(range(1, messages + 1))
            if (seen if agent.path != "/c" else sorted(seen)) != wanted:
                found.append(f"{agent.path} has seen {seen}")
            found += state["wrong"]
        reader = self.store.reader()
        fired = self.store.fired
        ticks = [one for one in reader.export() if isinstance(one, Mail) and one.sender == "config"]
        if fired != sorted(set(fired)) or len(ticks) != len(fired) or any(due_ms % 5000 for due_ms in fired):
            found.append(f"{len(ticks)} ticks were sent for {fired}")
        delayed = [one.key for one in reader.delayed()]
        if delayed != [f"={messages}"]:
            found.append(f"all but the last reminder were cancelled: {delayed}")
        return found


def sail(seed: int, forecast: Callable[[int], Kind | None], messages: int) -> World:
    """Until everything has arrived, or could not for long; ``faults`` says what is wrong then."""
    world = World(seed, forecast)
    steps = 0
    while world.acknowledged < messages and steps < 100 * messages:
        world.step(is_sending=True)
        steps += 1
    for _ in range(3000):
        if world.is_done(messages) and not world.office.writer.waiting:
            break
        world.step(is_sending=False)
    return world


def _packed(value: Any) -> bytes:
    return msgpack.packb(value)  # type: ignore[no-any-return]
