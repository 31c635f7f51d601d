"""The smallest scenario that still differs: parts are left out, one after another, while the difference stays."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from tests.conformance.scenario import Branch, Leaf, Scenario


def shrink(scenario: Scenario, differs: Callable[[Scenario], bool]) -> Scenario:
    while True:
        for smaller in candidates(scenario):
            if differs(smaller):
                scenario = smaller
                break
        else:
            return scenario


def candidates(scenario: Scenario) -> Iterator[Scenario]:
    for number in range(len(scenario.actions)):
        yield replace(scenario, actions=scenario.actions[:number] + scenario.actions[number + 1 :])
    for path in scenario.starts:
        yield replace(scenario, starts={other: todo for other, todo in scenario.starts.items() if other != path})
    for path, todo in scenario.starts.items():
        if len(todo) > 1:
            yield replace(scenario, starts={**scenario.starts, path: todo[:-1]})
    for tree in smaller(scenario.tree):
        yield replace(scenario, tree=tree)


def smaller(branch: Branch) -> Iterator[Branch]:
    for number, child in enumerate(branch.children):
        before, after = branch.children[:number], branch.children[number + 1 :]
        yield replace(branch, children=before + after)
        if isinstance(child, Branch):
            for less in smaller(child):
                yield replace(branch, children=(*before, less, *after))
        elif child != (plain := Leaf(child.name)):
            yield replace(branch, children=(*before, plain, *after))
