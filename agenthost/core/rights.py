"""What an agent may start, decided: pure, over the ``may`` of everybody it was started by.

The rule: a start is within the rights of the asker *and* of all its owners, up to the agent that stands in the config.
So an agent can give what it starts less than it has, never more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from agenthost.core.birth import Limits, May
from agenthost.errors import NotPermitted

LONGEST_SHOWN, MOST_LISTED = 200, 10
"""Characters of a name or pattern in a refusal, and patterns."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One worker that is to be started. ``names`` are what it is, of which one must match; the first is for people.
    ``is_tool``: a program that the asker could as well fork itself, so what it is and how deep does not matter."""

    names: tuple[str, ...]
    limits: Limits
    is_tool: bool = False


@dataclass(frozen=True, slots=True)
class Owner:
    """The asker, or who has started it. ``below``: the limits of all workers below it now. ``is_configured``: it stands
    in the config, and was not started by an agent."""

    path: str
    may: May
    below: tuple[Limits, ...] = ()
    is_configured: bool = True
    between: int = 0
    """Supervisors between it and whom it has started of the owners."""


def refusal(asked: Sequence[Asked], owners: Sequence[Owner], levels: int = 1) -> NotPermitted | None:
    """None: it may. ``owners`` begin with the asker; all of ``asked`` are started together, or none. ``levels``: 2 for
    a supervisor with workers."""
    asker = owners[0]
    depth = levels
    for owner in owners:
        depth += owner.between + (owner is not asker)
        for said, do, key in _reasons(asked, asker, owner, depth):
            return NotPermitted(f"not permitted: {said}", hint=f"{do} may.{key}{_place(owner, asker)}")
    return None


def refusal_of_crowd(number: int, owners: Sequence[Owner]) -> NotPermitted | None:
    """Of so many together, whatever they are: before that is read."""
    asker = owners[0]
    for owner in owners:
        if number > owner.may.children:
            said, do, key = _too_many(number, asker, owner)
            return NotPermitted(f"not permitted: {said}", hint=f"{do} may.{key}{_place(owner, asker)}")
    return None


def _reasons(asked: Sequence[Asked], asker: Owner, owner: Owner, depth: int) -> Iterator[tuple[str, str, str]]:
    """(what is asked and what may be, what to do, which key), the most telling first."""
    may = owner.may
    for one in asked:
        if not one.is_tool and not any(fnmatchcase(name, pattern) for name in one.names for pattern in may.start):
            wish = f"asked for {_short(one.names[0])}"
            patterns = _listed(may.start)
            said = (
                f"{owner.path} may start {patterns} and {wish}"
                if owner is asker
                else f"{asker.path} {wish}, and {owner.path}, which started it, may start {patterns}"
            )
            yield said, "add it to", "start"
    if depth > may.depth and not any(one.is_tool for one in asked):
        whose = "may start none" if may.depth == 0 else f"may have children {may.depth} deep"
        yield f"{asker.path} asked for a child {depth} below {owner.path}, which {whose}", "raise", "depth"
    if len(owner.below) + len(asked) > may.children:
        yield _too_many(len(asked), asker, owner)
    for field in _SHOWN:
        most = getattr(may.limits, field)
        if most is not None:
            yield from _sum(asked, owner, field, most)


def _too_many(number: int, asker: Owner, owner: Owner) -> tuple[str, str, str]:
    has = f"{owner.path} may have {owner.may.children} children, with all below them; it has {len(owner.below)}"
    return f"{has} and {asker.path} asked for {number} more", "end some, or raise", "children"


def _sum(asked: Sequence[Asked], owner: Owner, field: str, most: float) -> Iterator[tuple[str, str, str]]:
    word, show = _SHOWN[field]
    for one in asked:
        if getattr(one.limits, field) is None:
            said = (
                f"{_short(one.names[0])} was asked for without limits.{word}, and what {owner.path} starts may have "
                f"{show(most)} together"
            )
            yield said, f"give it one, or take it out of {owner.path}'s", f"limits.{word}"
            return
    there = sum(getattr(limits, field) or 0 for limits in owner.below)
    more = sum(getattr(one.limits, field) for one in asked)
    if there + more > most:
        said = (
            f"what {owner.path} starts may have limits.{word} of {show(most)} together; it has {show(there)} and was "
            f"asked for {show(more)} more"
        )
        yield said, "end some, or raise", f"limits.{word}"


def _place(owner: Owner, asker: Owner) -> str:
    """Where the right is written."""
    if not owner.is_configured:
        return f" where {owner.path} is started"
    return " in the config" if owner is asker else f" of {owner.path} in the config"


def _short(text: str) -> str:
    """An agent wrote it: a refusal is kept, and must not be as long as what was asked."""
    return repr(text if len(text) <= LONGEST_SHOWN else text[: LONGEST_SHOWN - 3] + "...")


def _listed(patterns: Sequence[str]) -> str:
    more = [f"and {len(patterns) - MOST_LISTED} more"] if len(patterns) > MOST_LISTED else []
    return f"[{', '.join([*map(_short, patterns[:MOST_LISTED]), *more])}]"


def _bytes(number: float) -> str:
    for unit, size in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if number >= size:
            return f"{number / size:.4g} {unit}"
    return f"{number:g} B"


def _number(number: float) -> str:
    return f"{number:g}"


_SHOWN: dict[str, tuple[str, Callable[[float], str]]] = {
    "memory_bytes": ("memory", _bytes),
    "cpu_cores": ("cpu", _number),
    "processes": ("processes", _number),
    "open_files": ("open_files", _number),
    "file_size_bytes": ("file_size", _bytes),
}
"""What the config calls a limit, and how it is shown."""
