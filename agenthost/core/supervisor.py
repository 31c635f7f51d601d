"""What supervisors do: start in order, stop in reverse, restart by strategy, give up by intensity, tell their own.

A supervisor takes one child in hand at a time (S1, S4) and goes on when that child came up or ended; meanwhile the ends
of others wait in ``failed``. Only one_for_one restarts are made at once and side by side, so that a child that takes a
minute to get ready holds up nobody (R10). A failed restart goes back through the same door and counts again (R9).
"""

from __future__ import annotations

from agenthost.core import brood, persisting, sleeping
from agenthost.core import effects as do
from agenthost.core import worker as workers
from agenthost.core.backoff import delay_s
from agenthost.core.freezing import frozen_above
from agenthost.core.intensity import Window
from agenthost.core.life import Input, Life
from agenthost.core.reason import Reason
from agenthost.core.rest import (
    answer_kill,
    answer_stop,
    answer_up,
    come_to_rest,
    forget,
    ladder,
    record,
    restart_type,
    set_aside,
    settle,
    settle_ignored,
    window_of,
)
from agenthost.core.spec import AutoShutdown, Restart, Strategy
from agenthost.core.strategy import comes_back, group
from agenthost.core.tree import AnyNode, Doing, Supervisor, Turn, Wish, Worker

FROST_S = 1.0
"""So often it is looked whether an agent is still frozen, below which something is to be started."""


class _News:
    """Workers report here."""

    def came_up(self, turn: Turn, child: Worker) -> None:
        _came_up(turn, child)

    def ended(self, turn: Turn, child: Worker, reason: Reason) -> None:
        _ended(turn, child, reason)

    def stop_brood(self, turn: Turn, owner: Worker, why: str) -> None:
        if owner.brood is not None:
            stop(turn, owner.brood, why)

    def kill_brood(self, turn: Turn, owner: Worker) -> None:
        if owner.brood is not None:
            kill(turn, owner.brood, Reason("killed", text=f"with {owner.path}, which had started it"))

    def tired(self, turn: Turn, child: Worker) -> None:
        sleeping.tired(turn, child)


NEWS = _News()


# ---- from above: the step, an operator, the supervisor of a supervisor


def begin(turn: Turn, node: AnyNode) -> None:
    """Start one incarnation of a worker, or a supervisor and all below it."""
    leave_waiting(turn, node)
    if isinstance(node, Worker):
        workers.begin(turn, node, NEWS)
        return
    node.doing, node.end, node.held, node.up_at = Doing.STARTING, None, False, None
    node.reason, node.since = None, turn.now
    node.window.clear()  # a new incarnation of the supervisor has borne nothing yet
    turn.state.replant(node)
    node.to_start.extend(node.children)
    record(turn, node, "supervisor.starting")
    turn.because("S1")
    go_on(turn, node)


def stop(turn: Turn, node: AnyNode, why: str, *, end: Reason | None = None) -> None:
    """Ask a node to end; ``end`` is what a supervisor ends with, ``shutdown`` unless given. The end is news."""
    if isinstance(node, Worker):
        workers.ask(turn, node, why, NEWS)
        return
    if node.doing in (Doing.STOPPING, Doing.NOTHING):
        return
    _plan_stop(turn, node, why, end or Reason("shutdown", text=why))
    if node.is_pool:
        turn.because("S5")
        _stop_members(turn, node, why)
    go_on(turn, node)


def _plan_stop(turn: Turn, node: Supervisor, why: str, end: Reason) -> None:
    """From here on nothing restarts (S11)."""
    node.doing, node.end, node.since = Doing.STOPPING, end, turn.now
    node.to_start.clear()
    sleeping.refuse_waking(turn, node, f"{node.path} is stopping")
    node.failed.clear()
    if not (node.in_hand and node.stopping_in_hand):
        node.in_hand = None
    node.to_stop.clear()
    if node.is_pool:
        node.still = sum(child.alive for child in node.children.values())
    else:
        node.to_stop.extend(name for name in reversed(node.children) if name != node.in_hand)
    record(turn, node, "supervisor.stopping", why=why, reason=end.words())


def _stop_members(turn: Turn, pool: Supervisor, why: str) -> None:
    """All at once; one template, so one deadline (S5)."""
    for child in list(pool.children.values()):
        leave_waiting(turn, child)
        if child.alive:
            stop(turn, child, why)


def kill(turn: Turn, node: AnyNode, cause: Reason) -> None:
    """KILL a worker, or everything below a supervisor at once; it ends with ``cause``, as by exit(Pid, kill)."""
    if isinstance(node, Worker):
        if node.alive:
            workers.kill(turn, node, cause, NEWS)
        return
    if node.doing is Doing.NOTHING:
        return
    if node.doing is not Doing.STOPPING:
        _plan_stop(turn, node, cause.words(), cause)
    for child in list(node.children.values()):
        leave_waiting(turn, child)
        kill(turn, child, cause)
    go_on(turn, node)


def hurry(turn: Turn, node: AnyNode) -> None:
    """TERM to everything below, without waiting for an order of stopping."""
    if isinstance(node, Worker):
        if node.alive:
            workers.hurry(turn, node, NEWS)
        return
    for child in list(node.children.values()):
        hurry(turn, child)


# ---- from below: the news


def _came_up(turn: Turn, child: AnyNode) -> None:
    child.up_at, child.is_new, child.by_hand = turn.now, False, False
    answer_up(turn, child, text="ready")
    parent = child.parent
    if parent is not None and parent.in_hand == child.name and not parent.stopping_in_hand:
        parent.in_hand = None
        go_on(turn, parent)
    if isinstance(child, Worker) and child.kept:
        persisting.come_back(turn, child, begin)


def _ended(turn: Turn, child: AnyNode, reason: Reason) -> None:
    """A child is gone, with all it started. The one place that decides what follows."""
    if isinstance(child, Supervisor) and child.owner is not None:
        brood.ended(turn, child, child.owner, reason, NEWS)
        return
    child.reason = reason
    parent = child.parent
    if isinstance(child, Worker):
        sleeping.over(turn, child)
    wish, child.wish = child.wish, Wish.NONE
    by_hand, child.by_hand = child.by_hand, False
    answer_kill(turn, child, text=ladder(turn, child))
    if parent is None:
        for node in turn.state.nodes.values():
            answer_stop(turn, node, text="everything has ended")
            answer_up(turn, node, error="not_running", text="everything has ended")
        turn.effects.append(do.Ended(reason))
        return
    in_hand = parent.in_hand == child.name
    if in_hand and parent.stopping_in_hand:
        turn.because("S4")
        come_to_rest(turn, child, wish)
        parent.in_hand = None
        go_on(turn, parent)
    elif parent.doing is Doing.STOPPING:
        turn.because("S5" if parent.is_pool else "S10")
        come_to_rest(turn, child, wish)  # S10: it ended on its own during shutdown; the sequence goes on
        if parent.is_pool:
            parent.still -= 1
            go_on(turn, parent)
    elif wish is not Wish.NONE:
        turn.because("R7")
        _as_wished(turn, parent, child, wish, in_hand)
    elif child.name in parent.to_stop:
        turn.because("S10")
        come_to_rest(turn, child, wish)  # S10 again: the group restart was about to stop it
    elif reason.kind == "asleep" and isinstance(child, Worker):
        turn.because("H10")
        _fell_asleep(turn, parent, child)
    else:
        _unasked(turn, parent, child, reason, in_hand, by_hand)


def _unasked(turn: Turn, parent: Supervisor, child: AnyNode, reason: Reason, in_hand: bool, by_hand: bool) -> None:
    """It ended, or failed to come up, and nobody had wanted that."""
    if child.up_at is None and reason.kind != "ignore":
        if by_hand:
            turn.because("D13")
        answer_up(turn, child, error="start_failed", text=reason.words())
        if child.is_new and not in_hand:
            turn.because("H15")
            forget(turn, child)
            return
        if by_hand and parent.spec.otp_strict:  # section 8: whoever started it has the error, and nothing counts
            settle(turn, child, Life.DOWN)
            return
    if in_hand:
        parent.in_hand = None
        _failed_to_start(turn, parent, child, reason)
    elif parent.doing is not Doing.SERVING:
        parent.failed.append(child.name)
    else:
        _judge(turn, parent, child, reason)


def _fell_asleep(turn: Turn, parent: Supervisor, child: Worker) -> None:
    """No end in the sense of R1 to R5: nothing is counted. Somebody may want something of it by now."""
    if sleeping.is_wanted(child):
        turn.because("H9")
        child.is_new = parent.is_pool
        record(turn, child, "agent.waking", by="who wanted it while it fell asleep")
        begin(turn, child)
        return
    record(turn, child, "agent.asleep")
    if parent.is_pool:
        forget(turn, child)
    else:
        settle(turn, child, Life.ASLEEP)


def _as_wished(turn: Turn, parent: Supervisor, child: AnyNode, wish: Wish, in_hand: bool) -> None:
    """An operator had it ended: no strategy, no counting (R7)."""
    if in_hand:
        parent.in_hand = None
    if wish is Wish.REPLACE:
        come_to_rest(turn, child, wish)
        begin(turn, parent.children[child.name])
    elif wish is Wish.COME_BACK:
        answer_stop(turn, child, text="it was stopped, and somebody has it restarted")
        child.by_hand = True
        begin(turn, child)
    else:
        come_to_rest(turn, child, wish)
    if in_hand:
        go_on(turn, parent)


def _failed_to_start(turn: Turn, parent: Supervisor, child: AnyNode, reason: Reason) -> None:
    if reason.kind == "ignore":
        turn.because("S3")
        settle_ignored(turn, child)
        go_on(turn, parent)
    elif reason.kind == "bad_code" and not parent.spec.otp_strict:
        turn.because("D12")
        set_aside(turn, child, reason)
        go_on(turn, parent)
    elif parent.doing is Doing.STARTING:
        turn.because("S2")
        text = f"cannot start {child.path}: {reason.words()}"
        stop(turn, parent, text, end=Reason("start_failed", text=text, trace=reason.trace))  # S2
    else:
        turn.because("R9")
        # R9, R10: a failed attempt ends the group restart and counts like a death; earlier deaths come first.
        parent.to_start.clear()
        parent.failed.append(child.name)
        parent.doing = Doing.SERVING
        _look_at_failed(turn, parent)


def _judge(turn: Turn, parent: Supervisor, child: AnyNode, reason: Reason) -> None:
    """An unexpected end while the supervisor serves: restart, or let it rest (R1 to R5)."""
    if reason.kind == "ignore":
        turn.because("S3")
        settle_ignored(turn, child)
    elif reason.kind == "bad_code" and not parent.spec.otp_strict:
        turn.because("D12")
        set_aside(turn, child, reason)
    elif comes_back(restart_type(child), reason):
        turn.because("R1" if restart_type(child) is Restart.PERMANENT else "R2")
        _restart(turn, parent, child, reason)
    else:
        temporary = restart_type(child) is Restart.TEMPORARY
        turn.because("R3" if temporary else "T7" if parent.is_pool else "R4")
        if restart_type(child) is Restart.TEMPORARY or parent.is_pool:
            forget(turn, child)
        else:
            settle(turn, child, Life.DONE)
            answer_up(turn, child, error="not_running", text=f"it has ended for good: {reason.words()}")
        _mind_significant(turn, parent, child, reason)


def _mind_significant(turn: Turn, parent: Supervisor, child: AnyNode, reason: Reason) -> None:
    """Auto-shutdown: only by an end that nobody caused, and that is for good (A3 to A6)."""
    if not child.spec.significant:
        return
    siblings = [other for other in parent.children.values() if other is not child]
    others = any(other.spec.significant and (other.alive or sleeping.is_asleep(other)) for other in siblings)
    match parent.spec.auto_shutdown:
        case AutoShutdown.NEVER:
            return
        case AutoShutdown.ALL_SIGNIFICANT if others:
            return
        case mode:
            turn.because("A4" if mode is AutoShutdown.ALL_SIGNIFICANT else "A3")
    text = f"its significant child {child.path} has ended: {reason.words()}"
    stop(turn, parent, text, end=Reason("shutdown", text=text))  # A7: the others in reverse order first


# ---- restarting


def _restart(turn: Turn, sup: Supervisor, child: AnyNode, reason: Reason) -> None:
    """Count one restart (I5, I6), then give up or do what the strategy says."""
    window = window_of(sup, child)
    if not window.restart(turn.now):
        turn.because("I1" if window is sup.window else "D10")
        if window is sup.window:
            _give_up(turn, sup, child, reason)
        else:  # D10: it alone
            set_aside(turn, child, Reason("gave_up", text=_too_many(window, child, reason)))
        return
    calm_s = child.spec.backoff.calm_s if child.spec.backoff else 0.0
    if child.up_at is not None and turn.now - child.up_at >= calm_s:
        child.attempt = 0
    wait_s = delay_s(None if sup.spec.otp_strict else child.spec.backoff, child.attempt, turn.state.chance.draw())
    if frozen_above(child) is not None:
        wait_s = max(wait_s, FROST_S)
    child.attempt += 1
    child.restarts += 1
    fields = {"reason": reason.words(), "delay_s": round(wait_s, 3), "strategy": str(sup.spec.strategy)}
    if reason.well and restart_type(child) is Restart.PERMANENT and window.count > 1:
        fields["warning"] = "it keeps ending normally and is permanent: transient may be meant"  # D8
    record(turn, child, "agent.restarting" if isinstance(child, Worker) else "supervisor.restarting", **fields)
    turn.because(_OF_STRATEGY[sup.spec.strategy])
    if sup.spec.strategy is Strategy.ONE_FOR_ONE:
        if wait_s:
            _wait(turn, sup, child, wait_s)
        else:
            begin(turn, child)
        return
    _regroup(turn, sup, child, wait_s)


_OF_STRATEGY = {Strategy.ONE_FOR_ONE: "T1", Strategy.ONE_FOR_ALL: "T2", Strategy.REST_FOR_ONE: "T3"}


def _regroup(turn: Turn, sup: Supervisor, child: AnyNode, wait_s: float) -> None:
    """Stop the group in reverse, wait, start it in order (T2, T3). A retry starts from the sibling that failed (T6)."""
    names = group(sup.spec.strategy, list(sup.children), child.name)
    sup.doing, sup.since = Doing.REGROUPING, turn.now
    sup.to_stop.clear()
    sup.to_stop.extend(name for name in reversed(names) if sup.children[name].alive)
    sup.to_start.clear()
    sup.to_start.extend(names)
    sup.failed[:] = [name for name in sup.failed if name not in names]
    record(turn, sup, "supervisor.regrouping", failed=child.path, group=[sup.children[name].path for name in names])
    if wait_s:
        _wait(turn, sup, child, wait_s)
        sup.waits_for = child.name
        turn.because(_OF_STRATEGY[sup.spec.strategy])
    go_on(turn, sup)


def _wait(turn: Turn, sup: Supervisor, child: AnyNode, wait_s: float) -> None:
    turn.because("D1")
    child.due_at = turn.now + wait_s
    window_of(sup, child).pause(turn.now)
    if isinstance(child, Worker):
        workers.change(turn, child, Input.DELAY)
    else:
        child.waiting = True
    turn.effects.append(do.SetTimer(f"wait||{child.path}", child.due_at))


def leave_waiting(turn: Turn, node: AnyNode) -> bool:
    """End its back-off, if it is in one."""
    if node.due_at is None or node.parent is None:
        return False
    node.due_at = None
    window_of(node.parent, node).resume(turn.now)
    if node.parent.waits_for == node.name:
        node.parent.waits_for = None
    turn.effects.append(do.CancelTimer(f"wait||{node.path}"))
    if isinstance(node, Worker):
        workers.change(turn, node, Input.REST)
    else:
        node.waiting = False
    return True


def waited(turn: Turn, node: AnyNode) -> None:
    """The back-off of ``node`` is over."""
    parent = node.parent
    if parent is None:
        return
    with_group = parent.waits_for == node.name
    if frozen_above(node) is not None:
        node.due_at = turn.now + FROST_S
        turn.effects.append(do.SetTimer(f"wait||{node.path}", node.due_at))
    elif leave_waiting(turn, node):
        go_on(turn, parent) if with_group else begin(turn, node)


def _give_up(turn: Turn, sup: Supervisor, child: AnyNode, reason: Reason) -> None:
    text = _too_many(sup.window, child, reason)
    record(turn, sup, "supervisor.gave_up", reason=text)
    settle(turn, child, Life.DOWN)
    turn.because("I3" if sup.spec.otp_strict else "D3")
    end = Reason("shutdown", text=text) if sup.spec.otp_strict else Reason("gave_up", text=text)  # I3, D3
    stop(turn, sup, text, end=end)


def _too_many(window: Window, child: AnyNode, reason: Reason) -> str:
    restarts = "1 restart" if window.count == 1 else f"{window.count} restarts"
    return f"{restarts} in {window.period_s:g} s; the last: {child.path} {reason.words()}"


# ---- one child at a time


def go_on(turn: Turn, sup: Supervisor) -> None:
    """Take the next child in hand, or finish what the supervisor was doing."""
    while sup.in_hand is None:
        if sup.still > 0:
            return  # a pool waits for its members, in whatever order they end
        if sup.to_stop:
            _stop_next(turn, sup, sup.children.get(sup.to_stop.popleft()))
        elif sup.waits_for is not None:
            return  # the group waits in back-off with the child that failed
        elif sup.to_start:
            _start_next(turn, sup, sup.children.get(sup.to_start.popleft()))
        else:
            _finish(turn, sup)
            return


def _stop_next(turn: Turn, sup: Supervisor, child: AnyNode | None) -> None:
    if child is None:
        return
    turn.because("S4")
    if child.alive:
        sup.in_hand, sup.stopping_in_hand = child.name, True
        why = "its supervisor" if sup.doing is Doing.STOPPING else "a restart of its group"
        stop(turn, child, f"stopped by {why}")
        return
    leave_waiting(turn, child)
    come_to_rest(turn, child, Wish.NONE)


def _start_next(turn: Turn, sup: Supervisor, child: AnyNode | None) -> None:
    if child is None or child.alive or (child.held and not sup.spec.otp_strict):
        return
    if sup.doing is Doing.REGROUPING and isinstance(child, Worker) and child.life is Life.GAVE_UP:
        return  # D12: its code cannot be loaded; an operator starts it again
    if sup.doing is Doing.REGROUPING and sleeping.is_asleep(child):
        return  # it begins anew in any case, when it is woken
    sup.in_hand, sup.stopping_in_hand = child.name, False
    turn.because("S1")
    begin(turn, child)


def _finish(turn: Turn, sup: Supervisor) -> None:
    match sup.doing:
        case Doing.STARTING | Doing.REGROUPING:
            first = sup.doing is Doing.STARTING
            sup.doing, sup.since = Doing.SERVING, turn.now
            turn.because("S1")
            record(turn, sup, "supervisor.ready")
            if first:
                _came_up(turn, sup)
            _look_at_failed(turn, sup)
        case Doing.STOPPING:
            turn.because("S4")
            reason = sup.end or Reason("shutdown")
            sup.doing, sup.end, sup.since = Doing.NOTHING, None, turn.now
            record(turn, sup, "supervisor.ended", reason=reason.words(), kind=reason.kind)
            _ended(turn, sup, reason)
        case Doing.SERVING | Doing.NOTHING:
            return


def _look_at_failed(turn: Turn, sup: Supervisor) -> None:
    """Children that ended while another was in hand."""
    while sup.failed and sup.doing is Doing.SERVING:
        child = sup.children.get(sup.failed.pop(0))
        if child is not None and not child.alive and child.due_at is None and child.reason is not None:
            _judge(turn, sup, child, child.reason)
