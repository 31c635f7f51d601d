"""The test child as a foreign program: it runs without site-packages, so without our library.

    program.py FOLDER plain|escaping

What it obeys lies in FOLDER, in files named after its path: ``KEY.plan`` has a word a line, one for each start to come;
``KEY.asked`` is the word for what it does when TERM asks it to end; ``KEY.fifo`` is where it is told to exit.

``escaping``: what reads the fifo is a daemon in a session of its own, and so are two helpers that do nothing; all
three are deaf, and none is in the group of the process that was started, which only waits to be told how to end.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import NoReturn

FOLDER, FORM = sys.argv[1], sys.argv[2]
KEY = os.environ["AGENTHOST_PATH"].strip("/").replace("/", ".")


def take_plan() -> str:
    """The word for this start; the file loses it, for the next incarnation."""
    file = os.path.join(FOLDER, f"{KEY}.plan")
    try:
        with open(file) as lines:
            words = lines.read().split("\n")
    except FileNotFoundError:
        return "ready"
    with open(f"{file}.new", "w") as rest:
        rest.write("\n".join(words[1:]))
    os.replace(f"{file}.new", file)
    return words[0] or "ready"


def asked(signum: int, frame: object) -> None:
    try:
        with open(os.path.join(FOLDER, f"{KEY}.asked")) as file:
            word, *rest = file.read().split()
    except FileNotFoundError:
        word, rest = "obeys", []
    if word == "deaf":
        return
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if word == "slow":
        time.sleep(float(rest[0]))
    while word == "until" and not os.path.exists(os.path.join(FOLDER, f"{KEY}.go")):
        time.sleep(0.005)
    os._exit(3 if word == "crash" else 0)


def daemonize() -> bool:
    """True in the daemon, which has left session, group and parent."""
    pid = os.fork()
    if pid:
        os.waitpid(pid, 0)
        return False
    os.setsid()
    if os.fork():
        os._exit(0)
    return True


def listen(fifo: int) -> int:
    """The status that somebody wrote. Opened for both, the fifo never ends."""
    said = b""
    while not said.endswith(b"\n"):
        said += os.read(fifo, 64)
    return int(said)


def open_fifo() -> int:
    name = os.path.join(FOLDER, f"{KEY}.fifo")
    try:
        os.mkfifo(name)
    except FileExistsError:
        pass
    return os.open(name, os.O_RDWR)


def deaf_for_ever() -> NoReturn:
    while True:
        time.sleep(1000)


def escape() -> int:
    """Returns, in the process that was started, the end of a pipe on which the daemon says how to end."""
    read, write = os.pipe()
    for role in ("worker", "helper", "helper"):
        if daemonize():
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
            if role == "helper":
                os.close(write)
                deaf_for_ever()
            fifo = open_fifo()
            os.write(write, b"there\n")
            os.write(write, b"%d\n" % listen(fifo))
            deaf_for_ever()
    os.close(write)
    return read


def main() -> int:
    signal.signal(signal.SIGTERM, asked)
    match take_plan():
        case "fail":
            return 1
        case "gone":
            return 0
        case "hang":
            deaf_for_ever()
    if FORM == "escaping":
        pipe = os.fdopen(escape(), "rb")
        pipe.readline()
        print("ready", flush=True)
        return int(pipe.readline() or b"9")
    fifo = open_fifo()
    print("ready", flush=True)
    return listen(fifo)


if __name__ == "__main__":
    os._exit(main())
