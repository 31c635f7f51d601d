"""The same scenarios through Erlang's own supervisors and through the core, compared event by event."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from tests.conformance import core_side, generate
from tests.conformance.compare import difference
from tests.conformance.mutants import MUTANTS, Mutant
from tests.conformance.otp_side import MISSING, Otp
from tests.conformance.scenario import Action, Branch, Leaf, Scenario
from tests.conformance.shrink import shrink
from tests.conformance.stage import Run

pytestmark = pytest.mark.skipif(MISSING is not None, reason=str(MISSING))

SMOKE = range(50)
MANY = range(1000, 4000)
WITH_DEVIATIONS = range(5000, 6000)
UNTIL_FOUND = range(10000, 10400)
"""Scenarios in which each broken rule must show."""


@pytest.fixture
def otp() -> Iterator[Otp]:
    with Otp() as otp:
        yield otp


def attempt(scenario: Scenario, *, otp_strict: bool = True) -> Run:
    """A core that does what cannot be differs as well, and the scenario is shrunk all the same."""
    try:
        return core_side.run(scenario, otp_strict=otp_strict)
    except AssertionError as error:  # the world's, or an impossible move
        return Run(["step 0", f"{type(error).__name__}: {error}"])


def assert_same(otp: Otp, scenario: Scenario, seed: int, *, otp_strict: bool = True) -> Run:
    """Fails with the smallest scenario that still differs, side by side."""

    def differs(scenario: Scenario) -> str:
        run = attempt(scenario, otp_strict=otp_strict)
        until = min(run.deviations.values(), default=None)
        return difference(scenario, otp.run(scenario), run.lines, until=until)

    run = attempt(scenario, otp_strict=otp_strict)
    if difference(scenario, otp.run(scenario), run.lines, until=min(run.deviations.values(), default=None)):
        smallest = shrink(scenario, lambda scenario: bool(differs(scenario)))
        pytest.fail(f"seed {seed}, shrunk:\n{smallest}\n{differs(smallest)}", pytrace=False)
    return run


def test_fifty_random_scenarios_go_as_in_otp(otp: Otp) -> None:
    for seed in SMOKE:
        assert_same(otp, generate.scenario(seed), seed)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_three_thousand_random_scenarios_go_as_in_otp_a_third_with_escalation_a_third_with_a_group_restart(
    otp: Otp,
) -> None:
    runs = [assert_same(otp, generate.scenario(seed), seed) for seed in MANY]
    assert sum(run.escalations > 0 for run in runs) >= len(runs) / 3
    assert sum(run.group_restarts > 0 for run in runs) >= len(runs) / 3


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_without_otp_strict_the_only_differences_are_those_that_have_a_name(otp: Otp) -> None:
    """D3, D4, D13: compared up to the step in which a deviation shows; each shows, and so does none at all."""
    shown: Counter[str] = Counter()
    for seed in WITH_DEVIATIONS:
        run = assert_same(otp, generate.scenario(seed), seed, otp_strict=False)
        shown.update(run.deviations or ["none"])
    assert set(shown) == {"D3", "D4", "D13", "none"}
    assert shown["none"] > len(WITH_DEVIATIONS) / 3


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_a_core_with_a_broken_rule_is_found(otp: Otp, mutant: Mutant) -> None:
    for seed in UNTIL_FOUND:
        scenario = generate.scenario(seed)
        with mutant():
            lines = attempt(scenario).lines
        if difference(scenario, otp.run(scenario), lines):
            assert not difference(scenario, otp.run(scenario), attempt(scenario).lines), "the right core differs too"
            return
    pytest.fail(f"not found in {len(UNTIL_FOUND)} scenarios")


# ---- in real time: the border of the window is a second away at least (I4)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["one_for_one", "one_for_all"])
@pytest.mark.parametrize(
    ("period_s", "pause_ms", "survives"),
    [(1, 3100, True), (600, 0, False), (600, 1500, False)],
    ids=["after the window", "at once", "within the window"],
)
def test_the_window_forgets_what_is_older_than_the_period(
    otp: Otp, strategy: str, period_s: int, pause_ms: int, survives: bool
) -> None:
    tree = Branch("root", (Leaf("a"), Leaf("b")), strategy, intensity=1, period_s=period_s)
    actions = (Action("crash", "/a"), Action("wait", "", pause_ms), Action("crash", "/b"), Action("stop", "/a"))
    run = assert_same(otp, Scenario(tree, {}, actions), -1)
    assert (run.escalations == 0) == survives


# ---- by name: what random scenarios found, and what each side says of it


def test_a_restart_by_hand_that_fails_is_neither_counted_nor_tried_again(otp: Otp) -> None:
    tree = Branch("root", (Leaf("a"), Leaf("b")), intensity=0)
    starts = {"/a": ("ready", "fail")}
    actions = (Action("stop", "/a"), Action("start", "/a"), Action("start", "/a"))
    run = assert_same(otp, Scenario(tree, starts, actions), -1)
    assert [line for line in run.lines if line.startswith("answer")] == ["answer ok", "answer failed", "answer ok"]


def test_a_death_during_a_group_restart_is_looked_at_before_that_is_tried_again(otp: Otp) -> None:
    tree = Branch("root", (Leaf("a"), Leaf("b"), Leaf("c")), "rest_for_one", intensity=2)
    starts = {"/b": ("ready", "crash /a"), "/c": ("ready", "fail")}
    run = assert_same(otp, Scenario(tree, starts, (Action("crash", "/b"),)), -1)
    assert run.escalations == 0


def test_an_added_child_that_ignored_and_then_cannot_start_is_tried_again_with_its_group(otp: Otp) -> None:
    tree = Branch("root", (Leaf("a"),), "rest_for_one", intensity=3)
    starts = {"/x": ("ignore", "fail")}
    actions = (Action("add", "/x", Leaf("x", "transient")), Action("crash", "/a"))
    run = assert_same(otp, Scenario(tree, starts, actions), -1)
    assert "list / /x=up /a=up" in run.lines


def test_a_comparison_needs_no_luck_with_the_order_of_a_pools_members(otp: Otp) -> None:
    pool = Branch("pool", intensity=1, template=Leaf("member", "transient", 10, "stubborn"))
    adds = tuple(Action("add_member", f"/{name}") for name in ("m0", "m1", "m2"))
    run = assert_same(otp, Scenario(pool, {}, (*adds, Action("crash", "/m1"), Action("crash", "/m1"))), -1)
    assert run.escalations == 1
