"""The JSON schema and the loader say yes and no to the same configs; the documentation shows the same keys."""

from __future__ import annotations

import functools
import json
import math
import string
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import HealthCheck, Phase, example, find, given, settings
from hypothesis import strategies as st

from agenthost.config import keys, units
from agenthost.config.load import read_config
from agenthost.config.problem import ConfigProblems
from agenthost.config.reference import with_reference
from agenthost.config.schema import schema

ROOT = Path(__file__).parents[2]
VALIDATOR = jsonschema.Draft202012Validator(schema())


def loads(config: Any) -> list[str]:
    """The loader's problems with ``config``; JSON is YAML."""
    try:
        read_config(json.dumps(config).encode(), "t.yaml", environment={})
    except ConfigProblems as problems:
        return [str(problem) for problem in problems.problems]
    return []


def fits(config: Any) -> list[str]:
    return [error.message for error in VALIDATOR.iter_errors(config)]


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(schema())
    assert json.loads(json.dumps(schema())) == schema()


def test_the_examples_of_the_documentation_load_and_fit(tmp_path: Path) -> None:
    page = (ROOT / "docs/config.md").read_text(encoding="utf-8")
    (tmp_path / "crew.py").write_text("class Planner: ...\nclass Chat: ...\n")
    found = [part.partition("```")[0] for part in page.split("```yaml\n")[1:]]
    assert len(found) == 3
    for text in found:
        assert read_config(text.encode(), tmp_path / "team.yaml", environment={}).tree.children
        assert fits(yaml.safe_load(text)) == []


def test_every_shipped_config_fits() -> None:
    for file in (ROOT / "configs").glob("**/*.yaml"):
        assert fits(yaml.safe_load(file.read_text(encoding="utf-8"))) == [], file


def test_the_documentation_shows_the_table_of_keys() -> None:
    page = (ROOT / "docs/config.md").read_text(encoding="utf-8")
    assert with_reference(page) == page, "run: python -m agenthost.config.reference docs/config.md"


# JSON schema counts 1.0 as an integer; YAML 1.2 does not, and a config is YAML: no such number is made here.
# No line ends in text: Python's $ matches before a last one, ECMA's does not; the loader matches the whole.
_ODD = st.text(string.ascii_letters + string.digits + " .:/-_$é\0", max_size=6).filter(lambda text: "${" not in text)
_SCALAR = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 12), st.integers(2**63, 2**65),
    st.floats(-2, 200, allow_nan=False).map(lambda number: round(number, 3) + 0.0001), _ODD,
    st.sampled_from(["a", "none", "lines", "kill", "infinity", "5s", "0s", "1m30s", "2GiB", "0B", "TERM", "one_for_one",
                     "permanent", "auto", "m:C", "http://a/b", "a:80", "a b", "end", "report"]),
)  # fmt: skip
_VALUE = st.recursive(
    _SCALAR, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(_ODD, inner, max_size=2), max_leaves=4
)


def _duration(zero: bool) -> st.SearchStrategy[str]:
    numbers = st.integers(0 if zero else 1, 10**9 - 1)
    return st.one_of(st.builds("{}{}".format, numbers, st.sampled_from("d h m s ms".split())), st.just("1h5m0.5s"))


_MOSTLY: dict[str, st.SearchStrategy[Any]] = {
    "strategy": st.sampled_from(["one_for_one", "one_for_all", "rest_for_one"]),
    "intensity": st.integers(0, 9),
    "period": _duration(False),
    "otp_strict": st.booleans(),
    "restart": st.sampled_from(["permanent", "transient", "temporary"]),
    "auto_shutdown": st.sampled_from(["never", "any_significant", "all_significant"]),
    "significant": st.booleans(),
    "shutdown": _duration(True) | st.sampled_from(["kill", "infinity"]),
    "start_timeout": _duration(False) | st.just("infinity"),
    "backoff": st.just("none")
    | st.fixed_dictionaries({}, optional={"factor": st.floats(1, 9), "jitter": st.floats(0, 1)}),
    "limits": st.fixed_dictionaries(
        {}, optional={"memory": st.just("2GiB"), "cpu": st.floats(0.1, 9), "open_files": _VALUE}
    ),
    "env": st.dictionaries(st.sampled_from(["A", "B_1", "1C", "AGENTHOST_X"]), _SCALAR, max_size=2),
    "cwd": st.just("sub"),
    "args": st.dictionaries(_ODD, _VALUE, max_size=2),
    "protocol": st.sampled_from(["none", "lines"]),
    "turn": st.fixed_dictionaries({}, optional={"progress": _duration(False), "silence": _duration(False)}),
    "group": st.sampled_from(["readers", "a.b-c_1"]),
    "may": st.fixed_dictionaries(
        {},
        optional={
            "start": st.lists(st.sampled_from(["m:*", "*", "function"]), max_size=2),
            "children": st.integers(0, 200),
            "depth": st.integers(0, 5),
            "limits": st.fixed_dictionaries({}, optional={"memory": st.just("2GiB"), "cpu": st.just(0.5)}),
        },
    ),
    "ready": st.fixed_dictionaries(
        {},
        optional={
            "tcp": st.just("a:80"),
            "line": st.just("up"),
            "http": st.just("http://a/"),
            "notify": st.sampled_from([True, False]),
            "fd": st.integers(0, 9),
            "timeout": st.just("9s"),
        },
    ),
    "liveness": st.fixed_dictionaries(
        {},
        optional={
            "tcp": st.just("a:80"),
            "command": st.just(["true"]),
            "notify": st.just(True),
            "interval": _duration(True),
            "failures": st.integers(0, 5),
        },
    ),
    "log": st.just("none")
    | st.fixed_dictionaries(
        {}, optional={"max_size": st.just("1MiB"), "keep": st.integers(0, 11), "stdout": st.just("discard")}
    ),
    "env_file": st.sampled_from(
        ["x.env?", "?", "??", ["x.env?", "", {"path": "x.env", "optional": True}, {"path": ""}, {}]]
    ),
    "secrets": st.dictionaries(
        st.sampled_from(["A", "1C"]),
        st.fixed_dictionaries({}, optional={"file": st.just("f"), "env": st.sampled_from(["A", "-"]), "as": _SCALAR}),
        max_size=2,
    ),
    "no_new_privs": st.booleans(),
    "pty": st.booleans(),
    "stop_signal": st.sampled_from(["TERM", "SIGINT"]),
    "containment": st.sampled_from(["auto", "walk"]),
    "namespace": st.sampled_from(["auto", "never"]),
    "operators": st.lists(st.integers(-1, 2**32), max_size=2),
    "strays": st.sampled_from(["end", "report"]),
}
_AGENT = st.sampled_from(["m:C", "some.module:Class"])
_COMMAND = st.sampled_from(["sleep 5", ["x", 1, True, ""], ["x"]]) | st.lists(_SCALAR, max_size=3)


@functools.cache
def _some(names: tuple[str, ...], *, odd: bool) -> st.SearchStrategy[dict[str, Any]]:
    values = {name: _MOSTLY[name] | _VALUE if odd else _MOSTLY[name] for name in names}
    return st.fixed_dictionaries({}, optional=values)


@functools.cache
def _optional(*sections: Any) -> tuple[str, ...]:
    return tuple(sorted({key.name for section in sections for key in section.keys} & _MOSTLY.keys()))


def _child(
    odd: bool, children: st.SearchStrategy[Any], members: st.SearchStrategy[Any], *, is_member: bool = False
) -> st.SearchStrategy[Any]:
    bodies = {"pool": members, "children": children, "agent": _AGENT, "command": _COMMAND}
    main = st.one_of(
        *(st.fixed_dictionaries({key: body}) for key, body in bodies.items()),
        st.fixed_dictionaries({}, optional=bodies) if odd else st.nothing(),
    )

    @st.composite
    def child(draw: st.DrawFn) -> Any:
        made = draw(main)
        if "pool" in made:
            section = keys.POOL
        elif "agent" in made:
            section = keys.AGENT_WORKER
        elif "command" in made:
            section = draw(st.sampled_from([keys.PROGRAM_WORKER, keys.LINES_WORKER]))
        else:
            section = keys.SUPERVISOR
        some = _optional(keys.MEMBERS[section.name] if is_member else section)
        made = draw(_some(some, odd=odd)) | made | (draw(_some(_optional(*keys.SECTIONS), odd=True)) if odd else {})
        if made.get("significant") is True and draw(_MOSTLY_TRUE):
            made["restart"] = "transient"
        return draw(_above(made))

    return child()


_MOSTLY_TRUE = st.integers(0, 3).map(bool)


@st.composite
def _above(draw: st.DrawFn, made: Any) -> Any:
    """A supervisor, which more often than chance may have the significant children that it has."""
    listed = made.get("children")
    some = isinstance(listed, list) and any(isinstance(c, dict) and c.get("significant") is True for c in listed)
    return made | {"auto_shutdown": "all_significant"} if some and draw(_MOSTLY_TRUE) else made


def _tree(odd: bool) -> st.SearchStrategy[Any]:
    nobody: st.SearchStrategy[list[Any]] = st.just([])
    leaf = st.just({"agent": "m:C"})
    listed = st.lists(_child(odd, nobody, leaf), max_size=2)
    members = _child(odd, listed, _child(odd, nobody, leaf, is_member=True), is_member=True)
    children = st.lists(_child(odd, listed, members), max_size=3)
    rules = _some(_optional(keys.TREE), odd=odd)
    return st.builds(lambda rules, found: rules | {"children": found}, rules, children).flatmap(_above)


def _named(node: Any) -> Any:
    """Give siblings names: that they differ is the loader's business alone."""
    if isinstance(node, dict) and isinstance(node.get("children"), list):
        for number, child in enumerate(node["children"]):
            if isinstance(child, dict):
                child["name"] = f"c{number}"
                _named(child)
    if isinstance(node, dict):
        _named(node.get("pool"))
    return node


def _config(odd: bool) -> st.SearchStrategy[Any]:
    host = _some(_optional(keys.HOST), odd=odd)
    tree = _tree(odd).map(_named)
    return st.builds(lambda some, found: {"agenthost": 1} | some | {"tree": found}, host, tree)


ONLY_LOADER = (
    "cannot split",
    "is more than 'max'",
    "there is no user",
    "no installed agent",
    "is no name of a module",
    "as a URL",
    "cannot run a program",
    "cannot run an empty command",
    "is not set",
    "under 'otp_strict'",
    "it is not there",
)
"""Problems that a schema cannot see."""


@pytest.mark.slow
def test_the_generator_makes_good_pools_and_good_significant_children() -> None:
    def is_good(config: Any) -> bool:
        text = json.dumps(config)
        return '"pool"' in text and '"significant": true' in text and not loads(config) and not fits(config)

    find(
        _config(False),
        is_good,
        settings=settings(max_examples=5000, deadline=None, database=None, phases=[Phase.generate]),
    )


@settings(max_examples=200, suppress_health_check=list(HealthCheck), deadline=None)
@given(_config(False) | _config(True))
@example({"agenthost": 1, "tree": {"children": [{"name": "a", "command": ["", "x"]}]}})
def test_schema_and_loader_agree(config: Any) -> None:
    found = loads(config)
    meant = [problem for problem in found if not any(words in problem for words in ONLY_LOADER)]
    wrong = fits(config)
    if meant:
        assert wrong, found
    elif not found:
        assert not wrong


@pytest.mark.parametrize("text", ["1d", "1h", "1m", "1s", "1ms", "1m1ms", "1.5h2s", "0.000000001ms"])
def test_a_duration_is_read_exactly(text: str) -> None:
    import re

    wanted = {"1d": 86400, "1h": 3600, "1m": 60, "1s": 1, "1ms": 0.001, "1m1ms": 60.001, "1.5h2s": 5402}.get(
        text, 1e-12
    )
    assert math.isclose(units.duration_s(text, positive=True), wanted)
    assert re.fullmatch(units.POSITIVE_DURATION_PATTERN, text)


@given(st.integers(1, 10**9 - 1), st.sampled_from(["B", "kB", "KB", "MB", "GB", "TB", "KiB", "MiB", "GiB", "TiB"]))
def test_a_size_is_read_exactly(number: int, unit: str) -> None:
    base = 1024 if "i" in unit else 1000
    assert units.size_bytes(f"{number}{unit}") == number * base ** " KMGT".index(
        unit[0].upper() if unit != "B" else " "
    )
