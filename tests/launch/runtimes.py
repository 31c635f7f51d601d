"""What the newborn agents of these tests do: the certificate's argument ``do`` names a function here."""

from __future__ import annotations

import ctypes
import gc
import json
import os
import random
import signal
import socket
import sys
import threading
from typing import Any

from agenthost.protocol.birth import Certificate


def run(certificate: Certificate, sock: socket.socket) -> int | None:
    act = globals()[certificate.args["do"]]
    result: int | None = act(certificate.args, sock)
    return result


def end(args: dict[str, Any], _: socket.socket) -> int | None:
    status: int | None = args.get("status")
    return status


def leave(args: dict[str, Any], _: socket.socket) -> None:
    sys.exit(args["status"])


def fail(_: dict[str, Any], __: socket.socket) -> None:
    raise RuntimeError("the agent's own error")


def hurt(args: dict[str, Any], _: socket.socket) -> None:
    os.kill(os.getpid(), args["signal"])


def wait(_: dict[str, Any], sock: socket.socket) -> None:
    """Until the test closes the birth socket or sends a packet."""
    sock.recv(1)


def mark(args: dict[str, Any], sock: socket.socket) -> None:
    """One line for each time this ran."""
    with open(args["file"], "a") as marks:
        marks.write(os.environ["AGENTHOST_PATH"] + "\n")
    sock.recv(1)


def collect(_: dict[str, Any], sock: socket.socket) -> None:
    gc.collect()
    sock.send(b"collected")
    sock.recv(1)


def orphan(_: dict[str, Any], sock: socket.socket) -> None:
    """Leaves a grandchild in a session of its own, tells its pid, and waits."""
    read, write = os.pipe()
    if os.fork() == 0:
        os.setsid()
        pid = os.fork()
        if pid == 0:
            os.write(write, str(os.getpid()).encode())
            while True:
                signal.pause()
        os._exit(0)
    os.wait()
    sock.send(os.read(read, 100))
    sock.recv(1)


def at_exit(_: dict[str, Any], __: socket.socket) -> None:
    import atexit

    atexit.register(print, "said at exit")
    thread = threading.Thread(target=lambda: print("said by a thread"))
    thread.start()


def measure(args: dict[str, Any], _: socket.socket) -> None:
    print(len(args["text"]), args["text"][:3])


def call(args: dict[str, Any], _: socket.socket) -> None:
    """A function of an imported module, by its name in sys.modules."""
    print(getattr(sys.modules[args["module"]], args["function"])())


def report(_: dict[str, Any], sock: socket.socket) -> None:
    """Everything a newborn can tell about itself, as JSON on stdout."""
    death = ctypes.c_int()
    ctypes.CDLL(None).prctl(2, ctypes.byref(death), 0, 0, 0)  # PR_GET_PDEATHSIG
    with open("/proc/self/status") as status:
        fields = dict(line.rstrip("\n").split(":\t", 1) for line in status if ":\t" in line)
    # the listing has a descriptor of its own, which has no target any more once it is closed
    descriptors = sorted(int(name) for name in os.listdir("/proc/self/fd") if os.path.lexists(f"/proc/self/fd/{name}"))
    slate = [one for one in descriptors if "agenthost-stacks" in os.readlink(f"/proc/self/fd/{one}")]
    with open("/proc/self/cgroup") as cgroup, open("/proc/self/oom_score_adj") as score:
        facts = {
            "pid": os.getpid(),
            "thread": threading.get_native_id(),
            "parent": os.getppid(),
            "session": os.getsid(0),
            "group": os.getpgid(0),
            "death_signal": death.value,
            "descriptors": descriptors,
            "birth": sock.fileno(),
            "slate": slate,
            "name": fields["Name"],
            "threads": int(fields["Threads"]),
            "no_new_privileges": int(fields["NoNewPrivs"]),
            "blocked": int(fields["SigBlk"], 16),
            "ignored": int(fields["SigIgn"], 16) & ~(0b11 << 31),  # without glibc's own: make(1) ignores them
            "cwd": os.getcwd(),
            "env": dict(os.environ),
            "path": sys.path,
            "open_files": __import__("resource").getrlimit(__import__("resource").RLIMIT_NOFILE),
            "cgroup": cgroup.read(),
            "oom_score": int(score.read()),
            "random": random.random(),
            "stdin": os.readlink("/proc/self/fd/0"),
            "processes": [int(name) for name in os.listdir("/proc") if name.isdigit()],
        }
    print(json.dumps(facts))
