"""The processes of a cell as they are now, and of cells in it, for the record: read from /proc in one go.

Nothing here waits and nothing is kept; how many are told is bounded. A process that ends while it is looked at is left
out.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

from agenthost.containment import procfs
from agenthost.host.autopsy import LONGEST_WORD, MOST_PROCESSES, MOST_WORDS, PROCESSES_BYTES, Process
from agenthost.host.scrubbing import scrubbed

_STATES = {
    "R": "running",
    "S": "sleeping",
    "D": "in the kernel",
    "T": "stopped",
    "t": "traced",
    "Z": "ended",
    "X": "ended",
    "x": "ended",
    "I": "idle",
}
"""proc(5). D waits for something that no signal ends: a disk, a file server."""
_CMDLINE_BYTES = 8 * 1024
ONE_BYTES = 256
"""Of a process, packed, besides its words, and that some are left out."""


def processes_of(
    pids: Iterable[int],
    *,
    secrets: Iterable[str] = (),
    forked: int | None = None,
    forked_as: str = "",
    outer: Callable[[int], int | None] = lambda pid: pid,
) -> list[Process]:
    """Parents before children. ``forked`` is an agent's own process, whose words are those of the zygote it was forked
    from: ``forked_as`` is shown instead. ``outer`` tells a pid as people see it."""
    hidden = tuple(secrets)
    stats = [one for pid in list(pids)[:MOST_PROCESSES] if (one := procfs.stat(pid)) is not None]
    names = {pid: outer(pid) for pid in {pid for one in stats for pid in (one.pid, one.ppid) if pid}}
    now = procfs.now_ticks()
    found = [
        _process(one, now, [forked_as] if one.pid == forked and forked_as else _words(one.pid), hidden, names)
        for one in _in_order(stats)
    ]
    return bounded([one for one in found if one is not None])


def bounded(processes: list[Process], most_bytes: int = PROCESSES_BYTES) -> list[Process]:
    """Words beyond that are left out, of the last ones first, and it is said where."""
    left = most_bytes - ONE_BYTES * len(processes)
    shown: list[Process] = []
    for one in processes:
        words: list[str] = []
        for word in one["argv"]:
            left -= len(word.encode("utf-8", "replace")) + 5
            if left < 0:
                words.append("... left out")
                break
            words.append(word)
        shown.append({**one, "argv": words})
    return shown


def _in_order(stats: list[procfs.Stat]) -> list[procfs.Stat]:
    pids = {one.pid for one in stats}
    below: dict[int, list[procfs.Stat]] = {}
    for one in sorted(stats, key=lambda one: one.start_time):
        below.setdefault(one.ppid if one.ppid in pids and one.ppid != one.pid else 0, []).append(one)
    todo = below.get(0, [])[::-1]
    ordered: list[procfs.Stat] = []
    while todo:
        one = todo.pop()
        ordered.append(one)
        todo += below.get(one.pid, [])[::-1]
    return ordered


def _process(
    one: procfs.Stat, now: int, words: list[str], hidden: tuple[str, ...], names: dict[int, int | None]
) -> Process | None:
    memory = procfs.read_bytes(f"/proc/{one.pid}/statm")
    name = procfs.read_bytes(f"/proc/{one.pid}/comm")
    if memory is None or name is None:
        return None
    return Process(
        pid=names.get(one.pid) or one.pid,
        ppid=names.get(one.ppid) or one.ppid,
        name=name.decode("utf-8", "replace").rstrip("\n"),
        state=_STATES.get(one.state, one.state),
        cpu_s=round(one.cpu_ticks / procfs.TICKS_PER_S, 2),
        memory_bytes=int(memory.split()[1]) * procfs.PAGE_BYTES if memory else 0,
        age_s=round(max(0, now - one.start_time) / procfs.TICKS_PER_S, 2),
        threads=one.threads,
        argv=_shown(words, hidden),
    )


def _words(pid: int) -> list[str]:
    """Empty for one that has ended, and where we may not look."""
    try:
        fd = os.open(f"/proc/{pid}/cmdline", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return []
    try:
        data = os.read(fd, _CMDLINE_BYTES)
    except OSError:
        return []
    finally:
        os.close(fd)
    return [word.decode("utf-8", "replace") for word in data.rstrip(b"\0").split(b"\0")] if data else []


def _shown(words: list[str], hidden: tuple[str, ...]) -> list[str]:
    some = scrubbed(words[:MOST_WORDS], hidden)
    shown = [word if len(word) <= LONGEST_WORD else f"{word[: LONGEST_WORD - 4]} ..." for word in some]
    return [*shown, f"... {len(words) - MOST_WORDS} more"] if len(words) > MOST_WORDS else shown
