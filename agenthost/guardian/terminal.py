"""What the operator reads and how the operator leaves: lines on stderr, and whether the terminal has hung up."""

from __future__ import annotations

import os
import select

_PATIENCE_MS = 200


class Terminal:
    def __init__(self, name: str = "") -> None:
        self._prefix = f"agenthost guardian ({name})" if name else "agenthost guardian"
        self._had_one = _controlling()

    def say(self, text: str) -> None:
        """One line. A stderr that nobody reads (a stopped terminal, a full pipe) loses it: cleaning up must go on."""
        poll = select.poll()
        poll.register(2, select.POLLOUT)
        try:
            if poll.poll(_PATIENCE_MS):
                os.write(2, f"{self._prefix}: {text}\n".encode("utf-8", "backslashreplace")[:4096])
        except OSError:  # closed: there is nobody to tell
            return

    def has_hung_up(self) -> bool:
        """Tells the SIGHUP of a closed terminal from one that asks for a reload: after the first, it is gone."""
        return self._had_one and not _controlling()


def _controlling() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:  # ENXIO: no controlling terminal (tty(4))
        return False
    return True
