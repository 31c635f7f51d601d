"""How often the guardian starts a crashed host again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agenthost.guardian.patience import Patience


def test_the_delay_doubles_with_each_crash() -> None:
    patience = Patience(intensity=5, period_s=60)
    assert [patience.delay_after_crash(now) for now in (0, 1, 2, 3, 4)] == [0.1, 0.2, 0.4, 0.8, 1.6]


def test_one_crash_more_than_the_intensity_is_giving_up() -> None:
    patience = Patience(intensity=2, period_s=60)
    assert [patience.delay_after_crash(now) is None for now in (0, 1, 2)] == [False, False, True]


def test_crashes_older_than_the_period_are_forgiven() -> None:
    patience = Patience(intensity=2, period_s=60)
    assert [patience.delay_after_crash(now) for now in (0, 1, 61.5)] == [0.1, 0.2, 0.1]
    assert patience.restarts == 1


def test_an_intensity_of_nothing_never_starts_again() -> None:
    assert Patience(intensity=0).delay_after_crash(0) is None


@given(st.lists(st.floats(0, 30), max_size=60), st.integers(0, 6))
def test_no_window_of_the_period_holds_more_restarts_than_the_intensity(gaps: list[float], intensity: int) -> None:
    patience = Patience(intensity, period_s=60)
    now, restarts = 0.0, []
    for gap in gaps:
        now += gap
        if patience.delay_after_crash(now) is None:
            break
        restarts.append(now)
    for end in restarts:
        assert sum(end - 60 <= at <= end for at in restarts) <= intensity
