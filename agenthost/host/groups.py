"""Who belongs to which group, as the config names it: a name leads to incarnations, and ends with each of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from agenthost.core.birth import AgentBirth
from agenthost.host.incarnation import Incarnation


class Groups:
    """``is_ready(incarnation)``: messages reach it now."""

    def __init__(self, is_ready: Callable[[Incarnation], bool]) -> None:
        self._is_ready = is_ready
        self._by_name: dict[str, dict[int, Incarnation]] = {}
        self._name_of: dict[int, str] = {}

    def joined(self, incarnation: Incarnation) -> None:
        """It is being born, or its group is another since a reload."""
        self.ended(incarnation)
        if isinstance(incarnation.birth, AgentBirth) and incarnation.birth.group:
            self._name_of[incarnation.n] = incarnation.birth.group
            self._by_name.setdefault(incarnation.birth.group, {})[incarnation.n] = incarnation

    def ended(self, incarnation: Incarnation) -> None:
        name = self._name_of.pop(incarnation.n, None)
        if name is not None:
            members = self._by_name[name]
            del members[incarnation.n]
            if not members:
                del self._by_name[name]

    def members(self, name: str) -> list[dict[str, Any]]:
        """Those that are ready, in start order, as ``wishes.Members`` says."""
        return [
            {"path": one.path, "incarnation": one.name, "busy": one.beat_at is not None}
            for _, one in sorted(self._by_name.get(name, {}).items())
            if self._is_ready(one)
        ]
