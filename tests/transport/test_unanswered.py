from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agenthost.transport.unanswered import Unanswered


def test_what_is_asked_is_repeated_after_a_quarter_a_half_and_then_each_second() -> None:
    open_: Unanswered[int, bytes] = Unanswered()
    open_.ask(1, b"ready", now=100.0)
    sent = []
    now = 100.0
    while now < 104.8:
        if open_.due(now):
            sent.append(round(now - 100.0, 2))
        now = round(now + 0.05, 2)
    assert sent == [0.25, 0.75, 1.75, 2.75, 3.75, 4.75]
    assert open_.attempts(1) == 7


def test_an_answer_ends_the_repetition_and_a_second_answer_is_seen_as_one() -> None:
    open_: Unanswered[str, bytes] = Unanswered()
    open_.ask("a", b"x", now=0.0)
    assert open_.answered("a")
    assert not open_.answered("a")
    assert open_.due(10.0) == [] and open_.next_due() is None and len(open_) == 0


def test_asking_again_under_the_same_key_replaces_the_frame_and_its_clock() -> None:
    open_: Unanswered[str, bytes] = Unanswered()
    open_.ask("a", b"old", now=0.0)
    open_.ask("a", b"new", now=0.2)
    assert open_.due(0.3) == []
    assert open_.due(0.45) == [b"new"]


def test_a_frame_may_be_any_value_so_that_the_host_keeps_the_peer_with_it() -> None:
    open_: Unanswered[tuple[bytes, int], tuple[bytes, bytes]] = Unanswered()
    open_.ask((b"peer", 1), (b"peer", b"stop"), now=0.0)
    assert open_.due(0.25) == [(b"peer", b"stop")]


def test_the_oldest_is_due_first() -> None:
    open_: Unanswered[int, int] = Unanswered()
    for number in (3, 1, 2):
        open_.ask(number, number, now=float(number))
    assert open_.due(10.0) == [1, 2, 3]


def test_answered_entries_do_not_pile_up() -> None:
    open_: Unanswered[int, bytes] = Unanswered()
    for number in range(10_000):
        open_.ask(number, b"", now=0.0)
        open_.answered(number)
    assert len(open_._heap) < 200


@given(
    st.lists(
        st.tuples(st.sampled_from(["ask", "answer", "due"]), st.integers(0, 5), st.floats(0, 2)),
        max_size=60,
    )
)
def test_it_says_what_a_plain_table_of_due_times_would_say(moves: list[tuple[str, int, float]]) -> None:
    pauses = (0.25, 0.5, 1.0)
    open_: Unanswered[int, int] = Unanswered(pauses)
    table: dict[int, tuple[float, int]] = {}
    now = 0.0
    for move, key, pause in moves:
        now += pause
        if move == "ask":
            open_.ask(key, key, now)
            table[key] = (now + pauses[0], 1)
        elif move == "answer":
            assert open_.answered(key) == (table.pop(key, None) is not None)
        else:
            expected = sorted(key for key, (due, _) in table.items() if due <= now)
            assert sorted(open_.due(now)) == expected
            for key in expected:
                attempt = table[key][1]
                table[key] = (now + pauses[min(attempt, 2)], attempt + 1)
        assert open_.next_due() == (min(due for due, _ in table.values()) if table else None)
        assert len(open_) == len(table)
