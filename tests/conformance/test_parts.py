"""The parts of the comparison that need no Erlang: it must not agree too easily, and it must shrink."""

from __future__ import annotations

from tests.conformance import core_side, generate
from tests.conformance.compare import difference
from tests.conformance.scenario import Action, Branch, Leaf, Scenario, term, walk
from tests.conformance.shrink import shrink

TREE = Branch("root", (Leaf("a"), Branch("s", (Leaf("b"), Leaf("c")))))
KILLED = Scenario(TREE, {}, (Action("kill", "/s"),))
START = ["step 0", "birth /#1", "birth /a#1", "birth /s#1", "birth /s/b#1", "birth /s/c#1", "step 1"]


def test_every_seed_gives_one_scenario() -> None:
    assert generate.scenario(7) == generate.scenario(7)
    assert len({term(generate.scenario(seed)) for seed in range(50)}) > 40


def test_the_order_below_a_killed_supervisor_is_open_and_that_of_the_rest_is_not() -> None:
    otp = [*START, "end /s#1 killed", "end /s/b#1 killed", "end /s/c#1 killed", "birth /s#2"]
    core = [*START, "end /s/c#1 killed", "end /s/b#1 shutdown", "end /s#1 killed", "birth /s#2"]
    assert difference(KILLED, otp, core) == ""
    assert difference(KILLED, [*otp, "end /a#1 killed"], core)
    assert difference(KILLED, otp[:-2], core[:-1])
    stopped = Scenario(TREE, {}, (Action("stop", "/s"),))
    assert difference(stopped, otp, core)


def test_a_missing_step_is_a_difference() -> None:
    run = core_side.run(KILLED)
    assert difference(KILLED, run.lines, run.lines) == ""
    assert difference(KILLED, run.lines[: run.lines.index("step 2")], run.lines)


def test_shrinking_leaves_what_matters() -> None:
    scenario = next(
        scenario
        for scenario in map(generate.scenario, range(1000))
        if len(scenario.actions) > 5 and any(action.verb == "kill" for action in scenario.actions)
    )
    smallest = shrink(scenario, lambda scenario: any(action.verb == "kill" for action in scenario.actions))
    assert [action.verb for action in smallest.actions] == ["kill"]
    assert [path for path, _ in walk(smallest.tree) if path != "/"] in ([], ["/m0", "/m1", "/m2"])
