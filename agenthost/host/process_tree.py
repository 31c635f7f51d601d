"""The processes of a cell as they are now, and of cells in it, for the record: read from /proc in one go.

Nothing is kept; how many are told is bounded, and so are what is read of them and for how long. A process that ends
while it is looked at is left out.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

from agenthost.containment import in_time, procfs
from agenthost.host.autopsy import LONGEST_WORD, MOST_PROCESSES, MOST_WORDS, PROCESSES_BYTES, Process
from agenthost.host.scrubbing import NONE_KNOWN, Known, scrubbed

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
WORDS_S = 0.05
"""For the words of all of them: a thousand that fork could hold us up for minutes (``in_time``)."""
ONE_BYTES = 256
"""Of a process, packed, besides its words, and that some are left out."""
LEFT_OUT = "... left out"


def processes_of(
    pids: Iterable[int],
    *,
    known: Known = NONE_KNOWN,
    main: int | None = None,
    forked: int | None = None,
    forked_as: str = "",
    outer: Callable[[int], int | None] = lambda pid: pid,
) -> list[Process]:
    """Parents before children. Of a crowd ``main`` is told, and the oldest, by their pids. No text shows a ``known``
    value. ``forked`` is an agent's own process, whose words are those of the zygote it was forked from: ``forked_as``
    is shown instead. ``outer`` tells a pid as people see it."""
    some = sorted(set(pids), key=lambda pid: (pid != main, pid))[:MOST_PROCESSES]
    stats = [stat for stat in map(procfs.stat, some) if stat is not None]
    names = {pid: outer(pid) for pid in {pid for one in stats for pid in (one.pid, one.ppid) if pid}}
    now = procfs.now_ticks()
    found: list[Process] = []
    spent_bytes = 0
    ordered = _in_order(stats)
    own_words = [seen.pid for seen in ordered if not (seen.pid == forked and forked_as)]
    words_of = in_time.look(words, own_words, WORDS_S)
    for seen in ordered:
        if (one := _process(seen, now, known, names)) is None:
            continue
        if seen.pid == forked and forked_as:
            one["argv"] = _shown([forked_as], known)
        elif spent_bytes < PROCESSES_BYTES and seen.pid in words_of:  # to look through them takes the longest
            one["argv"] = _shown(words_of[seen.pid], known)
        else:
            one["argv"] = [one["name"], LEFT_OUT]
        spent_bytes += sum(map(len, one["argv"]))
        found.append(one)
    return bounded(found)


def bounded(processes: list[Process], most_bytes: int = PROCESSES_BYTES) -> list[Process]:
    """Words beyond that are left out, of the last ones first, and it is said where."""
    left = most_bytes - ONE_BYTES * len(processes)
    shown: list[Process] = []
    for one in processes:
        words: list[str] = []
        for word in one["argv"]:
            left -= len(word.encode("utf-8", "replace")) + 5
            if left < 0:
                words = [*words, LEFT_OUT] if words else [one["name"], LEFT_OUT]
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


def _process(one: procfs.Stat, now: int, known: Known, names: dict[int, int | None]) -> Process | None:
    memory = procfs.read_bytes(f"/proc/{one.pid}/statm")
    name = procfs.read_bytes(f"/proc/{one.pid}/comm")
    if memory is None or name is None:
        return None
    return Process(
        pid=names.get(one.pid) or one.pid,
        ppid=names.get(one.ppid) or one.ppid,
        name=known.hidden_in(name.decode("utf-8", "replace").rstrip("\n")),
        state=_STATES.get(one.state, one.state),
        cpu_s=round(one.cpu_ticks / procfs.TICKS_PER_S, 2),
        memory_bytes=int(memory.split()[1]) * procfs.PAGE_BYTES if memory else 0,
        age_s=round(max(0, now - one.start_time) / procfs.TICKS_PER_S, 2),
        threads=one.threads,
        argv=[],
    )


def words(pid: int) -> list[str]:
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


def _shown(words: list[str], known: Known) -> list[str]:
    some = scrubbed(words[:MOST_WORDS], known)
    shown = [word if len(word) <= LONGEST_WORD else f"{word[: LONGEST_WORD - 4]} ..." for word in some]
    return [*shown, f"... {len(words) - MOST_WORDS} more"] if len(words) > MOST_WORDS else shown
