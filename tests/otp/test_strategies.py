"""Cases 29 to 43: who is restarted with whom, and when a supervisor gives up."""

from __future__ import annotations

from typing import Any

import pytest

from tests.otp.case import SIM, case
from tests.otp.play import Play
from tests.otp.shape import Child, pool, sup

FOR_EVER = ("fail",) * 20
VIRTUAL = "whole seconds of a virtual clock; in real time the other test of this case does it"
OURS = "our default, not Erlang's; the other test of this case runs for real"
ONE_FORM = "a variant; the other test of this case has every form"
IGNORES = "a foreign program cannot answer ignore"


def given_up(stage: Any, *paths: str) -> bool:
    """The supervisor has ended by shutdown (I3), and nobody is left."""
    stage.wait(lambda: stage.over, "the supervisor has given up")
    assert all(stage.ends(path) for path in paths)
    return bool(stage.ends() == ["shutdown"] and stage.notes("supervisor.gave_up", ""))


# ---- 29


@case(29, forms=SIM, why=VIRTUAL)
@pytest.mark.parametrize("gap_s", [2.0, 2.06])
def test_multiple_restarts_spaced_beyond_the_window_never_end_the_supervisor(play: Play, gap_s: float) -> None:
    """I4: intensity 1, period 1."""
    stage = play(sup(Child("a"), intensity=1, period_s=1.0))
    for count in range(1, 30):
        stage.crash("a")
        assert stage.births("a") == count + 1
        stage.pass_time(gap_s)
    assert not stage.over


@case(29)
def test_multiple_restarts_spaced_beyond_a_short_window_never_end_the_supervisor(play: Play) -> None:
    """D2: the window is a fraction of a second."""
    stage = play(sup(Child("a"), intensity=1, period_s=0.05), strict=False)
    for count in range(1, 6):
        stage.crash("a")
        assert stage.births("a") == count + 1
        stage.pass_time(0.06)
    assert stage.rows()["a"].restarts == 5


# ---- 30, 31


@case(30)
def test_one_for_one_replaces_the_failed_child_alone_and_more_than_the_intensity_ends_it(play: Play) -> None:
    stage = play(sup(Child("a"), Child("b"), intensity=1))
    a, b = stage.who("a", "b")
    old = stage.handle("a")
    stage.crash("a")
    assert stage.is_gone(old)
    assert stage.who("b") == [b] and stage.who("a")[0] > b > a
    stage.crash("b")
    assert given_up(stage, "a", "b")


@case(30, forms=SIM, why=OURS)
def test_one_for_one_by_default_ends_with_a_reason_of_its_own(play: Play) -> None:
    """D3."""
    stage = play(sup(Child("a"), Child("b"), intensity=0), strict=False)
    stage.crash("a")
    assert stage.ends() == ["gave_up"]
    assert stage.ends("b") == ["shutdown"]


@case(31)
def test_one_for_one_escalation_a_child_that_cannot_be_restarted_ends_it_and_its_sibling(play: Play) -> None:
    stage = play(sup(Child("a"), Child("b"), intensity=4))
    stage.plan("a", *FOR_EVER)
    stage.crash("a")
    assert given_up(stage, "a", "b")
    assert (stage.births("a"), stage.births("b")) == (1 + 4, 1)  # R9: each attempt counts
    assert stage.ends("b") == ["shutdown"]


# ---- 32 to 34


@case(32)
def test_one_for_all_replaces_all_and_no_old_process_remains_and_the_intensity_applies(play: Play) -> None:
    stage = play(sup(*(Child(name) for name in "abc"), strategy="one_for_all", intensity=1))
    old = [stage.handle(name) for name in "abc"]
    stage.crash("b")
    assert all(stage.is_gone(one) for one in old)
    assert [path for what, path in stage.order("asked")] == ["c", "a"]
    assert [path for what, path in stage.order("starting")] == [*"abc", *"abc"]
    assert stage.rows()["b"].restarts == 1  # I6
    stage.crash("a")
    assert given_up(stage, *"abc")


@case(32, forms=("sim", "program"), why=ONE_FORM)
@pytest.mark.parametrize("strict", [True, False])
def test_one_for_all_starts_what_was_stopped_by_hand_as_well_but_by_default_it_stays_down(
    play: Play, strict: bool
) -> None:
    """T4 and D4."""
    stage = play(sup(*(Child(name) for name in "abc"), strategy="one_for_all"), strict=strict)
    stage.stop("b")
    stage.crash("a")
    assert stage.state("b") == ("ready" if strict else "down")
    assert [stage.births(name) for name in "abc"] == [2, 2 if strict else 1, 2]


@case(33)
def test_one_for_all_escalation_a_sibling_that_cannot_restart_ends_all(play: Play) -> None:
    stage = play(sup(*(Child(name) for name in "abc"), strategy="one_for_all", intensity=3))
    stage.plan("b", *FOR_EVER)
    stage.crash("a")
    assert given_up(stage, *"abc")
    assert [stage.births(name) for name in "abc"] == [1 + 3, 1 + 3, 1]


@case(34)
def test_one_for_all_other_child_fails_restart_and_all_is_tried_again(play: Play) -> None:
    """T5."""
    stage = play(sup(*(Child(name) for name in "abc"), strategy="one_for_all", intensity=3))
    stage.plan("b", "fail")
    stage.crash("a")
    steps = [path for what, path in stage.order("starting")]
    assert steps == [*"abc", "a", "b", *"abc"]
    assert stage.ends("a") == ["exit", "shutdown"]
    assert all(stage.who(*"abc"))


# ---- 35 to 40


def members(play: Play, restart: str = "permanent", names: str = "abc", **options: Any) -> Any:
    stage = play(pool(Child("any", restart), **options))
    for name in names:
        assert stage.start(name).error is None
    return stage


@case(35)
def test_simple_one_for_one_replaces_one_member_and_shares_the_intensity(play: Play) -> None:
    stage = members(play, intensity=1)
    a, b, c = stage.who(*"abc")
    stage.crash("b")
    assert stage.who("a", "c") == [a, c] and stage.who("b")[0] not in (0, b)
    stage.crash("c")
    assert given_up(stage, *"abc")
    assert stage.ends("a") == ["shutdown"]


@case(36)
def test_simple_one_for_one_shutdown_gives_all_members_their_grace_at_once(play: Play) -> None:
    """S5. All are asked before the first has ended; one after the other they would never end."""
    stage = play(pool(Child("any", shutdown=30)), asked=dict.fromkeys("abc", "until"))
    for name in "abc":
        assert stage.start(name).error is None
    stage.ask("stop", wait=False)
    stage.wait(lambda: len(stage.notes("agent.asked")) == 3, "all are asked")
    for name in "bca":
        assert stage.ends(name) == []
        stage.go(name)
        stage.wait(lambda name=name: stage.ends(name), f"{name} has ended")
    stage.wait(lambda: stage.over, "the pool has stopped")
    assert [stage.ends(name) for name in "abc"] == [["shutdown"]] * 3


@case(37)
def test_simple_one_for_one_extra_what_its_start_has_told_is_not_needed_for_a_restart(play: Play) -> None:
    stage = members(play, names="a")
    stage.crash("a")
    assert (stage.births("a"), stage.state("a")) == (2, "ready")
    assert stage.rows()["a"].restarts == 1


@case(38)
def test_simple_one_for_one_escalation_an_unrestartable_member_ends_all(play: Play) -> None:
    stage = members(play, intensity=3)
    stage.plan("a", *FOR_EVER)
    stage.crash("a")
    assert given_up(stage, *"abc")
    assert (stage.births("a"), stage.ends("b")) == (1 + 3, ["shutdown"])


@case(39)
def test_simple_one_for_one_corruption_after_the_first_death_nothing_of_later_members_is_kept_either(
    play: Play,
) -> None:
    stage = members(play, "temporary", names="a")
    stage.kill("a")
    assert stage.kids() == []
    for name in "bcd":
        assert stage.start(name).error is None
    stage.end("b")
    stage.crash("c")
    assert stage.stop("d").error is None
    assert stage.kids() == []
    assert stage.count() == {"specs": 1, "active": 0, "supervisors": 0, "workers": 0}
    assert [stage.births(name) for name in "abcd"] == [1, 1, 1, 1]


@case(40, forms=("sim", "agent"), why=IGNORES)
@pytest.mark.parametrize("restart", ["transient", "permanent"])
def test_simple_one_for_one_restart_ignore_removes_the_member(play: Play, restart: str) -> None:
    stage = members(play, restart, names="ab")
    (b,) = stage.who("b")
    stage.plan("a", "ignore")
    stage.crash("a")
    assert (stage.kids(), stage.who("b")) == (["b"], [b])
    assert stage.births("a") == 2


# ---- 41 to 43


@case(41)
def test_rest_for_one_leaves_earlier_ones_alone_and_replaces_the_later(play: Play) -> None:
    stage = play(sup(*(Child(name) for name in "abcd"), strategy="rest_for_one", intensity=1))
    (a,) = stage.who("a")
    old = [stage.handle(name) for name in "bcd"]
    stage.crash("b")
    assert stage.who("a") == [a]
    assert all(stage.is_gone(one) for one in old)
    assert [path for what, path in stage.order("asked")] == ["d", "c"]
    assert [path for what, path in stage.order("starting")] == [*"abcd", *"bcd"]
    stage.crash("d")
    assert given_up(stage, *"abcd")


@case(42)
def test_rest_for_one_escalation_a_later_sibling_that_cannot_restart_ends_all(play: Play) -> None:
    stage = play(sup(*(Child(name) for name in "abc"), strategy="rest_for_one", intensity=3))
    stage.plan("c", *FOR_EVER)
    stage.crash("b")
    assert given_up(stage, *"abc")
    assert [stage.births(name) for name in "abc"] == [1, 2, 1 + 3]


@case(43)
def test_rest_for_one_other_child_fails_restart_and_the_retry_starts_from_it(play: Play) -> None:
    """T6."""
    stage = play(sup(*(Child(name) for name in "abcd"), strategy="rest_for_one", intensity=3))
    stage.plan("c", "fail")
    stage.crash("b")
    assert [path for what, path in stage.order("starting")] == [*"abcd", "b", "c", "c", "d"]
    assert stage.ends("b") == ["exit"]
    assert all(stage.who(*"abcd"))
