"""The life of this host before this one, where it ended without a farewell: what is known of that, and who is told.

Why it ended is the guardian's to say, if that has outlived it (``AGENTHOST_BEFORE``). The rule it keeps: it is told
whenever the state folder knows of a life that has begun and has not ended as planned, and its record is one however
often it is said.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from agenthost.host.guard import Guard
from agenthost.host.home import Home

PATH = "/.system/host"
UNKNOWN = "ended together with its guardian, or with the machine"


class Say(Protocol):
    """Reaches the journal; as ``recording.Say``."""

    def __call__(self, path: str, boot: int, n: int, cause: str, **more: Any) -> None: ...


@dataclass(frozen=True, slots=True)
class LifeBefore:
    """``ended`` in words; ``at`` in seconds since 1970, 0.0 if that is not known."""

    boot: int
    ended: str
    at: float

    def tell(self, record: Callable[..., None], say: Say) -> None:
        """``record(name, path, **fields)``."""
        record("host.recovered", "/", before=self.boot, ended=self.ended)
        kind = "signal" if "killed by" in self.ended else "exit"
        say(PATH, self.boot, 0, kind, ended=self.ended, number=0, at_ms=round(self.at * 1000))

    def described(self) -> dict[str, Any]:
        return {"boot": self.boot, "ended": self.ended, "at": self.at or None}


def life_before(home: Home, guard: Guard) -> LifeBefore | None:
    """None: there was none, or it has ended as planned."""
    if not home.cut_off:
        return None
    at, _, ended = guard.before.partition(" ")
    try:
        return LifeBefore(home.cut_off, ended or UNKNOWN, float(at) if at else 0.0)
    except ValueError:  # of another version
        return LifeBefore(home.cut_off, UNKNOWN, 0.0)
