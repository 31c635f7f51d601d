"""Who is killed for what leaves one asking is looked at first; who is wanted gone is not."""

from __future__ import annotations

import pytest

from agenthost.core import effects as do
from agenthost.core import events as on
from agenthost.core.reason import Kind, Reason
from agenthost.core.spec import Shutdown, WorkerSpec
from agenthost.core.step import step
from agenthost.core.tree import State
from tests.core.trees import supervisor, worker


def started(*children: WorkerSpec) -> State:
    state = State(supervisor("root", *children))
    effects = step(state, on.Boot(), 0.0)
    while births := [effect for effect in effects if isinstance(effect, do.Birth)]:
        effects = [after for one in births for after in step(state, on.Ready(one.path, one.n), 0.0)]
    return state


def ending(effects: list[do.Effect]) -> list[str]:
    return [type(one).__name__ for one in effects if isinstance(one, do.Examine | do.Kill)]


@pytest.mark.parametrize("kind", ["silent", "not_live", "start_timeout"])
def test_who_is_ended_for_a_fault_is_looked_at_before(kind: Kind) -> None:
    reason = Reason(kind, text="a fault")
    effects = step(started(worker("a", shutdown=Shutdown(brutal=True))), on.Fault("/a", 1, reason), 1.0)
    assert ending(effects) == ["Examine", "Kill"]
    [look] = [one for one in effects if isinstance(one, do.Examine)]
    assert (look.path, look.n, look.reason) == ("/a", 1, reason)


@pytest.mark.parametrize("kind", ["turn_timeout", "no_progress"])
def test_a_turn_beyond_a_bound_is_interrupted_and_who_does_not_come_back_is_looked_at_and_ended_of_it(
    kind: Kind,
) -> None:
    state = started(worker("a"))
    effects = step(state, on.Overrun("/a", 1, 7, "its turn is beyond it", kind), 1.0)
    [told] = [one for one in effects if isinstance(one, do.Interrupt)]
    assert (told.kind, told.turn, told.why) == (kind, 7, "its turn is beyond it")
    assert ending(effects) == []
    effects = step(state, on.Due("interrupt|1|/a"), 6.0)
    assert ending(effects) == ["Examine", "Kill"]
    effects = step(state, on.Exited("/a", 1, Reason("signal", 9)), 6.1)
    [record] = [one for one in effects if isinstance(one, do.Record) and one.name == "agent.exited"]
    assert record.fields["kind"] == kind
    assert record.fields["reason"] == "killed: its turn is beyond it, and it did not come back within 5 s"


def test_who_does_not_stop_is_looked_at() -> None:
    state = started(worker("a"))
    step(state, on.Command(1, "stop", "/a"), 1.0)
    step(state, on.Due("term|1|/a"), 3.0)
    assert ending(step(state, on.Due("kill|1|/a"), 6.0)) == ["Examine", "Kill"]


def test_who_is_wanted_gone_at_once_is_not() -> None:
    assert ending(step(started(worker("a")), on.Command(1, "kill", "/a"), 1.0)) == ["Kill"]
    brutal = worker("a", shutdown=Shutdown(brutal=True))
    assert ending(step(started(brutal), on.Command(1, "stop", "/a"), 1.0)) == ["Kill"]


def test_nobody_is_when_everything_ends() -> None:
    state = started(worker("a"), worker("b"))
    step(state, on.Halt("ask"), 1.0)
    step(state, on.Due("term|2|/b"), 3.0)
    assert ending(step(state, on.Due("kill|2|/b"), 6.0)) == ["Kill"]


def test_what_it_has_started_is_killed_after_it_was_looked_at() -> None:
    state = started(worker("a", shutdown=Shutdown(brutal=True)))
    effects = step(state, on.Add(-1, "/a", "tool", worker("tool", restart="temporary")), 1.0)
    [born] = [one for one in effects if isinstance(one, do.Birth)]
    step(state, on.Ready("/a/tool", born.n), 1.0)
    effects = step(state, on.Fault("/a", 1, Reason("silent")), 2.0)
    kinds = [(type(one).__name__, one.path) for one in effects if isinstance(one, do.Examine | do.Kill)]
    assert kinds == [("Examine", "/a"), ("Kill", "/a/tool"), ("Kill", "/a")]
