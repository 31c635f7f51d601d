"""Giving birth in a test: pipes for the output, what came over the birth socket, the wait for the end."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import os
import select
import signal
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from agenthost.containment.cell import CellOrder
from agenthost.launch.birth_socket import receive
from agenthost.launch.launcher import Born, Order, Program, Release, Rlimits
from agenthost.launch.zygotes import Zygotes
from agenthost.protocol import birth, codec

RUNTIME = "tests.launch.runtimes:run"
PLAIN = Release()
ENV = (("PATH", os.environ["PATH"]),)
PATIENCE_MS = 20_000


@contextlib.asynccontextmanager
async def launching(runtime: str = RUNTIME) -> AsyncIterator[Zygotes]:
    zygotes = Zygotes(runtime=runtime)
    try:
        yield zygotes
    finally:
        await zygotes.close()


@dataclass
class Newborn:
    """A process a test has started. ``leave`` ends it whatever it does, and closes everything."""

    born: Born
    out: int
    err: int

    def packet(self) -> tuple[Any, int | None]:
        """The next message on the birth socket and its sender's pid; ``(None, None)`` at the end."""
        raw, pid = self.raw_packet()
        return (codec.read_from_process(raw), pid) if raw else (None, None)

    def raw_packet(self) -> tuple[bytes, int | None]:
        poll = select.poll()
        poll.register(self.born.birth_socket, select.POLLIN)
        assert poll.poll(PATIENCE_MS), "nothing came over the birth socket"
        return receive(self.born.birth_socket)

    def here(self) -> int:
        message, pid = self.packet()
        assert isinstance(message, birth.Here), message
        assert pid is not None
        return pid

    def output(self) -> str:
        """All of stdout: waits until everybody who could write there has gone."""
        return _read_all(self.out)

    def errors(self) -> str:
        return _read_all(self.err)

    def facts(self) -> dict[str, Any]:
        text = self.output()
        assert text, self.errors()
        facts: dict[str, Any] = json.loads(text)
        return facts

    def wait_ended(self) -> int:
        """Exit status, or minus the number of the signal."""
        poll = select.poll()
        poll.register(self.born.pidfd, select.POLLIN)
        assert poll.poll(PATIENCE_MS), f"process {self.born.pid} does not end"
        ended = os.waitid(os.P_PIDFD, self.born.pidfd, os.WEXITED)
        assert ended is not None
        self.close()
        return ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status

    def kill(self) -> int:
        signal.pidfd_send_signal(self.born.pidfd, signal.SIGKILL)
        return self.wait_ended()

    def close(self) -> None:
        self.born.birth_socket.close()
        for descriptor in (self.out, self.err, self.born.pidfd):
            os.close(descriptor)


async def give_birth(zygotes: Zygotes, order: Order) -> Newborn:
    """``order``'s stdout and stderr are replaced by pipes."""
    out, out_end = os.pipe()
    err, err_end = os.pipe()
    try:
        born = await zygotes.birth(_with_streams(order, out_end, err_end))
    except BaseException:
        os.close(out)
        os.close(err)
        raise
    finally:
        os.close(out_end)
        os.close(err_end)
    return Newborn(born, out, err)


def agent(
    do: str, *, path: str = "/team/planner", release: Release = PLAIN, cell: CellOrder | None = None, **args: Any
) -> Order:
    certificate = birth.Certificate(
        path=path,
        inc="1.1",
        token=b"t" * 16,
        endpoint="ipc:///none",
        data_folder="/",
        agent="m:C",
        args={"do": do, **args},
    )
    return Order(path, "1.1", cell or CellOrder(), -1, -1, release=release, certificate=certificate)


def program(*argv: str, cwd: str = "/", env: tuple[tuple[str, str], ...] = ENV, cell: CellOrder | None = None) -> Order:
    return Order("/tools/browser", "1.2", cell or CellOrder(), -1, -1, program=Program(argv, env, cwd))


def changed(order: Order, **fields: Any) -> Order:
    return dataclasses.replace(order, **fields)


async def until(predicate: Callable[[], object]) -> None:
    """Let the event loop run until ``predicate`` is true; ``within`` sets the deadline."""
    while not predicate():  # noqa: ASYNC110 - facts of the kernel set no event
        await asyncio.sleep(0.001)


def within(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run a test's coroutine; it fails where it would hang."""
    asyncio.run(asyncio.wait_for(coroutine, PATIENCE_MS / 1000 * 4))


def _with_streams(order: Order, out: int, err: int) -> Order:
    return changed(order, stdout=out, stderr=err)


def _read_all(descriptor: int) -> str:
    parts = []
    while part := os.read(descriptor, 65536):
        parts.append(part)
    return b"".join(parts).decode()


__all__ = ["PLAIN", "Newborn", "Rlimits", "agent", "changed", "give_birth", "launching", "program", "until", "within"]
