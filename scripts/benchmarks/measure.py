"""The rounds: raw, agenthost, raw, agenthost, ... so that a loaded machine slows both. Medians of rounds."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import raw
from benchmarks.figures import Figure, median, p99
from benchmarks.hosted import ASYNC, MANY, Hosted
from benchmarks.proc import cpu_s, memory_kb
from benchmarks.raw import RawCell, RawZygote


@dataclass(frozen=True, slots=True)
class Size:
    rounds: int
    many: int
    """Idle agents of each kind; also how many are started in a round."""
    singles: int
    """Agents restarted, and killed, one by one in a round."""
    calls: int
    batches: int
    idle_s: float
    crowd: int = 500
    tools: int = 30
    each: int = 64
    """Calls under way at once: what one caller has credit for."""


QUICK = Size(rounds=3, many=60, singles=15, calls=500, batches=30, idle_s=5)
FULL = Size(rounds=7, many=100, singles=30, calls=3000, batches=150, idle_s=10)


@dataclass(slots=True)
class _Pair:
    raw: list[float] = field(default_factory=list)
    ours: list[float] = field(default_factory=list)

    def figure(self, name: str, unit: str, **aims: float) -> Figure:
        return Figure(name, unit, median(self.ours), median(self.raw), **aims)


def measure(folder: Path, size: Size) -> Iterator[Figure]:
    """Starts a host, measures, ends it. ``RuntimeError`` if something was left of it."""
    with Hosted(folder, size.many) as host:
        join = raw.weight_of(host.pids("/calls")["/calls/echo"])
        with RawZygote(folder, "sync", join) as sync, RawZygote(folder, "async", join) as with_asyncio:
            yield from _memory(host, sync, with_asyncio, size)
            yield from _idle(host, size)
            yield from _starts(host, sync, size)
            yield from _calls(host, folder, join, size)
            yield from _tools(host, size)
            yield from _kill(host, join, size)
    if host.left:
        raise RuntimeError(f"processes of the host were left behind: {host.left}")


# ---- starts


def _starts(host: Hosted, zygote: RawZygote, size: Size) -> Iterator[Figure]:
    one, row, together = _Pair(), _Pair(), _Pair()
    back_ms: list[float] = []
    slowest = _Pair()
    for _ in range(size.rounds):
        singles = [zygote.start_one() * 1e3 for _ in range(size.singles)]
        zygote.kill_all()
        one.raw.append(median(singles))
        slowest.raw.append(p99(singles))
        singles = _restart_each(host, size)
        one.ours.append(median(singles))
        slowest.ours.append(p99(singles))
        back_ms += _kill_each(host, size)

        began = time.perf_counter()
        for _ in range(size.many):
            zygote.start_one()
        row.raw.append(size.many / (time.perf_counter() - began))
        row.ours.append(_restart_row(host))

        began = time.perf_counter()
        zygote.kill_all()
        zygote.start_many(size.many)
        together.raw.append(size.many / (time.perf_counter() - began))
        zygote.kill_all()
        together.ours.append(_kill_together(host))
    yield one.figure("warm start until ready, p50", "ms", at_most=1 / 0.7)
    yield slowest.figure("warm start until ready, p99", "ms")
    yield row.figure("starts a second, one after the other", "/s", at_least=0.7)
    yield together.figure("restarts a second, all killed at once", "/s", at_least=0.7)
    yield Figure("SIGKILL until ready again, p50 (raw: one warm start)", "ms", median(back_ms), median(one.ours), 1.5)


def _restart_each(host: Hosted, size: Size) -> list[float]:
    start = host.offset()
    for n in range(size.singles):
        host.ask("restart", path=f"{MANY}/a{n}")
    ready = host.wait_records(start, "agent.ready", size.singles, MANY)
    return [float(one["fields"]["after_ms"]) for one in ready]


def _kill_each(host: Hosted, size: Size) -> list[float]:
    """Milliseconds from our SIGKILL until it is ready again."""
    taken = []
    pids = host.pids(MANY)
    for n in range(size.singles):
        path, start = f"{MANY}/a{n}", host.offset()
        began = time.time()
        os.kill(pids[path], signal.SIGKILL)
        time.sleep(0.03)  # so that the first look does not fall into what is measured
        (ready,) = host.wait_records(start, "agent.ready", 1, path)
        taken.append((ready["at"] - began) * 1e3)
    return taken


def _restart_row(host: Hosted) -> float:
    """A supervisor starts its children one after the other: starts a second, from the first that is ready on."""
    start = host.offset()
    host.ask("restart", path=MANY)
    at = [one["at"] for one in host.wait_records(start, "agent.ready", host.many, MANY + "/")]
    return (len(at) - 1) / (at[-1] - at[0])


def _kill_together(host: Hosted) -> float:
    pids, start = host.pids(MANY), host.offset()
    began = time.time()
    for pid in pids.values():
        os.kill(pid, signal.SIGKILL)
    time.sleep(0.1)
    ready = host.wait_records(start, "agent.ready", len(pids), MANY + "/")
    return len(ready) / (ready[-1]["at"] - began)


# ---- calls


def _calls(host: Hosted, folder: Path, join: list[str], size: Size) -> Iterator[Figure]:
    single, tail, piped = _Pair(), _Pair(), _Pair()
    for _ in range(size.rounds):
        taken = raw.calls_us(folder, join, size.calls)[10:]
        single.raw.append(median(taken))
        tail.raw.append(p99(taken))
        taken = host.client.call("/calls/caller", {"calls": size.calls}, timeout=60)[10:]
        single.ours.append(median(taken))
        tail.ours.append(p99(taken))
        piped.raw.append(raw.calls_per_s(folder, join, size.batches, size.each))
        wish = {"batches": size.batches, "each": size.each}
        piped.ours.append(host.client.call("/calls/caller", wish, timeout=60))
    yield single.figure("call and reply, 100 B, p50", "us", at_most=1.3)
    yield tail.figure("call and reply, 100 B, p99", "us")
    yield piped.figure(f"calls a second, {size.each} under way", "/s", at_least=0.6)


# ---- memory and idling


def _memory(host: Hosted, sync: RawZygote, with_asyncio: RawZygote, size: Size) -> Iterator[Figure]:
    """As many raw children as agents are alive: what processes share is divided among them (proc(5), Pss)."""
    for zygote, below, name in ((sync, MANY, "idle agent"), (with_asyncio, ASYNC, "idle async agent")):
        zygote.start_many(size.many)
        theirs = [memory_kb(pid, "Pss") for pid in zygote.pids]
        ours = [memory_kb(pid, "Pss") for pid in host.pids(below).values()]
        yield Figure(f"PSS of an {name}", "kB", median(ours), median(theirs), at_most=1.2)
    sync.kill_all()
    with_asyncio.kill_all()
    private = ("Private_Dirty", "Private_Clean")
    yield Figure("private memory of the guardian", "kB", memory_kb(host.guardian, *private))
    own = host.own_pids()
    yield Figure(f"RSS of the host with {2 * size.many} agents", "kB", memory_kb(own["host"], "Rss"))
    for name in ("router", "logger"):
        yield Figure(f"private memory of the {name}", "kB", memory_kb(own[name], *private))


def _idle(host: Hosted, size: Size) -> Iterator[Figure]:
    pids = {**host.own_pids(), "guardian": host.guardian}
    agents = [*host.pids(MANY).values(), *host.pids(ASYNC).values()]
    time.sleep(1)  # what the questions set off is over
    before, agents_before = {name: cpu_s(pid) for name, pid in pids.items()}, sum(map(cpu_s, agents))
    began = time.monotonic()
    time.sleep(size.idle_s)
    spent = {name: cpu_s(pid) - before[name] for name, pid in pids.items()}
    agents_s, passed_s = sum(map(cpu_s, agents)) - agents_before, time.monotonic() - began
    for name, spent_s in spent.items():
        bound = 0.05 if name == "host" else None
        yield Figure(f"idle CPU of the {name}, {len(agents)} agents", "%", 100 * spent_s / passed_s, at_most=bound)
    yield Figure("idle CPU of all agents together", "%", 100 * agents_s / passed_s)


# ---- the end of many


def _kill(host: Hosted, join: list[str], size: Size) -> Iterator[Figure]:
    tier = host.ask("status")["host"]["containment"]
    if tier != "cgroup":
        print(f"not measured: the kill of a cell against cgroup.kill, for the tier here is {tier}")
        return
    cell, pair = RawCell(), _Pair()
    try:
        for _ in range(size.rounds):
            pair.raw.append(cell.kill_crowd_s(join, size.crowd) * 1e3)
            pair.ours.append(_kill_crowd_ms(host, size.crowd))
    finally:
        cell.close()
    yield pair.figure(f"kill of a cell of {size.crowd} processes until empty", "ms", at_most=1.3)


def _tools(host: Hosted, size: Size) -> Iterator[Figure]:
    """In one process: the agent runs ``true`` by ``ctx.run`` and by ``subprocess.run``."""
    pair = _Pair()
    for _ in range(size.rounds):
        ours, plain = host.client.call("/tools/smith", size.tools, timeout=60)
        pair.ours += ours
        pair.raw += plain
    yield pair.figure("a tool that does nothing, p50 (raw: subprocess.run)", "ms")


def _kill_crowd_ms(host: Hosted, count: int) -> float:
    host.client.call("/kill/crowd", count, timeout=60)
    began = time.perf_counter()
    host.ask("kill", path="/kill/crowd")
    taken_ms = (time.perf_counter() - began) * 1e3
    host.wait_ready("/kill/crowd")
    return taken_ms
