"""``hibernate_after`` and ``live``: what they become, and where they are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from agenthost.config.load import read_config
from agenthost.core.spec import SupervisorSpec, WorkerSpec
from tests.config.test_problems import problems

CODE = "class A:\n    pass\n"


def children(text: str, folder: Path) -> tuple[WorkerSpec | SupervisorSpec, ...]:
    (folder / "a.py").write_text(CODE)
    raw = f"agenthost: 1\ntree:\n  children:\n{text}".encode()
    return read_config(raw, f"{folder}/t.yaml", environment={}).tree.children


def test_an_agent_may_sleep_and_members_of_a_pool_may(tmp_path: Path) -> None:
    found = children(
        """\
    - {name: a, agent: "a.py:A", hibernate_after: 90s}
    - {name: b, agent: "a.py:A"}
    - {name: chats, live: 500, pool: {agent: "a.py:A", hibernate_after: 2m}}
    - {name: calls, live: 1, pool: {agent: "a.py:A"}}
""",
        tmp_path,
    )
    assert [one.hibernate_s for one in found if isinstance(one, WorkerSpec)] == [90.0, None]
    pools = [one for one in found if isinstance(one, SupervisorSpec)]
    assert [(one.live, one.template.hibernate_s) for one in pools if isinstance(one.template, WorkerSpec)] == [
        (500, 120.0),
        (1, None),
    ]


@pytest.mark.parametrize(
    ("child", "why"),
    [
        ("{name: a, command: [x], hibernate_after: 1s}", "nobody else can be started again with what it knew"),
        ("{name: a, command: [x], protocol: lines, hibernate_after: 1s}", "nobody else can be started again"),
        ("{name: a, command: [x], live: 2}", "it is for pools"),
        ("{name: a, children: [], live: 2}", "it is for pools"),
        ("{name: a, children: [], hibernate_after: 1s}", "it is for workers"),
        ("{name: a, pool: {command: [x]}, hibernate_after: 1s}", "move it into 'pool'"),
        ("{name: a, pool: {command: [x]}, live: 0}", "live"),
        ("{name: a, pool: {children: []}, live: 2}", "whose members are agents"),
        ("{name: a, pool: {command: [x]}, live: 2}", "whose members are agents"),
        ("{name: a, pool: {command: [x], protocol: lines}, live: 2}", "whose members are agents"),
    ],
)
def test_where_it_makes_no_sense_it_is_refused(child: str, why: str) -> None:
    (problem,) = problems(f"agenthost: 1\ntree:\n  children:\n    - {child}\n")
    assert why in problem
