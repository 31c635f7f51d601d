"""A timerfd(2), which Python has from 3.13 on only."""

from __future__ import annotations

import ctypes
import os
import struct

_CLOCK_MONOTONIC = 1
_TFD_NONBLOCK = os.O_NONBLOCK
_TFD_CLOEXEC = os.O_CLOEXEC
_ITIMERSPEC = struct.Struct("@qqqq")  # interval s, ns; value s, ns

_c = ctypes.CDLL(None, use_errno=True)


def make_timer() -> int:
    """A disarmed timer; its descriptor becomes readable when it runs out."""
    fd = int(_c.timerfd_create(_CLOCK_MONOTONIC, _TFD_NONBLOCK | _TFD_CLOEXEC))
    if fd < 0:
        raise OSError(ctypes.get_errno(), "timerfd_create")
    return fd


def set_timer(fd: int, after_s: float) -> None:
    """Run out once, ``after_s`` seconds from now, at least a nanosecond: 0 would disarm it."""
    seconds, nanoseconds = divmod(max(1, int(after_s * 1e9)), 1_000_000_000)
    value = _ITIMERSPEC.pack(0, 0, seconds, nanoseconds)
    if _c.timerfd_settime(fd, 0, value, None) < 0:
        raise OSError(ctypes.get_errno(), "timerfd_settime")


def clear_timer(fd: int) -> None:
    """Read the expiration away."""
    try:
        os.read(fd, 8)
    except BlockingIOError:
        pass
