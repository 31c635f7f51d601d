"""Who is ready and fails the checks of its liveness goes down the ladder, and why is not forgotten on the way."""

from __future__ import annotations

from agenthost.core import effects as do
from agenthost.core import events as on
from agenthost.core.reason import Reason
from agenthost.core.spec import Shutdown, SupervisorSpec, WorkerSpec
from agenthost.core.step import step
from agenthost.core.tree import State, Worker

SICK = Reason("not_live", text="GET http://a/ answered 503, 3 times in a row")


class World:
    """/a, ready as its first incarnation. ``told`` are the effects of the last event."""

    def __init__(self, *, brutal: bool = False) -> None:
        worker = WorkerSpec("a", shutdown=Shutdown(5.0, brutal=brutal), backoff=None)
        self.state = State(SupervisorSpec("root", (worker,)), seed=1)
        self.now = 0.0
        self.told: list[do.Effect] = []
        self.tell(on.Boot())
        self.tell(on.Ready("/a", 1))

    def tell(self, event: on.Event, at: float | None = None) -> None:
        self.now = self.now + 1 if at is None else at
        self.told = list(step(self.state, event, self.now))

    @property
    def worker(self) -> Worker:
        found = self.state.nodes["/a"]
        assert isinstance(found, Worker)
        return found

    def kinds(self) -> list[type]:
        return [
            type(effect) for effect in self.told if not isinstance(effect, (do.Record, do.SetTimer, do.CancelTimer))
        ]

    def reason_of_end(self) -> Reason | None:
        return self.worker.reason


def test_it_is_asked_first_and_started_anew_however_it_ends() -> None:
    world = World()
    world.tell(on.Fault("/a", 1, SICK))
    assert world.kinds() == [do.Ask]
    world.tell(on.Exited("/a", 1, Reason("normal")))
    assert world.kinds() == [do.Kill]
    assert world.reason_of_end() == SICK
    world.tell(on.Emptied("/a", 1))
    assert world.kinds() == [do.Birth]


def test_term_and_kill_follow_and_the_reason_stays() -> None:
    world = World()
    world.tell(on.Fault("/a", 1, SICK))
    world.tell(on.Due("term|1|/a"))
    assert world.kinds() == [do.Terminate]
    world.tell(on.Due("kill|1|/a"))
    assert world.kinds() == [do.Examine, do.Kill]
    world.tell(on.Exited("/a", 1, Reason("signal", 9)))
    assert world.reason_of_end() == SICK


def test_who_is_not_asked_by_its_config_is_killed() -> None:
    world = World(brutal=True)
    world.tell(on.Fault("/a", 1, SICK))
    assert world.kinds() == [do.Examine, do.Kill]
    world.tell(on.Exited("/a", 1, Reason("signal", 9)))
    assert world.reason_of_end() == SICK


def test_who_is_on_its_way_down_is_not_called_unhealthy() -> None:
    world = World()
    world.tell(on.Command(1, "stop", "/a"))
    world.tell(on.Fault("/a", 1, SICK))
    assert world.kinds() == []
    world.tell(on.Exited("/a", 1, Reason("normal")))
    reason = world.reason_of_end()
    assert reason is not None and reason.kind == "shutdown"


def test_an_operator_who_kills_it_meanwhile_is_the_reason() -> None:
    world = World()
    world.tell(on.Fault("/a", 1, SICK))
    world.tell(on.Command(1, "kill", "/a", by="uid 7"))
    world.tell(on.Exited("/a", 1, Reason("signal", 9)))
    reason = world.reason_of_end()
    assert reason is not None and reason.kind == "killed"


def test_other_faults_leave_nothing_to_ask() -> None:
    world = World()
    world.tell(on.Fault("/a", 1, Reason("silent", text="no beat")))
    assert world.kinds() == [do.Examine, do.Kill]
