"""Meters: so much of each thing was used. Light, for agents and the journal say it."""

from __future__ import annotations

import msgspec

from agenthost.core.budget.meters import FIELD_OF


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
        return Amounts(  # in full: this is done ten times for each turn
            self.tokens_in + other.tokens_in,
            self.tokens_out + other.tokens_out,
            self.cost + other.cost,
            self.tool_calls + other.tool_calls,
            self.wall_s + other.wall_s,
            self.cpu_s + other.cpu_s,
            self.processes + other.processes,
            self.restarts + other.restarts,
            self.turns + other.turns,
        )

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
