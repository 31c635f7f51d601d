"""The one door of the core: what happened goes in, what is to be done comes out."""

from __future__ import annotations

from agenthost.core import brood, interrupting, persisting, sleeping, waking
from agenthost.core import effects as do
from agenthost.core import events as on
from agenthost.core import supervisor as sup
from agenthost.core import worker as workers
from agenthost.core.commands import add, command, delete, kill_tools
from agenthost.core.effects import Effect
from agenthost.core.life import Input
from agenthost.core.reason import Reason
from agenthost.core.reload import follow_up, reload
from agenthost.core.tree import State, Turn, Worker


def step(state: State, event: on.Event, now: float) -> list[Effect]:
    """Decide. ``now`` is a monotonic clock in seconds. ``state`` changes in place; do the effects in order."""
    return move(state, event, now).effects


def move(state: State, event: on.Event, now: float) -> Turn:
    """As ``step``, with the rule behind each effect (``rules.rule_of``)."""
    turn = Turn(state, now)
    turn.because(_FIRST[type(event)])
    match event:
        case on.Boot():
            sup.begin(turn, state.root)
        case on.Due(timer=timer):
            _due(turn, timer)
        case on.Command():
            command(turn, event)
        case on.Add():
            add(turn, event)
        case on.Restore():
            persisting.restore(turn, event, sup.begin)
        case on.Wake():
            waking.wake(turn, event)
        case on.Delete():
            delete(turn, event)
        case on.Reload():
            reload(turn, event)
        case on.Halt(how=how, by=by):
            _halt(turn, how, by)
        case _:
            node = state.nodes.get(event.path)
            # An event of an incarnation that has ended says nothing about the one that is there now.
            if isinstance(node, Worker) and node.n == event.n and node.alive:
                _of_process(turn, node, event)
    if state.reloading is not None:
        turn.because("D11")
        follow_up(turn)
    if state.crowded:
        turn.because("H12")
        waking.make_room(turn)
    return turn


_FIRST: dict[type[on.Event], str] = {
    on.Boot: "S1",
    on.Ready: "H14",
    on.Ignored: "S3",
    on.Exited: "H1",
    on.Emptied: "H2",
    on.Fault: "H5",
    on.Overrun: "H7",
    on.TurnEnded: "H7",
    on.Idle: "H10",
    on.Stirred: "H10",
    on.FallsAsleep: "H10",
    on.Due: "S6",
    on.Command: "H6",
    on.Add: "H15",
    on.Restore: "D6",
    on.Wake: "H9",
    on.Delete: "H16",
    on.Reload: "D11",
    on.Halt: "H11",
}
"""What a move begins by, until something more exact is decided."""


def _of_process(turn: Turn, worker: Worker, event: on.OfProcess) -> None:
    match event:
        case on.Ready():
            workers.feed(turn, worker, Input.READY, sup.NEWS)
        case on.Ignored():
            workers.ignored(turn, worker, sup.NEWS)
        case on.Exited(reason=reason):
            brood.exited(turn, worker, reason, sup.NEWS)
        case on.Emptied():
            brood.emptied(turn, worker, sup.NEWS)
        case on.Fault(reason=reason):
            workers.fail(turn, worker, reason, sup.NEWS)
        case on.Overrun():
            kill_tools(turn, interrupting.begin_overrun(turn, worker, event), event.text)
        case on.TurnEnded():
            interrupting.turn_ended(turn, worker, event)
        case on.Idle(for_s=for_s):
            sleeping.idle(turn, worker, for_s)
        case on.Stirred():
            sleeping.stirred(turn, worker)
        case on.FallsAsleep():
            sleeping.falls_asleep(turn, worker, sup.NEWS)


def _due(turn: Turn, timer: str) -> None:
    kind, n, path = timer.split("|", 2)
    node = turn.state.nodes.get(path)
    if node is None:
        return
    if kind == "wait":
        turn.because("D1")
        sup.waited(turn, node)
    elif isinstance(node, Worker) and str(node.n) == n and node.alive:
        workers.timed(turn, node, kind, sup.NEWS)


def _halt(turn: Turn, how: str, by: str) -> None:
    root = turn.state.root
    turn.state.halting = True
    if not root.alive:
        turn.effects.append(do.Ended(root.reason or Reason("shutdown", text=f"by {by}")))
        return
    match how:
        case "hurry":
            sup.hurry(turn, root)
        case "kill":
            sup.kill(turn, root, Reason("killed", text=f"by {by}"))
    sup.stop(turn, root, f"stopped by {by}")
