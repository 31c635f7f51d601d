"""The children that an agent has started: a hidden supervisor that lives and ends with one incarnation of its owner.

Its children stand below the owner's path. The rule: an owner has ended when its own cell is empty *and* its brood has
ended. If its main process ends unasked, the brood is killed with it; if it was asked to end, its children are asked
next, in reverse order (S4), within what is left of its grace; earlier if it needs TERM, which goes to all its cell and
so to theirs. A brood that gives up ends its owner (I3, D3).
"""

from __future__ import annotations

from agenthost.core import worker as workers
from agenthost.core.freezing import frozen_above
from agenthost.core.intensity import Window
from agenthost.core.life import Input, Life
from agenthost.core.reason import Reason
from agenthost.core.spec import SupervisorSpec
from agenthost.core.tree import Doing, Supervisor, Turn, Worker

_SPEC = SupervisorSpec("brood")


def brood_of(turn: Turn, owner: Worker) -> Supervisor:
    """Made with the first child; serving at once."""
    if owner.brood is None:
        window = Window(_SPEC.intensity, _SPEC.period_s)
        owner.brood = Supervisor(path=owner.path, parent=None, spec=_SPEC, window=window, owner=owner, kept=owner.kept)
        owner.brood.doing, owner.brood.since, owner.brood.up_at = Doing.SERVING, turn.now, turn.now
    return owner.brood


def takes_children(owner: Worker, *, of_turn: bool = False) -> bool:
    """``of_turn``: a tool of the turn in hand, which an owner that was asked to end may finish."""
    if owner.frozen_at is not None or frozen_above(owner) is not None:
        return False
    may = owner.life is Life.READY or (of_turn and owner.life is Life.ASKED)
    return may and (owner.brood is None or owner.brood.doing is Doing.SERVING)


def exited(turn: Turn, worker: Worker, reason: Reason, news: workers.News) -> None:
    """The main process is gone."""
    workers.note_exit(turn, worker, reason)
    if worker.brood is not None and worker.life in (Life.ASKED, Life.TERMINATING):
        worker.has_left = True
        workers.cancel(turn, worker, "term")  # it would hit the children's processes
        news.stop_brood(turn, worker, worker.why_asked or "its owner ends")
    else:
        workers.feed(turn, worker, Input.EXITED, news)


def emptied(turn: Turn, worker: Worker, news: workers.News) -> None:
    """The cell is empty, those of the children included; what they have to tell may come after this."""
    if worker.brood is not None:
        worker.is_emptied = True
        workers.cancel(turn, worker, "overdue")
    else:
        workers.feed(turn, worker, Input.EMPTIED, news)


def ended(turn: Turn, brood: Supervisor, owner: Worker, reason: Reason, news: workers.News) -> None:
    """No child is left."""
    turn.because("H13")
    for child in brood.below:
        turn.state.drop(child)
    owner.brood = None
    if owner.is_emptied:
        workers.feed(turn, owner, Input.EMPTIED, news)
    elif owner.has_left:
        owner.has_left = False
        workers.feed(turn, owner, Input.EXITED, news)
    elif owner.life in (Life.STARTING, Life.READY):
        workers.kill(turn, owner, Reason("gave_up", text=f"its children: {reason.text or reason.words()}"), news)
