"""Failures that differ in numbers, ids, paths, times and quoted text alone are the same; others are not."""

from __future__ import annotations

import subprocess
import sys
import uuid
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agenthost.core.remedy.failure import Failure
from agenthost.core.remedy.fingerprint import LONGEST, fingerprint
from agenthost.core.remedy.shape import shape

_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_WORDS = st.text(_LETTERS, min_size=1, max_size=7)
_NUMBERS = st.one_of(
    st.integers(-(10**20), 10**20).map(str),
    st.floats(allow_nan=False, allow_infinity=False, min_value=-1e6, max_value=1e6).map(lambda x: f"{x:.3f}"),
    st.integers(0, 2**64).map(hex),
    st.integers(0, 10**9).map(lambda n: f"{n:,}"),
)
_IDS = st.one_of(
    st.uuids().map(str),
    st.uuids().map(lambda u: u.hex),
    st.integers(0, 2**60).map(lambda n: f"req_{n:x}1"),
    st.integers(1, 10**6).map(lambda n: f"call-{n}"),
    st.binary(min_size=10, max_size=32).map(bytes.hex),
)
_TIMES = st.datetimes(timezones=st.just(UTC)).flatmap(
    lambda at: st.sampled_from([at.isoformat(), at.isoformat(" "), f"{at:%Y-%m-%d %H:%M:%S}", f"{at:%H:%M:%S.%f}"])
)
_PATHS = st.lists(st.text(_LETTERS + "0123456789_-.", min_size=1, max_size=8), min_size=1, max_size=4).map(
    lambda parts: "/" + "/".join(parts)
)
_URLS = st.builds("https://{}.example/{}?q={}".format, _WORDS, _WORDS, st.integers(0, 10**6))
_QUOTED = st.text(max_size=20).map(repr)
_SLOTS = {"number": st.one_of(_NUMBERS, _IDS, _TIMES), "path": st.one_of(_PATHS, _URLS), "quoted": _QUOTED}


@st.composite
def _twice(draw: st.DrawFn) -> tuple[str, str]:
    """A sentence, said of two different things."""
    parts: list[tuple[str, str]] = []
    for kind in draw(st.lists(st.sampled_from(["word", *_SLOTS]), min_size=1, max_size=8)):
        if kind == "word":
            word = draw(_WORDS)
            parts.append((word, word))
        else:
            parts.append((draw(_SLOTS[kind]), draw(_SLOTS[kind])))
    ends = draw(st.sampled_from([("", ""), ("(", ")"), ("[", "]"), ("", ":"), ("=", ""), ("<", ">")]))
    between = draw(st.sampled_from([" ", " is ", ", ", ": "]))
    return tuple(between.join(f"{ends[0]}{pair[n]}{ends[1]}" for pair in parts) for n in (0, 1))  # type: ignore[return-value]


@given(_twice())
def test_texts_that_differ_in_what_they_are_about_have_one_shape(said: tuple[str, str]) -> None:
    assert shape(said[0]) == shape(said[1])


@given(st.lists(_WORDS, min_size=1, max_size=5), st.lists(_WORDS, min_size=1, max_size=5))
def test_other_words_are_another_shape(first: list[str], second: list[str]) -> None:
    assert (shape(" ".join(first)) == shape(" ".join(second))) == (first == second)


@given(st.text(max_size=300))
def test_a_shape_is_one_line_and_stays_itself(text: str) -> None:
    once = shape(text)
    assert "\n" not in once
    assert shape(once) == once


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("cannot read /tmp/a/x.txt: no such file", "cannot read /var/lib/other: no such file"),
        ("<Foo object at 0x7f00aa>", "<Foo object at 0x10>"),
        ("Expecting value: line 1 column 5 (char 4)", "Expecting value: line 12 column 1 (char 113)"),
        ("can't open 'it''s' after 3 tries", "can't open 'b' after 11 tries"),
        ("rate limited, retry in 1.5s (request req_01HZ9)", "rate limited, retry in 30s (request req_7)"),
        ("keys [1, 2, 3] are missing", "keys [7] are missing"),
        ("no tool 'a', 'b'", "no tool 'x'"),
        (
            f"id {uuid.UUID(int=1)} at {datetime(2026, 1, 1, tzinfo=UTC)}",
            f"id {uuid.UUID(int=2**100)} at {datetime(1999, 12, 31, 5, tzinfo=UTC)}",
        ),
    ],
)
def test_texts_as_they_are_met(one: str, other: str) -> None:
    assert shape(one) == shape(other)


def test_texts_that_say_something_else_differ() -> None:
    said = ["rate limited", "context is too long: 9000 tokens", "status 500: overloaded", "status 429: wait 3 s", ""]
    assert len({shape(text) for text in said}) == len(said)


@given(st.sampled_from(["crash", "signal", "error"]), _WORDS, _WORDS, _WORDS)
def test_different_places_types_and_kinds_are_different_failures(kind: str, type: str, place: str, other: str) -> None:
    one = Failure(kind, type, place, text="x 1")
    assert fingerprint(one) == fingerprint(Failure(kind, type, place, text="x 2"))
    if other != place:
        assert fingerprint(one) != fingerprint(Failure(kind, type, other, text="x 1"))
    if other != type:
        assert fingerprint(one) != fingerprint(Failure(kind, other, place, text="x 1"))
    assert fingerprint(one) != fingerprint(Failure("rejected", type, place, text="x 1"))


def test_of_a_crash_the_place_counts_and_not_the_words() -> None:
    one = Failure("crash", "ValueError", "crew:Planner.handle+12", text="no JSON: I am sorry")
    other = Failure("crash", "ValueError", "crew:Planner.handle+12", text="no JSON: as a model of language")
    assert fingerprint(one) == fingerprint(other) == "crash ValueError at crew:Planner.handle+12"


def test_of_a_tool_its_name_and_the_shape_of_its_error_count() -> None:
    one = Failure("error", "timed_out", tool="/tools/search", text="no reply in 20 s")
    assert fingerprint(one) == fingerprint(Failure("error", "timed_out", tool="/tools/search", text="no reply in 4 s"))
    assert fingerprint(one) != fingerprint(Failure("error", "timed_out", tool="/tools/shell", text="no reply in 20 s"))
    assert fingerprint(one) != fingerprint(Failure("error", "timed_out", tool="/tools/search", text="it is full"))


@given(st.text(min_size=300, max_size=2000), st.text(min_size=300, max_size=2000))
def test_a_long_fingerprint_is_cut_and_still_tells_them_apart(one: str, other: str) -> None:
    first, second = (fingerprint(Failure("error", text=text)) for text in (one, other))
    assert len(first) <= LONGEST and len(second) <= LONGEST
    if shape(one) != shape(other):
        assert first != second


def test_a_fingerprint_is_the_same_in_another_process() -> None:
    failure = Failure("error", "timed_out", "crew:Planner.handle+3", text="é " * 300 + "after 3 s at /tmp/x")
    code = (
        "from agenthost.core.remedy.failure import Failure\nfrom agenthost.core.remedy.fingerprint import fingerprint\n"
        f"one = Failure({failure.kind!r}, {failure.type!r}, {failure.place!r}, text={failure.text!r})\n"
        "print(ascii(fingerprint(one)))"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed, "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert found == {ascii(fingerprint(failure))}
