"""Random process trees, as Hypothesis makes them: what ``awkward.py tree`` grows."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies

MOST = 30
"""So many processes and no more, in one tree."""

Node = dict[str, Any]

_HOWS = strategies.sampled_from(("fork", "double", "vfork"))
_FLAGS = strategies.lists(strategies.sampled_from(("session", "deaf", "stopped", "gone", "exec")), unique=True)
_TOP_FLAGS = strategies.lists(strategies.sampled_from(("deaf", "stopped")), unique=True)


@strategies.composite
def trees(draw: strategies.DrawFn) -> Node:
    """Each process but the first has one of the earlier ones as its parent: deep and wide ones alike."""
    nodes = [Node(how="fork", flags=draw(_TOP_FLAGS), below=[])]
    for number in range(draw(strategies.integers(0, MOST - 1))):
        node = Node(how=draw(_HOWS), flags=draw(_FLAGS), below=[])
        nodes[draw(strategies.integers(0, number))]["below"].append(node)
        nodes.append(node)
    return nodes[0]


def size(node: Node) -> int:
    return 1 + sum(map(size, node["below"]))


def staying(node: Node, *, top: bool = True) -> int:
    """How many of them do not end by themselves."""
    stays = top or "gone" not in node["flags"]
    return stays + sum(staying(one, top=False) for one in node["below"])
