"""Looks into the memory of processes, each by a thread that may be left behind.

To read /proc/PID/cmdline or environ the kernel takes the lock of that process's memory map (proc(5) does not say so;
mm/memory.c, ``access_remote_vm``). Who forks holds it, also while it waits for a CPU: beside a fork bomb of 1,500 one
read took seconds, and all of them minutes (Linux 6.18). Nothing but the end of the thread interrupts it. stat, statm,
comm and status take no such lock.

The rule it keeps: nobody waits longer than they said, and the threads that are stuck are bounded in number.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Iterable
from typing import TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

MOST_STUCK = 32
"""Threads that are still in a look that nobody waits for any more; with more of them none is begun."""
_begun: set[threading.Thread] = set()


def look(at: Callable[[K], V], keys: Iterable[K], patience_s: float, side_by_side: int = 1) -> dict[K, V]:
    """What ``at(key)`` returned, of those that it returned for within ``patience_s``. ``at`` raises nothing."""
    todo = list(keys)[::-1]
    found: dict[K, V] = {}
    is_over = threading.Event()

    def go_on() -> None:
        while not is_over.is_set():
            try:
                key = todo.pop()
            except IndexError:
                return
            seen = at(key)
            if not is_over.is_set():  # else whoever asked reads what was found
                found[key] = seen

    _begun.difference_update([one for one in _begun if not one.is_alive()])
    threads = [
        threading.Thread(target=go_on, name="look", daemon=True)
        for _ in range(min(side_by_side, len(todo), MOST_STUCK - len(_begun)))
    ]
    deadline = time.monotonic() + patience_s
    for one in threads:
        one.start()
    for one in threads:
        one.join(max(0.0, deadline - time.monotonic()))
    is_over.set()
    _begun.update(one for one in threads if one.is_alive())
    return dict(found)
