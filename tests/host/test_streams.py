"""Streams of tools and the Runs that they are for: paired in either order, bounded, and every descriptor closed."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from agenthost.errors import AgenthostError, NotRunning, Overloaded, TimedOut, UsageError
from agenthost.host import streams as under_test
from agenthost.host.streams import MOST, MOST_OF_ONE, Streams


def open_now() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.fixture
def nothing_left() -> Iterator[None]:
    before = open_now()
    yield
    assert open_now() == before


def play(part: Callable[[Streams], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        streams = Streams()
        try:
            await part(streams)
        finally:
            streams.close()

    asyncio.run(main())


def pipes(count: int = 2) -> list[int]:
    """Ends for a tool."""
    read, write = os.pipe()
    os.close(read)
    return [write, *(os.dup(write) for _ in range(count - 1))]


class Run:
    """What became of a wish for streams."""

    def __init__(self, streams: Streams, n: int, id: int) -> None:
        self.number = 0
        self.error: AgenthostError | None = None
        streams.want(n, id, self._then, self._late, "tool")

    def _then(self, number: int) -> None:
        self.number = number

    def _late(self, error: AgenthostError) -> None:
        self.error = error


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("first", ["streams", "run"])
def test_whichever_comes_first_waits_for_the_other(first: str, count: int) -> None:
    async def part(streams: Streams) -> None:
        if first == "streams":
            streams.came(1, 7, pipes(count))
            run = Run(streams, 1, 7)
        else:
            run = Run(streams, 1, 7)
            assert run.number == 0
            streams.came(1, 7, pipes(count))
        streams.equip(run.number, {"A": "b"})
        given = streams.take(run.number)
        assert given is not None
        assert (given.env, given.stdin is None) == ((("A", "b"),), count == 2)
        assert streams.take(run.number) is None
        streams.drop(run.number)
        given.close()

    play(part)


@pytest.mark.usefixtures("nothing_left")
def test_only_the_same_agents_streams_of_the_same_number_are_taken() -> None:
    async def part(streams: Streams) -> None:
        streams.came(1, 7, pipes())
        assert not Run(streams, 2, 7).number and not Run(streams, 1, 8).number
        assert Run(streams, 1, 7).number

    play(part)


@pytest.mark.usefixtures("nothing_left")
def test_what_waits_too_long_is_closed_and_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(under_test, "PATIENCE_S", 0.01)

    async def part(streams: Streams) -> None:
        before = open_now()
        streams.came(1, 7, pipes())
        run = Run(streams, 1, 8)
        async with asyncio.timeout(60):
            while run.error is None or open_now() > before:  # noqa: ASYNC110 - a timer of what is tested sets no event
                await asyncio.sleep(0.005)
        assert isinstance(run.error, TimedOut)
        assert not Run(streams, 1, 7).number

    play(part)


@pytest.mark.usefixtures("nothing_left")
def test_what_an_agent_may_have_waiting_is_bounded_and_others_are_not_hit() -> None:
    async def part(streams: Streams) -> None:
        before = open_now()
        for number in range(2 * MOST_OF_ONE):
            streams.came(1, number, pipes())
        assert open_now() == before + 2 * MOST_OF_ONE
        with pytest.raises(Overloaded):
            Run(streams, 1, 3 * MOST_OF_ONE)
        assert Run(streams, 1, 0).number and not Run(streams, 1, 3 * MOST_OF_ONE).number
        streams.came(2, 1, pipes())
        assert Run(streams, 2, 1).number

    play(part)


@pytest.mark.usefixtures("nothing_left")
def test_all_together_are_bounded_as_well() -> None:
    async def part(streams: Streams) -> None:
        for number in range(MOST + 10):
            streams.came(number // MOST_OF_ONE, number, pipes())
        assert len(streams._waiting) == MOST

    play(part)


@pytest.mark.usefixtures("nothing_left")
def test_an_agent_that_ends_takes_its_streams_along() -> None:
    async def part(streams: Streams) -> None:
        before = open_now()
        streams.came(1, 1, pipes())
        run = Run(streams, 1, 2)
        streams.ended(1)
        assert open_now() == before
        streams.came(1, 2, pipes())
        assert not run.number

    play(part)


@pytest.mark.usefixtures("nothing_left")
def test_a_run_that_is_given_up_does_not_begin_when_its_streams_come() -> None:
    async def part(streams: Streams) -> None:
        run = Run(streams, 1, 7)
        streams.give_up(1, 7, NotRunning("it was ended"))
        streams.give_up(1, 7, NotRunning("it was ended"))
        streams.came(1, 7, pipes())
        assert isinstance(run.error, NotRunning) and not run.number

    play(part)


@pytest.mark.usefixtures("nothing_left")
def test_streams_said_twice_and_runs_said_twice_are_refused() -> None:
    async def part(streams: Streams) -> None:
        before = open_now()
        streams.came(1, 7, pipes())
        streams.came(1, 7, pipes())
        assert open_now() == before + 2
        Run(streams, 1, 8)
        with pytest.raises(UsageError, match="another tool waits"):
            Run(streams, 1, 8)

    play(part)


@pytest.mark.usefixtures("nothing_left")
def test_only_pipes_and_the_null_device_are_taken() -> None:
    async def part(streams: Streams) -> None:
        before = open_now()
        one, other = socket.socketpair()
        with one, other:
            for wrong in (
                os.dup(one.fileno()),
                os.memfd_create("x"),
                os.open("/dev/zero", os.O_RDONLY),
                os.open("/", 0),
            ):
                streams.came(1, wrong, [*pipes(1), wrong])
                assert not Run(streams, 1, wrong).number
        for count in (0, 1, 4):
            streams.came(1, 100 + count, pipes(count) if count else [])
        assert open_now() == before
        streams.came(1, 200, [os.open(os.devnull, os.O_WRONLY), *pipes(1)])
        assert Run(streams, 1, 200).number

    play(part)
