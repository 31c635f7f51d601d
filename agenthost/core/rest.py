"""How a node comes to rest, and what is said of it: settled lives, answered commands, records.

Shared by ``supervisor`` and ``commands``; nothing here starts, stops or counts anything.
"""

from __future__ import annotations

from collections.abc import Iterable

from agenthost.core import effects as do
from agenthost.core import worker as workers
from agenthost.core.intensity import Window
from agenthost.core.life import Input, Life
from agenthost.core.reason import Reason
from agenthost.core.spec import Restart
from agenthost.core.tree import AnyNode, Doing, Supervisor, Turn, Wish, Worker

UP = ("start", "restart", "add", "wake")
"""Commands that wait for an agent to come up."""


def come_to_rest(turn: Turn, child: AnyNode, wish: Wish) -> None:
    """It is down and stays down, for now: a temporary child is forgotten (R3), an operator is answered."""
    child.held = child.held or wish is Wish.STAY_DOWN
    _sleeps_no_more(turn, child)
    answer_stop(turn, child, text=ladder(turn, child))
    if child.parent is None or child.name not in child.parent.to_start:
        answer_up(turn, child, error="not_running", text="it was stopped before it was ready")
    if wish is Wish.REPLACE:
        turn.state.renew(child)
    elif wish is Wish.VANISH or _leaves_nothing(child):
        forget(turn, child)


def set_aside(turn: Turn, child: AnyNode, reason: Reason) -> None:
    """D12: a module that does not import is this child's trouble alone; its siblings go on."""
    settle(turn, child, Life.GAVE_UP)
    answer_up(turn, child, error="not_running", text=f"it was given up: {reason.words()}")
    record(turn, child, "agent.gave_up", reason=reason.words(), trace=reason.trace)


def settle_ignored(turn: Turn, child: AnyNode) -> None:
    """S3: no process, and the spec stays unless it is temporary."""
    child.is_new = False
    answer_up(turn, child, text="it had nothing to do")
    if _leaves_nothing(child):
        forget(turn, child)


def settle(turn: Turn, child: AnyNode, life: Life) -> None:
    what = {
        Life.DONE: Input.FINISH,
        Life.GAVE_UP: Input.GIVE_UP,
        Life.DOWN: Input.REST,
        Life.ASLEEP: Input.SLEEP,
    }[life]
    if isinstance(child, Worker):
        workers.change(turn, child, what)
    else:
        child.resting = life


def forget(turn: Turn, child: AnyNode) -> None:
    """Nothing of it is kept (R3), but whoever waits for it hears of that."""
    _sleeps_no_more(turn, child)
    answer_stop(turn, child, text=ladder(turn, child))
    answer_kill(turn, child, text=ladder(turn, child))
    answer_up(turn, child, error="not_running", text="it has ended, and nothing of it is kept")
    parent = child.parent
    goes_on = parent is not None and parent.doing not in (Doing.STOPPING, Doing.NOTHING) and not turn.state.halting
    if goes_on and parent is not None and parent.kept.pop(child.name, None) is not None:
        turn.effects.append(do.Keep(child.path, kept=False))  # it persists through the end of its supervisor alone (D6)
    turn.state.drop(child)


def _sleeps_no_more(turn: Turn, child: AnyNode) -> None:
    """Who waits for the end of one that sleeps hears of it."""
    if isinstance(child, Worker) and child.life is Life.ASLEEP:
        record(turn, child, "agent.not_woken", why="it was stopped while it was asleep")
        settle(turn, child, Life.DOWN)


def _leaves_nothing(child: AnyNode) -> bool:
    """Temporary children (R3) and members of a pool, which has a template instead of specs."""
    return restart_type(child) is Restart.TEMPORARY or (child.parent is not None and child.parent.is_pool)


def restart_type(child: AnyNode) -> Restart:
    return child.spec.restart


def window_of(parent: Supervisor, child: AnyNode) -> Window:
    """Where the child's restarts are counted: its supervisor's window, or its own (D10)."""
    return child.window if isinstance(child, Worker) and child.window is not None else parent.window


def record(turn: Turn, node: AnyNode, name: str, **fields: object) -> None:
    if isinstance(node, Worker):
        workers.record(turn, node, name, **fields)
    elif node.owner is None:  # what a brood does is told of its children and its owner
        turn.effects.append(do.Record(name, node.path, dict(fields)))


def answer_up(turn: Turn, node: AnyNode, *, text: str, error: str | None = None) -> None:
    """Answer the commands that wait for it to come up."""
    _answer(turn, node, UP, text, error)


def answer_stop(turn: Turn, node: AnyNode, *, text: str) -> None:
    """Answer the commands that wait for it to be down, and to stay so."""
    _answer(turn, node, ("stop",), text, None)


def answer_kill(turn: Turn, node: AnyNode, *, text: str) -> None:
    """Answer the commands that wait for the end of this incarnation."""
    _answer(turn, node, ("kill",), text, None)


def _answer(turn: Turn, node: AnyNode, verbs: tuple[str, ...], text: str, error: str | None) -> None:
    waiting = [(op, verb) for op, verb in node.ops if verb in verbs]
    if waiting:
        node.ops = [entry for entry in node.ops if entry not in waiting]
        turn.effects.extend(do.Answer(op, error, text) for op, _ in waiting)


def ladder(turn: Turn, node: AnyNode) -> str:
    """How far a stop had to climb: "asked 0 s, TERM 2 s, KILL 5 s, empty 5.01 s"."""
    climbed: Iterable[tuple[str, float]] = node.climbed if isinstance(node, Worker) else ()
    steps = list(climbed)
    if not steps:
        return "empty"  # nothing was climbed: it ended by itself
    start = steps[0][1]
    return ", ".join([*(f"{word} {_span(at - start)}" for word, at in steps), f"empty {_span(turn.now - start)}"])


def _span(seconds: float) -> str:
    return f"{seconds:.3g} s" if seconds >= 1 or seconds == 0 else f"{seconds * 1000:.0f} ms"
