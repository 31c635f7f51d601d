"""An agent that one of its own children traces: nobody else can reap it before the tracer has ended (ptrace(2))."""

from __future__ import annotations

import os
import signal
import sys

import pytest

from agenthost.containment.cell import CellOrder
from agenthost.protocol import birth
from tests.chaos.agents import AWKWARD
from tests.launch.births import give_birth, launching, program, within


@pytest.mark.root
def test_the_init_of_a_pid_namespace_ends_the_tracer_and_tells_how_the_agent_ended() -> None:
    async def test() -> None:
        order = program(sys.executable, "-S", "-E", AWKWARD, "tracer", cell=CellOrder(new_pid_namespace=True))
        async with launching() as zygotes:
            newborn = await give_birth(zygotes, order)
            pid = newborn.here()
            assert isinstance(newborn.packet()[0], birth.Execed)
            assert os.read(newborn.out, 100) == b"born\n"
            os.kill(pid, signal.SIGKILL)
            assert newborn.packet()[0] == birth.Ended(code=signal.SIGKILL, by_signal=True)
            assert newborn.output() == ""
            assert newborn.wait_ended() == 128 + signal.SIGKILL

    within(test())


@pytest.mark.root
def test_the_init_of_a_pid_namespace_goes_on_while_others_than_the_agent_end() -> None:
    """A hundred orphans; then the agent itself ends, with a status of its own."""
    words = "for i in $(seq 100); do (true &); done; sleep 0.05; echo done; read line </dev/null; exit 7"

    async def test() -> None:
        async with launching() as zygotes:
            newborn = await give_birth(zygotes, program("sh", "-c", words, cell=CellOrder(new_pid_namespace=True)))
            newborn.here()
            assert isinstance(newborn.packet()[0], birth.Execed)
            assert newborn.packet()[0] == birth.Ended(code=7, by_signal=False)
            assert newborn.output() == "done\n"
            assert newborn.wait_ended() == 7

    within(test())
