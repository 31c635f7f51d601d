"""Cases 57 to 63 of the suite: significant children, and supervisors that stop themselves (rules A1 to A10).

One tree holds a supervisor for every way to end, so that one host shows them all.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from agenthost.config.load import load
from agenthost.core.spec import AutoShutdown, SupervisorSpec, WorkerSpec
from agenthost.errors import ConfigError
from tests.host.conftest import Start
from tests.host.running import tree
from tests.otp.case import SIM, case
from tests.otp.play import Play
from tests.otp.shape import Child, Sup, pool, sup

MODES = {"any": "any_significant", "all": "all_significant"}
WAYS = ("normal", "crash", "killed", "stop")
STATUS = {"normal": 0, "crash": 1}


def self_stopping(name: str, mode: str, *children: Child | Sup, **options: Any) -> Sup:
    """Temporary: a permanent one would be started again for ever (A9)."""
    options = {"restart": "temporary", "intensity": 10, **options}
    return sup(*children, name=name, auto_shutdown=MODES.get(mode, "never"), **options)


def part(stage: Any, ways: Mapping[str, str]) -> None:
    """Each of these ends, in its way, and all that follows from that is over."""
    before = {path: len(stage.ends(path)) for path in ways}
    for path, way in ways.items():
        if way == "stop":
            assert stage.stop(path).error is None
        elif way == "killed":
            stage.shoot(path)
        else:
            stage.leave(path, STATUS[way])
    stage.wait(lambda: all(len(stage.ends(path)) > before[path] for path in ways), f"{list(ways)} have ended")
    stage.settle()


def standing(stage: Any, *names: str) -> dict[str, bool]:
    """Which of these are still there."""
    kids = stage.kids()
    return {name: name in kids for name in names}


@case(57)
def test_nonsignificant_temporary_never_stops_its_supervisor_in_any_mode(play: Play) -> None:
    modes = ("never", *MODES)
    stage = play(
        sup(*(self_stopping(mode, mode, Child("keeps"), *(Child(way, "temporary") for way in WAYS)) for mode in modes))
    )
    before = stage.who(*(f"{mode}/keeps" for mode in modes))
    part(stage, {f"{mode}/{way}": way for mode in modes for way in WAYS})
    assert all(stage.kids(mode) == ["keeps"] for mode in modes)
    assert stage.who(*(f"{mode}/keeps" for mode in modes)) == before
    assert not any(stage.ends(mode) for mode in modes)


@case(58)
def test_nonsignificant_transient_never_stops_its_supervisor_and_comes_back_after_a_crash(play: Play) -> None:
    modes = ("never", *MODES)
    stage = play(
        sup(*(self_stopping(mode, mode, Child("keeps"), *(Child(way, "transient") for way in WAYS)) for mode in modes))
    )
    before = stage.who(*(f"{mode}/keeps" for mode in modes))
    part(stage, {f"{mode}/{way}": way for mode in modes for way in WAYS})
    for mode in modes:
        states = [stage.state(f"{mode}/{way}") for way in WAYS]
        assert states == ["done", "ready", "ready", "down"], mode
    assert stage.who(*(f"{mode}/keeps" for mode in modes)) == before
    assert not any(stage.ends(mode) for mode in modes)


@case(59)
def test_significant_temporary_stops_its_supervisor_by_every_end_but_a_stop_by_hand(play: Play) -> None:
    def pair(mode: str, way: str) -> Sup:
        first, second = (Child(name, "temporary", significant=True) for name in ("x", "y"))
        return self_stopping(f"{mode}-{way}", mode, first, second)

    stage = play(sup(*(pair(mode, way) for mode in MODES for way in WAYS)))
    part(stage, {f"{mode}-{way}/x": way for mode in MODES for way in WAYS})
    assert standing(stage, *(f"any-{way}" for way in WAYS)) == {
        "any-normal": False,
        "any-crash": False,
        "any-killed": False,
        "any-stop": True,
    }
    assert all(standing(stage, *(f"all-{way}" for way in WAYS)).values()), "y is there still"
    assert stage.ends("any-crash/y") == ["shutdown"]
    part(stage, {f"all-{way}/y": way for way in WAYS})
    assert standing(stage, *(f"all-{way}" for way in WAYS)) == {
        "all-normal": False,
        "all-crash": False,
        "all-killed": False,
        "all-stop": True,
    }
    assert stage.ends("any-normal") == stage.ends("all-killed") == ["shutdown"]


@case(60)
def test_significant_transient_stops_its_supervisor_by_a_normal_end_alone(play: Play) -> None:
    def pair(mode: str, way: str) -> Sup:
        first, second = (Child(name, "transient", significant=True) for name in ("x", "y"))
        return self_stopping(f"{mode}-{way}", mode, first, second)

    stage = play(sup(*(pair(mode, way) for mode in MODES for way in WAYS)))
    part(stage, {f"{mode}-{way}/x": way for mode in MODES for way in WAYS})
    assert standing(stage, *(f"any-{way}" for way in WAYS)) == {
        "any-normal": False,
        "any-crash": True,
        "any-killed": True,
        "any-stop": True,
    }
    assert all(standing(stage, *(f"all-{way}" for way in WAYS)).values()), "y is there still"
    states = [stage.state(f"all-{way}/x") for way in WAYS]
    assert states == ["done", "ready", "ready", "down"]
    part(stage, {f"all-{way}/y": "normal" for way in WAYS})
    assert standing(stage, *(f"all-{way}" for way in WAYS)) == {
        "all-normal": False,
        "all-crash": True,  # x is back
        "all-killed": True,
        "all-stop": False,  # x has no process: y was the last
    }
    assert stage.ends("all-normal") == ["shutdown"]


@case(61, forms=SIM, why="in a host it is its config that is refused")
def test_significant_simple_a_pool_that_would_stop_itself_cannot_be_added(play: Play) -> None:
    stage = play(sup(Child("a")))
    before = stage.who()
    for mode in MODES.values():
        with pytest.raises(ConfigError, match="auto_shutdown"):
            stage.add("p", pool(Child("any", "transient"), name="p", auto_shutdown=mode))
    assert (stage.kids(), stage.who()) == (["a"], before)


@case(61, forms=("spec",), why="it is refused before anything is started")
@pytest.mark.parametrize("mode", MODES.values())
def test_significant_simple_a_pool_that_would_stop_itself_is_refused(mode: str, tmp_path: Path) -> None:
    """A10: OTP 25 takes it, the suite of 2025 and we do not."""
    with pytest.raises(ConfigError, match="auto_shutdown"):
        SupervisorSpec("p", template=WorkerSpec("any"), auto_shutdown=AutoShutdown(mode))
    config = tmp_path / "pool.yaml"
    member = "{command: [sleep, '9'], restart: transient}"
    config.write_text(
        f"agenthost: 1\ntree:\n  children:\n    - name: p\n      auto_shutdown: {mode}\n      pool: {member}\n"
    )
    with pytest.raises(ConfigError, match=r"pool\.yaml:5:.*auto_shutdown"):
        load(config)
    config.write_text(config.read_text().replace(f"      auto_shutdown: {mode}\n", ""))
    assert load(config).tree.children[0].name == "p"


@case(61, forms=("host",), why="it is refused, whatever the form of its members")
@pytest.mark.parametrize("mode", MODES.values())
def test_significant_simple_a_running_pool_cannot_become_one_that_stops_itself(mode: str, start: Start) -> None:
    member = {"command": ["sleep", "1000"], "restart": "transient"}
    host = start(tree({"name": "p", "pool": member}))
    host.ask("start", path="/p/a")
    pid = host.pid("/p/a")
    config = json.loads(host.config.read_text())
    config["tree"]["children"][0]["auto_shutdown"] = mode
    host.config.write_text(json.dumps(config))
    with pytest.raises(ConfigError, match="auto_shutdown"):
        host.ask("reload")
    assert host.pid("/p/a") == pid


@case(62)
def test_significant_bystander_what_a_sibling_takes_along_does_not_stop_the_supervisor(play: Play) -> None:
    strategies = {"one": "one_for_one", "all": "one_for_all", "rest": "rest_for_one"}
    trees = [
        self_stopping(
            f"{strategy}-{mode}",
            mode,
            Child("p"),
            Child("t", "temporary", significant=True),
            Child("u", "transient", significant=True),
            strategy=strategies[strategy],
        )
        for strategy in strategies
        for mode in MODES
    ]
    stage = play(sup(*trees))
    names = [one.name for one in trees]
    before = {name: stage.who(f"{name}/u") for name in names}
    part(stage, {f"{name}/p": "crash" for name in names})
    assert all(standing(stage, *names).values())
    for name in names:
        alone = name.startswith("one-")
        assert stage.kids(name) == (["p", "t", "u"] if alone else ["p", "u"])
        assert (stage.who(f"{name}/u") == before[name]) == alone
    part(stage, {f"{name}/u": "normal" for name in names})
    assert standing(stage, *names) == {name: name == "one-all" for name in names}, "there t is left"


@case(63)
def test_significant_escalation_goes_up_through_significant_supervisors_alone(play: Play) -> None:
    def outer(name: str, mode: str, *, significant: bool) -> Sup:
        worker = Child("a", "transient", significant=True)
        inner = self_stopping("in", mode, worker, restart="transient", significant=significant)
        return self_stopping(name, mode, inner, Child("z"))

    names = [(f"{one}-{mode}", mode, one == "yes") for mode in MODES for one in ("yes", "no")]
    stage = play(sup(*(outer(name, mode, significant=significant) for name, mode, significant in names)))
    before = stage.who("no-any/z", "no-all/z")
    part(stage, {f"{name}/in/a": "normal" for name, _, _ in names})
    assert stage.kids() == ["no-any", "no-all"]
    assert stage.who("no-any/z", "no-all/z") == before
    assert stage.state("no-any/in") == stage.state("no-all/in") == "done"
    assert stage.ends("yes-any") == stage.ends("yes-any/in") == ["shutdown"]
    assert stage.ends("yes-any/z") == ["shutdown"]
