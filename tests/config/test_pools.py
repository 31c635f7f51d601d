"""A supervisor written with ``pool`` instead of ``children``."""

from __future__ import annotations

from pathlib import Path

import pytest

from agenthost.config.load import read_config
from agenthost.config.problem import ConfigProblems
from agenthost.core.birth import AgentBirth
from agenthost.core.spec import AutoShutdown, Restart, Shutdown, Strategy, SupervisorSpec, WorkerSpec
from tests.config.test_problems import of_child, problems

STRATEGY = "the key 'strategy' is not for here: a pool is one_for_one, each member stands for itself; remove it"
AUTO_SHUTDOWN = (
    "the key 'auto_shutdown' is not for here: a pool does not stop itself, its members come and go; remove it"
)
SIGNIFICANT = (
    "the key 'significant' is not for here: a member cannot be significant, a pool does not stop itself; remove it"
)


def one(keys: str) -> SupervisorSpec:
    text = f"agenthost: 1\ntree:\n  children:\n    - {{name: chats, {keys}}}\n"
    found = read_config(text.encode(), "/nowhere/t.yaml", environment={}).tree.children[0]
    assert isinstance(found, SupervisorSpec)
    return found


def test_a_pool_has_a_template_and_no_children() -> None:
    pool = one(
        "pool: {agent: 'crew:Chat', args: {n: 1}, restart: transient, shutdown: 1s}, intensity: 3, period: 1m,"
        " restart: temporary, backoff: none"
    )
    birth = AgentBirth("crew:Chat", {"n": 1}, (), "/nowhere", ("/nowhere",))
    member = WorkerSpec("chats", Restart.TRANSIENT, Shutdown(1.0), birth=birth)
    assert pool == SupervisorSpec(
        "chats", intensity=3, period_s=60.0, restart=Restart.TEMPORARY, backoff=None, template=member
    )


@pytest.mark.parametrize("body", ["agent: 'm:C'", "command: [x], ready: {line: up}", "command: [x], protocol: lines"])
def test_every_worker_can_be_a_member(body: str) -> None:
    beside = read_config(f"agenthost: 1\ntree: {{children: [{{name: chats, {body}}}]}}".encode(), "/nowhere/t.yaml")
    assert one(f"pool: {{{body}}}").template == beside.tree.children[0]


def test_a_member_can_be_a_whole_supervisor() -> None:
    template = one(
        "pool: {strategy: one_for_all, intensity: 2, auto_shutdown: any_significant, restart: temporary,"
        " children: [{name: a, command: [x], restart: transient, significant: true}, {name: b, command: [y]}]}"
    ).template
    assert isinstance(template, SupervisorSpec)
    assert (template.strategy, template.intensity, template.restart) == (Strategy.ONE_FOR_ALL, 2, Restart.TEMPORARY)
    assert template.auto_shutdown is AutoShutdown.ANY_SIGNIFICANT
    assert [(child.name, child.significant) for child in template.children] == [("a", True), ("b", False)]


def test_a_member_can_be_a_pool() -> None:
    inner = one("pool: {pool: {command: [x]}, intensity: 0}").template
    assert isinstance(inner, SupervisorSpec) and inner.intensity == 0
    assert isinstance(inner.template, WorkerSpec)


def test_members_inherit_otp_strict() -> None:
    pool = one("pool: {command: [x]}, otp_strict: true")
    assert (pool.intensity, pool.period_s, pool.backoff) == (1, 5.0, None)
    assert isinstance(pool.template, WorkerSpec)
    assert (pool.template.backoff, pool.template.start_timeout_s) == (None, None)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (
            "name: a, pool: {command: [x]}, children: []",
            "cannot have 'children' beside 'pool'; keep one of them",
        ),
        ("name: a, agent: 'm:C', pool: {command: [x]}", "cannot have 'agent' beside 'pool'; keep one of them"),
        ("name: a, pool: ", "pool: a map is wanted here, not nothing; say what a member is, like {agent: chat}"),
        ("name: a, pool: true", "pool: a map is wanted here, not a flag; say what a member is"),
        ("name: a, pool: [{agent: 'm:C'}]", "pool: a map is wanted here, not a list; say what a member is"),
        ("name: a, pool: {}", "pool: one of agent, command, children, pool is missing; a worker has agent or command"),
        ("name: a, pool: {comand: [x]}", "pool: unknown key 'comand'; did you mean 'command'?"),
        ("name: a, pool: {command: [x], agent: 'm:C'}", "pool: cannot have 'command' beside 'agent'; keep one of them"),
        ("name: a, pool: {command: [x], restrat: permanent}", "pool: unknown key 'restrat'; did you mean 'restart'?"),
        ("name: a, pool: {command: [x], limits: {memory: 2}}", "pool.limits.memory: 2 has no unit; write 2MiB"),
        ("name: a, pool: {children: [{name: b, command: []}]}", "pool.children[0].command: cannot run an empty"),
        ("name: a, pool: {strategy: one_for_all}", "pool: the key 'children' is missing"),
        (
            "name: a, pool: {command: [x], name: b}",
            "pool: the key 'name' is not for here: a member gets its name when it is started; remove it",
        ),
        (
            "name: a, pool: {command: [x], restart: transient, significant: true}",
            f"pool: {SIGNIFICANT}",
        ),
        ("name: a, pool: {children: [], significant: false}", "pool: the key 'significant' is not for here: a member"),
        (
            "name: a, pool: {pool: {command: [x], significant: true}}",
            "pool.pool: the key 'significant' is not for here",
        ),
        (
            "name: a, pool: {command: [x], strategy: one_for_all}",
            "pool: the key 'strategy' is not for here: it is for s",
        ),
        ("name: a, pool: {children: [], shutdown: 5s}", "pool: the key 'shutdown' is not for here: it is for workers"),
        (
            "name: a, pool: {command: [x]}, strategy: one_for_one",
            STRATEGY,
        ),
        (
            "name: a, pool: {command: [x]}, auto_shutdown: never",
            AUTO_SHUTDOWN,
        ),
        (
            "name: a, pool: {command: [x]}, shutdown: 5s",
            "the key 'shutdown' is not for here: it is for the members of the pool; move it into 'pool'",
        ),
        ("name: a, pool: {command: [x]}, intensty: 5", "unknown key 'intensty'; did you mean 'intensity'?"),
        ("name: a, pol: {command: [x]}", "unknown key 'pol'; did you mean 'pool'?"),
        ("name: a, pol: {command: [x]}, intensity: 5", "unknown key 'pol'; did you mean 'pool'?"),
        ("name: a, pool: {command: [x]}, period: 0s", "period: cannot use 0s: it must be more than nothing"),
        ("pool: {command: [x]}", "the key 'name' is missing"),
    ],
)
def test_a_pool_that_is_off_says_so(keys: str, said: str) -> None:
    found = of_child(keys)
    assert any(line.startswith(said) for line in found), found
    assert len(found) <= 2, found


def test_every_problem_of_a_pool_has_its_place() -> None:
    assert problems(
        """\
agenthost: 1
tree:
  children:
    - name: chats
      pool:
        agent: "m:C"
        significant: true
        restart: transiet
      strategy: one_for_all
      auto_shutdown: any_significant
      children: []
"""
    ) == [
        f"7:9: tree.children[0].pool: {SIGNIFICANT}",
        "8:18: tree.children[0].pool.restart: cannot use 'transiet'; did you mean 'transient'?",
        f"9:7: tree.children[0]: {STRATEGY}",
        f"10:7: tree.children[0]: {AUTO_SHUTDOWN}",
        "11:7: tree.children[0]: cannot have 'children' beside 'pool'; keep one of them",
    ]


def test_the_tree_itself_is_no_pool() -> None:
    missing, misplaced = problems("agenthost: 1\ntree:\n  pool: {command: [x]}\n")
    assert missing.startswith("3:3: tree: the key 'children' is missing")
    assert misplaced.startswith("3:3: tree: the key 'pool' is not for here: the tree has 'children'")
    assert misplaced.endswith("; move it into 'children', with a 'name'")


def test_pools_in_pools_nest_to_the_bound_of_supervisors() -> None:
    def nested(depth: int) -> bytes:
        inner = "{command: [x]}"
        for _ in range(depth - 2):
            inner = f"{{pool: {inner}}}"
        return f"agenthost: 1\ntree: {{children: [{{name: p, pool: {inner}}}]}}\n".encode()

    assert read_config(nested(32), "t.yaml").tree.children
    with pytest.raises(ConfigProblems, match="cannot nest supervisors deeper than 32"):
        read_config(nested(33), "t.yaml")


def test_the_agent_of_a_member_is_looked_for_beside_the_config(tmp_path: Path) -> None:
    (tmp_path / "crew.py").write_text("class Chat: ...\n")
    text = "agenthost: 1\ntree: {children: [{name: chats, pool: {agent: 'crew.py:Caht'}}]}\n"
    with pytest.raises(ConfigProblems) as caught:
        read_config(text.encode(), tmp_path / "t.yaml")
    assert "t.yaml:2:47: tree.children[0].pool.agent: there is no class 'Caht'" in str(caught.value)
    assert "did you mean 'Chat'?" in str(caught.value)
