"""``budget`` and ``prices``: what may be used, of what, and what tokens cost. As values of ``core.budget``."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from agenthost.config.document import Mapping, Node, Scalar, kind_of
from agenthost.config.kinds import Duration, Kind, Reading, Share, Text, Word
from agenthost.config.problem import Refused, show
from agenthost.config.process_kinds import Plain
from agenthost.config.sections import Found, Key, Section
from agenthost.core.budget.budget import MOST, Bounds, Budget
from agenthost.core.budget.prices import Price, Prices

COUNT_PATTERN = r"(?=.*[1-9])[0-9]{1,9}(?:\.[0-9]{1,9})?[kMG]"
FALL_BACK_BYTES = 16 * 1024
"""Those of all budgets that hold for an agent reach it in one packet, of 200 KiB or so (unix(7), SO_SNDBUF)."""
_SIZES = {"k": 1000, "M": 1000**2, "G": 1000**3}


@dataclass(frozen=True)
class Count:
    """How many: ``5000``, ``200k``, ``1.5M``."""

    words: str = "number of them, such as 5000, 200k or 1.5M"

    def read(self, node: Node, where: str, reading: Reading) -> float:
        value = node.value() if isinstance(node, Scalar) else None
        if isinstance(value, int) and not isinstance(value, bool):
            if not 0 < value <= MOST:
                raise Refused(f"cannot use {value}", "write a number above 0, such as 5000, 200k or 1.5M")
            return float(value)
        text = node.text if isinstance(node, Scalar) else ""
        if not re.fullmatch(COUNT_PATTERN, text):
            given = show(text) if text else kind_of(node)
            raise Refused(f"{self.words} is wanted here, not {given}", "units are k, M and G")
        return count(text)

    def schema(self) -> dict[str, Any]:
        pattern = {"type": "string", "pattern": f"^(?:{COUNT_PATTERN})$"}
        return {"anyOf": [{"type": "integer", "minimum": 1, "maximum": MOST}, pattern]}


def count(text: str) -> float:
    """Of what ``COUNT_PATTERN`` matches, or digits alone."""
    return float(text[:-1]) * _SIZES[text[-1]] if text[-1:] in _SIZES else float(text)


def positive_count(text: str) -> float:
    """Of an operator's word. ``ValueError`` for what is no number, ``Refused`` for 0 and less."""
    found = count(text)
    if not found > 0:
        raise Refused(f"{Count().words} is wanted")
    return found


_COST: Kind = Share("a number above 0, such as 0.5", 0.0, 1e12, above=True)
_OF_TURN = (
    Key("cost", _COST, "What it costs, by `prices`, or as `ctx.spend(cost=...)` says.", "no limit"),
    Key("tokens", Count(), "Tokens in and out together.", "no limit"),
    Key("tokens_in", Count(), "Tokens that models were given.", "no limit"),
    Key("tokens_out", Count(), "Tokens that models gave.", "no limit"),
    Key("tool_calls", Count(), "Programs run by `ctx.run` and `ctx.popen`, and calls of other agents.", "no limit"),
    Key("wall", Duration(), "Time that turns take.", "no limit"),
    Key("cpu", Duration(), "Processor time of all that runs there.", "no limit"),
    Key("processes", Count(), "Programs and children that are started.", "no limit"),
)
_ALL = (
    *_OF_TURN,
    Key("restarts", Count(), "Restarts by its supervisor.", "no limit"),
    Key("turns", Count(), "Turns that end.", "no limit"),
)
TURN_BOUNDS = Section("turn_bounds", "What one turn may use.", _OF_TURN)
BOUNDS = Section("bounds", "What may be used in all, since it was there first.", _ALL)
FALL_BACK = Section(
    "fall_back_args",
    "Other args from the limit on.",
    (Key("fall_back", Plain(), "Merged into the agent's args. At twice the bound it stops.", required=True),),
)


@dataclass(frozen=True)
class AtLimit:
    """``(what, args)``"""

    words: str = "`stop`, `ask`, or `{fall_back: {NAME: value}}`"

    def read(self, node: Node, where: str, reading: Reading) -> tuple[str, dict[str, Any]]:
        if not isinstance(node, Mapping):
            return Word(("stop", "ask")).read(node, where, reading), {}
        args = FALL_BACK.find(node, where, reading).get("fall_back", {})
        if not args and "fall_back" in node.entries:
            reading.say(node, where, "a fall-back without args changes nothing", "write {fall_back: {model: small}}")
        if len(json.dumps(args, default=str)) > FALL_BACK_BYTES:
            what = f"the args of a fall-back are more than {FALL_BACK_BYTES // 1024} KiB"
            reading.say(node, where, what, "name what is large, such as a file")
        return "fall_back", args

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [{"enum": ["stop", "ask"]}, FALL_BACK.schema()]}


_AT_LIMIT = Key(
    "at_limit",
    AtLimit(),
    "What follows when it is used up. `stop`: the turn in hand is interrupted, its message set aside, and no turn "
    "begins before somebody grants more. `ask`: the same, and the message waits for a person, who may grant as much "
    "again. `fall_back`: other args from then on; at twice the bound it stops.",
    "stop",
)
BUDGET = Section(
    "budget",
    "What an agent may use. Kept over crashes and restarts.",
    (
        Key("turn", TURN_BOUNDS, "Each of its turns.", "no limit"),
        Key("session", BOUNDS, "All that it does; of a pool, each member.", "no limit"),
        Key("agent", BOUNDS, "The same; of a pool, all its members together.", "no limit"),
        _AT_LIMIT,
    ),
)
TREE_BUDGET = Section(
    "tree_budget",
    "What all below a supervisor may use together. Each of them may have budgets of its own beside it.",
    (*_ALL, _AT_LIMIT),
)
_PRICE = Share("a number from 0 on", 0.0, 1e9)
PRICE = Section(
    "price",
    "What a million tokens of a model cost.",
    (
        Key("in", _PRICE, "Tokens that it is given.", required=True),
        Key("out", _PRICE, "Tokens that it gives.", required=True),
    ),
)


@dataclass(frozen=True)
class Models:
    words: str = "map of names of models, or globs, to [prices](#price)"

    def read(self, node: Node, where: str, reading: Reading) -> tuple[Price, ...]:
        if not isinstance(node, Mapping):
            raise Refused(f"a map is wanted here, not {kind_of(node)}", "write it like {small: {in: 0.1, out: 0.4}}")
        made = []
        for name, (_, value) in node.entries.items():
            place = f"{where}.{name}"
            try:
                found = PRICE.find(value, place, reading)
            except Refused as refused:
                reading.say(value, place, refused.what, refused.hint)
                continue
            made.append(Price(name, found.get("in", 0.0), found.get("out", 0.0)))
        return tuple(made)

    def schema(self) -> dict[str, Any]:
        return {"type": "object", "additionalProperties": PRICE.schema()}


PRICES = Section(
    "prices",
    "What tokens cost, for `cost` in budgets and `spend` in `recovery`. The exact name of a model comes first, then "
    "the first glob that matches.",
    (
        Key("currency", Text(r"[^\u0000]{1,16}", "text", "it has 1 to 16 characters"), "For people.", "none"),
        Key("models", Models(), "By name.", required=True),
    ),
)
SECTIONS = (BUDGET, TREE_BUDGET, TURN_BOUNDS, BOUNDS, FALL_BACK, PRICES, PRICE)


def _bounds(found: Found | None) -> Bounds:
    return {} if found is None else {name: value for name, value in found.values.items() if name != "at_limit"}


def budget_of(found: Found | None) -> Budget | None:
    """Of a worker."""
    if found is None:
        return None
    at_limit, args = found.get("at_limit", ("stop", {}))
    return Budget(
        turn=_bounds(found.get("turn")),
        session=_bounds(found.get("session")),
        agent=_bounds(found.get("agent")),
        at_limit=at_limit,
        args=args,
    )


def tree_budget_of(found: Found | None) -> Budget | None:
    """Of a supervisor."""
    if found is None:
        return None
    at_limit, args = found.get("at_limit", ("stop", {}))
    return Budget(tree=_bounds(found), at_limit=at_limit, args=args)


def prices_of(found: Found | None) -> Prices | None:
    return None if found is None else Prices(found.get("models", ()), found.get("currency", ""))
