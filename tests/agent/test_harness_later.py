"""Mail for later in a test without a host: it is written down as it would be kept."""

from __future__ import annotations

from typing import Any

import pytest

from agenthost import Agent, AsyncContext, Context, Message
from agenthost.errors import UnknownName, UsageError
from agenthost.testing import AgentHarness


class Planner(Agent):
    def handle(self, message: Message, ctx: Context) -> Any:
        ctx.send_after("/b", ("a", "pair"), 60, key="k")
        ctx.send_after("/b", "again", 60, key="k")
        ctx.send_after("/c", "by the clock", at=2_000_000_000.5)
        ctx.send("/d", "now", key="n")
        ctx.schedule("nightly", "30 2 * * *", "/b", {"x": 1}, zone="Europe/Berlin")
        if message.body == "cancel":
            ctx.cancel("k")
            ctx.unschedule("nightly")


class AsyncPlanner(Agent):
    async def handle(self, message: Message, ctx: AsyncContext) -> Any:
        await ctx.send_after("/b", ("a", "pair"), 60, key="k")
        await ctx.send_after("/b", "again", 60, key="k")
        await ctx.send_after("/c", "by the clock", at=2_000_000_000.5)
        await ctx.send("/d", "now", key="n")
        await ctx.schedule("nightly", "30 2 * * *", "/b", {"x": 1}, zone="Europe/Berlin")
        if message.body == "cancel":
            await ctx.cancel("k")
            await ctx.unschedule("nightly")


@pytest.mark.parametrize("kind", [Planner, AsyncPlanner])
def test_what_is_for_later_is_written_down(kind: type[Agent]) -> None:
    with AgentHarness(kind) as planner:
        planner.send("plan")
        assert [(one.path, one.body, one.key, one.sender) for one in planner.later] == [
            ("/b", ["a", "pair"], "k", "/test"),
            ("/c", "by the clock", "", "/test"),
        ]
        assert planner.later[1].due == 2_000_000_000.5
        assert planner.sent == [("/d", "now")]
        nightly = ("CRON_TZ=Europe/Berlin 30 2 * * *", "/b", {"x": 1})
        assert planner.schedules == {("/test", "nightly"): nightly}
        planner.send("cancel")
        assert [one.path for one in planner.later] == ["/c", "/c"] and planner.schedules == {}


class Wrong(Agent):
    def handle(self, message: Message, ctx: Context) -> Any:
        match message.body:
            case "cron":
                ctx.schedule("x", "sometimes", "/b")
            case "name":
                ctx.schedule("1", "@hourly", "/b")
            case "unschedule":
                ctx.unschedule("x")
            case "transient":
                ctx.send("/b", durable=False, key="k")


@pytest.mark.parametrize(
    ("body", "error"),
    [("cron", UsageError), ("name", UsageError), ("unschedule", UnknownName), ("transient", UsageError)],
)
def test_what_a_journal_would_refuse_is_refused(body: str, error: type[Exception]) -> None:
    with AgentHarness(Wrong) as wrong, pytest.raises(error, match="cannot"):
        wrong.send(body)
