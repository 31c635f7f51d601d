"""Everything that was recorded: a ring of the last records, and those who follow it.

``terminal`` is one of those who are shown every record; operators follow it over the wire (``operators``).
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from agenthost.observe.record import Record

KEPT, LONGEST = 20_000, 8192
"""Records, and characters of one of their texts."""


class Chronicle:
    """``show`` is called with every record; the host's loop calls all methods."""

    def __init__(self, show: Callable[[Record], None] | None = None) -> None:
        self._ring: deque[Record] = deque(maxlen=KEPT)
        self._show = show
        self._offset = 0
        self.followers: dict[Any, Callable[[Record], None]] = {}

    def add(self, name: str, path: str, fields: dict[str, Any]) -> Record:
        self._offset += 1
        fields = {key: _cut(value) for key, value in fields.items()}
        record = Record(self._offset, time.time(), name, path, fields)
        self._ring.append(record)
        if self._show is not None:
            self._show(record)
        for follower in list(self.followers.values()):
            follower(record)
        return record

    def since(self, offset: int) -> Iterable[Record]:
        """Records numbered ``offset`` and later that are still kept."""
        skip = max(0, offset - (self._offset - len(self._ring) + 1))
        return list(self._ring)[skip:]

    def newest_first(self) -> Iterator[Record]:
        """To be read at once: nothing may be added meanwhile."""
        return reversed(self._ring)

    @property
    def last_offset(self) -> int:
        return self._offset


def _cut(value: Any) -> Any:
    """A traceback may be as long as its author likes; its end says most."""
    return f"... {value[-LONGEST:]}" if isinstance(value, str) and len(value) > LONGEST else value
