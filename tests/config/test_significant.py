"""``auto_shutdown`` and ``significant``: what arrives, and what is refused where nothing could come of it."""

from __future__ import annotations

import pytest

from agenthost.config.load import read_config
from agenthost.core import spec
from agenthost.core.spec import AutoShutdown, SupervisorSpec
from agenthost.errors import ConfigError
from tests.config.test_problems import of_child, problems

WHERE = "tree.children[0].significant"


def tree(body: str) -> SupervisorSpec:
    return read_config(f"agenthost: 1\ntree: {{{body}}}\n".encode(), "/nowhere/t.yaml", environment={}).tree


@pytest.mark.parametrize("when", list(AutoShutdown))
def test_auto_shutdown_arrives_at_the_tree_and_at_supervisors(when: AutoShutdown) -> None:
    found = tree(f"auto_shutdown: {when}, children: [{{name: a, auto_shutdown: {when}, children: []}}]")
    (inner,) = found.children
    assert isinstance(inner, SupervisorSpec)
    assert (found.auto_shutdown, inner.auto_shutdown) == (when, when)


def test_without_the_keys_nobody_is_significant_and_nothing_stops_itself() -> None:
    found = tree("children: [{name: a, command: [x], significant: false}, {name: b, command: [x]}]")
    assert found.auto_shutdown is AutoShutdown.NEVER
    assert [child.significant for child in found.children] == [False, False]


@pytest.mark.parametrize("body", ["agent: 'm:C'", "command: [x]", "command: [x], protocol: lines", "children: []",
                                  "pool: {command: [x]}"])  # fmt: skip
@pytest.mark.parametrize("restart", ["transient", "temporary"])
def test_every_child_that_can_end_for_good_may_be_significant(body: str, restart: str) -> None:
    found = tree(
        f"auto_shutdown: all_significant, children: [{{name: a, restart: {restart}, significant: true, {body}}}]"
    )
    assert [child.significant for child in found.children] == [True]


def under(auto_shutdown: str, child: str) -> str:
    """A tree with one child; the child stands at line 5."""
    return f"agenthost: 1\ntree:\n  auto_shutdown: {auto_shutdown}\n  children:\n  - {{{child}}}\n"


PERMANENT = "a permanent child never ends for good, and 'restart' is permanent"
BESIDE = "write 'restart: transient' or 'restart: temporary' beside it"


@pytest.mark.parametrize(
    ("child", "said"),
    [
        ("name: a, command: [x], significant: true", f"5:42: {WHERE}: {PERMANENT} unless it is written; {BESIDE}"),
        (
            "name: a, command: [x], restart: permanent, significant: true",
            f"5:62: {WHERE}: {PERMANENT} at line 5; {BESIDE}",
        ),
        ("name: a, children: [], significant: true", f"5:42: {WHERE}: {PERMANENT} unless it is written; {BESIDE}"),
    ],
)
def test_a_permanent_child_cannot_be_significant(child: str, said: str) -> None:
    assert problems(under("any_significant", child)) == [said]


NOTHING = "nothing would come of it: 'auto_shutdown' of its supervisor, 'tree', is never"
THERE = "write 'auto_shutdown: any_significant' or 'auto_shutdown: all_significant' there"


def test_nobody_is_significant_under_a_supervisor_that_never_stops_itself() -> None:
    child = "name: a, command: [x], restart: transient, significant: true"
    assert problems(under("never", child)) == [f"5:62: {WHERE}: {NOTHING} at line 3; {THERE}"]
    unwritten = f"agenthost: 1\ntree:\n  children:\n  - {{{child}}}\n"
    assert problems(unwritten) == [f"4:62: {WHERE}: {NOTHING} unless it is written; {THERE}"]


def test_it_is_the_supervisor_directly_above_that_counts() -> None:
    inner = "{name: a, agent: 'm:C', restart: temporary, significant: true}"
    (found,) = problems(under("any_significant", f"name: s, children: [{inner}]"))
    assert found.startswith("5:83: tree.children[0].children[0].significant: nothing would come of it: ")
    assert "of its supervisor, 'tree.children[0]', is never unless it is written" in found


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            under("any_signifcant", "name: a, command: [x], restart: transient, significant: true"),
            "3:18: tree.auto_shutdown: cannot use 'any_signifcant'; did you mean 'any_significant'?",
        ),
        (
            under("any_significant", "name: a, command: [x], restart: transiet, significant: true"),
            "5:38: tree.children[0].restart: cannot use 'transiet'; did you mean 'transient'?",
        ),
        (
            "agenthost: 1\ntree:\n  significant: true\n  children: []\n",
            "3:3: tree: the key 'significant' is not for here: no supervisor stands above the tree; remove it",
        ),
    ],
)
def test_a_bad_word_is_told_once(text: str, said: str) -> None:
    assert problems(text) == [said]


def test_both_reasons_are_told_at_once() -> None:
    found = problems("agenthost: 1\ntree: {children: [{name: a, command: [x], significant: true}]}\n")
    assert len(found) == 2 and all(line.startswith("2:56: tree.children[0].significant: ") for line in found)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ("name: a, command: [x], significant: 1", "significant: true or false is wanted here, not a number"),
        ("name: a, command: [x], signifcant: true", "unknown key 'signifcant'; did you mean 'significant'?"),
        ("name: a, children: [], autoshutdown: never", "unknown key 'autoshutdown'; did you mean 'auto_shutdown'?"),
        ("name: a, command: [x], auto_shutdown: never", "the key 'auto_shutdown' is not for here: it is for super"),
    ],
)
def test_a_slip_in_the_keys_says_so(keys: str, said: str) -> None:
    found = of_child(keys)
    assert len(found) == 1 and found[0].startswith(said), found


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ("children: [{name: a, command: [x]}, {name: p, pool: {command: [x]}}]", "2:44: tree.children[1]: "),
        ("children: [{name: p, pool: {pool: {command: [x]}}}]", "2:35: tree.children[0].pool: "),
    ],
)
def test_what_only_the_core_refuses_has_a_place_too(monkeypatch: pytest.MonkeyPatch, body: str, place: str) -> None:
    def refuse(pool: SupervisorSpec) -> None:
        raise ConfigError(f"cannot have the pool {pool.name!r}", hint="swim elsewhere")

    monkeypatch.setattr(spec, "_check_pool", refuse)  # as a later core may: today's refusals are all foreseen
    assert f"{place}cannot have the pool 'p'; swim elsewhere" in problems(f"agenthost: 1\ntree: {{{body}}}\n")


def test_what_only_the_core_refuses_of_the_tree_has_a_place_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(above: SupervisorSpec, child: spec.ChildSpec) -> None:
        raise ConfigError(f"cannot have {child.name!r} under {above.name!r}")

    monkeypatch.setattr(spec, "check_child", refuse)
    found = problems("agenthost: 1\ntree: {children: [{name: a, command: [x]}]}\n")
    assert found == ["2:7: tree: cannot have 'a' under '/'"]
