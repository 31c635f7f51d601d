"""Talking to a host from outside. ``from agenthost.client import Client``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agenthost.client.client import Client

__all__ = ["Client"]


def __getattr__(name: str) -> Any:
    """Import ZeroMQ when it is needed, not when the command line prints its help (PEP 562)."""
    if name != "Client":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from agenthost.client.client import Client

    return Client
