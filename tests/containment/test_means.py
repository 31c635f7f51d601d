"""What holds which limit, said in words; and what is said or refused where nothing holds it."""

from __future__ import annotations

import pytest

from agenthost.containment import tiers, unheld
from agenthost.containment.means import BY_RLIMIT, BY_V1, BY_V2, FIELDS, means, not_whole, sentences, set_limits
from agenthost.core.birth import Limits, ProgramBirth
from agenthost.core.spec import SupervisorSpec, WorkerSpec
from agenthost.errors import ConfigError

NOTHING = means((), (), {}, "there are no cgroups")
ALL = Limits(
    memory_bytes=1, cpu_cores=1, processes=1, open_files=8, file_size_bytes=1, cpu_weight=100
)  # fmt: skip


def worker(name: str, **limits: object) -> WorkerSpec:
    return WorkerSpec(name, birth=ProgramBirth(("true",), limits=Limits(**limits)))  # type: ignore[arg-type]


def test_a_controller_holds_its_limits_for_the_whole_agent() -> None:
    had = means({"memory"}, {"cpu"}, {"pids": "it is not delegated"}, "")
    assert {limit: had[limit].by for limit in FIELDS} == {
        "memory": BY_V2,
        "cpu": BY_V1,
        "cpu_weight": BY_V1,
        "processes": BY_RLIMIT,
        "open_files": BY_RLIMIT,
        "file_size": BY_RLIMIT,
    }
    assert not_whole(ALL, had) == ["processes"]
    assert had["processes"].why.startswith("it is not delegated")


def test_only_limits_that_are_set_count() -> None:
    assert set_limits(ALL) == list(FIELDS)
    assert set_limits(Limits(strict=True)) == []
    assert not_whole(Limits(open_files=9), NOTHING) == []
    assert not_whole(ALL, NOTHING) == ["memory", "cpu", "cpu_weight", "processes"]


def test_what_is_held_alike_is_said_in_one_sentence_and_each_reason_once() -> None:
    assert sentences(means({"memory", "cpu", "pids"}, (), {}, "")) == [
        "memory, cpu, cpu_weight, processes by cgroup v2; open_files, file_size by rlimit"
    ]
    said = "; ".join(sentences(means((), (), {}, "no cgroups, do this")))
    assert "cpu, cpu_weight not limited" in said and "memory" in said
    assert said.count("no cgroups, do this") <= 2  # root's processes have a reason of their own


def test_weak_limits_are_told_with_whose_they_are() -> None:
    crowd = SupervisorSpec("crowd", tuple(worker(f"w{n}", cpu_cores=1) for n in range(9)))
    pool = SupervisorSpec("chats", template=worker("chats", cpu_cores=1))
    [said] = unheld.warnings(SupervisorSpec("/", (worker("a", open_files=9), crowd, pool)), NOTHING)
    assert said == "cpu not limited: there are no cgroups: /crowd/w0, /crowd/w1, /crowd/w2 and 7 more"


def test_strict_limits_are_refused_all_at_once() -> None:
    tree = SupervisorSpec(
        "/", (worker("a", cpu_cores=1, strict=True), worker("b", cpu_cores=1), worker("c", cpu_weight=9, strict=True))
    )
    assert unheld.has_strict(tree)
    with pytest.raises(ConfigError) as raised:
        unheld.check(tree, NOTHING)
    assert [line.split(": ")[0] for line in raised.value.message.splitlines()] == [
        "cannot start /a under strict limits",
        "cannot start /c under strict limits",
    ]
    assert "'strict'" in str(raised.value.hint)
    unheld.check(SupervisorSpec("/", (worker("a", open_files=9, strict=True),)), NOTHING)


def test_what_is_expected_from_here_is_what_a_host_then_has() -> None:
    """By looking alone; made for real to compare."""
    for tier in tiers.probe():
        if not tier.available:
            continue
        made = tiers.choose(tier.name, "expected", 1)
        try:
            had = {limit: mean.by for limit, mean in made.means.items()}
        finally:
            made.close()
        assert {limit: mean.by for limit, mean in tiers.expected_means(tier.name).items()} == had


def test_a_tier_without_cgroups_says_why_it_has_none() -> None:
    for name in ("pidns", "walk"):
        if next(tier for tier in tiers.probe() if tier.name == name).available:
            made = tiers.choose(name, "x", 1)
            assert made.means["cpu"].sentence("cpu") == f"cpu not limited: containment is {name!r} by the config"
            made.close()
