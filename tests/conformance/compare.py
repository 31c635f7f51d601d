"""Where two lists of lines differ, and what may.

Erlang itself leaves two orders open. When a supervisor is killed outright, Erlang lets it die first and what it had
below end on its own, while the supervisor above goes on already; the core ends all of it together (D7: nothing outlives
it). So in such a step the ends of what was below are compared as a set without reasons, and everything else in order.
And members of a pool are stopped side by side (S5): ends in it that follow each other are compared as a set.

Two differences are known and tagged:
E1. A member of a pool that answers "ignore" when it is restarted is to be removed (the suite's
    simple_one_for_one_restart_ignore). OTP 25 keeps it without a process and crashes on that later: not compared on.
E2. Two children that die at once under one_for_one are restarted side by side here, one after another in Erlang: such a
    step is compared without order, and without reasons, for either may still be starting when the other ends it.
"""

from __future__ import annotations

import itertools

from tests.conformance.scenario import Action, Branch, Scenario, Shape, parent_of, shapes_of


def difference(scenario: Scenario, otp: list[str], core: list[str], *, until: int | None = None) -> str:
    """ "" if they agree, up to step ``until`` if that is given; else both sides of the first step that differs."""
    shapes = shapes_of(scenario)
    pools = [path for path, shape in shapes.items() if isinstance(shape, Branch) and shape.template is not None]
    up: set[str] = set()  # incarnations; the same on both sides for as long as the steps agree
    nothing: list[str] = []
    for number, (ours, theirs) in enumerate(itertools.zip_longest(steps(core), steps(otp), fillvalue=nothing)):
        action = scenario.actions[number - 1] if 0 < number <= len(scenario.actions) else None
        if number == until or ignored_restart(ours, pools, action):
            return ""
        fallen = below_killed(action, shapes, up)
        sides = [aside(in_pools(lines, pools), fallen) for lines in (ours, theirs)]
        if action is not None and side_by_side(action, shapes):
            sides = [(ends, sorted(without_reason(line) for line in others)) for ends, others in sides]
        if sides[0] != sides[1]:
            return f"step {number}: {action}\n{beside(theirs, ours)}"
        keep_account(up, ours)
    return ""


def keep_account(up: set[str], lines: list[str]) -> None:
    for line in lines:
        word, _, rest = line.partition(" ")
        if word == "birth":
            up.add(rest)
        elif word == "end":
            up.discard(rest.partition(" ")[0])


def below_killed(action: Action | None, shapes: dict[str, Shape], up: set[str]) -> set[str]:
    """The incarnations that fall with a supervisor that is killed outright."""
    if action is None or action.verb != "kill" or not isinstance(shapes.get(action.path), Branch):
        return set()
    return {one for one in up if is_below(one.partition("#")[0], action.path)}


def side_by_side(action: Action, shapes: dict[str, Shape]) -> bool:
    """E2."""
    parent = shapes.get(parent_of(action.path))
    return action.verb == "both" and isinstance(parent, Branch) and parent.strategy == "one_for_one"


def steps(lines: list[str]) -> list[list[str]]:
    """The lines of each step; the first step is the start of the tree."""
    found: list[list[str]] = []
    for line in lines:
        if line.startswith("step "):
            found.append([])
        else:
            found[-1].append(line)
    return found


def aside(lines: list[str], fallen: set[str]) -> tuple[list[str], list[str]]:
    """Ends of what has ``fallen`` with a killed supervisor, sorted and without reasons; and the other lines."""
    ends = [line for line in lines if line.startswith("end ") and line.split(" ")[1] in fallen]
    return sorted(line.split(" ")[1] for line in ends), [line for line in lines if line not in ends]


def in_pools(lines: list[str], pools: list[str]) -> list[str]:
    """The lines, with ends of one pool's members that follow each other sorted."""

    def run(line: str) -> str:
        path = line.split(" ")[1].partition("#")[0] if line.startswith("end ") else ""
        return next((pool for pool in pools if path != pool and is_below(path, pool)), "") if path else ""

    runs = itertools.groupby(lines, run)
    return [line for pool, group in runs for line in (sorted(group) if pool else group)]


def ignored_restart(lines: list[str], pools: list[str], action: Action | None) -> bool:
    """E1."""
    ignored = [line.split(" ")[1].partition("#")[0] for line in lines if line.endswith(" ignore")]
    return any(parent_of(path) in pools and action != Action("add_member", path) for path in ignored)


def without_reason(line: str) -> str:
    return line.rpartition(" ")[0] if line.startswith("end ") else line


def is_below(path: str, above: str) -> bool:
    return path == above or above == "/" or path.startswith(above + "/")


def beside(otp: list[str], core: list[str]) -> str:
    """Two columns; differing rows are marked."""
    width = max((len(line) for line in otp), default=0) + 2
    rows = [f"  {'Erlang':<{width}}  core"]
    for theirs, ours in itertools.zip_longest(otp, core, fillvalue=""):
        rows.append(f"{' ' if theirs == ours else '!'} {theirs:<{width}}  {ours}")
    return "\n".join(rows)
