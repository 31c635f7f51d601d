"""Meters: so much of each thing was used. Light, for agents and the journal say it."""

from __future__ import annotations

import msgspec

from agenthost.core.budget.meters import FIELD_OF

EXACT = 2**53 - 1
"""Of any meter, and of any sum: a float and a column of SQLite hold it exactly. It is never passed."""


class Amounts(msgspec.Struct, frozen=True, array_like=True):
    """``wall_s`` is time that turns took, ``processes`` those that were started, ``cost`` in the currency of the
    prices."""

    tokens_in: int = 0
    tokens_out: int = 0
    cost: float = 0.0
    tool_calls: int = 0
    wall_s: float = 0.0
    cpu_s: float = 0.0
    processes: int = 0
    restarts: int = 0
    turns: int = 0

    def __add__(self, other: Amounts) -> Amounts:
        """No more than ``EXACT`` of each."""
        tokens_in = self.tokens_in + other.tokens_in  # in full: this is done ten times for each turn
        tokens_out = self.tokens_out + other.tokens_out
        cost = self.cost + other.cost
        tool_calls = self.tool_calls + other.tool_calls
        wall_s = self.wall_s + other.wall_s
        cpu_s = self.cpu_s + other.cpu_s
        processes = self.processes + other.processes
        restarts = self.restarts + other.restarts
        turns = self.turns + other.turns
        found = tokens_in, tokens_out, cost, tool_calls, wall_s, cpu_s, processes, restarts, turns
        return Amounts(*(found if max(found) <= EXACT else [min(one, EXACT) for one in found]))

    def __bool__(self) -> bool:
        return self != _NOTHING

    def of(self, meter: str) -> float:
        """``meter`` as people call it, one of ``METERS``."""
        if meter == "tokens":
            return self.tokens_in + self.tokens_out
        value: float = getattr(self, FIELD_OF.get(meter, meter))
        return value


_NOTHING = Amounts()
FIELDS: tuple[str, ...] = Amounts.__struct_fields__
