"""The outer wall: one PID namespace for a whole host (pid_namespaces(7)), and what its init does before the host.

Whoever may not make it gets it inside a user namespace that maps only their own uid and gid; root included, in a
container that lacks CAP_SYS_ADMIN. Left to others: what the init does then (``init``), the way without (``direct``).
"""

from __future__ import annotations

import os
import select
import signal

from agenthost import kernel
from agenthost.errors import ContainmentError
from agenthost.guardian import init, order, signals
from agenthost.guardian.child import Child
from agenthost.guardian.link import Link

_WALL = kernel.CLONE_NEWPID | kernel.CLONE_NEWNS


def start(argv: list[str]) -> Child:
    """Start the host below an init. ``ContainmentError`` says why the kernel refused, for both ways of asking."""
    refusals = []
    for user_namespace in (False, True):
        if user_namespace and os.geteuid() == _uid_of_all_others():
            refusals.append(f"uid {os.geteuid()} is what every other user would look like in it")
            continue
        try:
            return _start(argv, user_namespace)
        except ContainmentError as error:
            refusals.append(str(error))
    raise ContainmentError("; in a user namespace: ".join(refusals))


def _start(argv: list[str], user_namespace: bool) -> Child:
    link = Link()
    read_fd, write_fd = os.pipe2(os.O_CLOEXEC)
    guardian_pidfd = os.pidfd_open(os.getpid())
    outer_proc_fd = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    uid, gid = os.geteuid(), os.getegid()
    signals.hold()
    try:
        pid, pidfd = kernel.clone(_WALL | (kernel.CLONE_NEWUSER if user_namespace else 0))
        if pid == 0:
            try:
                _die_with(guardian_pidfd)
                if user_namespace:
                    _map(uid, gid)
                environment = {
                    order.NAMESPACE: "1",
                    order.LINK_FD: str(link.host_end.fileno()),
                    order.OUTER_PROC_FD: str(outer_proc_fd),
                }
                if user_namespace:
                    environment[order.USER_NAMESPACE] = "1"
                handed_down = [link.host_end.fileno(), outer_proc_fd]
                _enter(keep=[*handed_down, write_fd])
                init.run(argv, order.host_environment(**environment), handed_down, write_fd)
            except Exception as error:  # of any kind: a child must not go on in the guardian's code
                order.report(write_fd, "refused", _why(error))
            finally:
                os._exit(1)
    except OSError as error:
        link.close()
        os.close(read_fd)
        raise ContainmentError(_why(error)) from error
    finally:
        signals.release()
        for fd in (write_fd, guardian_pidfd, outer_proc_fd):
            os.close(fd)
        link.host_end.close()
    child = Child(pid, pidfd, link, read_fd, is_init=True)
    refusal = child.wait_born()
    if refusal is None:
        return child
    child.kill()
    child.status = os.waitpid(pid, 0)[1]
    child.close()
    raise ContainmentError(refusal)


def _why(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return repr(error)


def _uid_of_all_others() -> int:
    """As what a user namespace shows every uid that it does not map (user_namespaces(7)); 65534 unless changed."""
    try:
        with open("/proc/sys/kernel/overflowuid", encoding="ascii") as file:
            return int(file.read())
    except (OSError, ValueError):
        return 65534


def _die_with(guardian_pidfd: int) -> None:
    """``getppid`` is 0 in a new namespace whether the parent lives or not; its pidfd tells."""
    kernel.set_parent_death_signal(signal.SIGKILL)
    poll = select.poll()
    poll.register(guardian_pidfd, select.POLLIN)
    if poll.poll(0):
        os._exit(1)


def _map(uid: int, gid: int) -> None:
    """A process may map its own ids to themselves once setgroups(2) is denied (user_namespaces(7))."""
    for name, line in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
            file.write(line)


def _enter(keep: list[int]) -> None:
    """Leave the guardian's session, descriptors and view of ``/proc``.

    Mounts become slaves, not private: a file system that the system unmounts outside is then not pinned by us for as
    long as the host runs (mount_namespaces(7)); nothing that is mounted inside is seen outside either way.
    """
    order.forget_guardian()
    for fd in order.open_descriptors():
        if fd not in keep:
            try:
                os.close(fd)
            except OSError:  # the descriptor of the listing
                continue
    kernel.mount("none", "/", "none", kernel.MS_REC | kernel.MS_SLAVE)
    kernel.mount("proc", "/proc", "proc", kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC)
    kernel.set_process_name("agenthost-init")
