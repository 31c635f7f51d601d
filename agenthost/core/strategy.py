"""Restart types and strategies: who comes back, and who goes with them (rules R1 to R3, T1 to T3)."""

from __future__ import annotations

from collections.abc import Sequence

from agenthost.core.reason import Reason
from agenthost.core.spec import Restart, Strategy


def comes_back(restart: Restart, reason: Reason) -> bool:
    """Whether a child of this type is restarted after ending, unasked, for ``reason``."""
    match restart:
        case Restart.PERMANENT:
            return True
        case Restart.TRANSIENT:
            return not reason.well
        case Restart.TEMPORARY:
            return False


def group(strategy: Strategy, names: Sequence[str], failed: str) -> list[str]:
    """The children, in start order, that are restarted when ``failed`` ends; itself is among them."""
    match strategy:
        case Strategy.ONE_FOR_ONE:
            return [failed]
        case Strategy.ONE_FOR_ALL:
            return list(names)
        case Strategy.REST_FOR_ONE:
            return list(names[names.index(failed) :])
