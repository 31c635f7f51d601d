"""What operators may ask of a node: start, stop, restart, kill (rules R7, R11, section 8). Each is answered once.

An answer that waits for a process is kept with the node in ``ops``; ``supervisor`` gives it when that is up or down.
"""

from __future__ import annotations

import difflib

from agenthost.core import effects as do
from agenthost.core import supervisor as sup
from agenthost.core.events import Command
from agenthost.core.life import ENDING, Life
from agenthost.core.reason import Reason
from agenthost.core.tree import AnyNode, Doing, Turn, Wish, Worker


def command(turn: Turn, wanted: Command) -> None:
    node = turn.state.nodes.get(wanted.path)
    if node is None:
        near = difflib.get_close_matches(wanted.path, turn.state.nodes, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        _answer(turn, wanted, f"there is no {wanted.path}{hint}", error="unknown_name")
        return
    turn.effects.append(do.Record(f"command.{wanted.verb}", wanted.path, {"by": wanted.by}))
    match wanted.verb:
        case "start":
            _start(turn, node, wanted)
        case "stop":
            _stop(turn, node, wanted)
        case "restart":
            _restart(turn, node, wanted)
        case "kill":
            _kill(turn, node, wanted)


def _start(turn: Turn, node: AnyNode, wanted: Command) -> None:
    parent = node.parent
    if _ending(node):
        _answer(turn, wanted, f"{node.path} is ending; start it when it is down", error="busy")
    elif _up(node):
        _answer(turn, wanted, "it is running already")
    elif node.alive:
        node.ops.append((wanted.op, wanted.verb))
    elif parent is None or parent.doing in (Doing.NOTHING, Doing.STOPPING):
        _answer(turn, wanted, f"its supervisor {parent.path if parent else ''} is not running", error="not_running")
    else:
        node.held = False
        node.ops.append((wanted.op, wanted.verb))
        in_group = parent.waits_for == node.name or node.name in parent.to_start
        sup.leave_waiting(turn, node)
        if in_group:
            sup.go_on(turn, parent)
        else:
            sup.begin(turn, node)


def _stop(turn: Turn, node: AnyNode, wanted: Command) -> None:
    parent = node.parent
    if node.alive:
        node.wish = Wish.STAY_DOWN
        node.ops.append((wanted.op, wanted.verb))
        sup.stop(turn, node, f"stopped by {wanted.by}")
        return
    in_group = parent is not None and parent.waits_for == node.name
    waited = sup.leave_waiting(turn, node)
    node.held = True
    _answer(turn, wanted, "it was waiting to be restarted; it stays down" if waited else "it was down already")
    if in_group and parent is not None:
        sup.go_on(turn, parent)


def _restart(turn: Turn, node: AnyNode, wanted: Command) -> None:
    if not node.alive:
        _start(turn, node, wanted)
    elif node.parent is None:
        _answer(turn, wanted, "the root cannot be restarted by itself; restart the host", error="usage")
    else:
        node.wish = Wish.COME_BACK
        node.ops.append((wanted.op, wanted.verb))
        sup.stop(turn, node, f"restarted by {wanted.by}")


def _kill(turn: Turn, node: AnyNode, wanted: Command) -> None:
    if not node.alive:
        _answer(turn, wanted, f"{node.path} has no process", error="not_running")
        return
    node.ops.append((wanted.op, wanted.verb))
    sup.kill(turn, node, Reason("killed", text=f"by {wanted.by}"))


def _up(node: AnyNode) -> bool:
    return node.life is Life.READY if isinstance(node, Worker) else node.doing in (Doing.SERVING, Doing.REGROUPING)


def _ending(node: AnyNode) -> bool:
    return node.life in ENDING if isinstance(node, Worker) else node.doing is Doing.STOPPING


def _answer(turn: Turn, wanted: Command, text: str, *, error: str | None = None) -> None:
    turn.effects.append(do.Answer(wanted.op, error, text))
