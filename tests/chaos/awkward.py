"""Programs whose processes are awkward to end: ``python -S -E awkward.py NAME``, with the standard library alone.

Each prints ``born`` when all of it runs and is as awkward as it gets, and never ends by itself. ``PROGRAMS`` names
them, with the least number of processes that each has then. ``CHAOS_FOLDER`` in the environment is a folder for what
they need in files: fifos, sockets, a set-user-ID copy of a program.
"""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import re
import resource
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn

Tell = Callable[[], object]

HOP_S = 0.02
"""How long one process of a chain lives: long enough to be seen from outside."""


class Program(NamedTuple):
    """``make`` returns when all of it runs; ``then``, after ``born`` was printed, is what the first process does."""

    make: Callable[[], None]
    processes: int
    then: Callable[[], object]
    needs: tuple[str, ...] = ()
    """Programs that must be installed."""


def main() -> None:
    name, *rest = sys.argv[1:]
    if name == "wander":
        _wander()
    if name == "tree":
        _grow(*rest)
    program = PROGRAMS[name]
    program.make()
    say_born()
    program.then()
    live()


def say_born() -> None:
    os.write(1, b"born\n")


def live() -> NoReturn:
    while True:
        time.sleep(1000)


def ignore_signals() -> None:
    for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD}:
        signal.signal(number, signal.SIG_IGN)


def child(be: Callable[[Tell], object]) -> int:
    """Fork one that calls ``be(tell)`` and then lives; returns its pid when it has called ``tell``, or has ended."""
    told, tell = os.pipe()
    if pid := os.fork():
        os.close(tell)
        os.read(told, 1)
        os.close(told)
        return pid
    try:
        os.close(told)
        be(lambda: (os.write(tell, b"."), os.close(tell)))
        live()
    finally:
        os._exit(1)


# ---- where they stand


def plain() -> None:
    child(lambda tell: tell())


def session() -> None:
    child(lambda tell: (os.setsid(), tell()))


def daemon() -> None:
    """Forked twice, in a session of its own, its parents gone."""

    def be(tell: Tell) -> None:
        os.setsid()
        if os.fork():
            os._exit(0)
        tell()

    os.waitpid(child(be), 0)


def deaf() -> None:
    """Ignores every signal that can be ignored, as does the program itself."""
    ignore_signals()
    child(lambda tell: tell())
    child(lambda tell: (os.setsid(), tell()))


def stopped() -> None:
    """One in the program's group and one in a session of its own; the program itself stops after them."""
    for lead in (lambda: None, os.setsid):
        pid = child(lambda tell, lead=lead: (lead(), tell(), os.kill(os.getpid(), signal.SIGSTOP)))
        os.waitpid(pid, os.WUNTRACED)


def stop() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def zombies() -> None:
    """Twenty that have ended and that nobody waits for, below a child in a session of its own."""

    def be(tell: Tell) -> None:
        os.setsid()
        for _ in range(20):
            if os.fork() == 0:
                os._exit(0)
        tell()

    child(be)


def headless() -> None:
    """Its first thread has ended, another one runs: /proc shows a zombie, which has a thread (pthread_exit(3))."""

    def be(tell: Tell) -> None:
        import ctypes

        leave = ctypes.CDLL(None).syscall
        os.setsid()
        threading.Thread(target=lambda: (_wait_state(os.getpid(), "Z"), tell(), live())).start()
        leave(60, 0)  # SYS_exit on x86-64: of this thread alone

    child(be)


# ---- always on the move


def reexec() -> None:
    """Executes itself anew all the time, in a session of its own."""
    loop = "import os,sys,time; time.sleep(0.02); os.execv(sys.executable, sys.orig_argv)"
    child(lambda tell: (os.setsid(), tell(), os.execv(sys.executable, [sys.executable, "-I", "-S", "-c", loop])))


def nomad() -> None:
    """Forks and ends; its child leads a new session and executes the program anew; and so on."""
    os.waitpid(child(lambda tell: (tell(), _wander())), 0)


def _wander() -> NoReturn:
    if os.fork():
        os._exit(0)
    os.setsid()
    time.sleep(HOP_S)
    os.execv(sys.executable, [sys.executable, "-S", "-E", os.path.abspath(__file__), "wander"])


def relay() -> None:
    """Three chains of processes, each of which forks its successor and ends, for ever."""

    def be(tell: Tell) -> None:
        os.setsid()
        tell()
        while not os.fork():
            time.sleep(HOP_S)
        os._exit(0)

    for _ in range(3):
        os.waitpid(child(be), 0)


def bomb(most: int) -> Callable[[], None]:
    """Every process forks all the time. There is a token for each that may live; who reaps a child gives its token
    back, so that whatever is killed one by one grows again. None sleeps: that is what a real one does at its limit."""

    def make() -> None:
        tokens, back = os.pipe()
        os.set_blocking(tokens, False)
        os.write(back, b"." * most)

        def explode() -> NoReturn:
            while True:
                try:
                    os.read(tokens, 1)
                except BlockingIOError:
                    _reap(back)
                    continue
                try:
                    os.fork()
                except OSError:  # EAGAIN: the machine's own limit
                    os.write(back, b".")

        if os.fork() == 0:
            try:
                os.setsid()
                explode()
            finally:
                os._exit(1)
        wait_for(lambda: not select.select([tokens], [], [], 0)[0])

    return make


def _reap(back: int) -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            os.write(back, b".")


# ---- hogs


def memory() -> None:
    """Twice 128 MiB, all of it touched, again and again."""

    def be(tell: Tell) -> None:
        os.setsid()
        block = bytearray(b"x") * (128 << 20)
        tell()
        while True:
            block[:: mmap.PAGESIZE] = bytes(len(block) // mmap.PAGESIZE)
            time.sleep(0.05)

    child(be)
    child(be)


def descriptors() -> None:
    """All that its limit gives, in the program and in a child."""

    def take() -> None:
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        with contextlib.suppress(OSError):  # EMFILE
            while True:
                os.dup(0)

    child(lambda tell: (tell(), take()))
    take()


def gil() -> None:
    """C code that never gives the interpreter back: a handler of signals in Python is never run."""
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    child(lambda tell: (tell(), hold_interpreter()))


def hold_interpreter() -> None:
    re.match(r"(a+)+$", "a" * 60 + "b")


# ---- hung and held


def vfork() -> None:
    child(lambda tell: (tell(), hang_in_vfork()))


def hang_in_vfork() -> None:
    """posix_spawn(3) of glibc is a vfork: its child opens a fifo that nobody writes, before its exec, and the parent
    waits for that exec, with all signals blocked."""
    fifo = os.path.join(os.environ["CHAOS_FOLDER"], f"fifo-{os.getpid()}-{time.monotonic_ns()}")
    os.mkfifo(fifo)
    os.posix_spawn("/bin/true", ["true"], {}, file_actions=[(os.POSIX_SPAWN_OPEN, 0, fifo, os.O_RDONLY, 0)])


PTRACE_TRACEME, PTRACE_SETOPTIONS, PTRACE_SEIZE = 0, 0x4200, 0x4206
PTRACE_O_TRACEEXIT = 0x40


def _ptrace(request: int, pid: int, data: int = 0) -> None:
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.ptrace(request, pid, None, ctypes.c_void_p(data)) < 0:
        raise OSError(ctypes.get_errno(), f"ptrace({request:#x}, {pid})")


def traced() -> None:
    """Stopped by ptrace(2), each below a tracer of its own; the second would stop once more on its way out."""
    for options in (0, PTRACE_O_TRACEEXIT):

        def trace(tell: Tell, options: int = options) -> None:
            os.setsid()
            pid = os.fork()
            if pid == 0:
                _ptrace(PTRACE_TRACEME, 0)
                os.kill(os.getpid(), signal.SIGSTOP)
                os._exit(0)
            os.waitpid(pid, 0)
            _ptrace(PTRACE_SETOPTIONS, pid, options)
            tell()

        child(trace)


def tracer() -> None:
    """A child that traces the program itself, as ``strace -p`` or a debugger does, and never waits for it: until the
    tracer has ended, nobody else can reap the program (ptrace(2))."""
    child(lambda tell: (os.setsid(), _ptrace(PTRACE_SEIZE, os.getppid()), tell()))


def setuid() -> None:
    """A set-user-ID program; the test puts it there."""
    pid = os.posix_spawn(os.path.join(os.environ["CHAOS_FOLDER"], "set-user-id"), ["sleep", "1000"], os.environ)
    wait_for(lambda: _effective_uid(pid) != os.geteuid())


def _effective_uid(pid: int) -> int:
    with open(f"/proc/{pid}/status") as file:
        return next(int(line.split()[2]) for line in file if line.startswith("Uid:"))


# ---- daemons as Debian ships them


def started(*command: str) -> Callable[[], None]:
    """A program that makes a daemon of itself and then ends well; ``{}`` is a fresh folder."""

    def make() -> None:
        folder = os.path.join(os.environ["CHAOS_FOLDER"], f"daemon-{time.monotonic_ns()}")
        os.mkdir(folder, 0o700)
        words = [word.replace("{}", folder) for word in command]
        subprocess.run(words, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    return make


# ---- many, and any shape


def _grow(shape: str, tell: str = "") -> NoReturn:
    """The tree that ``shape`` (JSON, or ``@FILE``) describes: ``{"how": word, "flags": [word, ...], "below": [tree,
    ...]}``. Each of its processes writes one byte to the descriptor ``tell`` when it has begotten its own; the first
    one waits for all."""
    if shape.startswith("@"):
        with open(shape[1:]) as file:
            shape = file.read()
    node = json.loads(shape)
    if tell:
        _be(node, int(tell))
    told, end = os.pipe()
    os.set_inheritable(end, True)
    if "deaf" in node["flags"]:
        ignore_signals()
    for one in node["below"]:
        _beget(one, end)
    os.close(end)
    wanted = size(node) - 1
    while wanted and (heard := os.read(told, wanted)):
        wanted -= len(heard)
    if wanted:
        sys.exit(f"{wanted} processes ended before they had begotten their own")
    say_born()
    if "stopped" in node["flags"]:
        stop()
    live()


def size(node: dict[str, Any]) -> int:
    return 1 + sum(map(size, node["below"]))


def _beget(node: dict[str, Any], tell: int) -> None:
    """``how``: "fork", "double" (its parent ends at once) or "vfork" (posix_spawn(3), and so a program of its own)."""
    if node["how"] == "vfork":
        words = [sys.executable, "-S", "-E", os.path.abspath(__file__), "tree", json.dumps(node), str(tell)]
        os.posix_spawn(sys.executable, words, os.environ)
        return
    pid = os.fork()
    if pid == 0:
        try:
            if node["how"] == "double" and os.fork():
                os._exit(0)
            _be(node, tell)
        finally:
            os._exit(1)
    if node["how"] == "double":
        os.waitpid(pid, 0)


def _be(node: dict[str, Any], tell: int) -> NoReturn:
    """``flags``: "session", "deaf", "stopped", "gone" (ends when it has begotten its own), "exec" (another program)."""
    flags = node["flags"]
    if "session" in flags:
        os.setsid()
    if "deaf" in flags:
        ignore_signals()
    for one in node["below"]:
        _beget(one, tell)
    os.write(tell, b".")
    os.close(tell)
    if "gone" in flags:
        os._exit(0)
    if "stopped" in flags:
        stop()
    if "exec" in flags:
        os.execv("/bin/sleep", ["sleep", "1000000"])
    live()


def crowd(number: int) -> Callable[[], None]:
    def make() -> None:
        for _ in range(number):
            child(lambda tell: tell())

    return make


def wait_for(fact: Callable[[], object]) -> None:
    while not fact():
        time.sleep(0.002)


def _wait_state(pid: int, letter: str) -> None:
    def has() -> bool:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] == letter

    wait_for(has)


def nothing() -> None:
    return None


PROGRAMS = {
    "plain": Program(plain, 2, nothing),
    "session": Program(session, 2, nothing),
    "daemon": Program(daemon, 2, nothing),
    "deaf": Program(deaf, 3, nothing),
    "stopped": Program(stopped, 3, stop),
    "zombies": Program(zombies, 22, nothing),
    "headless": Program(headless, 2, nothing),
    "reexec": Program(reexec, 2, nothing),
    "nomad": Program(nomad, 2, nothing),
    "relay": Program(relay, 4, nothing),
    "bomb_100": Program(bomb(100), 101, nothing),
    "bomb_1500": Program(bomb(1500), 1501, nothing),
    "memory": Program(memory, 3, nothing),
    "descriptors": Program(descriptors, 2, nothing),
    "gil": Program(gil, 2, hold_interpreter),
    "vfork": Program(vfork, 4, hang_in_vfork),
    "traced": Program(traced, 5, nothing),
    "tracer": Program(tracer, 2, nothing),
    "setuid": Program(setuid, 2, nothing),
    "dbus": Program(
        started("dbus-daemon", "--session", "--fork", "--nopidfile", "--address=unix:path={}/bus"),
        2,
        nothing,
        ("dbus-daemon",),
    ),
    "ssh_agent": Program(started("ssh-agent", "-a", "{}/agent"), 2, nothing, ("ssh-agent",)),
    "gpg_agent": Program(started("gpg-agent", "--daemon", "--homedir", "{}"), 2, nothing, ("gpg-agent",)),
    "dirmngr": Program(started("dirmngr", "--daemon", "--homedir", "{}"), 2, nothing, ("dirmngr",)),
    "tmux": Program(
        started("tmux", "-S", "{}/tmux", "-f", "/dev/null", "new-session", "-d", "sleep 1000"), 3, nothing, ("tmux",)
    ),
    "start_stop_daemon": Program(
        started("start-stop-daemon", "-S", "-b", "-m", "-p", "{}/pid", "-x", "/bin/sleep", "--", "1000"),
        2,
        nothing,
        ("start-stop-daemon",),
    ),
    "crowd_100": Program(crowd(100), 101, nothing),
    "crowd_1000": Program(crowd(1000), 1001, nothing),
}

if __name__ == "__main__":
    main()
