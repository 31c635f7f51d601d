"""The host's side of the control plane by itself: what is said to whom, when an agent is up and not yet connected."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from typing import Any

import msgspec
import pytest

from agenthost.containment.walk import WalkContainment
from agenthost.core import effects as do
from agenthost.core import events as on
from agenthost.core.birth import AgentBirth, Limits
from agenthost.core.reason import Reason
from agenthost.core.spec import SupervisorSpec, WorkerSpec
from agenthost.core.step import step
from agenthost.core.tree import State
from agenthost.host.dialogs import Dialogs
from agenthost.host.doors import Doors
from agenthost.host.incarnation import Incarnation
from agenthost.host.monitors import Monitors
from agenthost.host.sleepers import Sleepers
from agenthost.host.wishes import Wishes
from agenthost.protocol import control as say
from agenthost.protocol.codec import encode, read_from_host
from agenthost.transport.places import Places
from tests.waiting import wait_until

CLIENT, AGENT, PID = b"client", b"agent", 4711


class Told:
    """Where the router would be."""

    def __init__(self) -> None:
        self.frames: list[tuple[bytes, Any]] = []

    def send(self, peer: bytes, frames: list[bytes]) -> None:
        self.frames.append((peer, read_from_host(frames[0])))

    def to(self, peer: bytes, kind: type[msgspec.Struct]) -> list[Any]:
        return [message for whom, message in self.frames if whom == peer and isinstance(message, kind)]


async def _never(path: str) -> bool:
    return False


class Side:
    """Dialogs with one agent, /a, that is up by its birth socket."""

    def __init__(self, hibernate_s: float | None = None) -> None:
        birth = AgentBirth("m:A")
        self.state = State(SupervisorSpec("root", (WorkerSpec("a", birth=birth, hibernate_s=hibernate_s),)))
        cell = WalkContainment().cell("/a", "1.1", Limits())
        self.it = Incarnation("/a", 1, "1.1", birth, cell, time.monotonic(), agent_pid=PID)
        self.told = Told()

        def present(path: str) -> Incarnation | None:
            return self.it if path == "/a" else None

        wishes = Wishes(state=self.state, folder="/", present=present, send=lambda peer, frame: None, tell=self.tell)
        self.sleepers = sleepers = Sleepers(
            state=self.state, tell=self.tell, is_removed=_never, still_waits=lambda path: False
        )
        self.dialogs = Dialogs(
            state=self.state,
            present=present,
            may_operate=lambda pid, uid: True,
            on_request=lambda peer, uid, request: None,
            wishes=wishes,
            doors=Doors(Places("side")),
            sleepers=sleepers,
            tell=self.tell,
        )
        self.dialogs.router = self.told  # type: ignore[assignment]
        self.tell(on.Boot())
        self.dialogs.expect(self.it)
        self.tell(on.Ready("/a", 1))

    def tell(self, event: on.Event) -> list[do.Effect]:
        return step(self.state, event, time.monotonic())

    def hears(self, peer: bytes, message: Any, pid: int = 1) -> None:
        self.dialogs.heard(peer, 0, pid, [encode(message)])

    def introduce(self) -> None:
        self.hears(AGENT, say.Ready(inc="1.1", token=self.it.token), PID)


def in_loop(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(test)


@pytest.mark.parametrize("count", [1, 3])
def test_who_is_looked_up_before_it_is_connected_is_told_when_it_is(count: int) -> None:
    async def run() -> None:
        side = Side()
        for number in range(count):
            side.hears(CLIENT, say.Lookup(id=number, path="/a"))
            side.hears(CLIENT, say.Lookup(id=number, path="/a"))  # said again: it is under way
        assert side.told.frames == []
        side.introduce()
        assert len(side.told.to(AGENT, say.Welcome)) == 1
        expects = side.told.to(AGENT, say.Expect)
        assert len(expects) == count
        side.introduce()
        assert len(side.told.to(AGENT, say.Expect)) == count, "once each"
        for expect in expects:
            side.hears(AGENT, say.Expecting(inc="1.1", ticket=expect.ticket, address="ipc:///x"), PID)
        assert [found.id for found in side.told.to(CLIENT, say.Found)] == list(range(count))
        side.dialogs.close()

    in_loop(run())


def test_who_ends_before_it_is_connected_is_refused_to_those_who_look() -> None:
    async def run() -> None:
        side = Side()
        side.hears(CLIENT, say.Lookup(id=7, path="/a"))
        side.it.exited = True
        side.dialogs.ended(side.it, Reason("exit", 1))
        [refused] = side.told.to(CLIENT, say.Refused)
        assert refused.id == 7 and refused.code == "not_running" and "exit status 1" in refused.why
        side.introduce()
        assert side.told.to(AGENT, say.Expect) == [], "its token is worth nothing any more"
        side.dialogs.close()

    in_loop(run())


def test_an_agent_is_born_with_the_tickets_of_those_who_have_woken_it() -> None:
    async def run() -> None:
        side = Side(hibernate_s=1.0)
        side.introduce()
        for event in (
            on.Idle("/a", 1, 60.0),
            on.FallsAsleep("/a", 1),
            on.Exited("/a", 1, Reason("exit", 0)),
            on.Emptied("/a", 1),
        ):
            side.tell(event)
        side.it.exited = True
        side.hears(CLIENT, say.Lookup(id=7, path="/a"))
        side.hears(CLIENT, say.Lookup(id=7, path="/a"))  # said again
        side.it = Incarnation("/a", 2, "1.2", side.it.birth, side.it.cell, time.monotonic(), agent_pid=PID)
        side.dialogs.expect(side.it)
        [expected] = side.it.expected
        assert expected.caller == "client:0"
        assert side.told.to(CLIENT, say.Found) == []
        for effect in side.tell(on.Ready("/a", 2)):
            if isinstance(effect, do.Answer):
                assert side.sleepers.answered(effect)
        [found] = side.told.to(CLIENT, say.Found)
        assert (found.id, found.inc, found.ticket) == (7, "1.2", expected.ticket)
        assert side.told.to(AGENT, say.Expect) == [], "it knows that already"
        side.dialogs.ended(side.it, Reason("exit", 1))
        assert [down.inc for down in side.told.to(CLIENT, say.Down)] == ["1.2"]
        side.sleepers.close()
        side.dialogs.close()

    in_loop(run())


def test_a_down_that_was_told_is_said_until_it_is_seen_though_its_monitor_was_taken_back() -> None:
    async def run() -> None:
        side = Side()
        side.introduce()
        frames: list[bytes] = []
        monitors = Monitors(lambda peer, frame: frames.append(frame))
        target = Incarnation("/b", 2, "1.2", side.it.birth, side.it.cell, time.monotonic(), agent_pid=PID)
        monitors.begin(side.it, target)
        assert monitors.ended(target, Reason("exit", 1)) == {AGENT}
        monitors.forget(side.it, "1.2")
        await asyncio.to_thread(wait_until, lambda: len(frames) >= 2, 10, "it is said again")
        downs: list[Any] = [read_from_host(frame) for frame in frames]
        assert len(downs) >= 2 and len({down.id for down in downs}) == 1
        monitors.seen(side.it, downs[0].id)
        said = len(frames)
        other = Incarnation("/c", 3, "1.3", side.it.birth, side.it.cell, time.monotonic(), agent_pid=PID)
        monitors.begin(side.it, other)
        monitors.ended(other, Reason("exit", 1))
        await asyncio.to_thread(wait_until, lambda: len(frames) >= said + 3, 10, "another is said again, twice")
        assert {read_from_host(frame).path for frame in frames[said:]} == {"/c"}
        monitors.close()
        side.dialogs.close()

    in_loop(run())


def test_a_stop_that_came_before_it_is_connected_is_said_when_it_is() -> None:
    async def run() -> None:
        side = Side()
        side.it.asked = ("stopped by a test", 5.0)
        side.dialogs.ask(side.it)
        assert side.told.frames == []
        side.introduce()
        [stop] = side.told.to(AGENT, say.Stop)
        assert stop.reason == "stopped by a test"
        side.dialogs.close()

    in_loop(run())
