"""The end of a main process, seen by its pidfd. With real processes and cells, and nobody else of the host."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import time

from agenthost.containment.walk import WalkContainment
from agenthost.core.birth import Limits, ProgramBirth
from agenthost.host.deaths import Deaths, how_it_ended
from agenthost.host.incarnation import Incarnation
from agenthost.launch.launcher import Born

PATIENCE_S = 60.0


def test_one_process_told_for_two_births_ends_both() -> None:
    """Another user's zygote may say so; then only one of them can be reaped."""

    child = subprocess.Popen(["sleep", "1000"])

    async def run() -> list[str]:
        containment, told = WalkContainment(), []
        both = asyncio.Event()

        def reaped(incarnation: Incarnation, status: os.waitid_result | None) -> None:
            told.append(how_it_ended(incarnation, status).words())
            if len(told) == 2:
                both.set()

        deaths = Deaths(reaped)
        wanted, ends = ProgramBirth(("sleep", "1000")), socket.socketpair()
        incarnations = []
        try:
            for n, end in enumerate(ends, start=1):
                cell = containment.cell(f"/a{n}", f"1.{n}", Limits())
                one = Incarnation(f"/a{n}", n, f"1.{n}", wanted, cell, time.monotonic())
                one.born = Born(child.pid, os.pidfd_open(child.pid), 0, end)
                deaths.watch(one)
                incarnations.append(one)
            child.kill()
            await asyncio.wait_for(both.wait(), PATIENCE_S)
        finally:
            for one in incarnations:
                assert one.born is not None
                os.close(one.born.pidfd)
                one.born.birth_socket.close()
                one.cell.close()
            containment.close()
        assert all(one.reaped for one in incarnations)
        return told

    try:
        told = asyncio.run(run())
    finally:
        child.kill()
        child.wait()
    assert sorted(told) == [
        "failed to start: its zygote gave it the process of another",
        "killed by SIGKILL",
    ]
