"""How many sleep: one count at a time, kept however late it comes. The journal is a future that the test sets."""

from __future__ import annotations

import asyncio

from agenthost.errors import AgenthostError
from agenthost.host.sleepers_counted import SleepersCounted
from tests.core.trees import pool, worker
from tests.core.world import World


class SlowJournal:
    def __init__(self) -> None:
        self.asked: list[dict[str, list[str]]] = []
        self.counts: asyncio.Future[dict[str, int]] = asyncio.get_running_loop().create_future()

    async def count(self, pools: dict[str, list[str]]) -> dict[str, int]:
        self.asked.append(pools)
        return await self.counts


def counted(journal: SlowJournal) -> SleepersCounted:
    world = World(pool("root", worker("any"))).boot()
    world.add("/", "ana")
    return SleepersCounted(world.state, journal.count)


def test_a_count_that_takes_longer_than_anybody_waits_is_made_once_and_kept() -> None:
    async def scene() -> None:
        journal = SlowJournal()
        sleepers = counted(journal)
        assert await sleepers.by_pool(0) is None
        assert await sleepers.by_pool(0.001) is None
        journal.counts.set_result({"/": 7})
        assert await sleepers.by_pool(60) == {"/": 7}
        assert journal.asked == [{"/": ["ana"]}]

    asyncio.run(scene())


def test_a_count_that_fails_says_that_it_is_not_known_and_is_made_again() -> None:
    async def scene() -> None:
        journal = SlowJournal()
        sleepers = counted(journal)
        journal.counts.set_exception(AgenthostError("cannot reach the journal"))
        assert await sleepers.by_pool(60) is None
        journal.counts = asyncio.get_running_loop().create_future()
        journal.counts.set_result({"/": 7})
        assert await sleepers.by_pool(60) == {"/": 7}
        assert len(journal.asked) == 2

    asyncio.run(scene())


def test_who_leaves_while_a_count_is_under_way_leaves_no_task() -> None:
    async def scene() -> None:
        sleepers = counted(SlowJournal())
        await sleepers.by_pool(0)
        sleepers.close()
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(scene())
