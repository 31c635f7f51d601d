"""Cases 47 to 54 of the suite: which children come back, by how they ended, and what is told at the top when the first
one does not come up.
"""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest

from agenthost.core.reason import Reason
from tests.host.running import Running
from tests.otp.case import SIM, case
from tests.otp.forms import FORMS, config_of_form, write_plan
from tests.otp.play import Play
from tests.otp.shape import Child, config_beside, sup
from tests.otp.sim import Sim

BY_ITSELF = "a process ends by itself with a status or a signal; shutdown is what it ends with when it was asked"


def quits(stage: Sim, path: str, term: str) -> None:
    """It ends by itself with OTP's ``shutdown``, or ``{shutdown, Term}``."""
    stage.world.end(stage.world.process(f"{stage.top}/{path}"), Reason("shutdown", text=term))


@case(47)
def test_temporary_normal_is_gone_after_a_normal_end(play: Play) -> None:
    stage = play(sup(Child("a", "temporary"), Child("b")))
    before = stage.who("b")
    stage.end("a")
    assert stage.kids() == ["b"]
    assert stage.who("b") == before
    assert (stage.births("a"), stage.ends("a")) == (1, ["normal"])


@case(48)
def test_permanent_shutdown_is_started_again_after_it_was_asked_to_end(play: Play) -> None:
    """By its group, and by an operator."""
    stage = play(sup(Child("a"), Child("b"), strategy="one_for_all"))
    stage.kill("a")
    assert (stage.births("b"), stage.ends("b")) == (2, ["shutdown"])
    assert stage.restart("b").error is None
    assert (stage.births("b"), stage.ends("b")) == (3, ["shutdown", "shutdown"])
    assert stage.births("a") == 2


@case(48, forms=SIM, why=BY_ITSELF)
def test_permanent_shutdown_is_started_again_after_it_ended_so_by_itself(play: Play) -> None:
    stage = play(sup(Child("a"), Child("b")))
    for term in ("", "enough for today"):
        quits(stage, "a", term)
    assert (stage.births("a"), stage.births("b")) == (3, 1)


@case(49)
def test_transient_shutdown_is_not_started_again_but_can_be_by_hand(play: Play) -> None:
    stage = play(sup(Child("a", "transient"), Child("b")))
    before = stage.who("b")
    for count in (1, 2):
        assert stage.stop("a").error is None
        assert (stage.state("a"), stage.births("a")) == ("down", count)
        assert stage.start("a").error is None
        assert (stage.state("a"), stage.births("a")) == ("ready", count + 1)
    assert stage.ends("a") == ["shutdown", "shutdown"]
    assert stage.who("b") == before


@case(49, forms=SIM, why=BY_ITSELF)
def test_transient_shutdown_is_not_started_again_after_it_ended_so_by_itself(play: Play) -> None:
    stage = play(sup(Child("a", "transient"), Child("b")))
    for count, term in enumerate(("", "enough for today"), 1):
        quits(stage, "a", term)
        assert (stage.state("a"), stage.births("a")) == ("done", count)
        assert stage.restart("a").error is None


@case(50)
def test_temporary_shutdown_is_gone(play: Play) -> None:
    stage = play(sup(Child("a", "temporary"), Child("b", "temporary"), Child("c"), strategy="rest_for_one"))
    assert stage.stop("b").error is None
    assert stage.kids() == ["a", "c"]
    assert stage.restart("b").error == stage.start("b").error == "unknown_name"
    assert stage.ends("b") == ["shutdown"]


@case(50, forms=SIM, why=BY_ITSELF)
def test_temporary_shutdown_by_itself_is_gone_and_can_be_started_anew(play: Play) -> None:
    stage = play(sup(Child("a", "temporary")))
    for count, term in enumerate(("", "enough for today"), 1):
        quits(stage, "a", term)
        assert stage.kids() == []
        assert stage.add("a", Child("a", "temporary")).error is None
        assert stage.births("a") == count + 1


@case(51, forms=SIM, why="a whole host is the test beside it")
def test_faulty_application_shutdown_fails_the_start_with_the_reason_of_the_innermost_child(play: Play) -> None:
    inner = sup(Child("x"), Child("y"), name="in")
    stage = play(sup(Child("first"), inner, Child("never")), plan={"in/x": ("fail",)}, fails=True)
    assert stage.over
    assert f"cannot start {stage.top}/in/x: " in stage.answer.text
    assert stage.answer.text.endswith("failed to start: no")
    assert (stage.births("in/y"), stage.births("never")) == (0, 0)
    assert stage.ends("first") == ["shutdown"]
    assert stage.ends() == stage.ends("in") == ["start_failed"]


@case(51, forms=FORMS, why="in simulation the test beside it")
@pytest.mark.parametrize("form", FORMS)
def test_faulty_application_shutdown_ends_the_host_with_status_1_and_says_why_at_the_top(
    form: str, places: Path
) -> None:
    """The application is the host. An agent's traceback is shown, a program's last words."""
    shape = sup(sup(Child("x"), name="in"))
    write_plan(places, "/s/in/x", ("fail",))
    host = Running(places, config_beside(shape, lambda: config_of_form(form, places, secrets.token_hex(8))))
    try:
        assert host.start().wait_end() == 1
        [last] = [line for line in host.output().splitlines() if " host.failed " in line]
        assert "path=/ " in last and "cannot start /s/in/x" in last, last
        assert ("LookupError: no prices today" if form == "agent" else "exit status 1") in last, last
        assert ("Traceback" in last and "on_start" in last) == (form == "agent"), last
        host.assert_nothing_left()
    finally:
        host.end()


@case(52)
def test_permanent_abnormal_is_started_again_after_a_crash(play: Play) -> None:
    stage = play(sup(Child("a"), Child("b")))
    b, old = stage.who("b"), stage.handle("a")
    stage.crash("a", 3)
    assert stage.is_gone(old)
    stage.kill("a")
    assert (stage.births("a"), stage.state("a")) == (3, "ready")
    assert stage.ends("a") == ["exit", "signal"]
    assert stage.who("b") == b


@case(53)
def test_transient_abnormal_is_started_again_after_a_crash(play: Play) -> None:
    stage = play(sup(Child("a", "transient"), Child("b")))
    b, old = stage.who("b"), stage.handle("a")
    stage.crash("a", 3)
    assert stage.is_gone(old)
    stage.kill("a")
    assert (stage.births("a"), stage.state("a")) == (3, "ready")
    assert stage.ends("a") == ["exit", "signal"]
    assert stage.who("b") == b


@case(54)
def test_temporary_abnormal_is_gone_after_a_crash(play: Play) -> None:
    stage = play(sup(Child("a", "temporary"), Child("b", "temporary"), Child("c"), intensity=0))
    c = stage.who("c")
    stage.crash("a", 3)
    stage.kill("b")
    assert stage.kids() == ["c"]
    assert (stage.births("a"), stage.births("b")) == (1, 1)
    assert (stage.ends("a"), stage.ends("b")) == (["exit"], ["signal"])
    assert stage.who("c") == c
