"""A program that holds its interpreter in C code, beside threads of its own: DESCRIPTOR THREADS DEPTH. It says an empty
line when it is about to."""

from __future__ import annotations

import ctypes
import sys
import threading
from collections.abc import Callable

from agenthost.launch.slate import take_up

begun = threading.Semaphore(0)


def deep(left: int, end: Callable[[], None]) -> None:
    if left:
        deep(left - 1, end)
    else:
        end()


def waits() -> None:
    begun.release()
    threading.Event().wait()


def grab() -> None:
    print(flush=True)
    ctypes.PyDLL(None).read(0, ctypes.create_string_buffer(1), 1)


if __name__ == "__main__":
    descriptor, threads, depth = map(int, sys.argv[1:])
    take_up(descriptor)
    for number in range(threads):
        threading.Thread(target=deep, args=(depth, waits), name=f"own-{number}", daemon=True).start()
        begun.acquire()
    grab()
