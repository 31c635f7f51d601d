"""What is started, and the last steps before it runs: the same with and without a namespace.

Rule: the host gets exactly the descriptors 0, 1, 2 and those its environment names; ``/dev/null`` is its stdin.
"""

from __future__ import annotations

import os

from agenthost import kernel
from agenthost.guardian import notify, signals

LINK_FD = "AGENTHOST_GUARDIAN_FD"
GUARDIAN_PIDFD = "AGENTHOST_GUARDIAN_PIDFD"
OUTER_PROC_FD = "AGENTHOST_OUTER_PROC_FD"
NAMESPACE = "AGENTHOST_NAMESPACE"
USER_NAMESPACE = "AGENTHOST_USER_NAMESPACE"
REFUSED = "AGENTHOST_NAMESPACE_REFUSED"
LIFTED = "AGENTHOST_LIFTED"
BEFORE = "AGENTHOST_BEFORE"

NOT_EXECUTED = 127
NICER, OOM_SCORE = 5, -950


def host_environment(**added: str) -> dict[str, str]:
    """Ours without what is the guardian's own: systemd's variables, and those of an agenthost around this one."""
    stale = {LINK_FD, GUARDIAN_PIDFD, OUTER_PROC_FD, NAMESPACE, USER_NAMESPACE, REFUSED, LIFTED, BEFORE, *notify.MINE}
    kept = {name: value for name, value in os.environ.items() if name not in stale}
    told = {BEFORE: before} if before else {}
    return {**kept, LIFTED: str(lifted), **told, **added}


lifted = 0
"""By so much our nice value was lowered; the host's is, too."""
before = ""
"""When and how the host before this one has ended: seconds since 1970, and words."""


def lift() -> None:
    """Before anything is started: guardian, init and host come before what they run, on the CPU and in memory."""
    global lifted
    lifted = kernel.try_raise_priority(NICER)
    kernel.try_set_oom_score(OOM_SCORE)


def keep_standard_descriptors() -> None:
    """Fill 0, 1 and 2 where they are closed: what is opened next would take their place."""
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number, which is fd
            os.set_inheritable(fd, True)


def open_descriptors() -> list[int]:
    """Above 2; what the listing itself used is closed again."""
    return [fd for fd in map(int, os.listdir("/proc/self/fd")) if fd > 2]


def close_on_exec() -> None:
    """For what the caller left open (a lock, a pipe): it stays ours, the host does not get it."""
    for fd in open_descriptors():
        try:
            os.set_inheritable(fd, False)
        except OSError:  # the descriptor of the listing
            continue


def silence(*fds: int) -> None:
    """Point descriptors at ``/dev/null``."""
    null = os.open(os.devnull, os.O_RDWR)
    for fd in fds:
        os.dup2(null, fd)
    os.close(null)


def execute(argv: list[str], environment: dict[str, str], handed_down: list[int], report_fd: int) -> None:
    """Become the host. Returns never; why it could not is said in ``report_fd``."""
    try:
        silence(0)
        for fd in handed_down:
            os.set_inheritable(fd, True)
        os.execvpe(argv[0], argv, environment)
    except OSError as error:
        report(report_fd, "unexecutable", f"{argv[0]}: {error.strerror}")
    finally:
        os._exit(NOT_EXECUTED)


def report(fd: int, word: str, text: str = "") -> None:
    """One line to the guardian; short enough to be atomic and never to fill the pipe."""
    line = f"{word} {text}".replace("\n", " ")[:1000]
    try:
        os.write(fd, (line + "\n").encode("utf-8", "replace"))
    except OSError:  # the guardian is gone, and so are we in a moment
        return


def forget_guardian() -> None:
    """In a child: drop the guardian's signals and its terminal."""
    os.setsid()
    signals.forget()
