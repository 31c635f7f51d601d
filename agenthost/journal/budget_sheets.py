"""What is used, and of how much, as ``agenthost budget show`` has it: rows by path. Looks, and changes nothing."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from typing import Any

import msgspec

from agenthost.core.budget.scope import ANY, above
from agenthost.journal.meters import Meters
from agenthost.journal.store import Reader

PAGE = 200


def budget_sheets(meters: Meters, reader: Reader, args: dict[str, Any]) -> list[dict[str, Any]]:
    """``path``: that one, and those above it that bound it; "" all that the config bounds by name. With ``below`` all
    that were metered there and below. The last two above ``after``, up to 200."""
    path, after = str(args.get("path", "")), str(args.get("after", ""))
    if args.get("below"):
        return _below(meters, reader, path or "/", after)
    wanted: Iterable[str]
    if path:
        wanted = {path, *(place for place in above(path) if meters.scopes.at(place))}
    else:
        bounded = {one.path for one in meters.scopes.all if ANY not in one.path}
        wanted = heapq.nsmallest(PAGE, (place for place in bounded if place > after))
    return [row for place in sorted(wanted) for row in sheet_of(meters, reader, place)]


def sheet_of(meters: Meters, reader: Reader, path: str) -> list[dict[str, Any]]:
    """Of one path: a map with ``path``, ``used`` (by meter), ``bounds`` and ``grants``."""
    standing, total = meters.at(path), meters.usage.look_at(path)
    bounds = []
    for scope in meters.scopes.at(path):
        of_turn = scope.kind == "turn"
        used = meters.usage.look_up(path).latest() if of_turn else total
        granted = {} if of_turn else meters.granted(path)
        for meter, bound in scope.bounds.items():
            is_up = standing is not None and (standing.kind, standing.meter) == (scope.kind, meter)
            bounds.append(
                {
                    "scope": scope.kind,
                    "meter": meter,
                    "used": used.of(meter),
                    "of": bound + granted.get(meter, 0.0),
                    "granted": granted.get(meter, 0.0),
                    "at_limit": scope.at_limit,
                    "state": standing.state if is_up and standing is not None else "",
                }
            )
    grants = [
        {"meter": one.meter, "amount": one.amount, "by": one.by, "at": one.at_ms / 1000} for one in reader.grants(path)
    ]
    used_here = msgspec.structs.asdict(total)
    currency = meters.prices.currency
    return [{"path": path, "used": used_here, "bounds": bounds, "grants": grants, "currency": currency}]


def _below(meters: Meters, reader: Reader, path: str, after: str) -> list[dict[str, Any]]:
    """In the order of the store: ``path`` itself comes first, with its first page."""
    folder = path.rstrip("/") + "/"
    rows = sheet_of(meters, reader, path) if not after else []
    found = reader.metered(folder, max(after, folder), PAGE)
    return rows + [row for one in found if one.path != path for row in sheet_of(meters, reader, one.path)]
