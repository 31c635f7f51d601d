"""What a zygote plays through before it forks."""

from __future__ import annotations

import json
import subprocess
import sys

REHEARSE = """
import json, os, sys
from agenthost.agent import rehearsal
before = sorted(os.listdir("/proc/self/fd"))
played = []
play = rehearsal._play
rehearsal._play = lambda *args: (play(*args), played.append(1))
rehearsal.rehearse()
print(json.dumps({
    "played": len(played),
    "threads": len(os.listdir("/proc/self/task")),
    "same": sorted(os.listdir("/proc/self/fd")) == before,
}))
"""


def test_a_rehearsal_leaves_no_thread_and_no_descriptor_behind() -> None:
    done = subprocess.run([sys.executable, "-c", REHEARSE], capture_output=True, text=True, timeout=60, check=True)
    assert json.loads(done.stdout) == {"played": 10, "threads": 1, "same": True}
