"""Cases 23 to 25: what is asked of a supervisor about its children, and what it answers (section 8)."""

from __future__ import annotations

from tests.otp.case import SIM, case
from tests.otp.play import Play
from tests.otp.shape import Child, pool, sup

ONE_FORM = "a variant; the other test of this case has every form"
WHY_NO_DELETE = "over the wire children are added and deleted by a reload; in the other test of this case they are"


@case(23)
def test_child_adm_the_life_of_one_child_with_every_answer(play: Play) -> None:
    stage = play(sup(Child("a"), Child("b")))
    a, b = stage.who("a", "b")
    both = {"specs": 2, "active": 2, "supervisors": 0, "workers": 2}
    assert (stage.kids(), stage.count()) == (["a", "b"], both)

    assert stage.start("a") == (None, "it is running already")
    for verb in ("start", "stop", "restart", "kill"):
        assert stage.ask(verb, "nobody").error == "unknown_name"

    old = stage.handle("a")
    assert stage.stop("a").error is None
    assert stage.is_gone(old)
    assert (stage.kids(), stage.count()) == (["a", "b"], {**both, "active": 1})
    assert (stage.state("a"), stage.who("b")) == ("down", [b])
    assert stage.stop("a") == (None, "it was down already")
    assert stage.ask("kill", "a").error == "not_running"

    assert stage.restart("a").error is None  # of what is down: it starts
    assert stage.count() == both
    second = stage.who("a")[0]
    assert stage.restart("a").error is None  # of what runs: another takes its place
    assert stage.who("a")[0] > second > a
    assert stage.notes("agent.restarting") == []  # R7: nothing of all this counts
    assert stage.who("b") == [b]


@case(23, forms=SIM, why=WHY_NO_DELETE)
def test_child_adm_a_child_is_added_and_deleted_with_every_answer(play: Play) -> None:
    stage = play(sup(Child("a")))
    assert stage.add("b", Child("b")).error is None
    assert stage.kids() == ["a", "b"]
    assert stage.add("b", Child("b")) == ("busy", f"{stage.top}/b is running already")
    assert stage.delete("b") == ("busy", f"{stage.top}/b is running; stop it first")
    assert stage.stop("b").error is None
    assert stage.add("b", Child("b")) == ("busy", f"{stage.top}/b is there already")
    assert stage.delete("b").error is None
    assert stage.kids() == ["a"]
    assert stage.delete("b").error == stage.start("b").error == stage.stop("b").error == "unknown_name"
    assert stage.add("b", Child("b")).error is None
    assert stage.count()["active"] == 2


@case(23, forms=("sim", "program"), why=ONE_FORM)
def test_child_adm_a_reload_adds_and_deletes_a_child(play: Play) -> None:
    stage = play(sup(Child("a")), static=True)
    (a,) = stage.who("a")
    assert stage.reload(sup(Child("a"), Child("b"))).error is None
    stage.settle()
    assert (stage.kids(), stage.count()["active"]) == (["a", "b"], 2)
    old = stage.handle("b")
    assert stage.stop("b").error is None
    assert stage.reload(sup(Child("a"))).error is None
    assert stage.kids() == ["a"]
    assert stage.start("b").error == "unknown_name"
    assert stage.is_gone(old)
    assert stage.who("a") == [a]


@case(24)
def test_child_adm_simple_the_life_of_members_with_every_answer(play: Play) -> None:
    stage = play(pool(Child("any")))
    assert stage.count() == {"specs": 1, "active": 0, "supervisors": 0, "workers": 0}
    for name in "ab":
        assert stage.start(name).error is None
    assert (stage.kids(), stage.count()) == (
        ["a", "b"],
        {"specs": 1, "active": 2, "supervisors": 0, "workers": 2},
    )
    (a,) = stage.who("a")
    assert stage.start("a") == (None, "it is running already")
    for verb in ("stop", "restart", "kill"):
        assert stage.ask(verb, "nobody").error == "unknown_name"
    old = stage.handle("b")
    assert stage.stop("b").error is None
    assert stage.is_gone(old)
    assert stage.kids() == ["a"]  # a member that is stopped leaves nothing
    assert stage.restart("b").error == stage.stop("b").error == "unknown_name"
    assert stage.start("b").error is None
    assert stage.restart("b").error is None
    assert (stage.kids(), stage.who("a")) == (["a", "b"], [a])
    assert stage.notes("agent.restarting") == []


@case(24, forms=SIM, why=WHY_NO_DELETE)
def test_child_adm_simple_takes_no_spec_and_keeps_nothing_that_could_be_deleted(play: Play) -> None:
    stage = play(pool(Child("any")))
    assert stage.start("a").error is None
    assert stage.add("b", Child("b")).error == "usage"
    assert stage.delete("a").error == "busy"
    assert stage.stop("a").error is None
    assert stage.delete("a").error == "unknown_name"


@case(25)
def test_extra_return_what_a_start_tells_its_caller_survives_an_automatic_restart(play: Play) -> None:
    """A start is answered with words and the incarnation; the supervisor needs neither to start the child again."""
    stage = play(sup(Child("a")))
    stage.stop("a")
    assert stage.start("a") == (None, "ready")
    second = stage.who("a")[0]
    stage.crash("a")
    assert (stage.state("a"), stage.births("a")) == ("ready", 3)
    assert stage.who("a")[0] > second
    assert stage.start("a") == (None, "it is running already")
