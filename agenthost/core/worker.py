"""A worker's life, carried out: the actions of the table in ``life`` become effects, timers and news.

What a supervisor does with the news is in ``supervisor``; it hands in ``News`` so that the two files do not need each
other.
"""

from __future__ import annotations

from typing import Protocol

from agenthost.core import effects as do
from agenthost.core import interrupting
from agenthost.core.freezing import frozen_above, thaw, timer
from agenthost.core.life import Action, Input, Life, move
from agenthost.core.reason import Reason
from agenthost.core.spec import Shutdown
from agenthost.core.tree import Turn, Worker
from agenthost.core.wanted import LATE, is_late, meaning_of

OVERDUE_S = 10.0
"""A cell that is not empty this long after KILL is stuck."""
IGNORE_GRACE_S = 5.0
HURRY_GRACE_S = 2.0
STOP_SIGNALS = frozenset({1, 2, 3, 10, 12, 15})
"""HUP INT QUIT USR1 USR2 TERM: what a program is asked to stop by; to end of one of them then is to stop as asked."""


class News(Protocol):
    def came_up(self, turn: Turn, child: Worker) -> None: ...

    def ended(self, turn: Turn, child: Worker, reason: Reason) -> None: ...

    def stop_brood(self, turn: Turn, owner: Worker, why: str) -> None: ...

    def kill_brood(self, turn: Turn, owner: Worker) -> None: ...

    def tired(self, turn: Turn, child: Worker) -> None: ...


def begin(turn: Turn, worker: Worker, news: News) -> None:
    turn.state.last_n += 1
    worker.n = turn.state.last_n
    worker.why_asked = ""
    worker.cause, worker.up_at, worker.climbed, worker.held = None, None, [], False
    worker.has_left = worker.is_emptied = False
    worker.idle_at, worker.dozing, worker.sleeping = None, False, False
    worker.frozen_at = None
    worker.deadlines.clear()
    worker.adopt(worker.spec)
    feed(turn, worker, Input.BEGIN, news)


def ask(turn: Turn, worker: Worker, why: str, news: News) -> None:
    """Start down the ladder, as the spec's ``shutdown`` says (S6 to S8)."""
    if worker.spec.shutdown.brutal:
        turn.because("S7")
        kill(turn, worker, Reason("killed", text=why), news)
        return
    if frozen := frozen_above(worker):
        turn.because("H8")
        kill(turn, worker, Reason("killed", text=f"{why}; it could not hear that: {frozen.path} is frozen"), news)
        return
    thaw(turn, worker)
    if worker.sleeping:  # it ends already, and does not sleep after that
        worker.sleeping, worker.why_asked = False, why
    if worker.life in (Life.STARTING, Life.READY):
        worker.why_asked = why
        _climb(turn, worker, worker.spec.shutdown)
    feed(turn, worker, Input.ASK, news, why=why)


def leave(turn: Turn, worker: Worker, why: str, news: News) -> None:
    """It ends by itself, as it was let; if it does not, the ladder helps. A freeze between comes too late."""
    thaw(turn, worker)
    worker.why_asked = why
    worker.climbed.append(("asked", turn.now))
    _climb(turn, worker, worker.spec.shutdown if not worker.spec.shutdown.brutal else Shutdown())
    feed(turn, worker, Input.LEAVE, news)


def fail(turn: Turn, worker: Worker, reason: Reason, news: News) -> None:
    """The host saw a reason to end it. Who fails a check of its liveness may still end tidily, so it climbs the ladder;
    what else is wrong with a process leaves nothing to ask."""
    if reason.kind != "not_live" or worker.spec.shutdown.brutal or frozen_above(worker) is not None:
        kill(turn, worker, reason, news)
    elif worker.life is Life.READY:
        worker.cause = reason
        ask(turn, worker, reason.words(), news)


def hurry(turn: Turn, worker: Worker, news: News) -> None:
    """TERM now, KILL soon."""
    thaw(turn, worker)
    if worker.life in (Life.STARTING, Life.READY, Life.ASKED):
        set_timer(turn, worker, "kill", HURRY_GRACE_S)
    feed(turn, worker, Input.TERM, news)


def kill(turn: Turn, worker: Worker, cause: Reason, news: News) -> None:
    if worker.life not in (Life.KILLING, Life.STUCK):
        worker.cause = cause
    worker.frozen_at = None
    feed(turn, worker, Input.KILL, news)


def note_exit(turn: Turn, worker: Worker, reason: Reason) -> None:
    """The main process is gone. What it ended of is decided here, once; EXITED is fed by whoever called."""
    if worker.reason is None:
        worker.reason = verdict(worker, reason)
    said = worker.reason
    worker.frozen_at = None
    interrupting.left(turn, worker)
    record(
        turn,
        worker,
        "agent.exited",
        reason=said.words(),
        kind=said.kind,
        status=reason.words(),
        trace=reason.trace,
        **({"late": True} if is_late(said) and not turn.state.halting else {}),
    )


def timed(turn: Turn, worker: Worker, kind: str, news: News) -> None:
    """A timer of this incarnation ran out."""
    worker.deadlines.pop(kind, None)
    match kind:
        case "term":
            feed(turn, worker, Input.TERM, news)
        case "kill":
            waited_s = turn.now - worker.climbed[0][1] if worker.climbed else 0.0
            late = Reason("killed", text=f"{LATE} within {waited_s:.3g} s")
            sick = worker.cause if worker.cause is not None and worker.cause.kind == "not_live" else None
            kill(turn, worker, sick or late, news)
        case "start":
            if worker.life is Life.STARTING:
                turn.because("H3")
                text = f"not ready within {worker.spec.start_timeout_s:g} s"
                kill(turn, worker, Reason("start_timeout", text=text), news)
        case "overdue":
            turn.because("H4")
            feed(turn, worker, Input.OVERDUE, news)
        case interrupting.TIMER:
            if worker.interruption is not None:
                turn.because("H7")
                kill(turn, worker, worker.interruption.late, news)
        case "doze":
            turn.because("H10")
            news.tired(turn, worker)


def feed(turn: Turn, worker: Worker, what: Input, news: News, *, why: str = "") -> None:
    """One move of the table, and its actions."""
    for action in change(turn, worker, what):
        _act(turn, worker, action, news, why)


def change(turn: Turn, worker: Worker, what: Input) -> tuple[Action, ...]:
    """One move of the table; between lives without a process there are no actions."""
    before = worker.life
    worker.life, actions = move(before, what, who=worker.path)
    if worker.life is not before:
        worker.since = turn.now
    return actions


def record(turn: Turn, worker: Worker, name: str, **fields: object) -> None:
    if worker.spec.of_turn:
        fields["of_turn"] = True
    turn.effects.append(do.Record(name, worker.path, {"incarnation": worker.n, **fields}))


def _act(turn: Turn, worker: Worker, action: Action, news: News, why: str) -> None:
    match action:
        case Action.BIRTH:
            worker.reason = None
            record(turn, worker, "agent.starting")
            turn.effects.append(do.Birth(worker.path, worker.n))
            if worker.spec.start_timeout_s is not None:
                set_timer(turn, worker, "start", worker.spec.start_timeout_s)
        case Action.TELL_READY:
            cancel(turn, worker, "start")
            worker.up_at = turn.now
            record(turn, worker, "agent.ready")
            news.came_up(turn, worker)
        case Action.ASK:
            grace = worker.spec.shutdown.grace_s
            worker.climbed.append(("asked", turn.now))
            record(turn, worker, "agent.asked", why=why)
            turn.effects.append(do.Ask(worker.path, worker.n, why, grace))
        case Action.TERMINATE:
            worker.climbed.append(("TERM", turn.now))
            record(turn, worker, "agent.terminating")
            turn.effects.append(do.Terminate(worker.path, worker.n))
            news.stop_brood(turn, worker, worker.why_asked or "its owner ends")  # TERM goes to its cells as well
        case Action.KILL | Action.SWEEP:
            if action is Action.KILL:
                worker.climbed.append(("KILL", turn.now))
                if worker.cause is not None and is_worth_a_look(turn, worker.cause):
                    turn.effects.append(do.Examine(worker.path, worker.n, worker.cause))
            news.kill_brood(turn, worker)
            if not worker.is_emptied:
                turn.effects.append(do.Kill(worker.path, worker.n))
                set_timer(turn, worker, "overdue", OVERDUE_S)
        case Action.TELL_STUCK:
            record(turn, worker, "agent.stuck")
        case Action.TELL_ENDED:
            for kind in ("start", "term", "kill", "overdue"):
                cancel(turn, worker, kind)
            reason = worker.reason or Reason("killed")
            record(turn, worker, "agent.ended", reason=reason.words(), kind=reason.kind)
            interrupting.ended(turn, worker, reason)
            news.ended(turn, worker, reason)


def ignored(turn: Turn, worker: Worker, news: News) -> None:
    """S3: it will end by itself; if it does not, the ladder helps."""
    if worker.life is Life.STARTING:
        worker.cause = Reason("ignore")
        _climb(turn, worker, Shutdown(IGNORE_GRACE_S))
    feed(turn, worker, Input.IGNORED, news, why="it said there is nothing to do")


def verdict(worker: Worker, reason: Reason) -> Reason:
    """Why it has ended, when its exit status says ``reason``: because of us, if we had a cause."""
    if worker.cause is not None:
        return worker.cause
    if worker.life in (Life.ASKED, Life.TERMINATING) and (
        reason.kind == "normal" or (reason.kind == "signal" and reason.detail in STOP_SIGNALS)
    ):
        return Reason("asleep") if worker.sleeping else Reason("shutdown", text=worker.why_asked)
    if worker.life is Life.STARTING and reason.kind == "normal":
        return Reason("start_failed", text="it ended normally before it was ready")
    return reason


def is_worth_a_look(turn: Turn, cause: Reason) -> bool:
    """Not where everything ends, nor where somebody wants it gone at once."""
    return not turn.state.halting and meaning_of(cause).look


def _climb(turn: Turn, worker: Worker, shutdown: Shutdown) -> None:
    if shutdown.grace_s is not None:
        set_timer(turn, worker, "term", shutdown.grace_s * Shutdown.TERM_SHARE)
        set_timer(turn, worker, "kill", shutdown.grace_s)


def set_timer(turn: Turn, worker: Worker, kind: str, after_s: float) -> None:
    worker.deadlines[kind] = turn.now + after_s
    turn.effects.append(do.SetTimer(timer(kind, worker), worker.deadlines[kind]))


def cancel(turn: Turn, worker: Worker, kind: str) -> None:
    worker.deadlines.pop(kind, None)
    turn.effects.append(do.CancelTimer(timer(kind, worker)))
