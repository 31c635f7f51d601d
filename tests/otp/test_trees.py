"""Cases 55 and 56 of the suite: a child that cuts its link, and trees of supervisors."""

from __future__ import annotations

import secrets
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.host.conftest import Start
from tests.host.running import is_alive, marked, tree
from tests.otp import unlinked
from tests.otp.case import SIM, case
from tests.otp.forms import ENTRY, FORMS
from tests.otp.play import Play
from tests.otp.shape import Child, pool, sup

CUTS = str(Path(unlinked.__file__).resolve())


def child_that_cuts(form: str, folder: Path, token: str) -> dict[str, Any]:
    if form == "agent":
        return {"agent": f"{CUTS}:Unlinked", "args": {"folder": str(folder)}}
    how = "escaping" if form == "escaping" else "plain"
    command = [sys.executable, "-S", "-E", CUTS, str(folder), how]
    return {"command": command, "ready": {"line": "^ready$"}, "env": {ENTRY: token}}


@case(55, forms=FORMS, why="in simulation the test beside it")
@pytest.mark.parametrize("form", FORMS)
def test_child_unlink_a_child_that_cuts_its_ties_cannot_hang_the_stop_of_its_supervisor(
    form: str, start: Start, places: Path
) -> None:
    token, folder = secrets.token_hex(8), places / "cuts"
    folder.mkdir()
    cuts = {"name": "cuts", "shutdown": "1s", **child_that_cuts(form, folder, token)}
    host = start(tree({"name": "s", **tree(cuts, {"name": "other", "command": ["sleep", "1000"]})}))
    pid, other = host.pid("/s/cuts"), host.pid("/s/other")
    if form == "agent":
        host.client.send("/s/cuts", "cut", durable=False)
    expected = 1 + unlinked.NUMBER_OF_DAEMONS * (form == "escaping")
    host.wait(lambda: unlinked.cuts(folder) == expected, "it has cut its ties")
    assert (host.pid("/s/cuts"), host.pid("/s/other")) == (pid, other), "its link is no sign of life"
    began = time.monotonic()
    answer = host.ask("stop", path="/s")
    assert answer["state"] == "down"
    assert time.monotonic() - began < 30
    assert not is_alive(pid) and not is_alive(other)
    assert not marked(f"{ENTRY}={token}")
    assert [one["fields"]["kind"] for one in host.events("supervisor.ended", "/s")] == ["shutdown"]


@case(55, forms=SIM, why="the test beside it runs in the other forms, with a child of its own")
def test_child_unlink_a_child_that_no_longer_hears_is_ended_by_the_ladder(play: Play) -> None:
    stage = play(sup(Child("cuts", shutdown=1.0), Child("other")))
    stage.world.process(f"{stage.top}/cuts").obeys = False
    assert stage.stop().error is None
    assert stage.over
    assert stage.ends() == ["shutdown"]
    assert ("term", f"{stage.top}/cuts") in stage.world.log


@case(56)
def test_tree_only_the_dead_worker_comes_back_and_supervisors_come_back_with_their_first_children(play: Play) -> None:
    stage = play(
        sup(
            Child("w"),
            sup(Child("a"), Child("b"), name="one", intensity=0),
            sup(Child("c"), Child("d"), name="two"),
            pool(Child("any"), name="three"),
            strategy="one_for_all",
            intensity=1,
        )
    )
    names = ("w", "one/a", "one/b", "two/c", "two/d")
    assert stage.start("three/x").error is None
    before = stage.who(*names, "three/x")
    stage.crash("two/c")
    after = stage.who(*names, "three/x")
    assert [old == new for old, new in zip(before, after, strict=True)] == [True, True, True, False, True, True]
    assert stage.stop("two/d").error is None
    stage.crash("one/a")  # one too many for its supervisor, and so for all of them
    assert stage.state("three/x") == "gone"
    assert [stage.kids(path) for path in ("", "one", "two", "three")] == [
        ["w", "one", "two", "three"],
        ["a", "b"],
        ["c", "d"],
        [],
    ]
    again = stage.who(*names)
    assert all(again) and not set(again) & set(after)
    assert stage.ends("two/d") == ["shutdown"], "it was stopped by hand, and came back with the others"


@case(56, forms=("sim", "agent"), why="the test beside it runs in every form")
def test_tree_what_an_operator_stopped_stays_down_when_its_supervisor_comes_back_unless_otp_strict(play: Play) -> None:
    """Deviation D4."""
    stage = play(sup(Child("w"), sup(Child("a"), Child("b"), name="in", intensity=0)), strict=False)
    (w,) = stage.who("w")
    assert stage.stop("in/b").error is None
    stage.crash("in/a")
    assert [stage.state(path) for path in ("w", "in/a", "in/b")] == ["ready", "ready", "down"]
    assert stage.who("w") == [w]
    assert stage.births("in/b") == 1
