"""An agent with children in a test without a host."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from agenthost.agent.agent import IGNORE, Agent
from agenthost.errors import Down, HandlerFailed, NotRunning, Refuse, StartFailed, TimedOut, UsageError
from agenthost.testing import AgentHarness
from tests.agent.cast import AsyncEcho, Clerk, Echo


class Lead(Agent):
    """Its body is a function of (self, ctx), which a test without a wire may hand in by name."""

    def handle(self, message: Any, ctx: Any) -> Any:
        return getattr(self, message.body)(ctx)

    def on_down(self, down: Any, ctx: Any) -> None:
        self.state.setdefault("downs", []).append(tuple(down))

    def parallel(self, ctx: Any) -> Any:
        with ctx.scope() as scope:
            kinds = [Echo, AsyncEcho, lambda message: message.body * 2]
            children = [scope.start(kind) for kind in kinds]
            self.state["paths"] = [child.path for child in children]
            return scope.gather([(child, number) for number, child in enumerate(children)])

    def keeps(self, ctx: Any) -> Any:
        self.child = ctx.start(Clerk, name="kept", args={"a": 1}, restart="permanent")
        return self.child.call(["echo", 1])

    def crashes(self, ctx: Any) -> Any:
        with ctx.scope() as scope:
            children = [scope.start(Clerk) for _ in range(2)]
            scope.gather([(child, ["raise"]) for child in children])

    def refuses(self, ctx: Any) -> Any:
        with ctx.scope() as scope:
            scope.start(Clerk).call(["refuse"])

    def grandchildren(self, ctx: Any) -> Any:
        factor = 2

        def middle(message: Any, ctx: Any) -> Any:
            with ctx.scope() as scope:
                return scope.start(lambda inner: inner.body * factor).call(message.body)

        with ctx.scope() as scope:
            return scope.start(middle).call(21)

    def ignored(self, ctx: Any) -> Any:
        class Nothing(Echo):
            def on_start(self, ctx: Any) -> Any:
                return IGNORE

        ctx.start(Nothing)

    def program(self, ctx: Any) -> Any:
        ctx.start({"command": ["sleep", "1"]})

    def overrun(self, ctx: Any) -> Any:
        with ctx.scope(timeout=0) as scope:
            scope.start(Echo)

    def watches(self, ctx: Any) -> Any:
        self.monitor = ctx.monitor("/search")
        return self.monitor.ended is None

    def looks(self, ctx: Any) -> Any:
        return ctx.monitor("/nowhere").wait().reason

    def asks_group(self, ctx: Any) -> Any:
        group = ctx.group("crew")
        return [group.call("x"), group.call("x"), group.send_all("y"), [one.path for one in group.members()]]


class AsyncLead(Agent):
    async def handle(self, message: Any, ctx: Any) -> Any:
        return await getattr(self, message.body)(ctx)

    async def parallel(self, ctx: Any) -> Any:
        async with ctx.scope() as scope:
            kinds = [Echo, AsyncEcho, lambda message: message.body * 2]
            children = await asyncio.gather(*(scope.start(kind) for kind in kinds))
            self.state["paths"] = [child.path for child in children]
            return await scope.gather([(child, number) for number, child in enumerate(children)])

    async def really_parallel(self, ctx: Any) -> Any:
        """Neither can answer before the other has been called."""
        async with ctx.scope() as scope:
            ping = await scope.start(_waits_for_its_brother, name="a")
            pong = await scope.start(_waits_for_its_brother, name="b")
            return await scope.gather([(ping, "/test/b"), (pong, "/test/a")])

    async def crashes(self, ctx: Any) -> Any:
        async with ctx.scope() as scope:
            children = [await scope.start(Clerk), await scope.start(AsyncEcho)]
            await scope.gather([(children[0], ["raise"]), (children[1], 1)])


_met: dict[str, asyncio.Event] = {}


async def _waits_for_its_brother(message: Any, ctx: Any) -> Any:
    _met.setdefault(ctx.path, asyncio.Event()).set()
    await _met.setdefault(message.body, asyncio.Event()).wait()
    return "met"


@pytest.mark.parametrize("kind", [Lead, AsyncLead])
def test_children_answer_and_are_gone_after_the_block(kind: Any) -> None:
    with AgentHarness(kind) as lead:
        assert lead.call("parallel") == [0, 1, 4]
        assert lead.state["paths"] == ["/test/echo-1", "/test/asyncecho-1", "/test/lambda-1"]
        assert lead.children == []
        assert lead.calls == [("/test/echo-1", 0), ("/test/asyncecho-1", 1), ("/test/lambda-1", 2)]


def test_async_children_run_at_one_time() -> None:
    _met.clear()
    with AgentHarness(AsyncLead) as lead:
        assert lead.call("really_parallel", timeout=20) == ["met", "met"]


def test_a_child_may_be_kept_and_restarted() -> None:
    with AgentHarness(Lead) as lead:
        assert lead.call("keeps") == 1
        assert lead.children == ["/test/kept"]
        with pytest.raises(HandlerFailed, match="wrong number"):
            lead.agent.child.call(["raise"])
        assert lead.children == ["/test/kept"]
        assert lead.agent.child.call(["turns"]) == 1  # a clean one
        lead.stop()
        assert lead.children == []


@pytest.mark.parametrize("kind", [Lead, AsyncLead])
def test_the_first_error_ends_the_rest(kind: Any) -> None:
    with AgentHarness(kind) as lead:
        with pytest.raises(HandlerFailed, match="wrong number"):
            lead.call("crashes")
        assert lead.children == []


def test_errors_are_those_of_a_host() -> None:
    with AgentHarness(Lead) as lead:
        with pytest.raises(Refuse, match="no such item"):
            lead.call("refuses")
        with pytest.raises(StartFailed, match="nothing to do"):
            lead.call("ignored")
        with pytest.raises(UsageError, match="runs no programs"):
            lead.call("program")
        with pytest.raises(TimedOut, match="its time of 0 s is over"):
            lead.call("overrun")
        assert lead.children == []


def test_children_may_have_children() -> None:
    with AgentHarness(Lead) as lead:
        assert lead.call("grandchildren") == 42


def test_a_test_may_let_somebody_end() -> None:
    with AgentHarness(Lead, answers={"/search": lambda body: 1}) as lead:
        assert lead.call("watches") is True
        lead.end("/search", "killed: out of memory")
        assert lead.state["downs"] == [("/search", "1.1", "killed: out of memory", False)]
        assert lead.call("looks").startswith("not running")


def test_groups_are_the_tests() -> None:
    answers = {"/a": lambda body: "from a", "/b": lambda body: "from b"}
    with AgentHarness(Lead, answers=answers, groups={"crew": ["/a", "/b"]}) as lead:
        first, second, count, members = lead.call("asks_group")
        assert {first, second} == {"from a", "from b"}
        assert count == 2 and members == ["/a", "/b"]
    with AgentHarness(Lead) as lead, pytest.raises(NotRunning, match="crew"):
        lead.call("asks_group")


def test_an_end_that_is_told_by_a_call_is_down() -> None:
    def answer(body: Any) -> Any:
        raise Down("cannot get an answer", path="/a", reason="killed")

    with AgentHarness(Lead, answers={"/a": answer}, groups={"crew": ["/a"]}) as lead, pytest.raises(Down):
        lead.call("asks_group")
