"""Cases 44 to 46: what is recorded of a start by hand, and who comes back after a normal end."""

from __future__ import annotations

from tests.otp.case import case
from tests.otp.play import Play
from tests.otp.shape import Child, pool, sup


@case(44)
def test_external_start_no_progress_log_a_start_by_hand_is_told_from_the_supervisor_s_own(play: Play) -> None:
    """Of records: one by hand stands behind the command and who gave it; the first restart is the first of its kind."""
    stage = play(pool(Child("any")))
    assert stage.start("a").error is None
    names = [note.name for note in stage.notes(path="a")]
    assert names == ["command.add", "agent.starting", "agent.ready"]
    assert stage.notes("command.add", "a")[0].fields["by"]
    stage.crash("a")
    names = [note.name for note in stage.notes(path="a")][3:]
    assert names == ["agent.exited", "agent.ended", "agent.restarting", "agent.starting", "agent.ready"]


@case(45)
def test_permanent_normal_is_restarted(play: Play) -> None:
    stage = play(sup(Child("a"), Child("b")))
    a, b = stage.who("a", "b")
    old = stage.handle("a")
    stage.end("a")
    assert stage.ends("a") == ["normal"]
    assert (stage.births("a"), stage.state("a")) == (2, "ready")
    assert stage.is_gone(old)
    assert stage.who("b") == [b] and stage.who("a") != [a]
    assert stage.count() == {"specs": 2, "active": 2, "supervisors": 0, "workers": 2}
    stage.end("a")
    warned = ["warning" in note.fields for note in stage.notes("agent.restarting", "a")]
    assert warned == [False, True]  # D8


@case(46)
def test_transient_normal_is_not_restarted_and_its_spec_is_kept(play: Play) -> None:
    stage = play(sup(Child("a", "transient"), Child("b"), intensity=0))
    (b,) = stage.who("b")
    old = stage.handle("a")
    stage.end("a")
    assert stage.ends("a") == ["normal"]
    assert (stage.births("a"), stage.state("a")) == (1, "done")
    assert stage.is_gone(old)
    assert stage.who("b") == [b]
    assert stage.count() == {"specs": 2, "active": 1, "supervisors": 0, "workers": 2}
    assert stage.start("a").error is None  # R4
    assert stage.state("a") == "ready"
