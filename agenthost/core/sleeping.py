"""Sleep: an agent with nothing to do ends its process and stays an agent; what it is woken by is in ``waking``.

It says Idle; it is asked to Sleep when it has been idle for ``hibernate_s``, or when its pool needs the room; it
answers that it falls asleep, and then ends, or that it has got something meanwhile. So the last word is its own: nobody
else knows what has come. Leaves to the host how it is asked, and to the supervisor what follows its end.

The rules: it does not sleep while it has children, is frozen, is being interrupted, or is being stopped; to sleep is no
end in the sense of R1 to R5, nothing is counted; who is wanted while it falls asleep comes back at once. Of a member of
a pool nothing is kept here while it sleeps.
"""

from __future__ import annotations

from agenthost.core import effects as do
from agenthost.core import worker as workers
from agenthost.core.freezing import frozen_above
from agenthost.core.life import Life
from agenthost.core.rest import UP, answer_up
from agenthost.core.spec import SupervisorSpec
from agenthost.core.tree import AnyNode, Doing, Supervisor, Turn, Wish, Worker, owner_of

TIMER = "doze"
TELLS_AFTER_S = 0.25
"""A member of a pool with bounded room says so soon that it is idle: it can then be asked to sleep for another."""
SPARE_ONE_IN, MOST_SPARE = 16, 8
SILENT_S = 5.0
"""Who does not say for so long whether it falls asleep makes no room: another is asked."""
_EARLY_S = 0.005
"""The agent's clock is not ours."""


def tells_after_s(worker: Worker) -> float:
    """With nothing to do for so long it is to say Idle; 0: it need not."""
    if owner_of(worker) is not None:
        return 0.0
    after_s = worker.spec.hibernate_s or 0.0
    if worker.parent is None or worker.parent.spec.live is None:
        return after_s
    return min(after_s, TELLS_AFTER_S) if after_s else TELLS_AFTER_S


def is_asleep(node: AnyNode) -> bool:
    return isinstance(node, Worker) and node.life is Life.ASLEEP


def is_away(node: AnyNode) -> bool:
    """It sleeps, is about to, or is being woken: who wants something of it says Wake, and waits for the answer."""
    if not isinstance(node, Worker):
        return False
    if node.life in (Life.STARTING, Life.WAITING):
        return sleeps(node)
    if node.wish is Wish.COME_BACK and node.alive:
        return sleeps(node)
    return node.life is Life.ASLEEP or node.dozing or node.sleeping


def is_wanted(worker: Worker) -> bool:
    """Somebody waits for it to come up."""
    return any(verb in UP for _, verb in worker.ops)


def sleeps(worker: Worker) -> bool:
    """It does so sooner or later, or need not be there before it is wanted."""
    return worker.spec.hibernate_s is not None or (worker.parent is not None and worker.parent.is_pool)


# ---- what it says


def idle(turn: Turn, worker: Worker, for_s: float) -> None:
    """It may say so again and again."""
    if worker.life is not Life.READY or worker.dozing or worker.frozen_at is not None:
        return
    pool = worker.parent
    if pool is not None and pool.spec.live is not None and worker.name not in pool.idle:
        pool.idle[worker.name] = None
        if len(pool.children) > pool.spec.live - spare_rooms(pool):
            turn.state.crowded[pool.path] = pool
    worker.idle_at = turn.now - for_s
    hibernate_s = worker.spec.hibernate_s
    if hibernate_s is None:
        return
    left_s = worker.idle_at + hibernate_s - turn.now
    if left_s > _EARLY_S:
        workers.set_timer(turn, worker, TIMER, left_s)
    else:
        try_doze(turn, worker)


def try_doze(turn: Turn, worker: Worker) -> bool:
    """Ask it to sleep. False if it must not now; it will say again that it is idle."""
    _not_idle(turn, worker, known=True)
    if not _may_doze(worker):
        return False
    worker.dozing = True
    if worker.parent is not None:
        worker.parent.leaving.add(worker.name)
        if worker.parent.spec.live is not None:
            workers.set_timer(turn, worker, TIMER, SILENT_S)
    turn.effects.append(do.Sleep(worker.path, worker.n))
    return True


def tired(turn: Turn, worker: Worker) -> None:
    """It has been idle for long enough, or has been silent since it was asked."""
    if not worker.dozing:
        try_doze(turn, worker)
    elif worker.parent is not None:
        worker.parent.leaving.discard(worker.name)


def _may_doze(worker: Worker) -> bool:
    parent = worker.parent
    return (
        worker.life is Life.READY
        and not worker.dozing
        and worker.idle_at is not None
        and worker.interruption is None
        and worker.wish is Wish.NONE
        and not worker.below
        and worker.frozen_at is None
        and frozen_above(worker) is None
        and owner_of(worker) is None
        and parent is not None
        and parent.doing not in (Doing.NOTHING, Doing.STOPPING)
    )


def stirred(turn: Turn, worker: Worker) -> None:
    """It has got something to do."""
    if worker.life is not Life.READY:
        return
    _not_idle(turn, worker, known=False)
    if worker.dozing:
        worker.dozing = False
        if worker.parent is not None:
            worker.parent.leaving.discard(worker.name)
        answer_up(turn, worker, text="it is running")


def falls_asleep(turn: Turn, worker: Worker, news: workers.News) -> None:
    """From here on it takes nothing. If it was told to stop meanwhile, that is what it does."""
    if worker.life is Life.READY and worker.dozing:
        worker.dozing, worker.sleeping = False, True
        workers.leave(turn, worker, "it falls asleep", news)


def _not_idle(turn: Turn, worker: Worker, *, known: bool) -> None:
    """It is not in the line of those to be asked. ``known``: since when it was idle is remembered."""
    if TIMER in worker.deadlines:
        workers.cancel(turn, worker, TIMER)
    if worker.parent is not None:
        worker.parent.idle.pop(worker.name, None)
    if not known:
        worker.idle_at = None


def over(turn: Turn, worker: Worker) -> None:
    """The incarnation has ended, whatever of."""
    _not_idle(turn, worker, known=False)
    worker.dozing = worker.sleeping = False
    if worker.parent is not None:
        worker.parent.leaving.discard(worker.name)


# ---- room in a pool


def has_room(pool: Supervisor) -> bool:
    """For one more member that runs. Those that were given up take none."""
    live = pool.spec.live
    return live is None or len(pool.children) < live or occupied(pool) < live


def spare_rooms(pool: Supervisor) -> int:
    """So many are kept free ahead, as long as there is somebody with nothing to do: who is wanted next need not wait
    until another has ended. A small pool has no room to spare."""
    return min(MOST_SPARE, (pool.spec.live or 0) // SPARE_ONE_IN)


def occupied(pool: Supervisor) -> int:
    """Members that run, or will by themselves."""
    return sum(child.alive or child.due_at is not None for child in pool.children.values())


def wait_for_room(turn: Turn, pool: Supervisor, name: str, op: int, verb: str) -> None:
    pool.waking.setdefault(name, []).append((op, verb))
    turn.state.crowded[pool.path] = pool


def refuse_waking(turn: Turn, pool: Supervisor, why: str) -> None:
    """There will be no room."""
    for name, ops in pool.waking.items():
        text = f"cannot wake {pool.path}/{name}: {why}"
        turn.effects.extend(do.Answer(op, "not_running", text) for op, _ in ops)
    pool.waking.clear()


def makes_members(spec: SupervisorSpec) -> bool:
    """A pool whose members are agents, and not whole supervisors: they can be made when they are wanted."""
    return spec.template is not None and not isinstance(spec.template, SupervisorSpec)
