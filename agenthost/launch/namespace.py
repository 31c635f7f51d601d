"""The tiny init of a PID namespace: forks the agent, reaps what is orphaned, says how the agent ended, and ends.

Its own end is the end of everything in the namespace: the kernel kills the rest (pid_namespaces(7)). A signal that
ended the agent cannot be repeated by pid 1, so it tells ``Ended`` on the birth socket. As it keeps that socket open, a
program's exec cannot be seen by its closing either: the init says ``Execed``.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
from typing import NoReturn

import msgspec

from agenthost import kernel
from agenthost.launch.child import NOT_BORN_STATUS, Descriptors, Runtime, begin
from agenthost.launch.inheritance import close_all_but, exit_if_dead
from agenthost.launch.orders import Body
from agenthost.protocol import birth

_encode = msgspec.msgpack.encode


def begin_as_init(body: Body, descriptors: Descriptors, runtime: Runtime | None) -> NoReturn:
    """Never returns."""
    status = NOT_BORN_STATUS
    try:
        kernel.set_parent_death_signal(signal.SIGKILL)  # sent from outside the namespace, it ends even a pid 1
        exit_if_dead(descriptors.host)
        os.setsid()
        _mount_proc()
        # Only a program's exec needs telling; the pipe closes by it.
        failed, failing = (None, None) if body.certificate else os.pipe()
        pid = os.fork()
        if pid == 0:
            begin(body, descriptors, runtime, failing)
        status = _tend(pid, descriptors, failed)
    except OSError as error:
        packet = birth.BirthFailed(step="namespace", error=f"cannot begin {body.path}: {error}", errno=error.errno or 0)
        os.write(descriptors.birth, _encode(packet))
    finally:
        os._exit(status)


def keep_ids(uid: int, gid: int) -> None:
    """In a user namespace of our own: be who we were. The gid may be mapped once setgroups(2) is given up
    (user_namespaces(7)). What fails here fails again, and is told, at the first step that needs a right."""
    for name, line in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
        try:
            with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
                file.write(line)
        except OSError:
            return


def _tend(agent: int, descriptors: Descriptors, failed: int | None) -> int:
    """Reap until the agent has ended; returns the status to exit with, 128 + N for signal N."""
    kernel.set_process_name("agenthost-init")
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Python's handler would end the namespace
    for standard in (0, 1, 2):  # the agent's pipes must close with the agent
        os.dup2(descriptors.null, standard)
    close_all_but({0, 1, 2, descriptors.birth, *(() if failed is None else (failed,))})
    if failed is not None and not os.read(failed, 1):
        _tell(descriptors.birth, birth.Execed())
    wait_status = _wait_ended(agent)
    code, dumped = os.waitstatus_to_exitcode(wait_status), os.WCOREDUMP(wait_status)
    _tell(descriptors.birth, birth.Ended(code=abs(code), by_signal=code < 0, dumped=dumped))
    return code if code >= 0 else 128 - code


def _wait_ended(agent: int) -> int:
    """Its wait status. As long as one of its own traces it we are not told of its end (ptrace(2)): its
    pidfd tells, then the tracer has to go."""
    children_ended = _wake_by_children()
    pidfd = os.pidfd_open(agent)
    poll = select.poll()
    poll.register(children_ended, select.POLLIN)
    poll.register(pidfd, select.POLLIN)
    is_over = False
    while (wait_status := _reap(agent)) is None:
        if is_over:
            poll.unregister(pidfd)
            is_over = False
            with contextlib.suppress(OSError):  # nobody else is here, or nobody whom we may signal
                os.kill(-1, signal.SIGKILL)
        ready = {descriptor for descriptor, _ in poll.poll()}
        is_over = pidfd in ready
        if children_ended in ready:
            os.read(children_ended, 4096)
    return wait_status


def _wake_by_children() -> int:
    """A descriptor that is readable when a child has ended."""
    readable, writable = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(writable, warn_on_full_buffer=False)
    return readable


def _reap(agent: int) -> int | None:
    """All that can be; the agent's wait status if it was among them."""
    wait_status = None
    with contextlib.suppress(ChildProcessError):
        while (found := os.waitpid(-1, os.WNOHANG))[0]:
            if found[0] == agent:
                wait_status = found[1]
    return wait_status


def _mount_proc() -> None:
    """A /proc that shows this namespace, where we may mount; without it ``ps`` in the agent shows the host's pids."""
    try:
        kernel.unshare(kernel.CLONE_NEWNS)
        kernel.mount("none", "/", "", kernel.MS_REC | kernel.MS_SLAVE)
        kernel.mount("proc", "/proc", "proc", kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC)
    except OSError:
        pass  # seeing is a convenience; the wall is the namespace


def _tell(descriptor: int, message: birth.Execed | birth.Ended) -> None:
    try:
        os.write(descriptor, _encode(message))
    except OSError:
        pass  # the host no longer listens
