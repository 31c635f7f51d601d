"""Short programs that run for an incarnation, each in a cell of its own within its cell: checks of its liveness,
commands that print its secrets. They are born, contained and swept as all others are, by a second ``Processes`` beside
the core.

The rule it keeps: whatever an errand does, nothing of it goes on after ``run``: it is swept from then on.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass

from agenthost.core import effects as do
from agenthost.core import events as on
from agenthost.core.birth import Limits, ProgramBirth
from agenthost.core.reason import Reason
from agenthost.core.spec import WorkerSpec
from agenthost.core.tree import Worker
from agenthost.errors import StartFailed
from agenthost.host.incarnation import Incarnation
from agenthost.host.ordering import host_environment
from agenthost.host.outputs import WriteEnds
from agenthost.host.private_values import NOTHING, Private, read_private
from agenthost.host.processes import Processes
from agenthost.host.streams import Given
from agenthost.launch.account import account_of

PRINT_S = 30.0
MOST_PRINTED_BYTES = 1024 * 1024


@dataclass(slots=True)
class _Errand:
    worker: Worker
    ended: asyncio.Future[Reason]
    private: Private


class Errands:
    def __init__(self, processes: Processes) -> None:
        self._outputs = processes.outputs
        self._processes = processes.sibling(self._worker_of, self._heard, self._private_of)
        self._open: dict[str, _Errand] = {}
        self._last_n = 0

    async def run(self, owner: Incarnation, name: str, argv: tuple[str, ...], *, timeout_s: float) -> Reason:
        """Its output goes to the owner's log. How it ended, when its main process has; ``TimeoutError``."""
        return await self._run(owner, name, argv, lambda: self._log(owner), timeout_s, owner.private)

    async def print(self, owner: Incarnation, argv: tuple[str, ...], what: str) -> bytes:
        """What it printed. ``StartFailed`` if it did not end well in time; ``what`` begins the sentence."""
        ours, theirs = os.pipe()
        os.set_blocking(ours, False)
        printed = bytearray()

        def read() -> None:
            try:
                while len(printed) <= MOST_PRINTED_BYTES and (data := os.read(ours, 65536)):
                    printed.extend(data)
            except BlockingIOError:
                return
            asyncio.get_running_loop().remove_reader(ours)  # ended, or too much: then it waits for its time-out

        asyncio.get_running_loop().add_reader(ours, read)

        def ends() -> WriteEnds:
            log = self._outputs.open(owner.path, owner.name, separate=False, keeping=owner.birth.log)
            return WriteEnds(os.dup(theirs), log.stderr, log.sources)

        try:
            ended = await self._run(owner, "secret", argv, ends, PRINT_S, NOTHING)
            read()
        except TimeoutError:
            raise StartFailed(f"{what}: {argv[0]} did not end within {PRINT_S:g} s") from None
        finally:
            asyncio.get_running_loop().remove_reader(ours)
            os.close(ours)
            os.close(theirs)
        if not ended.well:
            raise StartFailed(
                f"{what}: {argv[0]}: {ended.words()}", hint="what it said on stderr is in the agent's log"
            )
        return bytes(printed)

    async def private_of(self, incarnation: Incarnation) -> Private:
        """``StartFailed`` says what of it cannot be read."""
        return await read_private(
            incarnation.birth, incarnation.path, lambda argv, what: self.print(incarnation, argv, what)
        )

    async def _run(
        self,
        owner: Incarnation,
        name: str,
        argv: tuple[str, ...],
        open_ends: Callable[[], WriteEnds],
        timeout_s: float,
        private: Private,
    ) -> Reason:
        wanted, streams = owner.birth, self._processes.hearing.streams
        self._last_n -= 1  # the core's are above 0
        n, path = self._last_n, f"{owner.path}/.{name}{-self._last_n}"
        account = None if wanted.user is None else account_of(wanted.user)
        env = host_environment(account) | dict(wanted.env)
        ends = open_ends()
        number = streams.lay_down(Given(ends.stdout, ends.stderr, None, tuple(env.items())))
        birth = ProgramBirth(
            argv,
            wanted.env,
            wanted.cwd,
            Limits(),
            streams=number,
            user=wanted.user,
            no_new_privileges=wanted.no_new_privileges,
        )
        ended: asyncio.Future[Reason] = asyncio.get_running_loop().create_future()
        worker = Worker(path=path, parent=None, spec=WorkerSpec(name, birth=birth), n=n)
        self._open[path] = _Errand(worker, ended, private)
        try:
            self._processes.birth(do.Birth(path, n))
            async with asyncio.timeout(timeout_s):
                return await ended
        finally:
            streams.drop(number)
            self._processes.kill(do.Kill(path, n))

    def _log(self, owner: Incarnation) -> WriteEnds:
        return self._outputs.open(owner.path, owner.name, separate=True, keeping=owner.birth.log)

    def _worker_of(self, path: str) -> Worker:
        return self._open[path].worker

    async def _private_of(self, incarnation: Incarnation) -> Private:
        return self._open[incarnation.path].private

    def _heard(self, event: on.Event) -> None:
        if isinstance(event, on.Emptied):
            self._open.pop(event.path, None)
        elif isinstance(event, (on.Exited, on.Fault)):
            errand = self._open.get(event.path)
            if errand is not None and not errand.ended.done():
                errand.ended.set_result(event.reason)
