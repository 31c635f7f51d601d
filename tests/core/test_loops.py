"""What repeats is counted over a turn and those before it, and what was counted outlives whoever has counted."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agenthost.core.loops import KEYS, KEYS_LATER, NEAR, Loops, Repeats

A, B = b"a", b"b"


def calls(repeats: Repeats, count: int, key: bytes = A) -> list[int]:
    return [repeats.call(key) for _ in range(count)]


def test_the_last_one_that_is_borne_is_the_one_before_the_bound() -> None:
    assert calls(Repeats(Loops(same_call=4)), 4) == [0, 0, 0, 4]


def test_what_differs_is_counted_apart_and_a_call_is_no_error() -> None:
    repeats = Repeats(Loops(same_call=3, same_error=3))
    found = [repeats.call(A), repeats.call(B), repeats.error(A), repeats.call(A), repeats.call(B), repeats.error(A)]
    assert found == [0] * 6
    assert (repeats.error(A), repeats.call(B)) == (3, 3)


def test_what_was_found_is_counted_anew() -> None:
    assert calls(Repeats(Loops(same_call=3)), 7) == [0, 0, 3, 0, 0, 3, 0]


@pytest.mark.parametrize("most", [2, 3, 4, 5, 20])
def test_of_a_long_call_only_the_second_half_is_compared_in_full(most: int) -> None:
    asked: list[bytes] = []

    def key(name: bytes) -> Callable[[], bytes]:
        return lambda: asked.append(name) or name  # type: ignore[func-returns-value]

    repeats = Repeats(Loops(same_call=most))
    found = [repeats.long_call(7, lambda: b"alike", key(A)) for _ in range(most)]
    assert found == [0] * (most - 1) + [most]
    assert len(asked) == most - (most - 1) // 2
    others = [repeats.long_call(7, lambda: b"alike", key(b"%d" % n)) for n in range(5 * most)]
    assert others == [0] * 5 * most, "alike by the cheap look, and not the same"


def test_a_long_call_outlives_whoever_has_counted_it() -> None:
    loops = Loops(same_call=4)
    first, second = Repeats(loops), Repeats(loops)
    first.begin()
    assert [first.long_call(1, lambda: A, lambda: B) for _ in range(3)] == [0, 0, 0]
    second.resume(first.kept())
    second.begin()
    assert second.long_call(2, lambda: A, lambda: B) == 4


def test_a_digest_is_made_only_of_a_call_that_is_near_its_bound() -> None:
    made: list[int] = []
    repeats = Repeats(Loops(same_call=100))
    for turn in range(30):
        repeats.begin()
        for number in range(50):
            assert repeats.quick_call(turn * 50 + number, lambda: made.append(0) or A) == 0  # type: ignore[func-returns-value]
    assert made == [] and repeats.kept() == b""
    found = [repeats.quick_call(-1, lambda: made.append(1) or B) for _ in range(100)]  # type: ignore[func-returns-value]
    assert found == [0] * 99 + [100]
    assert made == [1]


def test_names_are_forgotten_with_what_they_name() -> None:
    repeats = Repeats(Loops(same_call=2, across=3))
    for turn in range(50):
        repeats.begin()
        for number in range(200):
            assert repeats.quick_call(turn * 200 + number, lambda: A) == 0
    assert len(repeats._names) <= 200 + 3 * KEYS_LATER
    alone = Repeats(Loops(same_call=2, across=0))
    for number in range(50):
        alone.begin()
        alone.quick_call(number, lambda: A)
    assert len(alone._names) == 1


def test_turns_before_count_as_far_as_they_are_to() -> None:
    repeats = Repeats(Loops(same_call=3, across=2))
    found = []
    for key in (A, B, A, A):
        repeats.begin()
        found.append(repeats.call(key))
    assert found == [0, 0, 0, 0], "the first turn is out of reach"
    repeats.begin()
    assert repeats.call(A) == 3


def test_without_across_each_turn_stands_for_itself() -> None:
    repeats = Repeats(Loops(same_call=3, across=0))
    for _ in range(5):
        repeats.begin()
        assert calls(repeats, 2) == [0, 0]
    assert repeats.kept() == b""


@pytest.mark.parametrize("sort", ["call", "error", "answer"])
def test_what_is_not_to_be_counted_is_not(sort: str) -> None:
    repeats = Repeats(Loops(same_call=0, same_error=0, same_answer=0))
    assert [getattr(repeats, sort)(A) for _ in range(5000)] == [0] * 5000
    assert repeats.kept() == b""


def test_answers_are_counted_in_a_row_over_any_number_of_turns() -> None:
    repeats = Repeats(Loops(same_answer=3, across=1))
    found = []
    for key in (A, A, B, A, A, A, A):
        repeats.begin()
        found.append(repeats.answer(key))
    assert found == [0, 0, 0, 0, 0, 3, 0]


def test_what_was_counted_outlives_its_process() -> None:
    loops = Loops(same_call=5, same_answer=3, across=3)
    first = Repeats(loops)
    first.begin()
    assert calls(first, 2) == [0, 0]
    first.begin()
    assert calls(first, 2) == [0, 0]
    assert [first.answer(A), first.answer(A)] == [0, 0]
    first.told = (7, 2)
    second = Repeats(loops)
    second.resume(first.kept())
    second.begin()
    assert (second.told, second.call(A), second.answer(A)) == ((7, 2), 5, 3)


def test_turns_that_were_taken_over_go_out_of_reach_as_others_do() -> None:
    loops = Loops(same_call=3, across=2)
    first = Repeats(loops)
    for _ in range(2):
        first.begin()
        first.call(A)
    second = Repeats(loops)
    second.resume(first.kept())
    second.begin()
    second.begin()
    assert second.call(A) == 0


def test_whoever_has_counted_something_by_himself_takes_over_nothing() -> None:
    first, second = (Repeats(Loops(same_call=3)) for _ in range(2))
    calls(first, 2)
    second.call(B)
    second.resume(first.kept())
    assert second.call(A) == 0


@pytest.mark.parametrize("kept", [b"", b"\xff", b"\x90", b"\x93\x01\x02\x03"])
def test_what_does_not_read_is_nothing(kept: bytes) -> None:
    repeats = Repeats(Loops(same_call=2))
    repeats.resume(kept)
    assert calls(repeats, 2) == [0, 2]


def test_what_is_far_from_its_bound_is_not_kept() -> None:
    repeats = Repeats(Loops(same_call=100, same_answer=100))
    calls(repeats, 9)
    for _ in range(9):
        repeats.answer(A)
    assert repeats.kept() == b""
    repeats.call(A)
    assert repeats.kept() != b""


def test_calls_that_a_process_did_not_live_to_tell_count() -> None:
    repeats = Repeats(Loops(same_call=4))
    repeats.made_before([A, B, A, A])
    repeats.begin()
    assert repeats.call(A) == 4


def test_there_is_an_end_to_what_is_remembered() -> None:
    repeats = Repeats(Loops(same_call=2, across=100))
    for number in range(KEYS * 2):
        assert repeats.call(number.to_bytes(8, "big")) == 0
    assert repeats.call((KEYS * 2).to_bytes(8, "big")) == 0, "it came when there was no room"
    repeats.begin()
    assert len(repeats._before) == KEYS_LATER
    assert len(repeats.kept()) < 20 * KEYS_LATER


@pytest.mark.parametrize("quick", [False, True])
@given(
    turns=st.lists(st.lists(st.sampled_from([A, B]), max_size=6), max_size=12),
    most=st.integers(2, 25),
    across=st.integers(0, 3),
)
def test_it_is_found_exactly_where_a_plain_count_says_so(
    quick: bool, turns: list[list[bytes]], most: int, across: int
) -> None:
    """Also if each turn has a process of its own, in which the same calls have other numbers."""
    loops = Loops(same_call=most, across=across)
    repeats, kept = Repeats(loops), b""
    plain: list[list[bytes]] = []

    def call(on: Repeats, key: bytes, process: int) -> int:
        return on.quick_call(ord(key) * 1000 + process, lambda: key) if quick else on.call(key)

    kept_exactly = most <= NEAR or not across
    """Of a larger bound what is far from it is not kept."""
    for process, turn in enumerate(turns, 1):
        fresh = Repeats(loops)
        fresh.resume(kept)
        repeats.begin()
        fresh.begin()
        plain = [*plain, []][-across - 1 :] if across else [[]]
        for key in turn:
            plain[-1].append(key)
            count = sum(one.count(key) for one in plain)
            expected = count if count == most else 0
            assert call(repeats, key, 0) == expected
            if kept_exactly:
                assert call(fresh, key, process) == expected
            if expected:
                plain = [[other for other in one if other != key] for one in plain]
        kept = fresh.kept()
