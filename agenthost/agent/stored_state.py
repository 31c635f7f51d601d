"""The state of an agent between its bytes and the author's value: packed, opened, brought to the version of the code.

A state is kept with the ``state_version`` of the class that left it. An older one is given to ``migrate`` when it is
opened; a newer one is not touched. The rule: what ``migrate`` raises leaves what is kept as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agenthost.errors import UsageError
from agenthost.protocol.codec import pack_body, unpack_body

if TYPE_CHECKING:
    from agenthost.agent.agent import Agent

STATE_BYTES = 16 * 1024 * 1024
EMPTY = b"\x80"
"""An empty map."""


def version_of(agent: Agent | None) -> int:
    return int(getattr(agent, "state_version", 0) or 0)


def opened(agent: Agent | None, packed: bytes, version: int) -> Any:
    """The author's value, of the version that ``agent`` has. Raises what its ``migrate`` raises, ``UsageError`` for a
    state that is newer than the code."""
    value = unpack_body(packed)
    wanted = version_of(agent)
    if agent is None or version == wanted:
        return value
    name = type(agent).__qualname__
    if version > wanted:
        raise UsageError(
            f"cannot open a state of version {version}: {name} has state_version {wanted}",
            hint="it was left by newer code: run that again, or remove the session",
        )
    there = agent.__dict__
    before = there.get("state", there)
    there["state"] = value  # what migrate finds in self.state; else it would be loaded again
    try:
        value = agent.migrate(value, version)
    finally:
        if before is there:
            del there["state"]
        else:
            there["state"] = before
    if value is None:
        raise UsageError(f"cannot open a state of version {version}: migrate of {name} returned None, not the state")
    return value


def packed_state(value: Any) -> bytes:
    """``TypeError`` names what cannot be kept, ``UsageError`` says that it is too large."""
    try:
        packed = pack_body(value)
    except TypeError as error:
        raise TypeError(str(error).replace("cannot send body", "cannot keep state", 1)) from None
    if len(packed) > STATE_BYTES:
        raise UsageError(
            f"cannot keep a state of {len(packed)} bytes: the limit is {STATE_BYTES}",
            hint="keep large things in files, and their names in the state",
        )
    return packed
