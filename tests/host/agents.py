"""Agents for the tests of the whole host: well-behaved ones, and all the ways not to be."""

from __future__ import annotations

import asyncio
import ctypes
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from agenthost import IGNORE, Agent, Refuse
from agenthost.errors import AgenthostError

WAIT_FOR_EVER = "while true; do sleep 1000; done"


class Echo(Agent):
    def handle(self, message: Any, ctx: Any) -> Any:
        return message.body


class AsyncEcho(Agent):
    async def handle(self, message: Any, ctx: Any) -> Any:
        return message.body


class Doer(Agent):
    """Does what the body says: ``{"do": word, ...}``."""

    def handle(self, message: Any, ctx: Any) -> Any:
        body = message.body
        return getattr(self, body["do"])(body, ctx)

    def pid(self, body: Any, ctx: Any) -> Any:
        return os.getpid()

    def incarnation(self, body: Any, ctx: Any) -> Any:
        return ctx.incarnation

    def crash(self, body: Any, ctx: Any) -> Any:
        raise RuntimeError(body.get("text", "crash on demand"))

    def exit(self, body: Any, ctx: Any) -> Any:
        raise SystemExit(body["status"])

    def segv(self, body: Any, ctx: Any) -> Any:
        ctypes.string_at(0)

    def refuse(self, body: Any, ctx: Any) -> Any:
        raise Refuse("not today")

    def nap(self, body: Any, ctx: Any) -> Any:
        """A turn that lasts, and lets others run."""
        time.sleep(body["s"])
        return "awake"

    def nap_until(self, body: Any, ctx: Any) -> Any:
        """The same, until there is a file."""
        while not Path(body["file"]).exists():
            time.sleep(0.005)
        return "awake"

    def nap_and_note(self, body: Any, ctx: Any) -> Any:
        """A file when it begins, and one when it has ended."""
        Path(f"{body['file']}.began").touch()
        time.sleep(body["s"])
        Path(body["file"]).touch()

    def hog(self, body: Any, ctx: Any) -> Any:
        """C code that holds the interpreter, after ``after`` seconds in which beats are sent."""
        time.sleep(body.get("after", 0.0))
        re.match(r"(a+)+$", "a" * 60 + "b")

    def spin(self, body: Any, ctx: Any) -> Any:
        """A loop in Python, which leaves the interpreter to other threads now and then."""
        while True:
            pass

    def compute(self, body: Any, ctx: Any) -> Any:
        """Python code for ``s`` seconds of CPU."""
        while time.process_time() < body["s"]:
            pass

    def leak(self, body: Any, ctx: Any) -> Any:
        kept = []
        while True:
            kept.append(bytearray(os.urandom(4096) * 256))

    def child_leak(self, body: Any, ctx: Any) -> Any:
        code = "kept = []\nwhile True: kept.append(bytearray(b'x' * 1048576))"
        return subprocess.Popen([sys.executable, "-c", code]).wait()

    def say(self, body: Any, ctx: Any) -> Any:
        """``bytes`` of output in lines of 1,000."""
        line = b"." * 999 + b"\n"
        for _ in range(body["bytes"] // 1000 // 64):
            os.write(1, line * 64)
        return "said"

    def print(self, body: Any, ctx: Any) -> Any:
        print(body["text"], flush=True)

    def call(self, body: Any, ctx: Any) -> Any:
        """Calls another and tells the outcome."""
        began = time.monotonic()
        try:
            reply = ctx.call(body["path"], body.get("body"), timeout=body.get("timeout", 50.0))
            return {"reply": reply, "took_s": time.monotonic() - began}
        except AgenthostError as error:
            return {"code": error.code, "error": str(error), "took_s": time.monotonic() - began}

    def many(self, body: Any, ctx: Any) -> Any:
        """``n`` calls one after the other; the round trips in seconds, and the errors."""
        took, errors = [], []
        for number in range(body["n"]):
            began = time.perf_counter()
            try:
                if ctx.call(body["path"], number, timeout=50.0) != number:
                    errors.append(f"{number}: a wrong answer")
            except AgenthostError as error:
                errors.append(f"{number}: {error}")
            took.append(time.perf_counter() - began)
        return {"took_s": took, "errors": errors}

    def many_and_note(self, body: Any, ctx: Any) -> Any:
        """The same; how many have had an outcome, of whatever kind, is written into a file."""
        done = self.many(body, ctx)
        fresh = Path(f"{body['file']}.new")
        fresh.write_text(str(len(done["took_s"])))
        fresh.rename(body["file"])

    def run(self, body: Any, ctx: Any) -> Any:
        """A tool: its stdout and its status."""
        done = subprocess.run(body["command"], capture_output=True, text=True, timeout=40)
        return {"status": done.returncode, "out": done.stdout, "err": done.stderr}

    def breed(self, body: Any, ctx: Any) -> Any:
        """The awkward descendants; returns when all of them run."""
        return breed()

    def relay(self, body: Any, ctx: Any) -> Any:
        """``chains`` of processes in sessions of their own, each of which forks its successor and ends, for ever."""
        for _ in range(body["chains"]):
            if os.fork() == 0:
                _relay()

    def deafen(self, body: Any, ctx: Any) -> Any:
        """From here on every signal that can be ignored is."""
        ignore_signals()
        return "deaf"


class Teller(Doer):
    """Gives away what it should keep, and tries what it may not."""

    def token(self, body: Any, ctx: Any) -> Any:
        certificate = ctx._desk._wires.certificate
        return {"inc": certificate.inc, "token": certificate.token.hex()}

    def operate(self, body: Any, ctx: Any) -> Any:
        from agenthost.client.client import Client

        try:
            with Client(body["endpoint"]) as client:
                return client.request("stop", {"path": "/echo"}, timeout=20)
        except AgenthostError as error:
            return error.code


class Deaf(Doer):
    """Ignores every signal that can be ignored, and the request to stop as well: ``on_stop`` does not return."""

    def on_start(self, ctx: Any) -> Any:
        ignore_signals()

    def on_stop(self, ctx: Any) -> Any:
        while True:
            time.sleep(1000)


class AwkwardParent(Doer):
    """Has awkward descendants from its start on."""

    def on_start(self, ctx: Any) -> Any:
        breed()


class AwkwardDeaf(Deaf):
    """The same, and is deaf itself."""

    def on_start(self, ctx: Any) -> Any:
        super().on_start(ctx)
        breed()


class Slow(Doer):
    """Is ready when the file ``args["until"]`` exists."""

    def on_start(self, ctx: Any) -> Any:
        while not os.path.exists(self.args["until"]):
            time.sleep(0.005)


class Raises(Echo):
    def on_start(self, ctx: Any) -> Any:
        raise LookupError("no prices today")


class RaisesUntil(Doer):
    """Its start raises until the file ``args["until"]`` exists."""

    def on_start(self, ctx: Any) -> Any:
        if not os.path.exists(self.args["until"]):
            raise LookupError("not yet")


class NothingToDo(Echo):
    def on_start(self, ctx: Any) -> Any:
        return IGNORE


class AsyncDoer(Agent):
    """As ``Doer``, for one that is ``async def``."""

    async def handle(self, message: Any, ctx: Any) -> Any:
        body = message.body
        match body["do"]:
            case "call":
                try:
                    return {"reply": await ctx.call(body["path"], body.get("body"), timeout=50.0)}
                except AgenthostError as error:
                    return {"code": error.code, "error": str(error)}
            case "crash":
                raise RuntimeError("crash on demand")
            case "nap":
                await asyncio.sleep(body["s"])
                return "awake"
        return None


class Noter(Doer):
    """Notes its start and its end in the file ``args["file"]``, so that their order can be read."""

    def on_start(self, ctx: Any) -> Any:
        self._note(f"start {ctx.path}")

    def on_stop(self, ctx: Any) -> Any:
        self._note(f"stop {ctx.path}")

    def _note(self, text: str) -> None:
        fd = os.open(self.args["file"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        os.write(fd, f"{text}\n".encode())  # one write: several agents append
        os.close(fd)


def ignore_signals() -> None:
    for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_IGN)


KINDS = ("plain", "session", "daemon", "deaf", "stopped", "renamed")


def breed() -> list[int]:
    """One process of each kind, as forks of this one; the number of those that have said that they are there."""
    read, write = os.pipe()
    for kind in KINDS:
        if os.fork() == 0:
            _be(kind, write)
    os.close(write)
    pids = []
    for _ in KINDS:
        pids.append(int.from_bytes(os.read(read, 4), "little"))
    os.close(read)
    return pids


def _relay() -> None:
    """Never returns. Known by its name: nobody can follow its pid."""
    try:
        os.setsid()
        Path("/proc/self/comm").write_text("relay")
        while not os.fork():
            time.sleep(0.02)  # long enough to be seen from outside; an agent that is a subreaper does not reap them
    finally:
        os._exit(0)


def _be(kind: str, write: int) -> None:
    """Never returns."""
    try:
        if kind in ("session", "daemon", "stopped"):
            os.setsid()
        if kind == "daemon" and os.fork():
            os._exit(0)
        if kind == "deaf":
            ignore_signals()
        if kind == "renamed":
            Path("/proc/self/comm").write_text("kworker/0:1")
        os.write(write, os.getpid().to_bytes(4, "little"))
        os.close(write)
        if kind == "stopped":
            os.kill(os.getpid(), signal.SIGSTOP)
        os.execv("/bin/sh", ["sh", "-c", WAIT_FOR_EVER])
    finally:
        os._exit(1)
