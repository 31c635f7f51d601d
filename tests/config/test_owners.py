"""``may``, ``group`` and windows of one's own: what arrives, and what is refused."""

from __future__ import annotations

import pytest

from agenthost.config.load import read_config
from agenthost.core.birth import AgentBirth, Limits, May
from agenthost.core.spec import SupervisorSpec, WorkerSpec
from tests.config.test_problems import problems


def one(child: str) -> WorkerSpec:
    text = f"agenthost: 1\ntree: {{children: [{{name: a, {child}}}]}}\n"
    (found,) = read_config(text.encode(), "/nowhere/t.yaml", environment={}).tree.children
    if isinstance(found, SupervisorSpec):
        assert isinstance(found.template, WorkerSpec)
        return found.template
    return found


def may(child: str) -> May:
    birth = one(child).birth
    assert isinstance(birth, AgentBirth)
    return birth.may


def test_rights_arrive_and_have_defaults() -> None:
    assert may("agent: 'm:C'") == May() == May(("*",), 100, 3, Limits())
    said = "may: {start: ['m:*', function], children: 20, depth: 0, limits: {memory: 1GiB, cpu: 0.5, processes: 9}}"
    assert may(f"agent: 'm:C', {said}") == May(("m:*", "function"), 20, 0, Limits(2**30, 0.5, 9))
    assert may("agent: 'm:C', may: {start: []}") == May((), 100, 3, Limits())
    assert may("pool: {agent: 'm:C', may: {depth: 1}}").depth == 1


@pytest.mark.parametrize("form", ["agent: 'm:C'", "command: [x], protocol: lines"])
def test_an_agent_in_python_or_behind_lines_can_be_in_a_group_also_as_a_member_of_a_pool(form: str) -> None:
    for child in (f"{form}, group: readers", f"pool: {{{form}, group: readers}}"):
        assert one(child).birth.group == "readers"
    assert one(form).birth.group == ""


@pytest.mark.parametrize("form", ["agent: 'm:C'", "command: [x]", "command: [x], protocol: lines"])
def test_every_worker_can_have_a_window_of_its_own(form: str) -> None:
    for child in (f"{form}, intensity: 0, period: 1m", f"pool: {{{form}, intensity: 0, period: 1m}}"):
        assert (one(child).intensity, one(child).period_s) == (0, 60.0)
    assert (one(f"{form}, intensity: 2").intensity, one(f"{form}, intensity: 2").period_s) == (2, 30.0)
    assert one(form).intensity is None


@pytest.mark.parametrize(
    ("child", "said"),
    [
        ("command: [x], may: {}", "the key 'may' is not for here: it is for agents in Python: nobody else starts"),
        ("command: [x], protocol: lines, may: {}", "the key 'may' is not for here: it is for agents in Python"),
        ("command: [x], group: a", "the key 'group' is not for here: it is for agents and for commands with 'protocol"),
        ("children: [], group: a", "the key 'group' is not for here: it is for workers"),
        ("agent: 'm:C', may: {strat: []}", "tree.children[0].may: unknown key 'strat'; did you mean 'start'?"),
        ("agent: 'm:C', may: {start: [5]}", "tree.children[0].may.start[0]: pattern is wanted here, not a number"),
        ("agent: 'm:C', may: {limits: {memory: 1}}", "tree.children[0].may.limits.memory: 1 has no unit"),
        ("agent: 'm:C', group: a/b", "tree.children[0].group: cannot use 'a/b': a name has letters"),
        ("agent: 'm:C', period: 5s", "tree.children[0]: 'period' means nothing here without 'intensity'; write"),
        ("agent: 'm:C', intensity: -1", "tree.children[0].intensity: cannot use -1"),
    ],
)
def test_what_is_off_is_refused_at_its_place(child: str, said: str) -> None:
    (found,) = problems(f"agenthost: 1\ntree: {{children: [{{name: a, {child}}}]}}\n")
    assert said in found


def test_a_window_of_its_own_is_refused_under_otp_strict_wherever_that_is_said() -> None:
    said = "a worker has no 'intensity' of its own under 'otp_strict': in OTP its supervisor counts; remove it, or"
    text = "agenthost: 1\ntree:\n  otp_strict: true\n  children:\n  - {name: a, command: [x], intensity: 1}\n"
    (found,) = problems(text)
    assert "5:29: tree.children[0]: " + said in found
    pool = "{name: a, otp_strict: true, pool: {command: [x], intensity: 1, period: 1s}}"
    both = problems(f"agenthost: 1\ntree: {{children: [{pool}]}}\n")
    assert said in both[0] and "a worker has no 'period' of its own" in both[1]
    loose = "{name: s, otp_strict: false, children: [{name: a, command: [x], intensity: 1}]}"
    read_config(f"agenthost: 1\ntree: {{otp_strict: true, children: [{loose}]}}".encode(), "/t.yaml", environment={})
