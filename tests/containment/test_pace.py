"""Who computes and who only works in bursts: decided from three numbers a thread."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agenthost.containment import pace
from agenthost.containment.pace import BURST_S, LITTLE_CPUS, MUCH_CPUS, STARVED, Period, Times
from tests.containment import births
from tests.waiting import wait_until

seconds = st.floats(0.1, 10)
shares = st.floats(0, 4)
fair = st.floats(0.001, 1)


@given(seconds, shares, shares, st.integers(0, 100_000), fair)
def test_it_begins_to_compute_when_it_wants_much_has_its_share_and_keeps_it(
    length: float, ran: float, waited: float, slices: int, fair_cpus: float
) -> None:
    period = Period(length, ran * length, waited * length, slices)
    begins = pace.begins_to_compute(period, fair_cpus)
    if begins:
        assert period.wanted_cpus >= MUCH_CPUS
        assert period.ran_cpus >= MUCH_CPUS * fair_cpus
        assert period.ran_s >= BURST_S * slices
    else:
        assert (
            period.wanted_cpus < MUCH_CPUS
            or period.ran_cpus < MUCH_CPUS * fair_cpus
            or period.ran_s < BURST_S * max(1, slices)
        )


@pytest.mark.parametrize(
    ("period", "fair_cpus", "begins"),
    [
        (Period(1, 1.0, 0.0, 0), 1.0, True),  # alone on its CPU: never taken off it
        (Period(1, 0.5, 0.5, 170), 0.5, True),  # two on one CPU
        (Period(1, 0.03, 0.97, 10), 1 / 30, True),  # sixty on two
        (Period(1, 0.5, 0.2, 16_000), 1.0, False),  # calls and is called all the time
        (Period(1, 0.4, 0.0, 10), 1.0, False),  # pauses more than it computes
        (Period(1, 0.05, 0.95, 10), 1.0, False),  # is not let to: it disturbs nobody
    ],
)
def test_cases_that_were_seen(period: Period, fair_cpus: float, begins: bool) -> None:
    assert pace.begins_to_compute(period, fair_cpus) is begins


@given(seconds, shares, shares, st.integers(0, 100_000), fair, st.booleans())
def test_a_finding_about_one_that_gives_way_is_one_of_three(
    length: float, ran: float, waited: float, slices: int, fair_cpus: float, ready: bool
) -> None:
    period = Period(length, ran * length, waited * length, slices)
    found = pace.finding(period, fair_cpus, lambda: ready)
    hardly = period.ran_cpus < STARVED * fair_cpus
    assert (found == "starves") == (hardly and ready)
    assert (found == "computes") == (not hardly and period.wanted_cpus >= LITTLE_CPUS)


def test_a_thread_that_was_not_known_counts_from_its_birth_and_one_that_ended_not_at_all() -> None:
    before = {1: Times(1_000_000_000, 0, 5), 2: Times(7_000_000_000, 7, 7)}
    after = {1: Times(1_500_000_000, 250_000_000, 9), 3: Times(100_000_000, 0, 1)}
    assert pace.between(before, after, 2.0) == Period(2.0, 0.6, 0.25, 5)


times = st.builds(Times, st.integers(0, 2**40), st.integers(0, 2**40), st.integers(0, 2**30))


@given(st.dictionaries(st.integers(1, 9), times), st.dictionaries(st.integers(1, 9), times), seconds)
def test_no_number_is_ever_negative(before: dict[int, Times], after: dict[int, Times], length: float) -> None:
    period = pace.between(before, after, length)
    assert min(period.ran_s, period.waited_s, period.slices) >= 0


def test_the_kernels_line_is_read_and_nothing_else() -> None:
    assert pace.parse_times(b"652528291 349873817 302\n") == Times(652528291, 349873817, 302)
    assert pace.parse_times(b"") is None
    assert pace.parse_times(b"1 2") is None


@pytest.fixture
def run_child(request: pytest.FixtureRequest) -> Callable[[Callable[[], None]], int]:
    def run(act: Callable[[], None]) -> int:
        pid = births.child(act)

        def end() -> None:
            os.kill(pid, 9)
            os.waitpid(pid, 0)

        request.addfinalizer(end)
        return pid

    return run


def observed(pid: int, enough: Callable[[Period], bool]) -> Period:
    """What the process did from now on, once that is enough to judge by."""
    before, began = pace.read_times([pid], 64), time.monotonic()

    def look() -> Period:
        return pace.between(before, pace.read_times([pid], 64), time.monotonic() - began)

    wait_until(lambda: enough(look()), 60, "it has run long enough")
    return look()


def test_a_process_that_spins_computes(run_child: Callable[[Callable[[], None]], int]) -> None:
    def spin() -> None:
        while True:
            pass

    period = observed(run_child(spin), lambda period: period.ran_s > 0.3)
    assert pace.begins_to_compute(period, fair_cpus=0.02)


def test_two_that_talk_all_the_time_do_not(run_child: Callable[[Callable[[], None]], int]) -> None:
    (a, to_b), (b, to_a) = os.pipe(), os.pipe()

    def talk(hear: int, say: int) -> None:
        while True:
            os.write(say, os.read(hear, 1))

    pids = [run_child(lambda: talk(a, to_a)), run_child(lambda: talk(b, to_b))]
    os.write(to_b, b".")
    periods = [observed(pid, lambda period: period.ran_s > 0.1 and period.slices > 100) for pid in pids]
    for descriptor in (a, b, to_a, to_b):
        os.close(descriptor)
    assert not any(pace.begins_to_compute(period, fair_cpus=0.02) for period in periods)


def test_what_a_sleeper_waits_for_is_no_cpu(run_child: Callable[[Callable[[], None]], int]) -> None:
    pid = run_child(births.rest)
    wait_until(lambda: not pace.any_ready([pid], pace.threads(pid)), 60, "it sleeps")
    assert pace.any_ready([os.getpid()], pace.threads(os.getpid()))  # we run


def test_there_is_always_somebody_who_reads() -> None:
    assert pace.ready_to_run() >= 1


def test_who_has_gone_has_no_threads() -> None:
    pid = births.child(lambda: None)
    os.waitpid(pid, 0)
    assert pace.threads(pid) == [] and pace.read_times([pid], 9) == {}


def test_no_more_threads_are_read_than_wanted() -> None:
    assert len(pace.read_times([os.getpid(), os.getppid()], 1)) == 1
