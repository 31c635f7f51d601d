"""Cases 8, 13, 15 and 26 to 28: what a spec may say, its defaults, and what is refused by name.

Erlang has specs as tuples and as maps. Here they are made in code (``agenthost.core.spec``) and written in a config.
"""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from agenthost.config.load import read_config
from agenthost.config.problem import ConfigProblems
from agenthost.core.spec import AutoShutdown, Restart, Shutdown, Strategy, SupervisorSpec, WorkerSpec
from agenthost.errors import ConfigError
from tests.core.world import World
from tests.host.conftest import Start
from tests.host.running import Running, agent
from tests.otp.case import SIM, case
from tests.otp.play import Play
from tests.otp.shape import Child, sup

READER = "specs as values: a process comes in where a host reads them, in the other test of this case"
NO_FORM = "the form of a child does not matter"


def read(tree: Any) -> SupervisorSpec:
    text = json.dumps({"agenthost": 1, "name": "t", "tree": tree})
    return read_config(text.encode(), "/nowhere/t.yaml", environment={}).tree


def problems(tree: Any) -> list[str]:
    """Where and what, for each; empty if it is good."""
    try:
        read(tree)
    except ConfigProblems as error:
        return [f"{problem.where}: {problem.what}" for problem in error.problems]
    return []


def program(name: str = "a", **keys: Any) -> dict[str, Any]:
    return {"name": name, "command": ["sleep", "1000"], **keys}


def refused(text: str, *children: dict[str, Any], **flags: Any) -> None:
    found = problems({"children": list(children), **flags})
    assert len(found) == 1 and text in found[0], found


# ---- 8


@case(8, forms=("host",), why=NO_FORM)
def test_sup_start_error_return_a_malformed_tree_is_an_error_that_names_it_and_nothing_is_started(
    places: Path,
) -> None:
    host = Running(places, {"children": {"a": 1}, "strategy": ["one_for_one"]})
    try:
        host.start()
        assert host.wait_end() == 78
        assert "tree.children: a list is wanted here" in host.output()
        assert "tree.strategy:" in host.output()
        assert "agent.starting" not in host.output()
        host.assert_nothing_left()
        host.assert_no_bug_of_ours()
    finally:
        host.end()


@case(8, forms=SIM, why=READER)
def test_sup_start_error_return_a_spec_that_cannot_be_never_reaches_the_core(play: Play) -> None:
    with pytest.raises(ConfigError, match="two children named 'a'"):
        play(sup(Child("a"), Child("a")))
    with pytest.raises(ConfigError, match="intensity -1"):
        play(sup(Child("a"), intensity=-1))


# ---- 13


@case(13, forms=("host",), why=NO_FORM)
def test_sup_start_map_the_defaults_of_otp_can_be_read_back_and_an_unknown_name_is_not_found(start: Start) -> None:
    tree = {"otp_strict": True, "children": [agent("w", "Echo"), {"name": "s", "children": []}]}
    worker, inner = read(tree).children
    assert isinstance(worker, WorkerSpec) and isinstance(inner, SupervisorSpec)
    assert (worker.restart, worker.shutdown, worker.significant) == (Restart.PERMANENT, Shutdown(5.0), False)
    assert worker.backoff is None
    for spec in (read(tree), inner):
        assert (spec.strategy, spec.intensity, spec.period_s) == (Strategy.ONE_FOR_ONE, 1, 5.0)
        assert spec.auto_shutdown is AutoShutdown.NEVER
    host = start(tree)
    rows = host.rows()
    assert list(rows) == ["/", "/w", "/s"]
    assert (rows["/w"]["restart"], rows["/w"]["kind"], rows["/w"]["state"]) == ("permanent", "worker", "ready")
    assert (rows["/s"]["restart"], rows["/s"]["kind"], rows["/s"]["strategy"]) == (
        "permanent",
        "supervisor",
        "one_for_one",
    )
    assert host.rows(paths=["/nobody"]) == {}


@case(13, forms=SIM, why=READER)
def test_sup_start_map_the_defaults_of_otp_hold_in_the_core() -> None:
    """I2: one crash is survived, the second within five seconds is not; restarts are immediate."""
    for gap_s, survives in ((4.0, False), (6.5, True)):
        world = World(read({"otp_strict": True, "children": [program("a"), program("b")]})).boot()
        world.crash("/a")
        assert world.births("/a") == 2
        world.pass_time(gap_s)
        world.crash("/b")
        assert (world.ended is None) == survives
        assert world.command("stop", "/nobody").error == "unknown_name"  # type: ignore[union-attr]


@case(13, forms=("spec",), why=READER)
def test_sup_start_map_by_default_more_is_borne_and_restarts_wait() -> None:
    """D1."""
    spec = read({"children": [program()]})
    [worker] = spec.children
    assert (spec.intensity, spec.period_s) == (5, 30.0)
    assert isinstance(worker, WorkerSpec) and worker.backoff is not None


# ---- 15


@case(15, forms=("spec",), why=READER)
@pytest.mark.parametrize(
    ("child", "text"),
    [
        ({"command": ["true"]}, "the key 'name' is missing"),
        ({"name": "a"}, "one of agent, command, children, pool is missing"),
        ("a", "a map is wanted here"),
        (["a"], "a map is wanted here"),
        (7, "a map is wanted here"),
        (None, "a map is wanted here"),
    ],
)
def test_sup_start_map_faulty_specs_are_refused_by_name(child: Any, text: str) -> None:
    refused(text, child)


@case(15, forms=("spec",), why=READER)
def test_sup_start_map_faulty_specs_with_unknown_keys_are_refused_with_the_nearest() -> None:
    """D5: Erlang ignores them. It is the reader's rule, so otp_strict does not change it."""
    for strict in (False, True):
        refused("unknown key 'restrat'", program(restrat="transient"), otp_strict=strict)
    with pytest.raises(ConfigProblems, match="did you mean 'restart'"):
        read({"children": [program(restrat="transient")]})


# ---- 26

TYPES = [Restart.PERMANENT, Restart.TRANSIENT, Restart.TEMPORARY]
GRACES = [Shutdown(0.0), Shutdown(5.0), Shutdown(None), Shutdown(0.0, brutal=True)]


@case(26, forms=("spec",), why=READER)
def test_child_specs_all_valid_combinations_pass() -> None:
    children = [
        WorkerSpec(f"w{n}", restart=restart, shutdown=grace)
        for n, (restart, grace) in enumerate(itertools.product(TYPES, GRACES))
    ]
    supervisors = [SupervisorSpec(f"s{n}", restart=restart) for n, restart in enumerate(TYPES)]
    for strategy in Strategy:
        assert len(SupervisorSpec("s", (*children, *supervisors), strategy=strategy).children) == 15


@case(26, forms=("spec",), why=READER)
@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: SupervisorSpec("s", (WorkerSpec("a"), WorkerSpec("a"))), "two children named 'a'"),
        (lambda: WorkerSpec("a", significant=True), "'a' significant: it is permanent"),
        (lambda: SupervisorSpec("a", significant=True), "'a' significant: it is permanent"),
        (
            lambda: SupervisorSpec("s", (WorkerSpec("a", Restart.TRANSIENT, significant=True),)),
            "'a' significant: auto_shutdown of 's' is never",
        ),
        (lambda: SupervisorSpec("s", (WorkerSpec("a"),), template=WorkerSpec("b")), "it has one template"),
        (
            lambda: SupervisorSpec("s", template=WorkerSpec("b"), strategy=Strategy.ONE_FOR_ALL),
            "a pool is one_for_one",
        ),
    ],
)
def test_child_specs_that_cannot_be_are_refused_by_name(make: Any, text: str) -> None:
    with pytest.raises(ConfigError) as raised:
        make()
    assert text in raised.value.message


@case(26, forms=("spec",), why=READER)
def test_child_specs_of_a_pool_are_one_template() -> None:
    """F10."""
    assert problems({"children": [{"name": "p", "pool": {"command": ["true"]}}]}) == []
    nothing: list[Any] = [None, [], {}]
    for none in nothing:
        assert problems({"children": [{"name": "p", "pool": none}]})
    two = [{"command": ["true"]}, {"command": ["false"]}]
    refused("tree.children[0].pool: a map is wanted here, not a list", {"name": "p", "pool": two})


@case(26, forms=SIM, why=READER)
def test_child_specs_that_are_added_at_run_time_are_refused_as_at_the_start(play: Play) -> None:
    stage = play(sup(Child("a")))
    (a,) = stage.who("a")
    answer = stage.add("b", Child("b", "transient", significant=True))
    assert answer.error == "bad_config"
    assert "cannot make 'b' significant" in answer.text
    assert (stage.kids(), stage.who("a")) == (["a"], [a])


# ---- 27


@case(27, forms=("spec",), why=READER)
def test_child_specs_map_the_full_product_of_values_is_good_but_for_significant_ones_that_make_no_sense() -> None:
    """A1, A2."""
    bodies: list[dict[str, Any]] = [{"command": ["true"]}, {"children": []}]
    seen = set()
    for body, restart, significant, auto_shutdown in itertools.product(
        bodies,
        [None, "permanent", "transient", "temporary"],
        [None, True, False],
        [None, "never", "any_significant", "all_significant"],
    ):
        for shutdown in [None, "0s", "100ms", "kill", "infinity"] if "command" in body else [None]:
            child = {"name": "a", **body, "restart": restart, "significant": significant, "shutdown": shutdown}
            tree = {"children": [_without_none(child)], "auto_shutdown": auto_shutdown}
            bad = significant and (restart in (None, "permanent") or auto_shutdown in (None, "never"))
            found = problems(_without_none(tree))
            assert bool(found) == bool(bad), (child, auto_shutdown, found)
            assert all(one.startswith("tree.children[0].significant:") for one in found)
            seen.add(bool(bad))
    assert seen == {True, False}


def _without_none(keys: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in keys.items() if value is not None}


BAD_KEYS = [
    ("name", "a/b"),
    ("name", 7.5),
    ("restart", "sometimes"),
    ("restart", ["permanent"]),
    ("shutdown", "brutal"),
    ("shutdown", "-1s"),
    ("shutdown", 5000),
    ("significant", "perhaps"),
    ("command", []),
    ("command", {"run": "true"}),
    ("start_timeout", "0s"),
]


@case(27, forms=("spec",), why=READER)
@pytest.mark.parametrize(("key", "value"), BAD_KEYS)
def test_child_specs_map_every_invalid_field_is_refused_by_name(key: str, value: Any) -> None:
    found = problems({"children": [{"name": "a", "command": ["true"], key: value}]})
    assert len(found) == 1 and found[0].startswith(f"tree.children[0].{key}"), found


@case(27, forms=("spec",), why=READER)
def test_child_specs_map_two_children_of_one_name_are_refused() -> None:
    refused("the name 'a' is taken by a sibling", program("a"), program("a"))


# ---- 28

BAD_FLAGS = [
    ("strategy", "one_for_none"),
    ("strategy", "simple_one_for_one"),
    ("strategy", 1),
    ("intensity", -1),
    ("intensity", 1.5),
    ("intensity", "infinity"),
    ("period", "0s"),
    ("period", "-1s"),
    ("period", "infinity"),
    ("period", 5),
    ("auto_shutdown", "sometimes"),
    ("auto_shutdown", True),
]


@case(28, forms=("spec",), why=READER)
@pytest.mark.parametrize(("key", "value"), BAD_FLAGS)
def test_sup_flags_that_are_invalid_are_refused_by_name(key: str, value: Any) -> None:
    found = problems({"children": [], key: value})
    assert len(found) == 1 and found[0].startswith(f"tree.{key}:"), found


@case(28, forms=("spec",), why=READER)
@pytest.mark.parametrize(("flag", "value"), [("intensity", -1), ("period_s", 0.0), ("period_s", float("inf"))])
def test_sup_flags_that_are_invalid_are_refused_in_code_as_well(flag: str, value: float) -> None:
    with pytest.raises(ConfigError, match=f"cannot use {flag.removesuffix('_s')} {value}"):
        SupervisorSpec("s", **{flag: value})  # type: ignore[arg-type]


@case(28, forms=("spec",), why=READER)
def test_sup_flags_that_are_unknown_are_refused_with_the_nearest() -> None:
    """D5."""
    refused("unknown key 'intensitty'", intensitty=3)


@case(28, forms=("spec",), why=READER)
def test_sup_flags_that_are_valid_pass_in_all_combinations() -> None:
    values = itertools.product(Strategy, [0, 1, 100], ["1ms", "5s", "1d"], AutoShutdown)
    for strategy, intensity, period, auto_shutdown in values:
        flags = {"strategy": strategy, "intensity": intensity, "period": period, "auto_shutdown": auto_shutdown}
        spec = read({"children": [program()], **flags})
        assert (spec.strategy, spec.intensity, spec.auto_shutdown) == (strategy, intensity, auto_shutdown)


# ---- 15, 26 to 28, with a host


@case(15, 26, 27, 28, forms=("program",), why=NO_FORM)
def test_faulty_child_specs_and_sup_flags_are_refused_by_name_while_what_runs_goes_on(play: Play) -> None:
    """check_childspecs: the same errors as at start, and nothing is started or stopped by it."""
    stage = play(sup(Child("a"), Child("b")), static=True)
    before = stage.who("a", "b")
    good = stage.host.config.read_text()
    faults: list[tuple[str, Any]] = [
        ("the key 'name' is missing", {"command": ["true"]}),
        ("one of agent, command, children, pool is missing", {"name": "c"}),
        ("is taken by a sibling", program("a")),
        *((f".{key}", program("c") | {key: value}) for key, value in BAD_KEYS[2:8]),
        ("significant", program("c", significant=True)),
        *((f".{key}", {"name": "c", "children": [], key: value}) for key, value in BAD_FLAGS),
    ]
    for text, fault in faults:
        config = json.loads(good)
        config["tree"]["children"][0]["children"].append(fault)
        stage.host.config.write_text(json.dumps(config))
        with pytest.raises(ConfigError) as raised:
            stage.host.ask("reload")
        assert text in str(raised.value), fault
    assert (stage.kids(), stage.who("a", "b")) == (["a", "b"], before)
    assert len(stage.notes("agent.starting")) == 2
