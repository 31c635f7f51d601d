"""What an agent may start: every rule, every owner, every word of the refusals; then all small cases."""

from __future__ import annotations

import itertools

import pytest

from agenthost.core.birth import Limits, May
from agenthost.core.rights import Asked, Owner, refusal, refusal_of_crowd

MIB = 2**20


def said(asked: Asked | list[Asked], *owners: Owner) -> str:
    found = refusal(asked if isinstance(asked, list) else [asked], owners)
    assert found is None or found.code == "not_permitted"
    return "" if found is None else str(found)


def one(*names: str, **limits: float) -> Asked:
    return Asked(names, Limits(**limits))  # type: ignore[arg-type]


def test_the_first_of_the_names_that_matches_is_enough() -> None:
    may = May(start=("researcher:*", "chat"))
    for names in (("researcher:Run",), ("chat", "pkg.chat:Chat"), ("x.py:C", "researcher:Run")):
        assert said(one(*names), Owner("/team/planner", may)) == ""


def test_a_refusal_says_the_rule_the_wish_and_the_place() -> None:
    planner = Owner("/team/planner", May(start=("researcher:*",)))
    assert said(one("shell:Run", "/conf/shell.py:Run"), planner) == (
        "not permitted: /team/planner may start ['researcher:*'] and asked for 'shell:Run'; "
        "add it to may.start in the config"
    )
    sub = Owner("/team/planner/sub", May(), is_configured=False)
    assert said(one("shell:Run"), sub, planner) == (
        "not permitted: /team/planner/sub asked for 'shell:Run', and /team/planner, which started it, may start "
        "['researcher:*']; add it to may.start of /team/planner in the config"
    )
    narrow = Owner("/team/planner/sub", May(start=()), is_configured=False)
    assert said(one("shell:Run"), narrow, Owner("/team/planner", May())) == (
        "not permitted: /team/planner/sub may start [] and asked for 'shell:Run'; "
        "add it to may.start where /team/planner/sub is started"
    )


def test_all_that_is_below_counts() -> None:
    full = Owner("/p", May(children=3), (Limits(),) * 2)
    assert said(one("a"), full) == ""
    assert said([one("a"), one("b")], full) == (
        "not permitted: /p may have 3 children, with all below them; it has 2 and /p asked for 2 more; "
        "end some, or raise may.children in the config"
    )


def test_depth_is_counted_from_each_owner() -> None:
    p = Owner("/p", May(depth=2))
    a = Owner("/p/a", May(depth=1), is_configured=False)
    b = Owner("/p/a/b", May(depth=5), is_configured=False)
    assert said(one("x"), p) == said(one("x"), a, p) == ""
    assert said(one("x"), b, Owner("/p/a", May(depth=5)), p) == (
        "not permitted: /p/a/b asked for a child 3 below /p, which may have children 2 deep; "
        "raise may.depth of /p in the config"
    )
    assert "2 below /p/a, which may have children 1 deep; raise may.depth where /p/a is started" in said(
        one("x"), b, a, p
    )
    assert "1 below /p, which may start none; raise may.depth in the config" in said(
        one("x"), Owner("/p", May(depth=0))
    )


@pytest.mark.parametrize(
    ("field", "word", "most", "there", "more", "shown"),
    [
        ("memory_bytes", "memory", 512 * MIB, 384 * MIB, 256 * MIB, ("512 MiB", "384 MiB", "256 MiB")),
        ("cpu_cores", "cpu", 2.0, 1.5, 0.75, ("2", "1.5", "0.75")),
        ("processes", "processes", 100, 60, 41, ("100", "60", "41")),
        ("open_files", "open_files", 100, 60, 41, ("100", "60", "41")),
        ("file_size_bytes", "file_size", 2**30, 2**30 - 1024, 2048, ("1 GiB", "1024 MiB", "2 KiB")),
    ],
)
def test_every_limit_is_summed_and_must_be_said(
    field: str, word: str, most: float, there: float, more: float, shown: tuple[str, str, str]
) -> None:
    owner = Owner("/p", May(limits=Limits(**{field: most})), (Limits(**{field: there}), Limits()))  # type: ignore[arg-type]
    assert said(one("x", **{field: most - there}), owner) == ""
    assert said(one("x", **{field: more}), owner) == (
        f"not permitted: what /p starts may have limits.{word} of {shown[0]} together; it has {shown[1]} and was asked "
        f"for {shown[2]} more; end some, or raise may.limits.{word} in the config"
    )
    assert said(one("x"), owner) == (
        f"not permitted: 'x' was asked for without limits.{word}, and what /p starts may have {shown[0]} together; "
        f"give it one, or take it out of /p's may.limits.{word} in the config"
    )


def test_a_start_is_permitted_exactly_if_every_owner_permits_it() -> None:
    """All chains of up to three owners, over small rights: against the rule said another way."""
    mays = [
        May(start=start, children=children, depth=depth, limits=Limits(memory_bytes=memory))
        for start in (("a*",), ("b", "ab"))
        for children in (0, 2)
        for depth in (1, 3)
        for memory in (None, 10)
    ]
    counted = 0
    for length in (1, 2, 3):
        for chain in itertools.product(mays, repeat=length):
            owners = [Owner(f"/{n}", may, (Limits(memory_bytes=4),) * n) for n, may in enumerate(chain)]
            for name, memory in (("ab", 3), ("ab", None), ("b", 7), ("aa", 2)):
                permitted = all(
                    (name in ("ab", "aa") if may.start == ("a*",) else name in ("b", "ab"))
                    and n + 1 <= may.children
                    and n + 1 <= may.depth
                    and (may.limits.memory_bytes is None or (memory is not None and 4 * n + memory <= 10))
                    for n, may in enumerate(chain)
                )
                assert (refusal([one(name, memory_bytes=memory)], owners) is None) == permitted  # type: ignore[arg-type]
                counted += permitted
    assert counted > 50, "some are permitted at all"


def test_supervisors_count_as_levels_those_that_are_started_and_those_in_between() -> None:
    p = Owner("/p", May(depth=3))
    assert refusal([one("x")], [p], levels=3) is None
    assert "a child 4 below /p, which may have children 3 deep" in str(refusal([one("x")], [p], levels=4))
    asker = Owner("/p/crew/a", May(), is_configured=False)
    for between, refused in ((0, False), (1, False), (2, True)):
        above = Owner("/p", May(depth=3), between=between)
        assert (refusal([one("x")], [asker, above]) is not None) == refused
    assert "a child 4 below" in str(refusal([], [p], levels=4)), "empty supervisors too"


def test_a_crowd_is_refused_unread() -> None:
    owners = [Owner("/p/a", May(children=50), is_configured=False), Owner("/p", May(children=10), (Limits(),))]
    assert refusal_of_crowd(10, owners) is None
    assert "/p may have 10 children, with all below them; it has 1 and /p/a asked for 11 more" in str(
        refusal_of_crowd(11, owners)
    )


def test_a_refusal_is_not_as_long_as_what_was_asked() -> None:
    long = "x" * 700_000
    owners = [Owner("/p", May(start=(long,) * 50, limits=Limits(memory_bytes=1)))]
    assert len(str(refusal([one(long)], owners))) < 4000
    assert len(str(refusal([one(long)], [Owner("/p", May(limits=Limits(memory_bytes=1)))]))) < 1000
