"""Pid 1 of the host's namespace: starts the host, reaps everything, ends with it.

It forwards no signal and has no handler, so that nothing inside can end it (pid_namespaces(7)): only the end of the
host, a KILL from outside, or the guardian's death by the parent-death signal. When it ends the kernel ends the rest.
"""

from __future__ import annotations

import os

from agenthost.guardian import order


def run(argv: list[str], environment: dict[str, str], handed_down: list[int], report_fd: int) -> None:
    """Returns never."""
    host = os.fork()
    if host == 0:
        os.setpgid(0, 0)
        order.execute(argv, environment, handed_down, report_fd)
    order.report(report_fd, "born")
    for fd in handed_down:
        os.close(fd)
    order.silence(0, 1, 2)
    os.chdir("/")
    while True:
        pid, status = os.waitpid(-1, 0)
        if pid == host:
            order.report(report_fd, "ended", str(status))
            os._exit(0)
