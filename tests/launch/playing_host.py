"""A host of its own process, to be killed: prints the pids of its zygotes, of an agent and of a program, and waits."""

from __future__ import annotations

import asyncio

from tests.launch.births import agent, give_birth, launching, program


async def main() -> None:
    async with launching() as zygotes:
        newborns = [await give_birth(zygotes, order) for order in (agent("wait"), program("sleep", "1000"))]
        for newborn in newborns:
            newborn.here()
        print(*(newborn.born.pid for newborn in newborns), *(status.pid for status in zygotes.status()), flush=True)
        await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    asyncio.run(main())
