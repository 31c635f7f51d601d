"""Random scenarios. Biased towards trouble: few restarts are allowed, groups are common, starts fail and ignore."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from tests.conformance.scenario import Action, Behaviour, Branch, Leaf, Scenario, Shape, WhenAsked, parent_of, walk

STRATEGIES = ["one_for_one"] * 2 + ["one_for_all", "rest_for_one"] * 4
RESTARTS = ["permanent", "permanent", "transient", "transient", "temporary"]
STUBBORN_MS = 10
"""Erlang really waits for it."""


def scenario(seed: int) -> Scenario:
    chance = Random(seed)
    tree = branch(chance, "root", levels=chance.choice([1, 2, 2, 3, 3]))
    starts = {
        path: tuple(behaviours(chance, path, tree))
        for path, shape in walk(tree)
        if isinstance(shape, Leaf) and chance.random() < 0.2
    }
    extras = dict(extra for path, shape in walk(tree) for extra in extra_children(chance, path, shape))
    actions = [one for _ in range(chance.randint(2, 9)) for one in actions_of(chance, tree, extras)]
    return Scenario(tree, starts, tuple(actions))


def branch(chance: Random, name: str, levels: int) -> Branch:
    intensity = chance.choice([0, 1, 1, 2, 2, 3, 3, 3])
    if chance.random() < (0.05 if name == "root" else 0.12):
        template = branch(chance, "member", 1) if chance.random() < 0.2 else leaf(chance, "member")
        return Branch(name, (), "one_for_one", intensity, restart=chance.choice(RESTARTS), template=template)
    auto_shutdown = chance.choice(["never"] * 6 + ["any_significant", "all_significant"])
    children: list[Shape] = []
    for number in range(chance.choice([1, 2, 3, 3, 4, 4, 5])):
        if levels > 1 and chance.random() < 0.4:
            children.append(branch(chance, f"s{number}", levels - 1))
        else:
            children.append(leaf(chance, f"w{number}"))
    if auto_shutdown != "never":
        children = [
            child if child.restart == "permanent" else replace(child, significant=chance.random() < 0.6)
            for child in children
        ]
    return Branch(
        name, tuple(children), chance.choice(STRATEGIES), intensity,
        restart=chance.choice(RESTARTS), auto_shutdown=auto_shutdown,
    )  # fmt: skip


def extra_children(chance: Random, path: str, shape: Shape) -> list[tuple[str, Shape]]:
    """What can be added there at run time."""
    if not isinstance(shape, Branch) or shape.template is not None or chance.random() < 0.5:
        return []
    if chance.random() < 0.4:  # what is there already, or was until it was deleted
        again = chance.choice(shape.children)
        return [(path.rstrip("/") + "/" + again.name, again)]
    extra = branch(chance, "x", 1) if chance.random() < 0.2 else leaf(chance, "x")
    if extra.restart != "permanent" and chance.random() < 0.3:
        extra = replace(extra, significant=True)
    return [(path.rstrip("/") + "/x", extra)]


def leaf(chance: Random, name: str) -> Leaf:
    restart = chance.choice(RESTARTS)
    when_asked: WhenAsked = chance.choice(["obeys", "obeys", "obeys", "obeys", "crashes", "stubborn"])
    if when_asked == "stubborn":
        return Leaf(name, restart, chance.choice([STUBBORN_MS, "brutal_kill"]), when_asked)
    return Leaf(name, restart, chance.choice([5000, 60000, "infinity", "brutal_kill"]), when_asked)


def behaviours(chance: Random, path: str, tree: Branch) -> list[Behaviour]:
    """The first start is more often good than not, else few trees would come up."""
    some = ["ready", "ready", "fail", "ignore"]
    # Only below the root: a supervisor that has come up handles such a crash while the one above goes on.
    siblings = [child.name for child in tree.children if isinstance(child, Leaf) and "/" + child.name != path]
    if siblings and parent_of(path) == "/":
        some.append(f"crash /{chance.choice(siblings)}")
    first = [chance.choice(["ready", "ready", "ready", "ready", "ignore", *some])]
    return first + [chance.choice(some) for _ in range(chance.randint(0, 4))]


def actions_of(chance: Random, tree: Branch, extras: dict[str, Shape]) -> list[Action]:
    """One, or a few that belong together: random ones alone would seldom meet."""
    shapes = dict(walk(tree))
    leaves = [path for path, shape in shapes.items() if isinstance(shape, Leaf)]
    if not leaves or chance.random() < 0.85:
        return [action(chance, tree, extras)]
    someone = chance.choice(leaves)
    above = shapes[parent_of(someone)]
    in_pool = isinstance(above, Branch) and above.template is not None
    if in_pool or chance.random() < 0.5:  # it, or its group, is to be restarted and cannot be
        siblings = [path for path in leaves if parent_of(path) == parent_of(someone)]
        return [
            Action("next", someone, ("fail", "fail")[: chance.randint(1, 2)]),
            Action("crash", chance.choice(siblings)),
        ]
    return [Action("next", someone, ("fail",)), Action("stop", someone), Action("start", someone)]


def action(chance: Random, tree: Branch, extras: dict[str, Shape]) -> Action:
    shapes = {**extras, **dict(walk(tree))}
    leaves = [path for path, shape in shapes.items() if isinstance(shape, Leaf)]
    pools = {path for path, shape in shapes.items() if isinstance(shape, Branch) and shape.template is not None}
    members = [path for path in shapes if path != "/" and parent_of(path) in pools]
    below = [path for path in shapes if path != "/" and path not in members]
    word = chance.choices(
        ["end", "quit", "kill", "kill_any", "both", "next", "member", "add", "unknown", "operator", "crash"],
        [7, 4, 5, 3, 6, 8, 12 if members else 0, 8 if extras else 0, 1, 30 if below else 0, 40],
    )[0]
    someone = chance.choice(leaves) if leaves else "/nobody"
    match word:
        case "quit":
            return Action(chance.choice(["quit", "quit_with_term"]), someone)
        case "kill_any":
            return Action("kill", chance.choice(list(shapes)))
        case "both":
            siblings = [path for path in leaves if parent_of(path) == parent_of(someone)]
            return Action("both", someone, chance.choice(siblings or [someone]))
        case "next":
            return Action("next", someone, tuple(behaviours(chance, someone, tree)))
        case "member":
            return Action(chance.choice(["add_member", "add_member", "stop_member"]), chance.choice(members))
        case "add":
            path, shape = chance.choice(list(extras.items()))
            return Action("add", path, shape)
        case "unknown":
            verb = chance.choice(["stop", "start", "delete"])
            return Action(verb, chance.choice(["/nobody", "/s0/nobody"] if not pools else ["/nowhere/nobody"]))
        case "operator":
            return Action(*on_operators_behalf(chance, shapes, below))
        case _:
            return Action(word, someone)


def on_operators_behalf(chance: Random, shapes: dict[str, Shape], below: list[str]) -> tuple[str, str]:
    verb = chance.choice(["stop", "stop", "start", "start", "cycle", "delete"])
    if verb == "cycle":  # to Erlang that is two calls, and the first of them would forget a temporary child
        below = [path for path in below if shapes[path].restart != "temporary"] or below
        verb = "cycle" if shapes[below[0]].restart != "temporary" else "start"
    return verb, chance.choice(below)
