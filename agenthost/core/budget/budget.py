"""What the config says that may be used, of a worker or a supervisor."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

MOST = 10**15
"""Of any meter; more is nonsense."""
AtLimit = Literal["stop", "ask", "fall_back"]
Bounds = dict[str, float]
"""By meter (``amounts.METERS``)."""


@dataclass(frozen=True, slots=True)
class Budget:
    """Of a worker or, with ``tree`` alone, of a supervisor. ``args``: with ``fall_back``, what is merged into the
    agent's args from the limit on."""

    turn: Bounds = field(default_factory=dict)
    session: Bounds = field(default_factory=dict)
    agent: Bounds = field(default_factory=dict)
    tree: Bounds = field(default_factory=dict)
    at_limit: AtLimit = "stop"
    args: dict[str, Any] = field(default_factory=dict)
