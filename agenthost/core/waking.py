"""Waking: who sleeps begins anew when somebody wants something of it, and members of a pool are made when they are.

A pool with bounded room lets whoever was idle longest fall asleep for the next, in the order in which they were wanted;
while all have something to do, the next one waits. Leaves to the host how many begin at a time.
"""

from __future__ import annotations

from dataclasses import replace

from agenthost.core import effects as do
from agenthost.core import sleeping
from agenthost.core import supervisor as sup
from agenthost.core.events import Wake
from agenthost.core.life import Life
from agenthost.core.tree import Doing, Supervisor, Turn, Worker


def wake(turn: Turn, wanted: Wake) -> None:
    node = turn.state.nodes.get(wanted.path)
    if node is None:
        _wake_member(turn, wanted)
    elif not isinstance(node, Worker):
        _answer(turn, wanted, f"{node.path} is a supervisor", error="usage")
    elif node.life is not Life.ASLEEP and (sleeping.is_away(node) or node.life in (Life.STARTING, Life.WAITING)):
        node.ops.append((wanted.op, "wake"))
    elif node.life is Life.READY:
        _answer(turn, wanted, "it is running")
    elif node.life is not Life.ASLEEP:
        _answer(turn, wanted, f"{node.path} is {node.life}", error="not_running")
    elif node.parent is None or node.parent.doing in (Doing.NOTHING, Doing.STOPPING):
        _answer(turn, wanted, f"the supervisor of {node.path} is not running", error="not_running")
    else:
        node.ops.append((wanted.op, "wake"))
        turn.effects.append(do.Record("agent.waking", node.path, {"by": wanted.by}))
        sup.begin(turn, node)


def _wake_member(turn: Turn, wanted: Wake) -> None:
    above, _, name = wanted.path.rpartition("/")
    pool = turn.state.nodes.get(above or "/")
    if not name or not isinstance(pool, Supervisor) or not sleeping.makes_members(pool.spec):
        _answer(turn, wanted, f"there is no {wanted.path}", error="unknown_name")
    elif pool.doing in (Doing.NOTHING, Doing.STOPPING):
        _answer(turn, wanted, f"its pool {pool.path} is not running", error="not_running")
    elif pool.waking or not sleeping.has_room(pool):
        sleeping.wait_for_room(turn, pool, name, wanted.op, "wake")
    else:
        _make(turn, pool, name, [(wanted.op, "wake")], wanted.by)


def make_room(turn: Turn) -> None:
    """After every move while a pool is crowded."""
    for path, pool in list(turn.state.crowded.items()):
        while pool.waking and sleeping.has_room(pool):
            name = next(iter(pool.waking))
            _make(turn, pool, name, pool.waking.pop(name), "who waited for room")
        over = 0
        if pool.spec.live is not None:
            over = sleeping.occupied(pool) - pool.spec.live + sleeping.spare_rooms(pool)
        leaving = [pool.children[name] for name in pool.leaving]
        will_leave = sum(isinstance(member, Worker) and member.frozen_at is None for member in leaving)
        wanted = len(pool.waking) + max(0, over) - will_leave
        for name in list(pool.idle):
            if wanted <= 0:
                break
            member = pool.children.get(name)
            wanted -= isinstance(member, Worker) and sleeping.try_doze(turn, member)
        if not pool.waking and (over <= 0 or not (pool.idle or has_too_many(pool))):
            del turn.state.crowded[path]


def has_too_many(pool: Supervisor) -> bool:
    """A reload has left it less room than it fills."""
    return pool.spec.live is not None and sleeping.occupied(pool) > pool.spec.live


def look_again(turn: Turn, pool: Supervisor) -> None:
    """How many members it may have has changed."""
    turn.state.crowded[pool.path] = pool


def _make(turn: Turn, pool: Supervisor, name: str, ops: list[tuple[int, str]], by: str) -> None:
    template = pool.spec.template
    assert template is not None
    child = turn.state.plant(replace(template, name=name), pool)
    pool.children[name] = child
    child.is_new = True
    child.ops.extend(ops)
    turn.effects.append(do.Record("agent.waking", child.path, {"by": by}))
    sup.begin(turn, child)
    if pool.idle:
        turn.state.crowded[pool.path] = pool


def _answer(turn: Turn, wanted: Wake, text: str, *, error: str | None = None) -> None:
    turn.effects.append(do.Answer(wanted.op, error, text))
