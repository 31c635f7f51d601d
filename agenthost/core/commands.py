"""What operators may ask: start, stop, restart, kill, add, delete (rules R7, R11, section 8). Each is answered once.

An answer that waits for a process is kept with the node in ``ops``; ``supervisor`` gives it when that is up or down.
"""

from __future__ import annotations

import dataclasses
import difflib

from agenthost.core import effects as do
from agenthost.core import interrupting, persisting, sleeping
from agenthost.core import supervisor as sup
from agenthost.core.brood import brood_of, takes_children
from agenthost.core.events import Add, Command, Delete
from agenthost.core.freezing import freeze, frozen_above, thaw, workers_at
from agenthost.core.life import ENDING, Life
from agenthost.core.reason import Reason
from agenthost.core.rest import come_to_rest, forget
from agenthost.core.spec import ChildSpec, SupervisorSpec, WorkerSpec, check_child
from agenthost.core.tree import AnyNode, Doing, Inquiry, Supervisor, Turn, Wish, Worker
from agenthost.errors import ConfigError

MAX_DEPTH = 64
"""Of a path. A move goes down and up a tree by calls of functions."""


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
        case "interrupt":
            _interrupt(turn, node, wanted)
        case "freeze" | "thaw":
            _freeze_or_thaw(turn, node, wanted)


def _start(turn: Turn, node: AnyNode, wanted: Command) -> None:
    parent = node.parent
    if frozen := frozen_above(node):
        _answer(turn, wanted, f"{frozen.path}, which has started it, is frozen; thaw that first", error="busy")
    elif isinstance(node, Worker) and node.sleeping:
        node.ops.append((wanted.op, wanted.verb))  # it comes back when it has fallen asleep
    elif _ending(node):
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
            node.by_hand = True
            turn.because("R7")
            if isinstance(node, Worker) and node.window is not None:
                node.window.clear()  # who starts it by hand has mended it
            sup.begin(turn, node)


def _stop(turn: Turn, node: AnyNode, wanted: Command) -> None:
    parent = node.parent
    if node.alive:
        turn.because("R7")
        node.wish = Wish.STAY_DOWN
        node.ops.append((wanted.op, wanted.verb))
        sup.stop(turn, node, f"stopped by {wanted.by}")
        return
    in_group = parent is not None and parent.waits_for == node.name
    waited, slept = sup.leave_waiting(turn, node), sleeping.is_asleep(node)
    come_to_rest(turn, node, Wish.STAY_DOWN)
    was = "waiting to be restarted; it stays down" if waited else "asleep; it stays down" if slept else "down already"
    _answer(turn, wanted, f"it was {was}")
    if in_group and parent is not None:
        sup.go_on(turn, parent)


def _restart(turn: Turn, node: AnyNode, wanted: Command) -> None:
    if not node.alive or frozen_above(node) is not None:
        _start(turn, node, wanted)
    elif node.parent is None:
        _answer(turn, wanted, "the root cannot be restarted by itself; restart the host", error="usage")
    elif isinstance(node, Worker) and node.spec.of_turn:
        _answer(turn, wanted, f"{node.path} is a tool of a turn: only its agent can start it again", error="usage")
    else:
        turn.because("R7")
        node.wish = Wish.COME_BACK
        node.ops.append((wanted.op, wanted.verb))
        sup.stop(turn, node, f"restarted by {wanted.by}")


def _kill(turn: Turn, node: AnyNode, wanted: Command) -> None:
    if not node.alive:
        _answer(turn, wanted, f"{node.path} has no process", error="not_running")
        return
    node.ops.append((wanted.op, wanted.verb))
    sup.kill(turn, node, Reason("killed", text=f"by {wanted.by}"))


def _interrupt(turn: Turn, node: AnyNode, wanted: Command) -> None:
    """An agent's own turn, or those of all agents below a supervisor. A tool of a turn is no agent."""
    of_many = isinstance(node, Supervisor)
    workers = [one for one in workers_at(node) if not one.spec.of_turn] if isinstance(node, Supervisor) else [node]
    turn.because("H7")
    able = [worker for worker in workers if interrupting.can_be(worker)]
    if not able:
        frozen = next((worker for worker in workers if worker.alive and interrupting.stands_still(worker)), None)
        if frozen is not None:
            thawed = frozen_above(frozen) or frozen
            text = f"{frozen.path} is frozen and cannot hear it; thaw {thawed.path} first, or kill it"
            _answer(turn, wanted, text, error="busy")
        else:
            state = "" if of_many else f": it is {workers[0].life}"
            _answer(turn, wanted, f"no turn is in hand at {node.path}{state}", error="not_running")
        return
    inquiry = Inquiry(wanted.op, node.path, of_many)
    for worker in able:
        kill_tools(turn, interrupting.begin_by(turn, worker, wanted.by, inquiry), f"interrupted by {wanted.by}")


def kill_tools(turn: Turn, tools: list[Worker], why: str) -> None:
    """Tools of a turn that was interrupted."""
    turn.because("H7")
    for tool in tools:
        sup.kill(turn, tool, Reason("killed", text=f"with its turn: {why}"))


def _freeze_or_thaw(turn: Turn, node: AnyNode, wanted: Command) -> None:
    """All at ``node`` and below. To say it again does no harm; where there is nobody it is an error."""
    turn.because("H8")
    freezes = wanted.verb == "freeze"
    if frozen := frozen_above(node):
        text = f"it stands still with {frozen.path}, which has started it"
        _answer(turn, wanted, text if freezes else f"{text}; thaw that", error=None if freezes else "busy")
        return
    workers = [worker for worker in workers_at(node) if worker.alive]
    done = sum((freeze if freezes else thaw)(turn, worker) for worker in workers)
    if done or any(worker.frozen_at is not None for worker in workers):
        text = "frozen" if freezes else "thawed"
        _answer(turn, wanted, f"{text}: {done} of {len(workers)}" if len(workers) > 1 else text)
    else:
        could = "can be frozen: only what runs, and is not ending, can be" if freezes else "is frozen"
        _answer(turn, wanted, f"nothing at {node.path} {could}", error="not_running")


def add(turn: Turn, wanted: Add) -> None:
    """A child at run time. It is planted, started, and forgotten again if it does not come up."""
    parent = _to_add_to(turn, wanted)
    if parent is None:
        return
    known = parent.children.get(wanted.name)
    if known is not None:
        text = f"{known.path} is {'running' if known.alive else 'there'} already"
        _answer(turn, wanted, text, error="busy")
    elif parent.doing in (Doing.NOTHING, Doing.STOPPING):
        _answer(turn, wanted, f"its supervisor {parent.path} is not running", error="not_running")
    else:
        _plant(turn, parent, wanted)


def _to_add_to(turn: Turn, wanted: Add) -> Supervisor | None:
    """The supervisor, or that of an agent's own children. None: it is answered that there is none."""
    above = turn.state.nodes.get(wanted.parent)
    if above is None:
        _answer(turn, wanted, f"there is no supervisor {wanted.parent}", error="unknown_name")
        return None
    if isinstance(above, Supervisor):
        return above
    of_turn = isinstance(wanted.spec, WorkerSpec) and wanted.spec.of_turn
    if not takes_children(above, of_turn=of_turn):
        state = "frozen" if above.frozen_at is not None else str(above.life)
        _answer(turn, wanted, f"{above.path} is {state} and starts nothing", error="not_running")
        return None
    return brood_of(turn, above)


def _plant(turn: Turn, parent: Supervisor, wanted: Add) -> None:
    spec = parent.spec.template if parent.spec.template is not None else wanted.spec
    if spec is None or (parent.is_pool and wanted.spec is not None):
        kind = "a pool, whose members are of its template" if parent.is_pool else "no pool: it takes a spec"
        _answer(turn, wanted, f"{parent.path} is {kind}", error="usage")
        return
    if parent.path.count("/") + _depth(spec) > MAX_DEPTH:
        text = f"cannot start {wanted.name} below {parent.path}: nothing may be more than {MAX_DEPTH} levels deep"
        _answer(turn, wanted, text, error="usage")
        return
    try:
        spec = dataclasses.replace(spec, name=wanted.name)
        check_child(parent.spec, spec)
    except ConfigError as error:
        _answer(turn, wanted, str(error), error="bad_config")
        return
    if parent.waking or not sleeping.has_room(parent):
        sleeping.wait_for_room(turn, parent, wanted.name, wanted.op, "add")
        return
    child = turn.state.plant(spec, parent)
    parent.children[wanted.name] = child
    child.is_new = True
    persisting.keep(turn, parent, child)
    child.ops.append((wanted.op, "add"))
    if not (isinstance(spec, WorkerSpec) and spec.of_turn):  # there may be many, and its start is told
        turn.effects.append(do.Record("command.add", child.path, {"by": wanted.by}))
    sup.begin(turn, child)


def _depth(spec: ChildSpec) -> int:
    if not isinstance(spec, SupervisorSpec):
        return 1
    return 1 + max(
        (_depth(child) for child in (*spec.children, *((spec.template,) if spec.template else ()))), default=0
    )


def delete(turn: Turn, wanted: Delete) -> None:
    """Only what has no process (section 8)."""
    node = turn.state.nodes.get(wanted.path)
    if node is None or node.parent is None:
        _answer(turn, wanted, f"there is no {wanted.path} to delete", error="unknown_name")
    elif node.alive or node.due_at is not None:
        text = f"{wanted.path} is {'running' if node.alive else 'restarting'}; stop it first"
        _answer(turn, wanted, text, error="busy")
    else:
        turn.effects.append(do.Record("command.delete", wanted.path, {"by": wanted.by}))
        forget(turn, node)
        _answer(turn, wanted, "deleted")


def _up(node: AnyNode) -> bool:
    return node.life is Life.READY if isinstance(node, Worker) else node.doing in (Doing.SERVING, Doing.REGROUPING)


def _ending(node: AnyNode) -> bool:
    return node.life in ENDING if isinstance(node, Worker) else node.doing is Doing.STOPPING


def _answer(turn: Turn, wanted: Command | Add | Delete, text: str, *, error: str | None = None) -> None:
    turn.effects.append(do.Answer(wanted.op, error, text))
