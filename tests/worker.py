"""A worker of pytest-xdist: ``python -m tests.worker ARGUMENTS`` is a Python with these arguments, below an init of its
own as pytest itself is (``reaper``). So two workers do not find what the other's tests have left.
"""

from __future__ import annotations

import os
import sys

from tests import reaper

if __name__ == "__main__":
    status = reaper.fork_below_init()
    if status is not None:
        sys.exit(status)
    reaper.hand_on()
    os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
