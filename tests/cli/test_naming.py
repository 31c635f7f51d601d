"""How agents are named on the command line."""

from __future__ import annotations

import pytest
import typer

from agenthost.cli.asking import chosen, seconds
from agenthost.errors import UnknownName

TREE = ["/", "/model", "/crew", "/crew/planner", "/crew/coder", "/crew/deep", "/crew/deep/planner"]


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("/crew", ["/crew"]),
        ("/", ["/"]),
        ("/*", ["/model", "/crew"]),
        ("/crew/*", ["/crew/planner", "/crew/coder", "/crew/deep"]),
        ("/c*", ["/crew"]),
        ("/**/planner", ["/crew/planner", "/crew/deep/planner"]),
        ("/crew/**", ["/crew", "/crew/planner", "/crew/coder", "/crew/deep", "/crew/deep/planner"]),
        ("/crew/?oder", ["/crew/coder"]),
        ("/crew/[cd]*", ["/crew/coder", "/crew/deep"]),
    ],
)
def test_a_star_stays_within_one_name_and_two_cross(pattern: str, found: list[str]) -> None:
    assert chosen([pattern], TREE) == found


def test_several_patterns_name_each_path_once() -> None:
    assert chosen(["/crew/coder", "/crew/c*"], TREE) == ["/crew/coder"]


@pytest.mark.parametrize(
    ("wrong", "meant"), [("/modle", "/model"), ("/crew/coderr", "/crew/coder"), ("/planer", "/crew/planner")]
)
def test_an_unknown_name_gets_the_nearest_one(wrong: str, meant: str) -> None:
    with pytest.raises(UnknownName, match=f"there is no {wrong}; did you mean {meant}?"):
        chosen([wrong], TREE)


def test_a_glob_that_matches_nothing_is_an_unknown_name() -> None:
    with pytest.raises(UnknownName, match="there is no /x/"):
        chosen(["/crew", "/x/*"], TREE)


@pytest.mark.parametrize(("text", "length_s"), [("10", 10), ("0.5", 0.5), ("250ms", 0.25), ("1m30s", 90)])
def test_a_length_of_time_has_units_or_is_in_seconds(text: str, length_s: float) -> None:
    assert seconds(text) == length_s


@pytest.mark.parametrize("text", ["", "soon", "-1", "5 s", "s", "1e3", "inf", "nan"])
def test_what_is_no_length_of_time_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        seconds(text)
