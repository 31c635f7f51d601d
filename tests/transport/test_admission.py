from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agenthost.errors import ProtocolError
from agenthost.transport.admission import Admission
from agenthost.transport.budget import Budgets
from agenthost.transport.framing import Unpacker, pack


def test_the_newest_connection_of_a_process_over_its_quota_is_shut() -> None:
    admission = Admission(per_process=2, per_outside_uid=9, capacity=100)
    assert [admission.opened(fd, (0, 7)) for fd in (10, 11, 12)] == [None, None, 12]
    assert admission.opened(13, (0, 8)) is None


def test_a_place_is_free_again_when_a_connection_has_closed() -> None:
    admission = Admission(per_process=1, per_outside_uid=9, capacity=100)
    admission.opened(10, (0, 7))
    admission.closed(10)
    assert admission.opened(11, (0, 7)) is None


def test_processes_outside_the_namespace_share_the_quota_of_their_uid() -> None:
    admission = Admission(per_process=1, per_outside_uid=2, capacity=100)
    assert [admission.opened(fd, (1000, 0)) for fd in (10, 11, 12)] == [None, None, 12]
    assert admission.opened(13, (1001, 0)) is None


def test_over_capacity_the_greediest_loses_its_newest() -> None:
    admission = Admission(per_process=10, per_outside_uid=10, capacity=4)
    for fd in (10, 11, 12):
        admission.opened(fd, (0, 7))
    assert admission.opened(13, (0, 8)) is None
    assert admission.opened(14, (0, 9)) == 12


def test_over_capacity_with_nobody_greedy_the_newcomer_is_shut() -> None:
    admission = Admission(per_process=10, per_outside_uid=10, capacity=2)
    assert [admission.opened(fd, (0, fd)) for fd in (10, 11, 12)] == [None, None, 12]


@given(st.lists(st.tuples(st.booleans(), st.integers(3, 12), st.integers(0, 3)), max_size=80))
def test_whatever_comes_and_goes_no_bound_is_passed(moves: list[tuple[bool, int, int]]) -> None:
    admission = Admission(per_process=3, per_outside_uid=2, capacity=5)
    open_: dict[int, int] = {}
    for is_open, fd, pid in moves:
        if is_open:
            open_[fd] = pid
            shut = admission.opened(fd, (0, pid))
            if shut is not None:
                assert shut in open_
        else:
            open_.pop(fd, None)
            admission.closed(fd)
        counts = {pid: admission.count((0, pid)) for pid in range(4)}
        assert all(count <= admission.quota((0, pid)) for pid, count in counts.items())
        assert sum(counts.values()) <= 5
        assert len(admission) == len(open_)


def test_a_peer_may_burst_then_has_its_rate_and_others_have_theirs() -> None:
    budgets = Budgets(rate=10, burst=5)
    assert [budgets.take("a", 10, now=0.0) for _ in range(6)] == [True] * 5 + [False]
    assert budgets.take("b", 10, now=0.0)
    assert budgets.take("a", 10, now=0.1)
    assert not budgets.take("a", 10, now=0.1)


def test_a_long_message_costs_more() -> None:
    budgets = Budgets(rate=1, burst=10)
    assert budgets.take("a", 8 * 4096, now=0.0)
    assert not budgets.take("a", 4096, now=0.0)


def test_a_peer_over_its_budget_is_told_once_a_second() -> None:
    budgets = Budgets(rate=1, burst=1)
    assert [budgets.may_tell("a", now) for now in (0.0, 0.5, 0.99, 1.0)] == [True, False, False, True]


def test_peers_that_say_nothing_any_more_are_forgotten() -> None:
    budgets = Budgets(rate=10, burst=10)
    for number in range(50_000):
        budgets.take(number, 1, now=number / 1000)
    assert len(budgets._buckets) < 10_000


@given(st.lists(st.lists(st.one_of(st.text(), st.binary(), st.integers(0, 9)), min_size=1)), st.data())
def test_messages_of_the_link_survive_any_cut_of_the_stream(messages: list[list[object]], data: st.DataObject) -> None:
    stream = b"".join(map(pack, messages))
    unpacker = Unpacker()
    read = []
    while stream:
        cut = data.draw(st.integers(1, len(stream)))
        read += unpacker.feed(stream[:cut])
        stream = stream[cut:]
    assert read == messages


@pytest.mark.parametrize("stream", [b"\xff\xff\xff\xff", b"\0\0\0\1\xc1", b"\0\0\0\1\x05", b"\0\0\0\1\x90"])
def test_a_stream_that_is_not_a_link_is_refused(stream: bytes) -> None:
    with pytest.raises(ProtocolError):
        Unpacker().feed(stream)
