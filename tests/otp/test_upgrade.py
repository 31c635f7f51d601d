"""Cases 64 to 70 and 83 to 86 of the suite: a running supervisor becomes another by a reload.

D11: what was added is started and what is missing goes; Erlang does neither (U2, U3). A config that breaks a rule is
refused as a whole, and nothing changes (U5).
"""

from __future__ import annotations

import re
from typing import Any

import pytest

from agenthost.errors import ConfigError
from tests.otp.case import SIM, case
from tests.otp.play import Play
from tests.otp.shape import Child, Sup, pool, sup
from tests.otp.stage import Answer

NOT_BY_CONFIG = "in a config the child of a supervisor that never stops itself cannot be significant"


def reload(stage: Any, shape: Sup) -> Answer:
    """In simulation a shape that breaks a rule does not become a spec."""
    try:
        answer = stage.reload(shape)
    except ConfigError as error:
        return Answer(error.code, error.message)
    if answer.error is None:
        stage.settle()
    assert isinstance(answer, Answer)
    return answer


def with_mode(mode: str, *children: Child) -> Sup:
    """Temporary, so that it is seen to have stopped itself."""
    return sup(*children, auto_shutdown=mode, restart="temporary")


def transient(name: str, *, significant: bool = True) -> Child:
    return Child(name, "transient", significant=significant)


def becomes_able(play: Play, mode: str) -> Any:
    """From never to ``mode``: a significant child is refused before the change and taken with it, nobody restarts."""
    plain = transient("a", significant=False)
    stage = play(with_mode("never", plain, Child("keeps")), static=True)
    before = stage.who("a", "keeps")
    refused = reload(stage, with_mode("never", plain, Child("keeps"), transient("new")))
    assert refused.error == "bad_config" and "auto_shutdown" in refused.text
    assert stage.kids() == ["a", "keeps"]
    assert reload(stage, with_mode(mode, transient("a"), Child("keeps"), transient("new"))).error is None
    assert stage.kids() == ["a", "keeps", "new"]
    assert stage.who("a", "keeps") == before
    return stage


def no_longer_stops(play: Play, mode: str) -> None:
    """From ``mode`` to never: the child stays as it is and its end stops nobody, new significant ones are refused."""
    stage = play(with_mode(mode, transient("a"), Child("keeps")), static=True)
    before = stage.who("a", "keeps")
    plain = transient("a", significant=False)
    assert reload(stage, with_mode("never", plain, Child("keeps"))).error is None
    assert stage.who("a", "keeps") == before
    assert reload(stage, with_mode("never", plain, Child("keeps"), transient("new"))).error == "bad_config"
    stage.end("a")
    assert stage.state("a") == "done"
    assert stage.who("keeps") == before[1:]


@case(64)
def test_significant_upgrade_never_any(play: Play) -> None:
    stage = becomes_able(play, "any_significant")
    stage.end("new")
    assert stage.over
    assert stage.ends("keeps") == stage.ends() == ["shutdown"]


@case(65)
def test_significant_upgrade_any_never(play: Play) -> None:
    no_longer_stops(play, "any_significant")


@case(66)
def test_significant_upgrade_never_all(play: Play) -> None:
    stage = becomes_able(play, "all_significant")
    stage.end("new")
    assert stage.state() == "ready", "a is left"
    stage.end("a")
    assert stage.over
    assert stage.ends("keeps") == stage.ends() == ["shutdown"]


@case(67)
def test_significant_upgrade_all_never(play: Play) -> None:
    no_longer_stops(play, "all_significant")


@case(65, 67, forms=SIM, why=NOT_BY_CONFIG)
@pytest.mark.parametrize("mode", ["any_significant", "all_significant"])
def test_significant_upgrade_to_never_a_significant_child_added_at_run_time_stays_and_stops_nobody(
    play: Play, mode: str
) -> None:
    """U7."""
    stage = play(with_mode(mode, Child("keeps")), static=True)
    assert stage.add("a", transient("a")).error is None
    before = stage.who("a", "keeps")
    assert reload(stage, with_mode("never", Child("keeps"))).error is None
    assert stage.who("a", "keeps") == before
    assert stage.add("b", transient("b")).error == "bad_config"
    stage.end("a")
    assert stage.state() == "ready"
    assert stage.state("a") == "done"


@case(68)
def test_significant_upgrade_any_all(play: Play) -> None:
    children = transient("a"), transient("b"), Child("keeps")
    stage = play(with_mode("any_significant", *children), static=True)
    before = stage.who()
    assert reload(stage, with_mode("all_significant", *children)).error is None
    assert stage.who() == before
    stage.end("a")
    assert stage.who("b", "keeps") == before[1:]
    stage.end("b")
    assert stage.over


@case(69)
def test_significant_upgrade_all_any(play: Play) -> None:
    children = transient("a"), transient("b"), Child("keeps")
    stage = play(with_mode("all_significant", *children), static=True)
    before = stage.who()
    assert reload(stage, with_mode("any_significant", *children)).error is None
    assert stage.who() == before
    stage.end("a")
    assert stage.over
    assert stage.ends("b") == stage.ends("keeps") == ["shutdown"]


@case(70)
def test_significant_upgrade_child_is_made_significant_or_not_while_it_runs(play: Play) -> None:
    """U8."""

    def shape(mode: str, *, a: bool, b: bool) -> Sup:
        return with_mode(mode, transient("a", significant=a), transient("b", significant=b), Child("keeps"))

    stage = play(shape("any_significant", a=True, b=False), static=True)
    before = stage.who()
    assert reload(stage, shape("any_significant", a=False, b=True)).error is None
    assert reload(stage, shape("never", a=False, b=True)).error == "bad_config"
    assert stage.who() == before
    stage.end("a")
    assert stage.state() == "ready" and stage.state("a") == "done"
    stage.end("b")
    assert stage.over
    assert stage.ends("keeps") == ["shutdown"]


# ---- code_change


@case(83)
def test_code_change_flags_change_in_place_and_bad_ones_are_refused(play: Play) -> None:
    """U1, U5."""
    children = Child("a"), Child("b"), Child("c")
    stage = play(sup(*children, intensity=3), static=True)
    before = stage.who()
    for bad in (
        sup(*children, intensity=-1),
        sup(*children, period_s=0.0),
        sup(*children, strategy="one_for_some"),
        sup(*children, Child("a")),
        sup(*children, Child("d", "sometimes")),
    ):
        assert reload_of_words(stage, bad) == "bad_config"
    assert stage.who() == before
    stage.crash("b")
    assert stage.who("a", "c") == [before[0], before[2]], "one_for_one as before"
    b = stage.who("b")
    assert reload(stage, sup(*children, strategy="rest_for_one", intensity=2)).error is None
    assert stage.who("a", "b", "c") == [before[0], *b, before[2]]
    stage.crash("b")
    assert [stage.births(name) for name in "abc"] == [1, 3, 2]
    stage.crash("a")  # the third in the period, and only two are borne now
    assert stage.ends()[:1] == ["shutdown"]


def reload_of_words(stage: Any, shape: Sup) -> str | None:
    """Words that are none of ours do not even become a shape's spec; a config with them is refused by its reader."""
    try:
        return reload(stage, shape).error
    except ValueError:
        return "bad_config"


@case(83)
def test_code_change_new_children_are_started_missing_ones_go_and_the_rest_stays(play: Play) -> None:
    """D11, where Erlang lists the new without a process (U2) and keeps the missing (U3)."""
    stage = play(sup(Child("a"), Child("gone"), Child("b")), static=True)
    a, gone, b = stage.who("a", "gone", "b")
    assert gone
    assert reload(stage, sup(Child("first"), Child("b"), Child("a"))).error is None
    stage.wait(lambda: stage.kids() == ["first", "b", "a"], "what is missing in the config has left")
    assert stage.who("a", "b") == [a, b]
    assert (stage.births("first"), stage.ends("gone")) == (1, ["shutdown"])


@case(83, forms=("sim", "agent"), why="the test beside it runs in every form")
def test_code_change_whose_new_child_does_not_come_up_is_undone(play: Play) -> None:
    """U5: an error changes nothing."""
    stage = play(sup(Child("a"), Child("old")), static=True)
    before = stage.who()
    stage.plan("bad", "fail")
    answer = reload(stage, sup(Child("a", "temporary"), Child("good"), Child("bad"), intensity=0))
    assert answer.error == "start_failed" and f"{stage.top}/bad does not come up" in answer.text
    stage.wait(lambda: stage.kids() == ["a", "old"], "what had come up with it has left")
    assert stage.who() == before
    stage.crash("a")
    assert stage.births("a") == 2, "it is permanent as before, and restarts are borne as before"


@case(84)
def test_code_change_map_changed_values_hold_from_the_next_start_or_end(play: Play) -> None:
    """U4."""
    stage = play(sup(Child("a"), Child("b", "transient"), Child("c"), Child("d", shutdown=20.0)), static=True)
    stage.asked("c", "deaf")
    stage.asked("d", "deaf")
    before = stage.who()
    after = sup(Child("a", "temporary"), Child("b"), Child("c", shutdown="kill"), Child("d", shutdown=0.4))
    assert reload(stage, after).error is None
    assert stage.who() == before, "nobody is restarted for it"
    stage.crash("a")
    assert stage.kids() == ["b", "c", "d"]
    stage.end("b")
    assert (stage.births("b"), stage.state("b")) == (2, "ready")
    assert stage.stop("c").text.startswith("KILL")
    assert re.match(r"asked 0 s, TERM \S+ m?s, KILL (4\d\d ms|[0-9.]{1,4} s), empty", stage.stop("d").text), "not 20 s"
    assert stage.ends("c") == stage.ends("d") == ["killed"]


@case(85)
def test_code_change_simple_the_template_of_a_pool_may_change(play: Play) -> None:
    """U6, U4: who is there already stays, with what it was started with; who comes is as the template says now."""
    stage = play(pool(Child("any")), static=True)
    stage.start("old")
    before = stage.who("old")
    assert reload(stage, pool(Child("any", "temporary"))).error is None
    assert stage.who("old") == before
    assert stage.start("new").error is None
    stage.crash("new")
    assert stage.kids() == ["old"]
    stage.crash("old")
    assert stage.kids() == [], "what a member is comes from the template of now, also for who was there before"


@case(85, forms=("sim", "agent"), why="of a program it is the same, and an agent can say what it was started with")
def test_code_change_simple_a_pool_cannot_become_a_supervisor_with_children_nor_the_other_way_round(play: Play) -> None:
    """U6: the number of templates is fixed. So it is replaced, and none of its members is left among the children."""
    stage = play(pool(Child("any")), static=True)
    stage.start("old")
    old = stage.handle("old")
    assert reload(stage, sup(Child("listed"))).error is None
    stage.wait(lambda: stage.kids() == ["listed"] and stage.state("listed") == "ready", "it is replaced")
    assert stage.is_gone(old)
    assert reload(stage, pool(Child("any"))).error is None
    stage.wait(lambda: stage.kids() == [] and stage.state() == "ready", "it is replaced again")
    assert stage.start("new").error is None
    assert stage.kids() == ["new"]


@case(86)
def test_code_change_simple_map_flags_of_a_pool_and_grace_of_its_template_change(play: Play) -> None:
    stage = play(pool(Child("any", shutdown=20.0), intensity=0, restart="temporary"), static=True)
    after = pool(Child("any", shutdown="kill"), intensity=1, restart="temporary")
    assert reload(stage, after).error is None
    stage.start("a")
    stage.start("b")
    (b,) = stage.who("b")
    stage.crash("a")
    assert stage.who("b") == [b]
    assert stage.births("a") == 2, "one restart is borne now"
    assert stage.stop("b").text.startswith("KILL")
    stage.crash("a")
    assert stage.over
