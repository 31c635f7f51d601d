"""Stops a process after a given number of its system calls, to kill or to hold it: ``python -S -E stepper.py``.

Orders and answers are one JSON object a line. It is a program of its own: only the thread that traces may give orders
to what it traces (ptrace(2)), and what is traced has another parent, which must learn of its end as well.

``{"seize": PID, "generation": G, "after": N, "then": "kill" or "hold"}`` answers ``{"said": "seized"}``. Victim is PID
itself (G 0), or the first process that it forks (1), or the first that this one forks (2). After its N-th system call
it is killed or held: ``{"said": "held"}``. N None: its calls are counted. ``{"said": "ended"}`` comes when it has ended
and nobody is traced any more. ``{"finish": true}`` lets everybody go and answers ``{"said": "finished"}``. All of them
tell ``pid`` (0: there was none), ``since`` (its start time in ticks), ``calls`` and the number of its ``last_call``.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import sys
from typing import Any

CONT, DETACH, SYSCALL, SETOPTIONS, GETEVENTMSG = 7, 17, 24, 0x4200, 0x4201
SEIZE, INTERRUPT, LISTEN, GET_SYSCALL_INFO = 0x4206, 0x4207, 0x4208, 0x420E
O_TRACESYSGOOD, O_TRACEFORK, O_TRACEVFORK, O_TRACECLONE = 0x1, 0x2, 0x4, 0x8
FOLLOW = O_TRACEFORK | O_TRACEVFORK | O_TRACECLONE
EVENTS_OF_BIRTH, EVENT_STOP = (1, 2, 3), 128
SYSCALL_STOP = signal.SIGTRAP | 0x80
WALL = 0x40000000
GROUP_STOPS = (signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU)

ENTRY, INFO_BYTES = 1, 88

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
_libc.ptrace.restype = ctypes.c_long


def ptrace(request: int, pid: int, data: int = 0, address: int = 0) -> bool:
    """False if the process has gone: KILL ends whom we trace at any time, stopped or not."""
    if _libc.ptrace(request, pid, address, data) < 0:
        number = ctypes.get_errno()
        if number != 3:  # ESRCH
            raise OSError(number, f"ptrace({request:#x}, {pid}): {os.strerror(number)}")
        return False
    return True


def since(pid: int) -> int:
    with open(f"/proc/{pid}/stat", "rb") as file:
        return int(file.read().rpartition(b")")[2].split()[19])


class Stepper:
    """Of one order."""

    def __init__(self, pid: int, generation: int, after: int | None, then: str) -> None:
        self.generations: dict[int, int] = {}
        """Of those who are traced."""
        self.early: set[int] = set()
        """Children that stopped before their parent's word of them came."""
        self.wanted, self.after, self.then = generation, after, then
        self.victim, self.since, self.calls = 0, 0, 0
        self.last_call = -1
        self.held = self.finishing = False
        if ptrace(SEIZE, pid, FOLLOW if generation else O_TRACESYSGOOD):
            self.generations[pid] = 0
            if generation == 0:
                self.choose(pid)
            ptrace(INTERRUPT, pid)
            self.turn(block=True)  # from here on it runs under our eyes
        say("seized", pid=pid)

    def finish(self) -> None:
        self.let_all_go()
        self.report("finished")

    def report(self, what: str) -> None:
        say(what, pid=self.victim, since=self.since, calls=self.calls, last_call=self.last_call)

    def choose(self, pid: int) -> None:
        self.victim, self.since = pid, since(pid)

    def turn(self, *, block: bool = False) -> bool:
        """One event; False if there is none."""
        try:
            pid, status = os.waitpid(-1, WALL | (0 if block else os.WNOHANG))
        except ChildProcessError:
            self.generations.clear()
            return False
        if pid == 0:
            return False
        if not os.WIFSTOPPED(status):
            self.ended(pid)
            return True
        if pid not in self.generations:
            self.early.add(pid)
            return True
        self.stopped(pid, os.WSTOPSIG(status), status >> 16)
        return True

    def ended(self, pid: int) -> None:
        self.generations.pop(pid, None)
        self.early.discard(pid)
        if pid == self.victim and not self.finishing:
            self.let_all_go()
            self.report("ended")

    def let_all_go(self) -> None:
        self.finishing = True
        for pid in list(self.generations):
            if pid == self.victim and self.held:
                self.let_go(pid)
            else:
                ptrace(INTERRUPT, pid)
        while self.generations:
            self.turn(block=True)

    def stopped(self, pid: int, signum: int, event: int) -> None:
        if event in EVENTS_OF_BIRTH:
            message = ctypes.c_ulong()
            if ptrace(GETEVENTMSG, pid, ctypes.addressof(message)):
                self.born(pid, message.value)
            signum = 0
        elif event == EVENT_STOP:
            if signum in GROUP_STOPS and not self.finishing:
                ptrace(LISTEN, pid)
                return
            signum = 0
        elif event:
            signum = 0
        elif signum == SYSCALL_STOP:
            signum = 0
            if pid == self.victim and self.called():
                return
        if self.finishing:
            self.let_go(pid, signum)
        else:
            self.go_on(pid, signum)

    def called(self) -> bool:
        """A system call begins, or has ended. True: it stays stopped."""
        info = ctypes.create_string_buffer(INFO_BYTES)
        if self.finishing or not ptrace(GET_SYSCALL_INFO, self.victim, ctypes.addressof(info), address=INFO_BYTES):
            return False
        if info.raw[0] == ENTRY:
            self.last_call = int.from_bytes(info.raw[24:32], "little")
            return False
        self.calls += 1
        if self.calls != self.after:
            return False
        if self.then == "kill":
            os.kill(self.victim, signal.SIGKILL)
        else:
            self.held = True
            self.report("held")
        return True

    def born(self, parent: int, pid: int) -> None:
        generation = self.generations[parent] + 1
        if pid not in self.early:
            status = os.waitpid(pid, WALL)[1]
            if not os.WIFSTOPPED(status):
                return
        self.early.discard(pid)
        if self.victim or self.finishing:
            ptrace(DETACH, pid)
            return
        self.generations[pid] = generation
        if generation == self.wanted:
            ptrace(SETOPTIONS, pid, O_TRACESYSGOOD)
            self.choose(pid)
            if self.after == 0:
                os.kill(pid, signal.SIGKILL)
                return
        self.go_on(pid, 0)

    def go_on(self, pid: int, signum: int) -> None:
        ptrace(SYSCALL if pid == self.victim else CONT, pid, signum)

    def let_go(self, pid: int, signum: int = 0) -> None:
        ptrace(DETACH, pid, signum)
        self.generations.pop(pid, None)


def say(what: str, **fields: Any) -> None:
    sys.stdout.write(json.dumps({"said": what, **fields}) + "\n")
    sys.stdout.flush()


def main() -> None:
    wake, woken = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
    poll = select.poll()
    poll.register(0, select.POLLIN)
    poll.register(wake, select.POLLIN)
    stepper: Stepper | None = None
    pending = b""
    while True:
        while stepper and stepper.generations and stepper.turn():
            continue
        for descriptor, _ in poll.poll():
            if descriptor == wake:
                os.read(wake, 4096)
                continue
            part = os.read(0, 65536)
            if not part:
                return  # whom we still trace goes on by itself (ptrace(2))
            *lines, pending = (pending + part).split(b"\n")
            for line in lines:
                order = json.loads(line)
                if stepper and "finish" in order:
                    stepper.finish()
                elif "seize" in order:
                    stepper = Stepper(order["seize"], order["generation"], order["after"], order["then"])


if __name__ == "__main__":
    main()
