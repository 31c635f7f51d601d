"""Whether a bound is reached, and what follows: ``stop``, ``ask``, or ``fall_back``, which stops at twice the bound.

What comes in pieces that cannot be seen before (tokens, cost, time) is used up when the bound is reached; of what is
counted one by one (calls, processes, restarts) the bound is the last that is had.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from agenthost.core.budget.amounts import Amounts
from agenthost.core.budget.meters import shown
from agenthost.core.budget.scope import Scope

_COUNTED = frozenset({"tool_calls", "processes", "restarts"})
STOPS_AT = 2
"""So many times the bound, where it falls back before."""
State = Literal["stopped", "asks", "falls_back"]


class Crossing(msgspec.Struct, frozen=True, array_like=True):
    """``of``: the bound, with what was granted; ``bound``: as the config has it. ``path`` is who has used it all."""

    path: str
    kind: str
    meter: str
    used: float
    of: float
    bound: float
    state: State
    args: dict[str, Any] = {}

    @property
    def stops(self) -> bool:
        """No turn goes on, nor begins."""
        return self.state != "falls_back"

    def words(self, currency: str = "") -> str:
        """ "the budget of a turn of /coder is used up: cost 5.02 of 5 EUR"."""
        whose = {"turn": f"a turn of {self.path}", "message": f"a message for {self.path}"}.get(self.kind, self.path)
        unit = f" {currency}" if currency and self.meter == "cost" else ""
        meter = self.meter.replace("_", " ")
        twice = " twice over" if self.has_fallen_back else ""
        used, of = shown(self.meter, self.used), shown(self.meter, self.of)
        return f"the budget of {whose} is used up{twice}: {meter} {used} of {of}{unit}"

    @property
    def has_fallen_back(self) -> bool:
        """And has gone on until it was used up once more."""
        return bool(self.args) and self.stops

    @property
    def as_much_again(self) -> float:
        """What a person grants who lets it go on: the bound once more, or as often as it takes."""
        return self.bound * max(1, math.floor((self.used - self.of) / self.bound) + 1)


def crossing(path: str, scope: Scope, used: Amounts, granted: Mapping[str, float]) -> Crossing | None:
    """The one that weighs most of those of ``scope``; None while all bounds hold."""
    found: Crossing | None = None
    for meter, bound in scope.bounds.items():
        of, has = bound + granted.get(meter, 0.0), used.of(meter)
        if not _is_reached(meter, has, of):
            continue
        state: State = "stopped"
        if scope.at_limit == "ask":
            state = "asks"
        elif scope.at_limit == "fall_back" and not _is_reached(meter, has, STOPS_AT * of):
            state = "falls_back"
        one = Crossing(path, scope.kind, meter, has, of, bound, state, scope.args)
        if one.stops:
            return one
        found = found or one
    return found


def _is_reached(meter: str, has: float, of: float) -> bool:
    return has > of if meter in _COUNTED else has >= of
