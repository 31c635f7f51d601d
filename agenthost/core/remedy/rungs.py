"""What can be done about work that failed: the rungs of a ladder, as values.

A rung may be taken several times in different ways: ``retry`` as often as it says, ``vary`` once for each of its
values. Each way is a *step* with a label of its own, made of what it says, so that a history of labels stays true when
the config changes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

import msgspec

USUAL_ATTEMPTS = 3
LADDER_ATTEMPTS = 20
"""With a ladder of one's own."""

Parameters: TypeAlias = dict[str, Any]


class _Rung(msgspec.Struct, frozen=True, array_like=True, tag=str.lower):
    pass


class Retry(_Rung, frozen=True):
    """A clean turn with the last good state, after a pause that is twice as long each time."""

    times: int = 1
    initial_s: float = 1.0
    max_s: float = 60.0


class Span(msgspec.Struct, frozen=True, array_like=True, tag="span"):
    """Numbers from ``first`` to ``last``, ``count`` of them, evenly."""

    first: float
    last: float
    count: int

    def values(self) -> list[float | int]:
        if self.count == 1:
            return [self.first]
        way = (self.last - self.first) / (self.count - 1)
        found = [round(self.first + way * n, 9) for n in range(self.count)]
        whole = isinstance(self.first, int) and all(value == int(value) for value in found)
        return [int(value) for value in found] if whole else list(found)


class Vary(_Rung, frozen=True):
    """Other parameters, merged into the agent's args for this turn. ``each`` are the values of those that are stepped
    through: all move on together, and one that has no more keeps its last. ``random``: names that get a new random
    number each time."""

    fixed: Parameters = {}
    each: dict[str, list[Any]] = {}
    random: tuple[str, ...] = ()


class Compact(_Rung, frozen=True):
    """The agent's own ``compact(state, **parameters)``; what comes out must be smaller."""

    parameters: Parameters = {}


class Roll_back(_Rung, frozen=True):  # its name in the config is its tag
    """The state of so many committed turns ago."""

    turns: int = 1


class Fall_back(_Rung, frozen=True):
    """``agent``: the path of another one, which gets the message; else other args, as ``vary``."""

    agent: str = ""
    parameters: Parameters = {}


class Ask(_Rung, frozen=True):
    """The message waits for a person, who says yes, no, or something. ``deadline_s`` 0: for ever; after it the next
    rung is taken."""

    question: str
    deadline_s: float = 0.0


class Authors(_Rung, frozen=True):
    """The author's: ``name`` is "module:function", "/path/file.py:function" or a dotted name, called in the agent's
    process. ``written``: as the config has it, if that is something else."""

    name: str
    parameters: Parameters = {}
    written: str = ""


class Dead_letter(_Rung, frozen=True):
    """Set aside with its history; the next message is handled. ``escalates``: and the process ends, as ``Escalate``."""

    escalates: bool = False


class Escalate(_Rung, frozen=True):
    """The process ends with a reason that its supervisor sees; the message waits for whoever comes after it."""


Rung = Retry | Vary | Compact | Roll_back | Fall_back | Ask | Authors | Dead_letter | Escalate


class Ladder(msgspec.Struct, frozen=True, array_like=True):
    """From the bottom. A message has at most ``attempts`` attempts and costs at most ``spend``, 0 is without bound, in
    the currency of the price table."""

    rungs: tuple[Rung, ...] = ()
    attempts: int = USUAL_ATTEMPTS
    spend: float = 0.0


class Step(msgspec.Struct, frozen=True):
    """One way to take a rung: ``turn`` counts from 0 within it."""

    label: str
    rung: Rung
    turn: int = 0


def steps(rungs: tuple[Rung, ...]) -> Iterator[Step]:
    """Of a ladder from the bottom; no two labels are equal. They may be many: look at as few as you need."""
    seen: dict[str, int] = {}
    for rung in rungs:
        for turn in range(_ways(rung)):
            label = _label(rung, turn)
            count = seen[label] = seen.get(label, 0) + 1
            yield Step(label if count == 1 else f"{label} (again, {count})", rung, turn)


def word(rung: Rung) -> str:
    """As the config calls it; of an author's, its name."""
    return rung.name if isinstance(rung, Authors) else type(rung).__name__.lower()


def parameters(rung: Rung, turn: int, chance: int) -> Parameters:
    """What ``vary`` and ``fall_back`` merge into the args; of others, what they are called with."""
    match rung:
        case Vary(fixed=fixed, each=each, random=names):
            stepped = {name: values[min(turn, len(values) - 1)] for name, values in each.items()}
            drawn = {name: (chance + number * 0x9E3779B1) % 2**31 for number, name in enumerate(names)}
            return {**fixed, **stepped, **drawn}
        case Compact(parameters=given) | Fall_back(parameters=given) | Authors(parameters=given):
            return dict(given)
    return {}


def _ways(rung: Rung) -> int:
    match rung:
        case Retry(times=times):
            return max(times, 1)
        case Vary(each=each):
            return max([1, *(len(values) for values in each.values())])
    return 1


def _label(rung: Rung, turn: int) -> str:
    match rung:
        case Retry():
            return "retry" if turn == 0 else f"retry {turn + 1}"
        case Vary(random=names):
            said = {**parameters(rung, turn, 0), **dict.fromkeys(names, "random")}
            return f"vary {_said(said)}"
        case Compact(parameters=given) if given:
            return f"compact {_said(given)}"
        case Authors(name=name, parameters=given, written=written):
            return f"{written or name} {_said(given)}".rstrip()
        case Roll_back(turns=turns):
            return f"roll_back {turns}"
        case Fall_back(agent=path, parameters=given):
            return f"fall_back {path or _said(given)}"
        case Ask(question=question):
            return f"ask {_short(question)}"
        case Dead_letter(escalates=True):
            return "dead_letter, escalate"
    return word(rung)


def _said(parameters: Parameters) -> str:
    return " ".join(f"{name}={_short(value)}" for name, value in sorted(parameters.items()))


def _short(value: Any) -> str:
    text = " ".join((value if isinstance(value, str) else repr(value)).split())
    return text if len(text) <= 60 else f"{text[:59]}…"
