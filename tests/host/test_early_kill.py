"""KILL at each moment of a birth: whoever was born is ended and told of. With the owner of processes alone, and real
cells and zygotes, so that the moment can be chosen."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from agenthost.containment.births import BirthsFile
from agenthost.containment.pidns import PidnsContainment
from agenthost.containment.walk import WalkContainment
from agenthost.core import effects as do
from agenthost.core import events as on
from agenthost.core.birth import ProgramBirth
from agenthost.core.spec import SupervisorSpec, WorkerSpec
from agenthost.core.tree import State, Worker
from agenthost.host.doors import Doors
from agenthost.host.processes import Processes
from agenthost.launch.launcher import Born, Order
from agenthost.launch.zygotes import Zygotes
from agenthost.transport.places import Places

PATIENCE_S = 20.0


class Moment:
    """A launcher that calls ``now`` so many turns of the loop after a process was born."""

    def __init__(self, launcher: Zygotes, turns: int) -> None:
        self.launcher, self.turns = launcher, turns

    async def birth(self, order: Order) -> Born:
        born = await self.launcher.birth(order)
        loop = asyncio.get_running_loop()

        def later(left: int) -> None:
            if left:
                loop.call_soon(later, left - 1)
            else:
                self.now()

        later(self.turns)
        return born

    def now(self) -> None: ...


@pytest.mark.parametrize("turns", range(6))
@pytest.mark.parametrize("tier", [PidnsContainment, WalkContainment])
def test_kill_so_many_turns_of_the_loop_after_a_birth_ends_it(tier: type, turns: int, tmp_path: Path) -> None:
    spec = WorkerSpec("a", birth=ProgramBirth(("sleep", "1000"), env=(("PATH", "/usr/bin:/bin"),)))
    state = State(SupervisorSpec("root", (spec,)))
    worker = state.nodes["/a"]
    assert isinstance(worker, Worker)

    async def run() -> list[on.Event]:
        told: list[on.Event] = []
        emptied = asyncio.Event()

        def tell(event: on.Event) -> None:
            told.append(event)
            if isinstance(event, on.Emptied):
                emptied.set()
            if isinstance(event, on.Exited):
                asyncio.get_running_loop().call_soon(processes.kill, do.Kill("/a", 1))  # the sweep

        zygotes = Zygotes()
        await zygotes.start()
        moment = Moment(zygotes, turns)
        births = BirthsFile(str(tmp_path / "births"))
        containment = tier(False) if tier is PidnsContainment else tier()
        processes = Processes(
            boot=1,
            containment=containment,
            launcher=moment,  # type: ignore[arg-type]  # of a launcher it needs births alone
            births=births,
            doors=Doors(Places("early", environ={"AGENTHOST_RUNTIME_DIR": str(tmp_path)})),
            worker_of=lambda path: worker,
            known_children=lambda: {zygote.pid for zygote in zygotes.status()} | zygotes.stray_pids,
            tell=tell,
            record=lambda name, path, **fields: None,
        )
        moment.now = lambda: processes.kill(do.Kill("/a", 1))  # type: ignore[method-assign]
        worker.n = 1
        processes.birth(do.Birth("/a", 1))
        try:
            await asyncio.wait_for(emptied.wait(), PATIENCE_S)
        finally:
            processes.kill_everything()
            processes.close()
            await zygotes.close()
            births.close()
            containment.close()
        return told

    told = asyncio.run(run())
    assert [type(event) for event in told if isinstance(event, on.Exited | on.Emptied)] == [on.Exited, on.Emptied]
