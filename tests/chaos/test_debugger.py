"""An operator's debugger at an agent: whatever is killed is dead, and has ended when the debugger lets go of it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.chaos.conftest import Start
from tests.chaos.fields import WALLS, probe
from tests.host.running import agent, tree

DEBUGGER = """
import ctypes, sys, time
assert ctypes.CDLL(None).ptrace(0x4206, int(sys.argv[1]), None, None) == 0  # PTRACE_SEIZE; it never waits
print(flush=True)
time.sleep(100000)
"""


@pytest.mark.slow
@pytest.mark.parametrize("tier", WALLS)
def test_an_agent_that_a_debugger_holds_is_dead_and_has_ended_when_that_lets_go(
    start: Start, record_tier: Callable[..., None], tier: str
) -> None:
    containment, namespace = WALLS[tier]
    found = next(one for one in probe() if one.name == containment)
    record_tier(containment, None if found.available else found.why)
    program = {"name": "it", "command": ["sleep", "100000"], "shutdown": "kill"}
    host = start(tree(agent("echo", "Echo"), program), containment=containment, namespace=namespace)
    pid = host.pid("/it")
    with subprocess.Popen([sys.executable, "-c", DEBUGGER, str(pid)], stdout=subprocess.PIPE) as debugger:
        try:
            assert debugger.stdout is not None and debugger.stdout.readline()
            host.ask("stop", path="/it", wait=False)
            host.wait(lambda: Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z", "it is dead")
            assert host.call("/echo", 1) == 1
            assert host.row("/it")["state"] == "killing"
        finally:
            debugger.kill()
    host.wait_state("/it", "down")
    assert not Path(f"/proc/{pid}").exists()
