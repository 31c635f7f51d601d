"""What host and zygote say to each other, over a SOCK_SEQPACKET pair. Descriptors travel beside it (SCM_RIGHTS).

A fork order brings the birth socket, stdout, stderr, then the cgroup folder if ``in_cgroup``, stdin if ``has_stdin``,
the end of the readiness pipe if ``has_ready``, a memfd if ``body`` is empty. ``Forked`` brings the pidfd. The zygote
reads only the outside of an order; the newborn decodes ``body``, which alone has what nobody else may know.
Private to this package: both ends are always of one version.
"""

from __future__ import annotations

import msgspec

from agenthost.launch.digest import Source
from agenthost.protocol.birth import Certificate

INLINE_BYTES = 64 * 1024
"""A longer body travels in a memfd: a packet must fit into the socket's buffer whole."""

PACKET_BYTES = INLINE_BYTES + 1024


class _Packet(msgspec.Struct, frozen=True, array_like=True, tag=True):
    pass


class Fork(_Packet, frozen=True, array_like=True):
    id: int
    new_pid_namespace: bool
    new_user_namespace: bool
    in_cgroup: bool
    body: bytes
    has_stdin: bool = False
    has_ready: bool = False


class Body(msgspec.Struct, frozen=True, array_like=True):
    """What the newborn does with itself. ``certificate`` for a Python agent; else ``argv``, ``env``, ``cwd``."""

    path: str
    incarnation: str
    subreaper: bool
    join: tuple[str, ...]
    rlimits: tuple[tuple[int, int, int], ...]
    no_new_privileges: bool
    hold: bool
    certificate: Certificate | None = None
    argv: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    cwd: str = "/"
    become: tuple[int, int, tuple[int, ...]] | None = None
    """uid, gid and groups of a program's user; an agent's zygote is its user's already."""
    private: tuple[tuple[bytes, bytes], ...] = ()
    files: tuple[tuple[str, bytes], ...] = ()
    terminal: bool = False
    ready_number: int = 0


# ---- zygote to host


class Imported(_Packet, frozen=True, array_like=True):
    """Ready to fork. ``digest`` is of the files of the modules that the release brought in, ``sources`` are those of
    them that are the author's."""

    digest: str
    sources: tuple[Source, ...] = ()


class ImportFailed(_Packet, frozen=True, array_like=True):
    """Another try cannot help. The zygote ends."""

    error: str
    trace: str
    hint: str | None


class Forked(_Packet, frozen=True, array_like=True):
    id: int
    pid: int


class ForkFailed(_Packet, frozen=True, array_like=True):
    id: int
    errno: int
    error: str


FromZygote = Imported | ImportFailed | Forked | ForkFailed
