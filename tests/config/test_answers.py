"""``schema``, ``judge`` and ``loops`` as they are written, and what is refused of them, with its place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agenthost.config.births import Usual
from agenthost.config.load import read_config
from agenthost.config.plain import OwnCode, read_child
from agenthost.config.problem import ConfigProblems
from agenthost.core.answers import USUAL_QUESTION, Judge
from agenthost.core.birth import AgentBirth
from agenthost.core.loops import Loops
from agenthost.core.spec import WorkerSpec
from agenthost.errors import ConfigError

REST = """
    - {name: judge, agent: 'crew:Judge'}
    - {name: tool, command: [x]}
    - {name: chats, pool: {agent: 'crew:Chat'}}"""


def config(keys: str, rest: str = REST, first: str = 'agent: "crew:A"') -> bytes:
    return f"agenthost: 1\ntree:\n  children:\n    - name: a\n      {first}\n      {keys}{rest}\n".encode()


def birth(keys: str, folder: str | Path = "/nowhere", **more: str) -> AgentBirth:
    worker = read_config(config(keys, **more), f"{folder}/t.yaml", environment={}).tree.children[0]
    assert isinstance(worker, WorkerSpec) and isinstance(worker.birth, AgentBirth)
    return worker.birth


def refused(keys: str, folder: str | Path = "/nowhere", **more: str) -> str:
    with pytest.raises(ConfigProblems) as caught:
        read_config(config(keys, **more), f"{folder}/t.yaml", environment={})
    (one,) = caught.value.problems
    return f"{one.line}:{one.column} {one.what}" + (f"; {one.hint}" if one.hint else "")


# ---- loops


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("cwd: .", Loops()),
        ("loops: false", None),
        ("loops: {}", Loops()),
        ("loops: {same_call: 20, same_answer: false, across: 0}", Loops(same_call=20, same_answer=0, across=0)),
    ],
)
def test_loops_are_counted_unless_they_are_not_to_be(text: str, found: Loops | None) -> None:
    assert birth(text).loops == found
    lines = {"first": "command: [cat]\n      protocol: lines"}
    assert birth(text, **lines).loops == found


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("loops: true", "6:14 a map or false is wanted here, not a flag; write it like {same_call: 20}, or false"),
        ("loops: off", "6:14 a map or false is wanted here, not text; write it like {same_call: 20}, or false"),
        ("loops: {same_call: 1}", "6:26 cannot use 1; write a whole number from 2"),
        ("loops: {same_call: true}", "6:26 a whole number is wanted here, not 'true'"),
        ("loops: {across: 101}", "6:23 cannot use 101; write a whole number from 0 to 100"),
        ("loops: {same_cal: 3}", "6:15 unknown key 'same_cal'; did you mean 'same_call'?"),
    ],
)
def test_what_is_no_bound_is_refused(text: str, why: str) -> None:
    assert refused(text).startswith(why)


# ---- a judge


def test_a_judge_is_a_path_or_more() -> None:
    assert birth("judge: /judge").judge == Judge("/judge", USUAL_QUESTION, 30.0, "reject")
    assert birth("judge: /chats/ana").judge == Judge("/chats/ana")
    more = "judge: {agent: /judge, question: is it kind?, timeout: 2s, when_silent: accept}"
    assert birth(more).judge == Judge("/judge", "is it kind?", 2.0, "accept")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("judge: judge", "6:14 cannot use 'judge': it is no path of an agent; write it as /team/judge"),
        ("judge: /juge", "6:14 cannot ask /juge: there is no such agent; did you mean '/judge'?"),
        ("judge: {agent: /tool}", "6:22 cannot ask /tool: it takes no messages"),
        ("judge: /a", "6:14 nobody can judge his own answers: /a asks /a; name another agent"),
        ("judge: {question: x}", "6:14 the key 'agent' is missing"),
    ],
)
def test_a_judge_that_cannot_be_asked_is_refused(text: str, why: str) -> None:
    assert refused(text).startswith(why)


def test_nobody_is_judged_by_himself_in_the_end() -> None:
    rest = "\n    - {name: b, agent: 'crew:B', judge: /c}\n    - {name: c, agent: 'crew:C'}"
    assert birth("judge: /b", rest=rest).judge == Judge("/b")
    with pytest.raises(ConfigProblems, match="/b asks /c asks /a asks /b"):
        read_config(config("judge: /b", rest=rest.replace("'crew:C'", "'crew:C', judge: /a")), "t.yaml", environment={})


# ---- a schema

PRICE = {"type": "object", "properties": {"price": {"$ref": "#/$defs/money"}}, "$defs": {"money": {"type": "number"}}}


def test_a_schema_stands_in_the_config_or_in_a_file_beside_it(tmp_path: Path) -> None:
    (tmp_path / "price.json").write_text(json.dumps(PRICE))
    (tmp_path / "price.yaml").write_text("type: object\nproperties: {price: {type: number}}\n")
    assert birth(f"schema: {json.dumps(PRICE)}").schema == PRICE
    assert birth("schema: price.json", tmp_path).schema == PRICE
    assert birth("schema: price.yaml", tmp_path).schema == {
        "type": "object",
        "properties": {"price": {"type": "number"}},
    }


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("schema: {type: objekt}", "6:15 this is no JSON schema: type: 'objekt' is not valid under any of the given"),
        ("schema: {pattern: '('}", "6:15 this is no JSON schema: pattern: '(' is not a 'regex'"),
        ("schema: {$schema: 'http://x/1'}", "6:15 there is no draft 'http://x/1'; leave '$schema' out"),
        ("schema: {$ref: 'http://example.org/s'}", "6:15 the reference 'http://example.org/s' leads to nothing in"),
        ("schema: {$ref: '#/$defs/x'}", "6:15 the reference '#/$defs/x' leads to nothing in this schema; nothing is"),
        ("schema: [1]", "6:15 a map or the name of a file is wanted here, not a list"),
        (
            "schema: 5",
            "6:15 a map or the name of a file is wanted here, not a number; write {type: object}, or the name",
        ),
        ("schema: {$ref: '#'}", "6:15 this schema refers to itself without end"),
        ("schema: {anyOf: [{$ref: '#/$defs/a'}], $defs: {a: {not: {$ref: '#'}}}}", "6:15 this schema refers to itself"),
        ("schema: gone.json", "6:15 cannot read /nowhere/gone.json: No such file or directory"),
    ],
)
def test_what_is_no_schema_is_refused(text: str, why: str) -> None:
    assert refused(text).startswith(why)


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("a.json", "{", "as JSON: Expecting property name"),
        ("a.json", "[]", "a JSON schema is a map"),
        ("a.json", '{"type": 3}', "this is no JSON schema: type: 3 is not valid"),
        ("a.yaml", "a: [", "as YAML: cannot read this as YAML"),
        ("a.yaml", "", "a JSON schema is a map"),
        ("a.json", '{"title": "' + "x" * 300_000 + '"}', "it has more than 256 KiB"),
    ],
)
def test_so_is_a_file_that_has_none(tmp_path: Path, name: str, text: str, why: str) -> None:
    (tmp_path / name).write_text(text)
    assert why in refused(f"schema: {name}", tmp_path)


@pytest.mark.parametrize(
    "schema",
    [
        {"$id": "http://x/y", "$defs": {"a": {"$id": "z", "type": "string"}}, "$ref": "z"},
        {"$schema": "http://json-schema.org/draft-07/schema#", "definitions": {"a": {}}, "$ref": "#/definitions/a"},
        {"$anchor": "top", "items": {"$ref": "#top"}},
        {"const": {"$ref": "nowhere"}},
        {"properties": {"$ref": {"type": "string"}}},
    ],
)
def test_a_reference_within_the_schema_is_followed(schema: dict[str, Any]) -> None:
    assert birth(f"schema: {json.dumps(schema)}").schema == schema


def test_the_host_reads_no_schema_file_for_an_agent(tmp_path: Path) -> None:
    def begun(schema: Any) -> Any:
        usual = Usual(cwd=str(tmp_path), of_agent=True)
        spec = read_child("x", {"schema": schema}, str(tmp_path), OwnCode("crew:A"), usual)
        assert isinstance(spec, WorkerSpec) and isinstance(spec.birth, AgentBirth)
        return spec.birth.schema

    (tmp_path / "price.json").write_text(json.dumps(PRICE))
    assert begun(PRICE) == PRICE
    with pytest.raises(ConfigError, match="the host reads no files for an agent"):
        begun("price.json")
    with pytest.raises(ConfigError, match="at most 32 KiB here"):
        begun({"title": "x" * 40_000})
