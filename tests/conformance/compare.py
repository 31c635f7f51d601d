"""Where two lists of lines differ, and what may: the two orders that Erlang itself leaves open.

When a supervisor is killed outright, Erlang lets it die first and what it had below end on its own, while the
supervisor above goes on already; the core ends all of it together (D7: nothing outlives it). So in such a step the ends
of what was below are compared as a set without reasons, and everything else in order. Members of a pool are stopped
side by side (S5): ends in it that follow each other are compared as a set.
"""

from __future__ import annotations

import itertools

from tests.conformance.scenario import Action, Branch, Scenario, parent_of, shapes_of


def difference(scenario: Scenario, otp: list[str], core: list[str]) -> str:
    """"" if they agree, else both sides of the first step that differs."""
    shapes = shapes_of(scenario)
    pools = [path for path, shape in shapes.items() if isinstance(shape, Branch) and shape.template is not None]
    killed = {
        number: action.path
        for number, action in enumerate(scenario.actions, 1)
        if action.verb == "kill" and isinstance(shapes.get(action.path), Branch)
    }
    up: set[str] = set()  # incarnations; the same on both sides for as long as the steps agree
    for number, (ours, theirs) in enumerate(itertools.zip_longest(steps(core), steps(otp), fillvalue=[])):
        fallen = {one for one in up if is_below(one.partition("#")[0], killed[number])} if number in killed else set()
        if ignored_restart(ours, pools, number, scenario):
            return ""
        if aside(in_pools(ours, pools), fallen) != aside(in_pools(theirs, pools), fallen):
            return f"step {number}\n{beside(theirs, ours)}"
        for line in ours:
            word, _, rest = line.partition(" ")
            if word == "birth":
                up.add(rest)
            elif word == "end":
                up.discard(rest.partition(" ")[0])
    return ""


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


def ignored_restart(lines: list[str], pools: list[str], number: int, scenario: Scenario) -> bool:
    """E1: a member answers "ignore" when it is restarted. It is to be removed (the suite's
    simple_one_for_one_restart_ignore); OTP 25 keeps it without a process and crashes on that at the next chance."""
    action = scenario.actions[number - 1] if 0 < number <= len(scenario.actions) else None
    for line in lines:
        path = line.split(" ")[1].partition("#")[0]
        if line.startswith("end ") and line.endswith(" ignore") and parent_of(path) in pools:
            if action != Action("add_member", path):
                return True
    return False


def is_below(path: str, above: str) -> bool:
    return path == above or above == "/" or path.startswith(above + "/")


def beside(otp: list[str], core: list[str]) -> str:
    """Two columns; differing rows are marked."""
    width = max((len(line) for line in otp), default=0) + 2
    rows = [f"  {'Erlang':<{width}}  core"]
    for theirs, ours in itertools.zip_longest(otp, core, fillvalue=""):
        rows.append(f"{' ' if theirs == ours else '!'} {theirs:<{width}}  {ours}")
    return "\n".join(rows)
