"""The way without a namespace: the guardian is the subreaper of the host and of all its orphans.

The host gets no parent-death signal; it watches the guardian's pidfd instead and empties its cells when the guardian
is gone. When the host is gone, ``descendants`` ends what is left. There is a hole: both killed at once.
"""

from __future__ import annotations

import os

from agenthost import kernel
from agenthost.guardian import order, signals
from agenthost.guardian.child import Child
from agenthost.guardian.link import Link


def start(argv: list[str], refused: str) -> Child:
    """``refused`` is why there is no namespace; the host shows it. Forks by fork(2): clone3 may be what was refused."""
    kernel.become_subreaper()
    link = Link()
    read_fd, write_fd = os.pipe2(os.O_CLOEXEC)
    guardian_pidfd = os.pidfd_open(os.getpid())
    handed_down = [link.host_end.fileno(), guardian_pidfd]
    environment = order.host_environment(
        **{
            order.LINK_FD: str(link.host_end.fileno()),
            order.GUARDIAN_PIDFD: str(guardian_pidfd),
            order.REFUSED: refused,
        }
    )
    signals.hold()
    try:
        pid = os.fork()
        if pid == 0:
            try:
                order.forget_guardian()
                order.execute(argv, environment, handed_down, write_fd)
            finally:
                os._exit(order.NOT_EXECUTED)
    finally:
        signals.release()
        os.close(write_fd)
        os.close(guardian_pidfd)
        link.host_end.close()
    # Not reaped before this line, so the number still means our child.
    return Child(pid, os.pidfd_open(pid), link, read_fd, is_init=False)
