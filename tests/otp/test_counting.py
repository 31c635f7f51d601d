"""Cases 71 to 74, 92 and 93 of the suite: counting and listing children, and which code one runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from agenthost.core.birth import AgentBirth
from agenthost.core.spec import SupervisorSpec
from agenthost.core.tree import Worker
from tests.core.trees import supervisor, worker
from tests.core.world import World
from tests.host.conftest import Start
from tests.host.running import Running, tree
from tests.otp.case import SIM, case
from tests.otp.play import Play
from tests.otp.shape import Child, pool, sup

MANY = {"sim": 1000}
"""Half the size of a pool; with real processes 5, in ``test_real_scale`` 500."""


def counts(specs: int, active: int, *, supervisors: int = 0, workers: int = 0) -> dict[str, int]:
    return {"specs": specs, "active": active, "supervisors": supervisors, "workers": workers}


def grown(play: Play, stage: Any) -> int:
    """Half of the members of a pool, after that half was counted."""
    if play.form == "sim":
        stage.world.check = lambda: None  # the judge is quadratic
    half = MANY.get(play.form, 5)
    for number in range(half):
        assert stage.start(f"m{number}").error is None
    return half


@case(71)
def test_count_children_of_a_pool_that_grows_and_is_killed(play: Play) -> None:
    stage = play(pool(Child("any", "temporary")))
    half = grown(play, stage)
    for _ in range(3):
        assert stage.count() == counts(1, half, workers=half)
    for number in range(half, 2 * half):
        assert stage.start(f"m{number}").error is None
    assert stage.count() == counts(1, 2 * half, workers=2 * half)
    for number in range(2 * half):
        stage.shoot(f"m{number}")
    stage.wait(lambda: stage.kids() == [], "all members are gone")
    assert stage.count() == counts(1, 0)
    assert stage.state() == "ready"


@case(72)
def test_count_children_supervisor_the_same_of_a_pool_of_supervisors(play: Play) -> None:
    stage = play(pool(sup(Child("w"), name="any", restart="temporary")))
    half = grown(play, stage)
    for _ in range(3):
        assert stage.count() == counts(1, half, supervisors=half)
    for number in range(half, 2 * half):
        assert stage.start(f"m{number}").error is None
    assert stage.count() == counts(1, 2 * half, supervisors=2 * half)
    assert stage.count("m0") == counts(1, 1, workers=1)
    for number in range(2 * half):
        stage.ask("kill", f"m{number}")
    assert stage.kids() == []
    assert stage.count() == counts(1, 0)


@case(73)
def test_count_restarting_children_are_workers_and_not_active_and_count_again_when_they_are_back(play: Play) -> None:
    """Here one that cannot start waits in back-off meanwhile (D1)."""
    stage = play(pool(Child("any", backoff=True), intensity=1000), strict=False)
    for name in "abc":
        stage.start(name)
    assert stage.count() == counts(1, 3, workers=3)
    for name in "ab":
        stage.plan(name, "fail", "fail", "fail", "fail")
        stage.leave(name, 1)
    stage.wait(lambda: [stage.state(name) for name in "abc"] == ["waiting", "waiting", "ready"], "two wait")
    stage.wait(lambda: stage.count() == counts(1, 1, workers=3), "two of three are not active")
    stage.wait(lambda: [stage.state(name) for name in "abc"] == ["ready"] * 3, "all are back")
    assert [stage.births(name) for name in "abc"] == [6, 6, 1]
    assert stage.count() == counts(1, 3, workers=3)


@case(92)
def test_which_children_lists_them_in_start_order_through_add_stop_and_delete(play: Play) -> None:
    """Newest last here; what is added by a reload stands where the config has it."""
    stage = play(sup(Child("b"), sup(Child("x"), name="in")), static=True)
    assert stage.kids() == ["b", "in"]
    rows = stage.rows()
    assert [rows[path].kind for path in ("", "b", "in", "in/x")] == ["supervisor", "worker", "supervisor", "worker"]
    assert stage.reload(sup(Child("b"), sup(Child("x"), name="in"), Child("a"))).error is None
    stage.settle()
    assert stage.kids() == ["b", "in", "a"]
    assert stage.stop("b").error is None
    assert [stage.state(path) for path in stage.kids()] == ["down", "ready", "ready"]
    assert stage.who("b") == [0] and stage.rows()["b"].held
    assert stage.reload(sup(sup(Child("x"), name="in"), Child("a"))).error is None
    assert stage.kids() == ["in", "a"]
    assert stage.state("b") == "gone"


@case(93)
def test_which_children_simple_one_for_one_lists_members_by_name_and_incarnation(play: Play) -> None:
    stage = play(pool(Child("any")))
    for name in "cab":
        stage.start(name)
    assert stage.kids() == ["c", "a", "b"]
    handles = {name: stage.handle(name) for name in "cab"}
    assert len({*handles.values(), *stage.who()}) >= 3 and len(set(stage.who())) == 3
    (c,) = stage.who("c")
    stage.kill("c")
    assert stage.kids() == ["c", "a", "b"], "it keeps its place"
    assert stage.who("c") != [c] and stage.is_gone(handles["c"])
    assert stage.stop("a").error is None
    assert stage.kids() == ["c", "b"]
    assert stage.state("a") == "gone" and stage.is_gone(handles["a"])


# ---- 74: which code


@case(74, forms=SIM, why="in a host it is the other test of this case that shows it")
def test_get_callback_module_what_a_child_was_born_with_can_be_read_back() -> None:
    def children(*versions: str) -> SupervisorSpec:
        births = map(AgentBirth, versions)
        return supervisor("root", *(worker(name, birth=birth) for name, birth in zip("ab", births, strict=True)))

    world = World(children("m:One", "m:One")).boot()
    answer = world.reload(children("m:One", "m:Another"))
    assert answer is not None and answer.error is None
    assert [world.births(path) for path in ("/a", "/b")] == [1, 2]
    agents = [node.spec.birth.agent for node in world.state.nodes.values() if isinstance(node, Worker)]
    assert agents == ["m:One", "m:Another"]


CODE = """
from agenthost import Agent

class Versioned(Agent):
    def handle(self, message, ctx):
        return {!r}
"""
AGENT_ALONE = "a program is what is on the disk when it is started; agents are born by a process that holds their code"


@case(74, forms=("agent",), why=AGENT_ALONE)
def test_get_callback_module_which_code_a_child_runs_can_be_found(start: Start, places: Path) -> None:
    """By its digest, which is that of the zygote that bore it; the one of a changed file is another."""
    file = places / "versioned.py"
    file.write_text(CODE.format("one"))
    host: Running = start(tree(*({"name": name, "agent": f"{file}:Versioned"} for name in "ab")))

    def born() -> dict[str, int]:
        """How many were born, by the digest of their code."""
        return {one["digest"]: one["born"] for one in host.ask("ps") if str(file.stem) in one["what"]}

    assert list(born().values()) == [2]
    [first] = born()
    file.write_text(CODE.format("another"))
    host.ask("restart", path="/b")
    assert (host.call("/a"), host.call("/b")) == ("one", "another")
    now = born()
    assert now.pop(first, 2) == 2
    assert list(now.values()) == [1]
    assert [host.row(path)["code"] for path in ("/a", "/b")] == [first, *now]
    host.ask("kill", path="/a")
    host.wait(lambda: host.state("/a") == "ready" and host.row("/a")["restarts"] == 1, "it is back")
    assert host.row("/a")["code"] == host.row("/b")["code"], "the old code's zygote has retired"
