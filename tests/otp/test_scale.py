"""Cases 75, 77 and 88: what a supervisor keeps, and what many children cost. Processes are values here; the real
counterpart is ``test_real_scale``.
"""

from __future__ import annotations

import pickle
import time

import pytest

from tests.core.trees import pool, supervisor, worker
from tests.core.world import CRASH, NORMAL, World
from tests.measuring import without_collector
from tests.otp.case import SIM, case

STRATEGIES = ["one_for_one", "one_for_all", "rest_for_one"]
ARGUMENTS = "x" * 1000

KEPT = "it is about what the core keeps, which is the same whatever its processes are"
MANY = "ten thousand processes are more than a test may take"


def _quiet(world: World) -> World:
    world.check = lambda: None  # type: ignore[method-assign]  # the judge is quadratic, the core must not be
    return world


def _kept_bytes(world: World) -> int:
    """All that can be reached from the core's state."""
    return len(pickle.dumps(world.state))


@case(75, forms=SIM, why=KEPT)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_do_not_save_start_parameters_for_temporary_children(strategy: str) -> None:
    """What temporary children were started with is gone with them; of the others it is kept, for their next start."""

    def kept_bytes(restart: str) -> int:
        world = World(supervisor("root", supervisor("s", strategy=strategy, intensity=10_000))).boot()
        before = _kept_bytes(world)
        for number in range(50):
            answer = world.add("/s", f"c{number}", worker("any", restart=restart, birth=f"{number} {ARGUMENTS}"))
            assert answer is not None and answer.error is None
        for number in range(50):
            path = f"/s/c{number}"
            if number % 2 and path in world.running():
                world.crash(path, CRASH if number % 4 == 1 else NORMAL)
            elif path in world.running():
                world.command("stop", path)
        assert _kept_bytes(world) >= before
        return _kept_bytes(world) - before

    temporary, transient, permanent = (kept_bytes(one) for one in ("temporary", "transient", "permanent"))
    assert temporary < len(ARGUMENTS), "not even one child's arguments"
    assert transient > 50 * len(ARGUMENTS)
    assert permanent > 50 * len(ARGUMENTS)


@case(75, forms=SIM, why=KEPT)
@pytest.mark.parametrize("restart", ["permanent", "transient", "temporary"])
def test_do_not_save_start_parameters_for_temporary_children_in_a_pool(restart: str) -> None:
    """Members share what their template says, so a running member costs its node and no arguments."""
    world = World(supervisor("root", pool("p", worker("any", restart=restart, birth=ARGUMENTS)))).boot()
    world.add("/p", "first")
    before = _kept_bytes(world)
    for number in range(50):
        world.add("/p", str(number))
    assert _kept_bytes(world) - before < 50 * len(ARGUMENTS)
    for number in range(50):
        world.command("stop", f"/p/{number}")
    assert _kept_bytes(world) <= before + 100


@case(77, forms=SIM, why=MANY)
def test_simple_one_for_one_scale_many_temporary_children() -> None:
    """Erlang's bound is fifty times for ten times the members."""

    def stop(count: int) -> tuple[float, int]:
        """Seconds, and steps of the log."""
        world = _quiet(World(supervisor("root", pool("p", worker("any", restart="temporary"))))).boot()
        for number in range(count):
            world.add("/p", str(number))
        assert len(world.processes) == count
        mark = world.mark
        began = time.process_time()
        world.halt()
        took_s = time.process_time() - began
        assert world.ended is not None and world.ended.kind == "shutdown"
        return took_s, world.mark - mark

    few_s, few_steps = min(stop(1_000) for _ in range(3))
    many_s, many_steps = min(stop(10_000) for _ in range(2))
    assert many_steps == 10 * few_steps
    assert many_s < 50 * few_s, f"1,000 members took {few_s:.3f} s, 10,000 took {many_s:.3f} s"


@case(88, forms=SIM, why=MANY)
@pytest.mark.parametrize(  # the strategies differ in what a crash does, and nobody crashes here
    "strategy", [STRATEGIES[0], *(pytest.param(one, marks=pytest.mark.slow) for one in STRATEGIES[1:])]
)
def test_scale_start_stop_many_children(strategy: str) -> None:
    """Erlang's bound is ten times the linear cost for a hundred times the children; here ten times the children."""

    def start_and_stop(count: int) -> tuple[float, float, int]:
        """Seconds of the start, seconds of the stop, and steps of the log."""
        world = World(supervisor("root", *(worker(f"w{number}") for number in range(count)), strategy=strategy))
        began = time.process_time()
        _quiet(world).boot()
        up = time.process_time()
        assert len(world.processes) == count
        world.halt()
        assert world.ended is not None and not world.processes
        return up - began, time.process_time() - up, world.mark

    with without_collector():
        few = [start_and_stop(1_000) for _ in range(3)]
        many = [start_and_stop(10_000) for _ in range(2)]
    assert {steps for _, _, steps in many} == {10 * steps for _, _, steps in few}
    for part, what in enumerate(("starting", "stopping")):
        few_s, many_s = min(one[part] for one in few), min(one[part] for one in many)
        assert many_s < 40 * few_s, f"{what} 1,000 children took {few_s:.3f} s, 10,000 took {many_s:.3f} s"
