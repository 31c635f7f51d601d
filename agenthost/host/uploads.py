"""What is too long for one message of a client, put together from pieces: bounded in size, number and time.

The rule it keeps: a piece said twice is taken once, and what was given away or forgotten is gone.
"""

from __future__ import annotations

import time

from agenthost.errors import Overloaded, UsageError

UPLOAD_BYTES = 20 * 1024 * 1024
"""The longest: a state or an entry of 16 MiB, and what stands around it."""
ALL_BYTES = 4 * UPLOAD_BYTES
FORGOTTEN_S = 60.0
"""An upload that nothing is added to for so long is dropped when room is needed."""


class Uploads:
    """By who sends it and the name it is given."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], bytearray] = {}
        self._touched_s: dict[tuple[str, str], float] = {}

    def take(self, by: str, name: str, at: int, data: bytes) -> int:
        """``data`` belongs at byte ``at``; how many bytes there are now. ``UsageError``: a hole, or too long."""
        key, now = (by, name), time.monotonic()
        held = self._found.get(key, bytearray())
        if at > len(held):
            raise UsageError(f"cannot go on with upload {name!r} at {at}: {len(held)} bytes of it are here")
        if at + len(data) > UPLOAD_BYTES:
            raise UsageError(f"cannot take more than {UPLOAD_BYTES} bytes in one upload")
        self._make_room(len(data), now)
        self._found[key] = held
        held[at : at + len(data)] = data
        self._touched_s[key] = now
        return len(held)

    def give(self, by: str, name: str) -> bytes:
        """The whole; it is forgotten here. ``UsageError``: there is none."""
        self._touched_s.pop((by, name), None)
        if (found := self._found.pop((by, name), None)) is None:
            raise UsageError(f"cannot use upload {name!r}: it is not here any more", hint="send it again")
        return bytes(found)

    def _make_room(self, size_bytes: int, now: float) -> None:
        for key in [key for key, at in self._touched_s.items() if now - at > FORGOTTEN_S]:
            del self._found[key], self._touched_s[key]
        if sum(map(len, self._found.values())) + size_bytes > ALL_BYTES:
            raise Overloaded(f"cannot take an upload: {ALL_BYTES} bytes are here already", hint="try again later")
