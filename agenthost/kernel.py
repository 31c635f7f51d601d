"""System calls that Python 3.11 does not offer, each a thin function that raises ``OSError``.

Linux only. Nothing here decides anything; the guardian, containment and launch use it. ``clone3`` is the reason
this file is subtle: see :func:`clone`.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal

# flags of clone3(2)
CLONE_PIDFD = 0x00001000
CLONE_PARENT = 0x00008000
CLONE_PARENT_SETTID = 0x00100000
CLONE_NEWNS = 0x00020000
CLONE_CHILD_CLEARTID = 0x00200000
CLONE_CHILD_SETTID = 0x01000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_INTO_CGROUP = 0x200000000

# mount(2)
MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REC, MS_SLAVE = 0x2, 0x4, 0x8, 0x4000, 0x80000

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38
_PR_GET_TID_ADDRESS = 40
_PR_SET_PTRACER = 0x59616D61  # "Yama"
_SYS_CLONE3 = 435  # the same number on every architecture that Linux gained it on (5.3)

# PyDLL: these calls keep the interpreter lock, which clone() needs.
_c = ctypes.PyDLL(None, use_errno=True)


def _checked(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def _tid_address() -> int:
    """Where glibc keeps the main thread's id; the kernel told it by set_tid_address(2) at start."""
    address = ctypes.c_uint64()
    _checked(_c.prctl(_PR_GET_TID_ADDRESS, ctypes.byref(address), 0, 0, 0), "prctl(PR_GET_TID_ADDRESS)")
    return address.value


def clone(flags: int = 0, *, cgroup_fd: int | None = None, parent_tid_address: int = 0) -> tuple[int, int]:
    """Fork by clone3(2); returns ``(pid, pidfd)`` in the parent and ``(0, -1)`` in the child.

    ``flags`` may add CLONE_PARENT, CLONE_NEWPID and so on; ``cgroup_fd`` is a descriptor of a cgroup v2 folder that
    the child is born in (Linux 5.7). The caller must have one thread. The interpreter is prepared as ``os.fork``
    does it, and glibc's copy of the thread id is set by the kernel (CLONE_CHILD_SETTID), as its own fork(3) does.
    With CLONE_PARENT the exit signal is the caller's own, as clone3 demands. The child's pid is written to
    ``parent_tid_address`` by the same system call (CLONE_PARENT_SETTID): shared memory there survives the caller.
    """
    pidfd = ctypes.c_int(-1)
    tid = _tid_address()
    flags |= CLONE_PIDFD | CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID
    if cgroup_fd is not None:
        flags |= CLONE_INTO_CGROUP
    if parent_tid_address:
        flags |= CLONE_PARENT_SETTID
    exit_signal = 0 if flags & CLONE_PARENT else int(signal.SIGCHLD)
    # struct clone_args: flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid,
    # set_tid_size, cgroup
    arguments = (ctypes.c_uint64 * 11)(
        flags, ctypes.addressof(pidfd), tid, parent_tid_address, exit_signal, 0, 0, 0, 0, 0, cgroup_fd or 0
    )
    _c.PyOS_BeforeFork()
    pid = int(_c.syscall(_SYS_CLONE3, arguments, ctypes.c_size_t(ctypes.sizeof(arguments))))
    if pid == 0:
        _c.PyOS_AfterFork_Child()
        return 0, -1
    number = ctypes.get_errno()
    _c.PyOS_AfterFork_Parent()
    if pid < 0:
        raise OSError(number, f"clone3: {os.strerror(number)}")
    return pid, pidfd.value


def unshare(flags: int) -> None:
    _checked(_c.unshare(flags), "unshare")


def mount(source: str, target: str, kind: str, flags: int = 0) -> None:
    _checked(_c.mount(source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), None), f"mount {target}")


def set_parent_death_signal(signum: int) -> None:
    """prctl(2) PR_SET_PDEATHSIG: belongs to the parent's *thread*, cleared by fork and by any change of uid."""
    _checked(_c.prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signum), 0, 0, 0), "prctl(PR_SET_PDEATHSIG)")


def become_subreaper() -> None:
    """Orphans below this process become its children (PR_SET_CHILD_SUBREAPER)."""
    _checked(_c.prctl(_PR_SET_CHILD_SUBREAPER, ctypes.c_ulong(1), 0, 0, 0), "prctl(PR_SET_CHILD_SUBREAPER)")


def set_no_new_privileges() -> None:
    _checked(_c.prctl(_PR_SET_NO_NEW_PRIVS, ctypes.c_ulong(1), 0, 0, 0), "prctl(PR_SET_NO_NEW_PRIVS)")


def set_dumpable(on: bool) -> None:
    """PR_SET_DUMPABLE: off, no process of the same user may trace us or look into our memory (ptrace(2)), and our files
    in /proc belong to root. Kept over fork, set anew by execve."""
    _checked(_c.prctl(_PR_SET_DUMPABLE, ctypes.c_ulong(on), 0, 0, 0), "prctl(PR_SET_DUMPABLE)")


def try_let_trace(pid: int) -> None:
    """PR_SET_PTRACER: ``pid`` and all below it may trace us, as Yama else lets only those above us (its ptrace_scope 1;
    prctl(2)). Without Yama there is nothing to allow."""
    _c.prctl(_PR_SET_PTRACER, ctypes.c_ulong(pid), 0, 0, 0)


def try_raise_priority(by: int) -> int:
    """Lower our nice value by so much, or as far as it goes. Returns by how much: 0 without CAP_SYS_NICE or RLIMIT_NICE
    (setpriority(2))."""
    before = os.getpriority(os.PRIO_PROCESS, 0)
    try:
        os.setpriority(os.PRIO_PROCESS, 0, before - by)
    except OSError:
        return 0
    return before - os.getpriority(os.PRIO_PROCESS, 0)


def try_share_priority() -> None:
    """Our nice value for our whole session, if the scheduler groups by sessions: between those a nice value of one
    process says nothing (sched(7), autogroup)."""
    try:
        with open("/proc/self/autogroup", "wb", buffering=0) as file:
            file.write(b"%d" % os.getpriority(os.PRIO_PROCESS, 0))
    except OSError:
        return  # there are none, or we may not


def try_set_oom_score(score: int) -> None:
    """oom_score_adj (proc(5)): who has more is taken first when memory runs out. To go below what one was started with
    takes CAP_SYS_RESOURCE; then it stays."""
    try:
        with open("/proc/self/oom_score_adj", "wb", buffering=0) as file:
            file.write(b"%d" % score)
    except OSError:
        return


def set_process_name(name: str) -> None:
    """What ``comm`` shows; cut at 15 bytes by the kernel."""
    _c.prctl(_PR_SET_NAME, name.encode()[:15], 0, 0, 0)


def claim_descriptors(most: int | None = None) -> int:
    """Raise RLIMIT_NOFILE to its hard limit, grow the table of descriptors to it, and return how many there may be.

    For a process that will hold thousands, before its first thread: later the kernel waits for an RCU grace period each
    time the table grows, which was seen to block a busy machine's accept4(2) for ten seconds.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    count = hard if most is None else min(hard, most)
    null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.close(os.dup2(null, count - 1, inheritable=False))
    finally:
        os.close(null)
    return count
