"""Cases 79 and 91 of the suite: names. A path leads to the incarnation that is there now and never to an old one; what
runs beside the tree is never taken for a child.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from agenthost.errors import AgenthostError
from tests.host.conftest import Start
from tests.host.running import Running, agent, is_alive, tree
from tests.otp.case import SIM, case
from tests.otp.forms import FORMS
from tests.otp.play import Play
from tests.otp.real import Real
from tests.otp.shape import Child, pool, sup


@case(79)
def test_simple_global_supervisor_and_its_worker_come_back_under_their_names(play: Play) -> None:
    stage = play(sup(Child("w"), sup(Child("x"), name="in"), intensity=100))
    for verb, path, child in (
        ("kill -9", "w", "w"),
        ("exit 0", "w", "w"),
        ("restart", "w", "w"),
        ("kill", "in", "in/x"),
        ("restart", "in", "in/x"),
    ):
        (before,), old = stage.who(child), stage.handle(child)
        match verb:
            case "kill -9":
                stage.kill(path)
            case "exit 0":
                stage.end(path)
            case _:
                assert stage.ask(verb, path).error is None
        stage.settle()
        assert stage.kids() == ["w", "in"] and stage.state(child) == "ready"
        assert stage.who(child) > [before]
        assert stage.is_gone(old) and stage.handle(child) != old


@case(79, forms=("host",), why="what a program is asked does not go through us")
def test_simple_global_supervisor_a_call_by_name_reaches_the_present_incarnation_and_never_an_old_one(
    start: Start,
) -> None:
    """Also for one who has looked the name up before, and holds an address."""
    host: Running = start(tree(agent("a", "Doer", backoff="none"), agent("b", "Doer"), intensity=100))
    through = {"do": "call", "path": "/a", "body": {"do": "incarnation"}}
    seen = [host.call("/a", {"do": "incarnation"})]
    assert host.call("/b", through)["reply"] == seen[-1]
    for end in ("kill", "exit", "restart", "crash"):
        if end in ("kill", "restart"):
            host.ask(end, path="/a")
        else:
            with pytest.raises(AgenthostError):
                host.call("/a", {"do": end, "status": 0})
        host.wait(lambda: host.row("/a")["incarnation"] not in (None, *seen), "the next one is there")
        host.wait_state("/a", "ready")
        present = host.row("/a")["incarnation"]
        assert host.call("/a", {"do": "incarnation"}) == present
        assert host.call("/b", through)["reply"] == present
        seen.append(present)
    assert len(set(seen)) == 5


@case(91, forms=("sim", "agent"), why="the test beside it runs in every form")
def test_already_started_what_runs_under_a_name_is_not_started_again(play: Play) -> None:
    stage = play(pool(Child("any")))
    assert stage.start("a").error is None
    before, handle = stage.who("a"), stage.handle("a")
    again = stage.start("a")
    assert again.error is None and "running already" in again.text
    assert (stage.who("a"), stage.births("a"), stage.handle("a")) == (before, 1, handle)


@case(91, forms=FORMS, why="in simulation there is nobody outside the tree")
@pytest.mark.parametrize("form", FORMS)
def test_already_started_outside_supervisor_what_runs_under_the_same_name_outside_is_left_alone(
    form: str, start: Start, places: Path
) -> None:
    """A process that was started by somebody else and calls itself the same."""
    stage = Real(form, sup(Child("a", "temporary"), Child("b")), places)
    with subprocess.Popen(["sleep", "1000"], env={**os.environ, "AGENTHOST_PATH": f"{stage.top}/a"}) as foreign:
        try:
            assert stage.begin(start).error is None
            assert stage.handle("a") != foreign.pid
            assert foreign.pid not in {one["pid"] for one in stage.host.row(f"{stage.top}/a", members=True)["members"]}
            stage.kill("a")
            assert stage.kids() == ["b"], "the other one has not taken its place"
            assert stage.stop().error is None
            assert is_alive(foreign.pid)
        finally:
            foreign.kill()
    stage.wait(lambda: not stage.left(), "nothing is left")


@case(91, forms=SIM, why="the test beside it is about real processes")
def test_already_started_outside_supervisor_news_of_a_process_that_is_none_of_ours_is_dropped(play: Play) -> None:
    from agenthost.core import events as on
    from agenthost.core.reason import Reason

    stage = play(sup(Child("a")))
    before, mark = stage.who(), stage.world.mark
    for event in (
        on.Ready(f"{stage.top}/a", 999),
        on.Exited(f"{stage.top}/a", 999, Reason("exit", 1)),
        on.Ready(f"{stage.top}/stranger", before[0]),
    ):
        stage.world.tell(event)
    assert (stage.who(), stage.world.since(mark)) == (before, [])
