"""Killed between two system calls of a launch, whoever takes part in it, at each of hundreds of such instants.

Afterwards nothing is there that was not there before, everything is up again, and neither a descriptor of the host nor
a cgroup is lost. The victim is stopped by ptrace(2) after its n-th system call: ``tests/chaos/stepper.py``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from agenthost.errors import NoHost
from tests.chaos.fields import BARE, WALLS, probe
from tests.host.running import PATIENCE_S, running
from tests.launch.instants import Steps, Told, stepping
from tests.launch.scene import AGENT, PROGRAM, Scene, family
from tests.waiting import wait_until

EVERY = 10_000
"""So many instants, that is: all of them."""

LINGER_S = 0.1
"""Who is ready makes a few more system calls."""

CRASHES = 4
"""Of its host, in a minute, a guardian bears one more (``guardian.patience``)."""


class Field(NamedTuple):
    """``victim``: "newborn" (in pidns the init of its cell), "second" (the agent itself there), "zygote", "host". So
    many ``instants`` are tried, spread over the launch."""

    tier: str
    path: str
    victim: str
    instants: int

    def __str__(self) -> str:
        return f"{self.tier}-{self.path.rpartition('/')[2]}-{self.victim}"


QUICK = (
    Field("cgroup", AGENT, "newborn", 8),
    Field("pidns", PROGRAM, "second", 8),
    Field("walk", PROGRAM, "zygote", 3),
    Field("walk", AGENT, "host", 1),
)


def fields() -> Iterator[Any]:
    yield from (pytest.param(one, id=f"quick-{one}") for one in QUICK)
    for tier in WALLS:
        for path in (AGENT, PROGRAM):
            for victim in ("newborn", "second", "zygote", "host"):
                if victim != "second" or tier == "pidns":
                    one = Field(tier, path, victim, 25 if victim == "host" else EVERY)
                    yield pytest.param(one, id=str(one), marks=pytest.mark.slow)


@pytest.fixture
def scene_of(places: Path, record_tier: Callable[..., None]) -> Iterator[Callable[..., Scene]]:
    """A host in a tier, with a crew of so many programs beside the two."""
    scenes: list[Scene] = []

    def begin(tier: str, crew: int = 0) -> Scene:
        containment, namespace = (WALLS | BARE)[tier]
        found = next(one for one in probe() if one.name == containment)
        record_tier(containment, None if found.available else found.why)
        hosting = running(places, family(crew), containment=containment, namespace=namespace)
        scenes.append(Scene(hosting.__enter__(), hosting))
        return scenes[-1]

    yield begin
    for scene in scenes:
        scene.close()


@pytest.fixture
def steps() -> Iterator[Steps]:
    with stepping() as one:
        yield one


def spread(calls: int, wanted: int) -> list[int]:
    """``wanted`` numbers of 1 to ``calls``, the ends among them; all of them if it has no more."""
    if calls <= wanted:
        return list(range(1, calls + 1))
    if wanted == 1:
        return [calls // 2]
    return sorted({1 + round(at * (calls - 1) / (wanted - 1)) for at in range(wanted)})


def launch(scene: Scene, steps: Steps, field: Field, **then: Any) -> Told:
    """Start it under the stepper's eyes, until it is ready or the victim has ended."""
    scene.stop(field.path)
    steps.seize(*scene.victim(field.victim, field.path), **then)
    for_sure = "after" in then and field.victim == "host"  # it always comes so far, be it with our next question
    if for_sure:
        with contextlib.suppress(NoHost), scene.host.new_client(patience_s=2.0) as client:  # killed before it answers
            client.request("start", {"path": field.path, "wait": False}, timeout=PATIENCE_S)
    else:
        scene.host.ask("start", path=field.path, wait=False)

    def over() -> Told | bool:
        return steps.try_told() or (scene.is_ready(field.path) and (steps.try_told(LINGER_S) or True))

    told = wait_until(lambda: steps.try_told(1.0) if for_sure else over(), PATIENCE_S, f"{field} {then} is over")
    return steps.finish() if told is True else told


@pytest.mark.timeout(500)
@pytest.mark.parametrize("field", list(fields()))
def test_a_kill_after_the_nth_system_call_of_a_launch_leaves_nothing_and_it_comes_up(
    scene_of: Callable[..., Scene], steps: Steps, field: Field
) -> None:
    scene = scene_of(field.tier)
    calls = launch(scene, steps, field).calls
    scene.wait_as_before()
    tried, killed = spread(calls, field.instants), 0
    for after in tried:
        if field.victim == "host" and killed and killed % CRASHES == 0:
            scene.begin_anew()
        told = launch(scene, steps, field, after=after)
        assert (told.said == "ended") <= (told.calls == after), f"it ended by itself: {told}"
        if told.calls == after:  # no two launches make just as many system calls: it may be ready before
            killed += 1
            if field.victim == "host":
                scene.host.hang_up()
        scene.wait_as_before(f"after a kill at {told}")
    assert killed >= len(tried) * 0.7
    print(f"{field}: killed at {killed} of the {calls} instants of one launch")


@pytest.mark.slow
@pytest.mark.timeout(500)
@pytest.mark.parametrize("path", [AGENT, PROGRAM])
@pytest.mark.parametrize("tier", WALLS)
def test_a_zygote_killed_with_forks_in_flight_loses_none_of_them(
    scene_of: Callable[..., Scene], steps: Steps, tier: str, path: str
) -> None:
    scene = scene_of(tier, crew=8)
    field = Field(tier, path, "zygote", 20)

    def launch_all(**then: Any) -> Told:
        scene.host.ask("stop", path="/crew")
        steps.seize(*scene.victim("zygote", path), **then)
        scene.host.ask("start", path="/crew", wait=False)
        wait_until(lambda: scene.is_ready("/crew"), PATIENCE_S, f"{field} {then}: all are ready")
        return steps.finish() if (told := steps.try_told()) is None else told

    calls = launch_all().calls
    killed = 0
    for after in spread(calls, field.instants):
        killed += launch_all(after=after).said == "ended"
        scene.wait_as_before(f"after {after} calls")
    print(f"{field} with eight beside it: killed at {killed} of the {calls} instants of one launch")
    assert killed


@pytest.mark.slow
@pytest.mark.timeout(500)
@pytest.mark.parametrize("late", [False, True], ids=["at once", "when it is down"])
@pytest.mark.parametrize("victim", ["newborn", "second", "zygote"])
@pytest.mark.parametrize("tier", WALLS)
def test_a_start_that_races_the_stop_of_its_parent_leaves_nothing(
    scene_of: Callable[..., Scene], steps: Steps, tier: str, victim: str, late: bool
) -> None:
    """The launch is held at an instant while its supervisor is stopped, and goes on at once, or when all is over."""
    if victim == "second" and tier != "pidns":
        pytest.skip("there is none in this tier")
    scene = scene_of(tier)
    field = Field(tier, AGENT, victim, 10)
    calls = launch(scene, steps, field).calls
    held = 0
    for after in spread(calls, field.instants):
        scene.stop(AGENT)
        steps.seize(*scene.victim(victim, AGENT), after=after, then="hold")
        scene.host.ask("start", path=AGENT, wait=False)
        wait_until(lambda: steps.try_told() or scene.is_ready(AGENT), PATIENCE_S, "it is held, or ready")
        held += not scene.is_ready(AGENT)
        scene.host.ask("stop", path="/crew", wait=False)
        if late:
            scene.wait_down("/crew")
        steps.finish_if_busy()
        scene.wait_down("/crew")
        scene.host.ask("start", path="/crew")
        scene.wait_as_before(f"held after {after} calls")
    assert held
    print(f"{field}: held at {held} of the {calls} instants of one launch")


PARTS = {"guardian": (0, 0), "init": (1, None), "host": (2, 1)}
"""Generation below the guardian, with a namespace and without."""


@pytest.mark.slow
@pytest.mark.timeout(500)
@pytest.mark.parametrize("victim", PARTS)
@pytest.mark.parametrize("tier", [*WALLS, *BARE])
def test_a_host_that_is_launched_anew_may_lose_its_guardian_its_init_or_itself_at_any_instant(
    scene_of: Callable[..., Scene], steps: Steps, tier: str, victim: str
) -> None:
    generation = PARTS[victim][(WALLS | BARE)[tier][1] == "never"]
    if generation is None:
        pytest.skip("there is none without a namespace")
    if tier in BARE and victim != "guardian":
        pytest.skip("it is tried in the tiers with the same wall")
    scene = scene_of(tier)

    def launch_host(**then: Any) -> Told:
        steps.seize(scene.host.guardian_pid, generation, **then)
        scene.crash()
        told = wait_until(lambda: steps.try_told() or scene.is_up(), PATIENCE_S, "it is up")
        return told if isinstance(told, Told) else steps.finish()

    calls = launch_host().calls
    scene.wait_as_before()
    killed = 0
    for rounds, after in enumerate(spread(calls, 8)):
        if rounds % 2 and victim != "guardian":
            scene.begin_anew()
        told = launch_host(after=after)
        killed += told.said == "ended"
        if victim == "guardian" and told.said == "ended":
            scene.end_without_farewell()
        scene.wait_as_before(f"after a kill at {told}")
    assert killed
    print(f"{victim} of {tier}: killed at {killed} of the {calls} instants of one launch of a host")
