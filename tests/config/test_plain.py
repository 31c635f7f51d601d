"""A child from plain data: the rules and words of the file, without a file."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agenthost.config.agents import LASTING_SOURCE_BYTES, Agents
from agenthost.config.births import Usual
from agenthost.config.plain import Noting, OwnCode, count_workers, read_child
from agenthost.config.problem import Refused
from agenthost.core.birth import AgentBirth, Limits, May, ProgramBirth
from agenthost.core.spec import ChildSpec, Restart, Shutdown, SupervisorSpec, WorkerSpec
from agenthost.errors import ConfigError
from tests.config.test_schema import _config, loads
from tests.measuring import without_collector

FOLDER = "/nowhere"
USUAL = Usual(cwd="/work", env={"A": "1"}, silence_s=5.0, may=May(depth=1))


def read(given: dict[str, Any], name: str = "sub", *, folder: str = FOLDER, code: bool = False) -> ChildSpec:
    return read_child(name, given, folder, OwnCode("m:Boss") if code else Noting(Agents(folder, lasting=True)), USUAL)


def refused(given: dict[str, Any], name: str = "sub", **more: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        read(given, name, **more)
    return str(caught.value)


def test_what_is_said_is_taken_and_what_is_not_is_as_usual() -> None:
    assert read({"agent": "m:C"}) == WorkerSpec(
        "sub",
        restart=Restart.TEMPORARY,
        birth=AgentBirth("m:C", env=(("A", "1"),), cwd="/work", search_path=(FOLDER,), silence_s=5.0, may=May(depth=1)),
    )
    found = read(
        {
            "agent": "m:C",
            "args": {"blob": b"\0", "deep": [{1: None}]},
            "restart": "transient",
            "shutdown": "kill",
            "limits": {"memory": "1GiB", "cpu": 0.5, "processes": 7},
            "env": {"A": 2, "B": True},
            "cwd": "in",
            "turn": {"progress": "1m"},
            "group": "readers",
            "may": {"start": ["x"], "children": 1},
            "intensity": 2,
            "period": "1m",
            "backoff": "none",
        }
    )
    assert found == WorkerSpec(
        "sub",
        restart=Restart.TRANSIENT,
        shutdown=Shutdown(0.0, brutal=True),
        backoff=None,
        intensity=2,
        period_s=60.0,
        birth=AgentBirth(
            "m:C",
            {"blob": b"\0", "deep": [{1: None}]},
            (("A", "2"), ("B", "true")),
            "/nowhere/in",
            (FOLDER,),
            Limits(2**30, 0.5, 7),
            60.0,
            progress_s=60.0,
            group="readers",
            may=May(("x",), 1, 1),
        ),
    )


def test_a_program_and_a_supervisor() -> None:
    tool = read({"command": ["x", 1, "$HOME"], "stop_signal": "INT"})
    assert isinstance(tool, WorkerSpec) and isinstance(tool.birth, ProgramBirth)
    assert (tool.birth.argv, tool.birth.env, tool.birth.cwd) == (("x", "1", "$HOME"), (("A", "1"),), "/work")
    crew = read({"children": [{"name": "a", "command": "x"}], "strategy": "one_for_all"})
    assert isinstance(crew, SupervisorSpec) and crew.restart is Restart.TEMPORARY
    assert [(child.name, child.restart) for child in crew.children] == [("a", Restart.PERMANENT)]


def test_code_is_the_agent_it_was_written_in() -> None:
    found = read({"limits": {"cpu": 1}}, code=True)
    assert isinstance(found, WorkerSpec) and found.birth.agent == "m:Boss" and found.birth.limits.cpu_cores == 1.0
    for key in ("agent", "command", "children", "pool"):
        assert refused({key: "x"}, code=True) == f"spec: cannot have {key!r} beside code that is sent; keep one of them"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"comand": "x"}, "supervisor children or pool\nspec: unknown key 'comand'; did you mean 'command'?"),
        ({"command": "x", "limit": {}}, "spec: unknown key 'limit'; did you mean 'limits'?"),
        ({"command": "x", "name": "y"}, "spec: the key 'name' is not for here: the name is given beside it; remove it"),
        ({"command": "x", "limits": {"memory": 512}}, "spec.limits.memory: 512 has no unit; write 512MiB"),
        ({"command": "x", "limits": {"memory": "1GiB", "cpu": -1}}, "spec.limits.cpu: cannot use -1; write"),
        ({"command": "x", "shutdown": True}, "spec.shutdown: cannot use 'true'"),
        ({"command": "x", "args": {}}, "spec: the key 'args' is not for here: it is for agents; remove it"),
        ({"command": "x", "may": {}}, "spec: the key 'may' is not for here: it is for agents in Python"),
        ({"agent": "m:C", "args": []}, "spec.args: a map is wanted here, not a list"),
        ({"agent": "m:C", "args": {1: 2}}, "spec.args: an argument has a name, not 1"),
        ({"agent": "m:C", 5: 2}, "spec: a key is text, not 5"),
        ({"agent": "m:C", "env": {"A": b""}}, "spec.env.A: a bytes can stand in args only"),
        ({"agent": None}, "spec.agent: agent is missing here; write it after the colon"),
        ({"agent": "m:C", "may": {"depth": -1}}, "spec.may.depth: cannot use -1"),
        ({"agent": "m:C", "may": {"start": "x"}}, "spec.may.start: a list is wanted here, not text"),
        ({"agent": "m:C", "group": "a b"}, "spec.group: cannot use 'a b': a name has letters"),
        ({"agent": "m:C", "period": "5s"}, "spec: 'period' means nothing here without 'intensity'; write 'intensity'"),
        ({"children": [{"name": "a", "command": "x"}] * 2}, "spec.children[1].name: the name 'a' is taken by a "),
        ({"children": [{"name": "a", "command": "x", "restart": "permanent", "significant": True}]},
         "and 'restart' is permanent there; write"),
        ({"children": [{"name": "a", "command": "x", "intensity": 1}], "otp_strict": True},
         "spec.children[0]: a worker has no 'intensity' of its own under 'otp_strict'"),
        ({"pool": {"command": "x"}}, "spec: an agent cannot start a pool; start what its members would be"),
    ],
)  # fmt: skip
def test_what_is_off_is_said_with_its_place(given: dict[Any, Any], said: str) -> None:
    assert said in refused(given)


def test_all_problems_are_told_at_once_but_not_thousands() -> None:
    assert refused({"command": "x", "a": 1, "limits": {"b": 2}}, "no good").count("\n") == 2
    lines = refused({"command": "x", **{f"k{n}": 1 for n in range(500)}}).splitlines()
    assert len(lines) == 21 and lines[-1] == "and more problems"


def test_reading_does_not_hold_up_the_host_whatever_is_wrong() -> None:
    """In CPU time: a spec of thousands of slips costs what twenty cost."""
    words = {f"memry{n}": 1 for n in range(4000)}
    refs = {f"E{n}": "${HOMEX_OF_NOBODY}" for n in range(4000)}
    for spec in ({"command": "x", **words}, {"command": "x", "limits": words}, {"command": "x", "env": refs}):
        with without_collector():
            began = time.process_time()
            assert refused(spec).endswith("and more problems")
            assert time.process_time() - began < 0.15
    assert "cannot be longer than 5000 values" in refused(
        {"command": "x", "env": dict.fromkeys(map(str, range(6000)), 1)}
    )
    assert "cannot be longer than 16384 characters" in refused({"command": "x " * 10_000})
    assert isinstance(read({"agent": "m:C", "args": {"all": list(range(10_000))}}), WorkerSpec), "args are not read"


def test_what_is_wrong_is_not_echoed_in_full() -> None:
    long = "x" * 700_000
    for spec in ({"command": "x", long: 1}, {long: 1}, {"command": "x", "restart": long}, {"command": "x", long: b""}):
        assert len(refused(spec)) < 2000
    assert len(refused({"command": "x"}, long)) < 2000


def test_workers_are_counted_before_they_are_read() -> None:
    crew = {"children": [{"command": "x"}, {"children": [{"command": "x"}] * 3}]}
    assert (count_workers({"command": "x"}, 100), count_workers(crew, 100)) == (1, 4)
    assert count_workers({"children": [crew] * 1000}, 10) > 10


def test_the_rights_of_a_child_are_at_most_32_deep() -> None:
    said = refused({"agent": "m:C", "may": {"depth": 33}})
    assert said == "spec.may.depth: cannot use 33; write a whole number from 0 to 32"


def test_what_nests_without_end_is_refused() -> None:
    deep: Any = []
    for _ in range(300):
        deep = [deep]
    assert "cannot nest deeper than 200 levels" in refused({"command": deep})


_DATA = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.integers(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=8), _DATA, max_size=4))
def test_args_arrive_as_they_were_given(args: dict[str, Any]) -> None:
    found = read({"agent": "m:C", "args": args})
    assert isinstance(found, WorkerSpec) and found.birth.args is args


_SOME_KEYS = st.sampled_from(["agent", "command", "children", "limits", "env", "may", "shutdown", "args"])


@given(st.dictionaries(_SOME_KEYS | st.text(), _DATA, max_size=4))
def test_whatever_it_is_it_is_a_spec_or_a_config_error(given: dict[str, Any]) -> None:
    with contextlib.suppress(ConfigError):
        assert read(given).name == "sub"


@given(_config(False) | _config(True))
def test_a_child_of_a_file_is_good_exactly_if_it_is_good_as_plain_data(config: Any) -> None:
    """But for what only one of them has: a name, ``significant``, a pool; text that is a number only where unquoted."""
    tree = config.get("tree")
    children = tree.get("children") if isinstance(tree, dict) else None
    for child in children if isinstance(children, list) else []:
        if not isinstance(child, dict) or "pool" in child or "significant" in child:
            continue
        alone = {"agenthost": 1, "name": "t", "tree": {"children": [{**child, "name": "sub"}]}}
        plain = {key: value for key, value in child.items() if key != "name"}
        problems = loads(alone)
        if any("\0" in repr(one) or "control character" in one or "twice" in one for one in problems):
            continue  # of the file's text
        if any("64 bits" in one for one in problems):
            continue  # ``args`` of plain data have come by MessagePack, which has no larger numbers
        said = ""
        try:
            read(plain)
        except ConfigError as error:
            said = str(error)
        assert bool(said) == bool(problems), (plain, said, problems)


# ---- files, looked at by a host that runs


def test_a_file_is_looked_at_again_when_it_has_changed(tmp_path: Path) -> None:
    file, agents = tmp_path / "crew.py", Agents(str(tmp_path), lasting=True)
    with pytest.raises(Refused, match="cannot read"):
        agents.resolve("crew.py:Ana")
    file.write_text("class Bob: ...\n")
    with pytest.raises(Refused, match="no class 'Ana'"):
        agents.resolve("crew.py:Ana")
    file.write_text("class Bob: ...\nclass Ana: ...\n")
    assert agents.resolve("crew.py:Ana") == f"{file}:Ana"


def test_what_would_hold_up_the_host_is_not_read(tmp_path: Path) -> None:
    agents = Agents(str(tmp_path), lasting=True)
    os.mkfifo(tmp_path / "pipe.py")
    with pytest.raises(Refused, match="it is no file"):
        agents.resolve("pipe.py:Ana")
    long = tmp_path / "long.py"
    long.write_text("class Bob: ...\n" + "x = 1\n" * LASTING_SOURCE_BYTES)
    began = time.process_time()
    assert agents.resolve("long.py:Ana") == f"{long}:Ana"
    assert time.process_time() - began < 0.1, "its class is seen at birth"
