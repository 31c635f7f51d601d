"""Cases 16 to 22: how supervisors stop their children."""

from __future__ import annotations

from tests.otp.case import case
from tests.otp.play import Play
from tests.otp.shape import Child, pool, sup


@case(16)
def test_sup_stop_infinity_waits_for_a_supervisor_and_for_a_worker(play: Play) -> None:
    stage = play(
        sup(Child("a", shutdown="infinity"), sup(Child("b", shutdown="infinity"), name="in")),
        asked={"a": "until", "in/b": "until"},
    )
    stage.ask("stop", wait=False)
    for one, other in (("in/b", "a"), ("a", "")):
        stage.wait(lambda one=one: stage.notes("agent.asked", one), f"{one} is asked")
        assert stage.ends(one) == stage.ends(other) == []
        stage.go(one)
        stage.wait(lambda one=one: stage.ends(one), f"{one} has ended")
    stage.wait(lambda: stage.over, "all has ended")
    assert [stage.ends(path) for path in ("in/b", "in", "a", "")] == [["shutdown"]] * 4


@case(17)
def test_sup_stop_timeout_kills_after_the_grace_and_leaves_the_obedient_alone(play: Play) -> None:
    stage = play(sup(Child("obedient", shutdown=30), Child("sleeping", shutdown=0.4)), asked={"sleeping": "deaf"})
    stage.stop()
    assert (stage.ends("sleeping"), stage.ends("obedient")) == (["killed"], ["shutdown"])
    assert "did not stop within 0.4" in stage.notes("agent.ended", "sleeping")[0].fields["reason"]
    assert stage.ends() == ["shutdown"]


@case(18)
def test_sup_stop_timeout_dynamic_kills_the_sleeping_member_after_the_grace(play: Play) -> None:
    stage = play(pool(Child("any", shutdown=0.6)), asked={"sleeping": "deaf"})
    for name in ("first", "sleeping", "last"):
        assert stage.start(name).error is None
    stage.stop()
    ends = {name: stage.ends(name) for name in ("first", "sleeping", "last")}
    assert ends == {"first": ["shutdown"], "sleeping": ["killed"], "last": ["shutdown"]}
    assert "did not stop within 0.6" in stage.notes("agent.ended", "sleeping")[0].fields["reason"]
    assert stage.ends() == ["shutdown"]


@case(19)
def test_sup_stop_brutal_kill_is_seen_as_killed_and_its_neighbour_as_shutdown(play: Play) -> None:
    stage = play(sup(Child("brutal", shutdown="kill"), Child("polite")))
    stage.stop()
    assert (stage.ends("brutal"), stage.ends("polite")) == (["killed"], ["shutdown"])
    assert [note.path for note in stage.notes("agent.asked")] == ["polite"]
    assert stage.ends() == ["shutdown"]


@case(20)
def test_sup_stop_brutal_kill_dynamic_kills_ten_members(play: Play) -> None:
    stage = play(pool(Child("any", shutdown="kill")))
    names = [f"m{number}" for number in range(10)]
    for name in names:
        assert stage.start(name).error is None
    assert stage.count()["active"] == 10
    stage.stop()
    assert [stage.ends(name) for name in names] == [["killed"]] * 10
    assert stage.notes("agent.asked") == []
    assert stage.ends() == ["shutdown"]


@case(21)
def test_sup_stop_race_children_that_end_by_themselves_meanwhile_keep_their_own_reasons(play: Play) -> None:
    """S10. Only in simulation can one end by itself with the reason shutdown."""
    kinds = {"normal": "normal", "badly": "exit", "killed": "signal"}
    if simulated := (play.form == "sim"):
        kinds["shutdown"] = "shutdown"
    names = [f"{restart}-{kind}" for restart in ("permanent", "transient", "temporary") for kind in kinds]
    shape = sup(*(Child(name, name.partition("-")[0]) for name in names), Child("slow", shutdown=30))
    stage = play(shape, asked={"slow": "until"})
    stage.ask("stop", wait=False)
    stage.wait(lambda: stage.notes("agent.asked", "slow"), "the last child is asked")
    for name in names:
        match name.partition("-")[2]:
            case "normal":
                stage.leave(name, 0)
            case "badly":
                stage.leave(name, 7)
            case "killed":
                stage.shoot(name)
            case "shutdown":
                assert simulated
                stage.quit(name)
    stage.wait(lambda: all(stage.ends(name) for name in names), "all but the last have ended")
    assert stage.state() == "asked"
    stage.go("slow")
    stage.wait(lambda: stage.over, "it has stopped")
    assert {name: stage.ends(name) for name in names} == {name: [kinds[name.partition("-")[2]]] for name in names}
    assert (stage.ends("slow"), stage.ends()) == (["shutdown"], ["shutdown"])
    assert stage.notes("agent.restarting") == []


@case(22)
def test_sup_stop_non_shutdown_exit_dynamic_does_not_disturb_the_stop_of_a_pool(play: Play) -> None:
    stage = play(pool(Child("any", shutdown=30)), asked={"rude": "crash", "worse": "crash"})
    for name in ("rude", "good", "worse"):
        assert stage.start(name).error is None
    assert stage.stop().error is None
    assert [stage.ends(name) for name in ("rude", "good", "worse")] == [["exit"], ["shutdown"], ["exit"]]
    assert stage.ends() == ["shutdown"]
    assert stage.over
