"""How it stands with its budgets is said to an agent, though it does not read for a while."""

from __future__ import annotations

import asyncio
import socket
import time
from typing import Any

from agenthost.core.birth import AgentBirth
from agenthost.core.budget.scope import Scope, Scopes
from agenthost.core.spec import SupervisorSpec
from agenthost.core.tree import State
from agenthost.host.incarnation import Incarnation
from agenthost.host.standings import Standings
from agenthost.journal import words
from agenthost.launch.launcher import Born
from agenthost.protocol.birth import Budget
from agenthost.protocol.codec import encode


def test_an_agent_that_did_not_read_hears_later_that_it_may_go_on() -> None:
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    its.setblocking(False)
    born = Born(0, -1, 0, ours)
    agent: Any = Incarnation("/a", 3, "1.3", AgentBirth("m:A"), None, time.monotonic(), born=born)  # type: ignore[arg-type]

    async def heard() -> bytes:
        loop, last = asyncio.get_running_loop(), b""
        want = {encode(Budget()), encode(Budget(args={"x": 1}, turn=7))}
        while want:
            last = await loop.sock_recv(its, 65536)
            want.discard(last)
        return last

    async def run() -> None:
        standings = Standings(1, State(SupervisorSpec("root")), {3: agent}, lambda event: None, lambda *a, **b: None)
        standings.scopes = Scopes([Scope("/a", "session", {"cost": 1.0})])
        standings.counted = lambda: [(agent, 0)]
        try:
            standings.heard(words.Budgeted("/a", "stopped", "used up"))
            while True:
                try:
                    ours.send(b"x" * 10_000)
                except BlockingIOError:
                    break
            standings.heard(words.Budgeted("/a", ""))
            standings.heard(words.Overspent("/a", 1, 3, 7, "of a turn", {"x": 1}))
            async with asyncio.timeout(60):
                await heard()
            assert not standings._missed
        finally:
            standings.close()

    try:
        asyncio.run(run())
    finally:
        ours.close()
        its.close()
