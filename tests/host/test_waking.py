"""Who wakes whom: a bounded number at a time, in order; failures are tried again; whoever waits hears once."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from agenthost.core import effects as do
from agenthost.core import events as on
from agenthost.core.birth import AgentBirth, ProgramBirth
from agenthost.core.reason import Reason
from agenthost.core.spec import SupervisorSpec, WorkerSpec
from agenthost.core.step import step
from agenthost.core.tree import State
from agenthost.errors import AgenthostError, NotRunning, StartFailed, UnknownName
from agenthost.host import sleepers
from agenthost.host.sleepers import Sleepers

CHATS = SupervisorSpec("chats", template=WorkerSpec("any", birth=AgentBirth("m:A"), hibernate_s=60.0))
TOOLS = SupervisorSpec("tools", template=WorkerSpec("any", birth=ProgramBirth(("true",))))


class Side:
    """The core, and births that the test ends."""

    def __init__(self, chats: SupervisorSpec = CHATS) -> None:
        self.state = State(SupervisorSpec("root", (chats, TOOLS, WorkerSpec("a", birth=AgentBirth("m:A")))))
        self.births: list[do.Birth] = []
        self.outcomes: dict[str, list[AgenthostError | None]] = {}
        self.removed: set[str] = set()
        self.waiting: set[str] = set()
        self._inbox: deque[on.Event] = deque()
        self._busy = False
        self.sleepers = Sleepers(
            state=self.state,
            tell=self.tell,
            is_removed=self._is_removed,
            still_waits=lambda path: path in self.waiting,
        )
        self.tell(on.Boot())
        self.ready(self.births.pop(0))

    async def _is_removed(self, path: str) -> bool:
        return path in self.removed

    def tell(self, event: on.Event) -> None:
        self._inbox.append(event)
        if self._busy:
            return
        self._busy = True
        while self._inbox:
            for effect in step(self.state, self._inbox.popleft(), time.monotonic()):
                if isinstance(effect, do.Birth):
                    self.births.append(effect)
                elif isinstance(effect, do.Answer):
                    assert self.sleepers.answered(effect)
                elif isinstance(effect, do.Kill):
                    self.tell(on.Emptied(effect.path, effect.n))
        self._busy = False

    def ready(self, birth: do.Birth) -> None:
        self.tell(on.Ready(birth.path, birth.n))

    def fails(self, birth: do.Birth) -> None:
        self.tell(on.Exited(birth.path, birth.n, Reason("start_failed", text="no")))

    def call(self, path: str) -> None:
        self.sleepers.call(path, self.outcomes.setdefault(path, []).append)

    async def wait(self, is_true: Callable[[], Any]) -> None:
        async with asyncio.timeout(60):
            while not is_true():  # noqa: ASYNC110  # what is tested sets no event
                await asyncio.sleep(0.001)


def test_no_more_begin_at_a_time_than_may_and_all_in_order() -> None:
    async def run() -> None:
        side = Side()
        paths = [f"/chats/m{number}" for number in range(5 * sleepers.AT_ONCE)]
        for path in paths:
            side.call(path)
        begun: list[str] = []
        while len(begun) < len(paths):
            await side.wait(lambda: side.births)
            assert len(side.births) <= sleepers.AT_ONCE
            birth = side.births.pop(0)
            begun.append(birth.path)
            side.ready(birth)
        assert begun == paths
        assert all(side.outcomes[path] == [None] for path in paths)
        side.sleepers.close()

    asyncio.run(run())


def test_who_is_called_does_not_wait_behind_all_that_have_mail() -> None:
    async def run() -> None:
        side = Side()
        for number in range(10 * sleepers.AT_ONCE):
            side.sleepers.mail_waits(f"/chats/m{number}")
        side.call(last := f"/chats/m{10 * sleepers.AT_ONCE - 1}")
        side.call("/chats/other")
        await asyncio.sleep(0)  # the second is not known, and is looked up first
        begun: list[str] = []
        while len(begun) < 10 * sleepers.AT_ONCE + 1:
            await side.wait(lambda: side.births)
            birth = side.births.pop(0)
            begun.append(birth.path)
            side.ready(birth)
        assert begun[sleepers.AT_ONCE : sleepers.AT_ONCE + 2] == [last, "/chats/other"]
        assert len(set(begun)) == len(begun), "each of them once"
        assert side.outcomes == {last: [None], "/chats/other": [None]}
        side.sleepers.close()

    asyncio.run(run())


def test_many_who_want_the_same_wake_it_once_and_all_hear() -> None:
    async def run() -> None:
        side = Side()
        for _ in range(10):
            side.call("/chats/ana")
        await side.wait(lambda: side.births)
        assert len(side.births) == 1
        side.ready(side.births[0])
        await side.wait(lambda: len(side.outcomes["/chats/ana"]) == 10)
        side.call("/chats/ana")
        await side.wait(lambda: len(side.outcomes["/chats/ana"]) == 11)
        assert len(side.births) == 1
        side.sleepers.close()

    asyncio.run(run())


def test_who_does_not_get_ready_does_not_hold_up_the_others_for_long() -> None:
    async def run() -> None:
        side = Side()
        for number in range(sleepers.AT_ONCE + 1):
            side.call(f"/chats/m{number}")
        await side.wait(lambda: len(side.births) == sleepers.AT_ONCE)
        await side.wait(lambda: len(side.births) == sleepers.AT_ONCE + 1)
        side.sleepers.close()

    asyncio.run(run())


def test_who_waits_for_room_holds_up_nobody() -> None:
    async def run() -> None:
        side = Side(SupervisorSpec("chats", template=CHATS.template, live=1))
        for number in range(3 * sleepers.AT_ONCE):
            side.call(f"/chats/m{number}")
        await side.wait(lambda: side.births)
        side.ready(side.births[0])
        pool = side.state.nodes["/chats"]
        await side.wait(lambda: len(pool.waking) == 3 * sleepers.AT_ONCE - 1)  # type: ignore[union-attr]
        side.sleepers.close()

    asyncio.run(run())


def test_a_wake_that_fails_is_tried_again_and_then_told() -> None:
    async def run() -> None:
        side = Side()
        side.call("/chats/ana")
        for _ in range(sleepers.TRIES):
            await side.wait(lambda: side.births)
            assert side.outcomes["/chats/ana"] == []
            side.fails(side.births.pop())
        [error] = side.outcomes["/chats/ana"]
        assert isinstance(error, StartFailed) and "no" in str(error)
        side.sleepers.close()

    asyncio.run(run())


def test_mail_that_cannot_wake_is_not_forgotten() -> None:
    async def run() -> None:
        side = Side()
        side.waiting.add("/chats/ana")
        side.sleepers.mail_waits("/chats/ana")
        for _ in range(sleepers.TRIES):
            await side.wait(lambda: side.births)
            side.fails(side.births.pop())
        side.sleepers.mail_waits("/chats/ana")  # said again: it has its own time
        assert side.births == []
        await side.wait(lambda: side.births)
        side.ready(side.births.pop())
        side.waiting.clear()
        side.sleepers.close()

    asyncio.run(run())


def test_who_is_no_member_is_not_made() -> None:
    async def run() -> None:
        side = Side()
        for path in ("/nobody", "/chats/.x", "/chats/a/b", "/tools/x", "/a/x", "/chats/" + "x" * 65, "/"):
            assert not side.sleepers.is_away(path), path
            assert side.sleepers.template(path) is None
        assert side.sleepers.is_away("/chats/ana")
        assert not side.sleepers.is_away("/a")
        side.removed.add("/chats/gone")
        side.call("/chats/gone")
        await side.wait(lambda: side.outcomes["/chats/gone"])
        assert isinstance(side.outcomes["/chats/gone"][0], UnknownName)
        assert side.births == []
        side.sleepers.close()

    asyncio.run(run())


def test_who_waits_when_its_pool_stops_is_told() -> None:
    async def run() -> None:
        side = Side(SupervisorSpec("chats", template=CHATS.template, live=1))
        side.call("/chats/a")
        await side.wait(lambda: side.births)
        side.ready(side.births[0])
        side.call("/chats/b")
        await side.wait(lambda: side.state.nodes["/chats"].waking)  # type: ignore[union-attr]
        side.tell(on.Halt("kill"))
        assert isinstance(side.outcomes["/chats/b"][0], NotRunning)
        side.sleepers.close()

    asyncio.run(run())
