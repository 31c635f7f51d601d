"""The bare mechanism that a kill is measured against.

``raw_crowd.py N CGROUP.PROCS [TASKS]`` enters the cgroups, starts N sleeping processes, prints their pids, and waits to
be killed with them.
"""

from __future__ import annotations

import os
import signal
import sys


def main() -> None:
    for name in sys.argv[2:]:
        with open(name, "w", encoding="ascii") as file:
            file.write("0")
    pids = [os.posix_spawn("/bin/sleep", ["sleep", "infinity"], {}) for _ in range(int(sys.argv[1]))]
    print(*pids, flush=True)
    signal.pause()


if __name__ == "__main__":
    main()
