"""When to try a connection again, and when to give up. Pure: time is an argument."""

from __future__ import annotations

import errno

from agenthost.errors import AgenthostError, Busy, NoHost, TimedOut

PAUSES_S = (0.0, 0.05, 0.1, 0.2, 0.5, 1.0)
"""Before each attempt; the last one repeats."""
_FOR_GOOD = (errno.EACCES, errno.EPERM)


class Reconnecting:
    """``patience_s``: how long all attempts may fail; None for ever."""

    def __init__(self, path: str, patience_s: float | None) -> None:
        self._path, self._patience_s = path, patience_s
        self._attempt = 0
        self._since: float | None = None

    def pause_s(self, now: float) -> float:
        """Before the next attempt."""
        if self._since is None:
            self._since = now
        found = PAUSES_S[min(self._attempt, len(PAUSES_S) - 1)]
        self._attempt += 1
        return found

    def succeeded(self) -> None:
        """Somebody has answered on it."""
        self._attempt, self._since = 0, None

    def failed(self, error: Exception, now: float) -> None:
        """Raises what there is to say if another attempt cannot help, or the patience is over."""
        if isinstance(error, AgenthostError) and not isinstance(error, NoHost | TimedOut | Busy):
            raise error
        if isinstance(error, OSError) and error.errno in _FOR_GOOD:
            raise error
        if self._patience_s is None or self._since is None or now - self._since < self._patience_s:
            return
        if isinstance(error, AgenthostError):
            raise error
        raise NoHost(f"cannot follow {self._path}: {error}", hint="see: agenthost doctor")
