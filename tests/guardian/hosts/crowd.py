"""A host with descendants of every awkward kind. Beats until it is killed; stops when it hears STOP.

``crowd.py [RELAYS]``: with so many more of those that fork and exit all the time.
Without a namespace it keeps the host's side of the bargain: guardian gone, it ends all below itself.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from typing import Callable

import speaking


def plain() -> None:
    return


def in_another_session() -> None:
    os.setsid()


def double_forked() -> None:
    os.setsid()
    if os.fork():
        os._exit(0)


def deaf() -> None:
    for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(signum, signal.SIG_IGN)


def stopped() -> None:
    os.setsid()
    tell()
    os.kill(os.getpid(), signal.SIGSTOP)


def relay() -> None:
    """Never the same pid for long: forks and exits, again and again."""
    os.setsid()
    tell()
    while True:
        if os.fork():
            os._exit(0)
        signal.sigtimedwait([signal.SIGUSR1], 0.002)


def other_program() -> None:
    os.setsid()
    tell()
    os.execv("/bin/sleep", ["sleep", "1000"])


def with_children() -> None:
    for _ in range(3):
        if os.fork() == 0:
            os.setsid()
            while True:
                signal.pause()


KINDS: list[Callable[[], None]] = [
    plain, in_another_session, double_forked, deaf, stopped, relay, other_program, with_children,
]  # fmt: skip
told_read, told_write = os.pipe()


def tell() -> None:
    os.write(told_write, b".")


def bear(kind: Callable[[], None]) -> None:
    if os.fork() == 0:
        speaking.link.close()
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        kind()
        tell()
        while True:
            signal.pause()


def end_all_below() -> None:
    from agenthost.guardian import descendants

    while descendants.has_children():
        descendants.kill_orphans()
        descendants.kill_below(os.getpid())


guardian = os.environ.get("AGENTHOST_GUARDIAN_PIDFD")
if guardian:
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
KINDS += [relay] * int(sys.argv[1] if sys.argv[1:] else 0)
for kind in KINDS:
    bear(kind)
missing = len(KINDS)
while missing:
    missing -= len(os.read(told_read, missing))
try:
    speaking.say("READY")
    speaking.note(f"host {speaking.outer_pid()}")
    while speaking.heard(speaking.BEAT_S) != "STOP":
        speaking.say("BEAT")
    speaking.say("BYE 0")
    sys.exit(0)
except OSError:  # the guardian has gone
    pass
if guardian:
    end_all_below()
