"""What host and logger say to each other: one msgpack message a packet, on a SOCK_SEQPACKET pair.

Every word of the host is answered by ``Done`` in order, so the host bounds what is under way (``capture.WINDOW``): the
pair never fills, and few descriptors are in flight (their number is limited per user, unix(7), ETOOMANYREFS).
"""

from __future__ import annotations

from typing import Literal

import msgspec

MAX_PACKET = 8192

Stream = Literal["out", "err"]


class _Word(msgspec.Struct, frozen=True, tag_field="t", tag=str.lower):
    pass


# ---- host to logger


class Attach(_Word, frozen=True):
    """Read this pipe; its read end comes with the packet (SCM_RIGHTS). ``source`` is the host's number for it.

    ``pattern``: a regular expression; the first line that it matches somewhere is told by ``Matched``. ``max_bytes``
    and ``keep`` are of the path's log files from now on, 0 as usual. ``discard``: it is read, and not written.
    """

    source: int
    path: str
    incarnation: str
    stream: Stream
    pattern: str = ""
    max_bytes: int = 0
    keep: int = 0
    discard: bool = False


class Detach(_Word, frozen=True):
    """Write what the pipe holds now, and forget it: whoever still holds its other end is no longer heard."""

    source: int


class Notify(_Word, frozen=True):
    """As ``Attach.pattern``, for a pipe that is being read; from the next line on."""

    source: int
    pattern: str


class Flush(_Word, frozen=True):
    """``Done`` follows once all that was in the pipes is in the files, except what is held back by its rate."""


# ---- logger to host


class Done(_Word, frozen=True):
    """The oldest unanswered word was carried out. ``error`` says why not."""

    error: str = ""


class Matched(_Word, frozen=True):
    source: int
    line: str


class Ended(_Word, frozen=True):
    """All that the pipe ever held is in the file (or was dropped): the host can close its copy of the read end."""

    source: int


ToLogger = Attach | Detach | Notify | Flush
FromLogger = Done | Matched | Ended

encode = msgspec.msgpack.Encoder().encode
read_to_logger = msgspec.msgpack.Decoder(ToLogger).decode
read_from_logger = msgspec.msgpack.Decoder(FromLogger).decode
