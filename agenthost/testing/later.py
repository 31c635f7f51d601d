"""Mail for later in a test without a host: it is written down, and nothing becomes due."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from agenthost.agent.later import Cancel, Post, Schedule, Unschedule, Wish
from agenthost.cron import Cron
from agenthost.errors import UnknownName
from agenthost.protocol.codec import pack_body, unpack_body


@dataclass(frozen=True, slots=True)
class Delayed:
    path: str
    body: Any
    key: str
    due: float
    sender: str


class Later:
    """Of one family."""

    def __init__(self) -> None:
        self.delayed: list[Delayed] = []
        self.schedules: dict[tuple[str, str], tuple[str, str, Any]] = {}

    def heed(self, sender: str, wish: Wish) -> None:
        """As a journal would: what it refuses is raised."""
        match wish:
            case Post(path=path, body=body, key=key, due_ms=due_ms):
                travelled = unpack_body(pack_body(body))
                if not key or not any((one.sender, one.key) == (sender, key) for one in self.delayed):
                    self.delayed.append(Delayed(path, travelled, key, due_ms / 1000, sender))
            case Cancel(key=key):
                self.delayed[:] = [one for one in self.delayed if (one.sender, one.key) != (sender, key)]
            case Schedule(name=name, cron=cron, path=path, body=body):
                Cron(cron, 0)  # UsageError for what is none
                self.schedules[sender, name] = cron, path, unpack_body(pack_body(body))
            case Unschedule(name=name):
                if self.schedules.pop((sender, name), None) is None:
                    raise UnknownName(f"cannot unschedule {name!r}: there is no such periodic message")
