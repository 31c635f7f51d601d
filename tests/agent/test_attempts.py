"""Attempts of durable mail without a host: what was done is not done again, what may have been is asked about."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agenthost import Agent, AsyncContext, Context, Message
from agenthost.agent.attempt import ToolCall
from agenthost.errors import OutcomeUnknown, Refuse, TimedOut, ToolFailed, UnknownName, UsageError
from agenthost.testing import AgentHarness, Killed


class Clerk(Agent):
    """Does what a message says: a list of steps, each (tool, arguments, keywords)."""

    def handle(self, message: Message, ctx: Context) -> None:
        self.state["attempts"] = [ctx.attempt.number, message.attempt]
        self.seen = (list(ctx.attempt.open), list(ctx.attempt.done), ctx.attempt.what_happened)
        self.got = []
        for tool, arguments, keywords in message.body:
            if keywords.pop("forget", False):
                ctx.attempt.forget((ctx.attempt.open or ctx.attempt.done)[0])
            self.got.append(self.do(ctx, tool, arguments, keywords))

    def do(self, ctx: Context, tool: str, arguments: Any, keywords: Any) -> Any:
        match tool:
            case "run":
                return ctx.run(arguments, **keywords)
            case "popen":
                with ctx.popen(arguments, **keywords) as one:
                    return one.wait()
            case "gather":
                return ctx.gather([(path, body) for path, body in arguments], return_errors=True, **keywords)
            case "die":
                raise Killed
            case "twice":
                for _ in range(2):
                    try:
                        return ctx.call(arguments)
                    except Refuse:
                        continue
        return ctx.call(tool, arguments, **keywords)


class AsyncClerk(Agent):
    async def handle(self, message: Message, ctx: AsyncContext) -> None:
        self.seen = (list(ctx.attempt.open), list(ctx.attempt.done), ctx.attempt.what_happened)
        self.got = []
        for tool, arguments, keywords in message.body:
            match tool:
                case "run":
                    self.got.append(await ctx.run(arguments, **keywords))
                case "popen":
                    async with await ctx.popen(arguments, **keywords) as one:
                        self.got.append(await one.wait())
                case "gather":
                    wishes = [(path, body) for path, body in arguments]
                    self.got.append(await ctx.gather(wishes, return_errors=True, **keywords))
                case "die":
                    raise Killed
                case _:
                    self.got.append(await ctx.call(tool, arguments, **keywords))


class Till:
    """Counts what it was asked for, and answers with a number that is never the same."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, body: Any) -> int:
        self.count += 1
        return self.count


KINDS = [Clerk, AsyncClerk]


def step(tool: str, arguments: Any = None, **keywords: Any) -> list[Any]:
    return [tool, arguments, keywords]


@pytest.fixture
def till() -> Till:
    return Till()


def clerk(kind: type[Agent], **answers: Any) -> AgentHarness:
    return AgentHarness(kind, answers={f"/{name}": answer for name, answer in answers.items()})


def open_of(one: AgentHarness) -> list[ToolCall]:
    return list(one.agent.seen[0])  # type: ignore[attr-defined]


def done_of(one: AgentHarness) -> list[ToolCall]:
    return list(one.agent.seen[1])  # type: ignore[attr-defined]


def got(one: AgentHarness) -> list[Any]:
    return list(one.agent.got)  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", KINDS)
def test_a_call_that_succeeded_is_not_made_again(kind: type[Agent], till: Till) -> None:
    with clerk(kind, till=till) as one:
        with pytest.raises(Killed):
            one.send([step("/till", {"a": 1, "b": 2}), step("die")])
        one._member.shelf.message.body[1] = step("/till", 5)  # type: ignore[union-attr]
        one._member.shelf.message.body[0] = step("/till", {"b": 2, "a": 1})  # type: ignore[union-attr]
        one.again()
        assert got(one) == [1, 2] and till.count == 2
        assert open_of(one) == []
        (done,) = done_of(one)
        assert (done.tool, done.arguments, done.outcome, done.attempt) == ("/till", {"a": 1, "b": 2}, 1, 1)


@pytest.mark.parametrize("kind", KINDS)
def test_a_call_that_may_have_been_done_is_not_repeated_in_silence(kind: type[Agent], till: Till) -> None:
    with clerk(kind, till=till) as one:
        one.die_in("/till")
        with pytest.raises(Killed):
            one.send([step("/till", 7)])
        for attempt in (2, 3):
            with pytest.raises(OutcomeUnknown, match=r"cannot repeat /till 7: attempt 1 .* not known") as raised:
                one.again()
            assert raised.value.call is not None and raised.value.call.arguments == 7
            assert [call.tool for call in open_of(one)] == ["/till"] and done_of(one) == []
            assert f"this is attempt {attempt}" in one.agent.seen[2]  # type: ignore[attr-defined]
            assert "not known whether it was done: /till 7" in one.agent.seen[2]  # type: ignore[attr-defined]
        assert till.count == 1


@pytest.mark.parametrize("kind", KINDS)
def test_an_idempotent_call_is_made_again(kind: type[Agent], till: Till) -> None:
    with clerk(kind, till=till) as one:
        one.die_in("/till")
        with pytest.raises(Killed):
            one.send([step("/till", 7, idempotent=True)])
        one.again()
        assert got(one) == [2]
        assert one._member.shelf.message is None


def test_an_author_may_forget_a_call_and_make_it_again(till: Till) -> None:
    with clerk(Clerk, till=till) as one:
        one.die_in("/till")
        with pytest.raises(Killed):
            one.send([step("/till", 7)])
        assert one._member.shelf.message is not None
        one._member.shelf.message.body[0] = step("/till", 7, forget=True)
        one.again()
        assert got(one) == [2]


@pytest.mark.parametrize("kind", KINDS)
def test_a_call_that_timed_out_may_have_been_done(kind: type[Agent]) -> None:
    def late(body: Any) -> Any:
        raise TimedOut("too late")

    with clerk(kind, late=late) as one:
        with pytest.raises(TimedOut):
            one.send([step("/late")])
        with pytest.raises(OutcomeUnknown, match="may have been done: too late"):
            one.again()


@pytest.mark.parametrize("kind", KINDS)
def test_a_call_that_was_refused_is_made_again(kind: type[Agent], till: Till) -> None:
    def moody(body: Any) -> Any:
        if till(body) < 3:
            raise Refuse("not today")
        return "fine"

    with clerk(kind, moody=moody) as one:
        with pytest.raises(Refuse):
            one.send([step("/moody")])
        with pytest.raises(Refuse):
            one.again()
        assert done_of(one)[0].error == "not today" and open_of(one) == []
        one.again()
        assert got(one) == ["fine"]


def test_what_was_tried_twice_and_then_succeeded_stands_for_the_first_try(till: Till) -> None:
    """Of the same call the failures are tries of the one that came after them."""

    def moody(body: Any) -> Any:
        if till(body) == 1:
            raise Refuse("not today")
        return till.count

    with clerk(Clerk, moody=moody) as one:
        with pytest.raises(Killed):
            one.send([step("twice", "/moody"), step("die")])
        one._member.shelf.message.body.pop()  # type: ignore[union-attr]
        one.again()
        assert got(one) == [2] and till.count == 2


@pytest.mark.parametrize("kind", KINDS)
def test_equal_calls_are_told_apart_by_their_order(kind: type[Agent], till: Till) -> None:
    with clerk(kind, till=till) as one:
        with pytest.raises(Killed):
            one.send([step("/till"), step("/till"), step("die")])
        one._member.shelf.message.body[2] = step("/till")  # type: ignore[union-attr]
        one.again()
        assert got(one) == [1, 2, 3] and till.count == 3


@pytest.mark.parametrize("kind", KINDS)
def test_of_several_calls_only_those_are_made_that_have_no_outcome(kind: type[Agent], till: Till) -> None:
    def refuse(body: Any) -> Any:
        raise Refuse("no")

    with clerk(kind, till=till, bad=refuse) as one:
        with pytest.raises(Killed):
            one.send([step("gather", [["/till", 1], ["/bad", None], ["/till", 2]]), step("die")])
        assert till.count == 2
        one._member.shelf.message.body[1] = step("/till", 3)  # type: ignore[union-attr]
        one.again()
        first, bad, second = got(one)[0]
        assert (first, second) == (1, 2) and isinstance(bad, Refuse) and got(one)[1] == 3
        assert [call[0] for call in one.calls] == ["/till", "/bad", "/till", "/bad", "/till"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_tool_that_ended_well_is_not_run_again(kind: type[Agent], tmp_path: Path) -> None:
    file = tmp_path / "count"
    argv = ["sh", "-c", f"echo x >> {file}; echo done; cat"]
    with clerk(kind) as one:
        with pytest.raises(Killed):
            one.send([step("run", argv, input="in", env={"PATH": "/bin:/usr/bin"}, check=True), step("die")])
        one._member.shelf.message.body.pop()  # type: ignore[union-attr]
        one.again()
        (ran,) = got(one)
        assert (ran.text, ran.status, ran.argv) == ("done\nin", 0, tuple(argv))
        assert file.read_text() == "x\n"
        (done,) = done_of(one)
        assert done.tool == "run" and done.arguments == {"argv": argv, "cwd": None} and done.outcome == ran


@pytest.mark.parametrize("kind", KINDS)
def test_a_tool_that_failed_is_run_again_and_one_that_was_cut_off_is_not(kind: type[Agent], tmp_path: Path) -> None:
    failing = ["sh", "-c", f"echo x >> {tmp_path}/failing; exit 3"]
    cut_off = ["sh", "-c", f"echo x >> {tmp_path}/cut; kill -9 $$"]
    with clerk(kind) as one:
        with pytest.raises(ToolFailed):
            one.send([step("run", failing, check=True)])
        with pytest.raises(ToolFailed):
            one.again()
        assert (tmp_path / "failing").read_text() == "x\nx\n"
    with clerk(kind) as one:
        with pytest.raises(ToolFailed):
            one.send([step("run", cut_off, check=True)])
        with pytest.raises(OutcomeUnknown, match="may have been done"):
            one.again()
        assert (tmp_path / "cut").read_text() == "x\n"


@pytest.mark.parametrize("kind", KINDS)
def test_a_tool_that_was_talked_to_has_no_outcome_to_stand_for_it(kind: type[Agent]) -> None:
    argv = ["true"]
    with clerk(kind) as one:
        with pytest.raises(Killed):
            one.send([step("popen", argv), step("die")])
        with pytest.raises(OutcomeUnknown, match="what was said to it is not kept"):
            one.again()
        one._member.shelf.message.body[:] = [step("popen", argv, idempotent=True)]  # type: ignore[union-attr]
        one.again()
        assert got(one) == [0]


def test_a_tool_that_is_kept_is_the_agents_and_starts_anew() -> None:
    with clerk(Clerk) as one:
        with pytest.raises(Killed):
            one.send([step("popen", ["true"], keep=True), step("die")])
        one._member.shelf.message.body.pop()  # type: ignore[union-attr]
        one.again()
        assert got(one) == [0]


def test_a_call_of_a_turn_that_no_mail_began_is_not_recorded(till: Till) -> None:
    with clerk(Clerk, till=till) as one:
        with pytest.raises(Killed):
            one.call([step("/till"), step("die")])
        one.send([step("/till")])
        assert got(one) == [2] and one.state["attempts"] == [1, 1]
        assert one.agent.seen == ([], [], "")  # type: ignore[attr-defined]


def test_what_a_call_is_refused_for_before_it_is_made_leaves_no_trace() -> None:
    with clerk(Clerk) as one:
        with pytest.raises(TypeError, match="cannot send"):
            one._member.run(lambda ctx: _call_a_set(one), None)
        with pytest.raises(UsageError, match="cannot try again"):
            one.again()


def _call_a_set(one: AgentHarness) -> None:
    attempt = one._member.shelf.deliver(Message([], "x", 1, "send"))
    one._member.context.attempt = attempt
    try:
        one._member.context.call("/till", {1, 2})
    finally:
        assert not one._member.shelf._calls
        one._member.shelf.acknowledge()


# ---- state


class Keeper(Agent):
    state_version = 2

    def migrate(self, state: Any, from_version: int) -> Any:
        if from_version == 0:
            raise ValueError("too old")
        assert self.state is state
        return None if state.get("none") else {"names": [state["name"]]}

    def handle(self, message: Message, ctx: Context) -> Any:
        for word in message.body:
            verb, _, rest = word.partition(" ")
            match verb:
                case "add":
                    self.state.setdefault("names", []).append(rest)
                case "keep":
                    ctx.checkpoint(rest)
                case "back":
                    ctx.roll_back(rest)
                case "refuse":
                    raise Refuse("no")
        return self.state


class AsyncKeeper(Agent):
    async def handle(self, message: Message, ctx: AsyncContext) -> Any:
        for word in message.body:
            verb, _, rest = word.partition(" ")
            match verb:
                case "add":
                    self.state.setdefault("names", []).append(rest)
                case "keep":
                    ctx.checkpoint(rest)
                case "back":
                    await ctx.roll_back(rest)
        return self.state


@pytest.mark.parametrize("kind", [Keeper, AsyncKeeper])
def test_a_turn_may_go_back_to_what_an_earlier_one_has_kept(kind: type[Agent]) -> None:
    with AgentHarness(kind) as one:
        one.call(["add a", "keep first", "add b"])
        one.call(["add c"])
        assert one.checkpoints == ["first"]
        assert one.call(["back first", "add d"]) == {"names": ["a", "b", "d"]}
        with pytest.raises(UnknownName, match="no such checkpoint"):
            one.call(["add lost", "back nowhere"])
        assert one.state == {"names": ["a", "b", "d"]}


def test_a_turn_that_fails_keeps_nothing() -> None:
    with AgentHarness(Keeper) as one:
        one.call(["add a"])
        with pytest.raises(Refuse):
            one.call(["add b", "keep first", "refuse"])
        assert one.state == {"names": ["a"]} and one.checkpoints == []
        with pytest.raises(UsageError, match="this turn keeps its state as 'a' already"):
            one.call(["keep a", "keep b"])
        with pytest.raises(UsageError, match="name of a checkpoint"):
            one.call(["keep "])


def test_an_older_state_is_migrated_when_it_is_loaded() -> None:
    with AgentHarness(Keeper, state={"name": "a"}, state_version=1) as one:
        assert one.call(["add b"]) == {"names": ["a", "b"]}
        assert one.call(["add c"]) == {"names": ["a", "b", "c"]}


def test_a_state_that_cannot_be_migrated_fails_the_turn_and_stays() -> None:
    with AgentHarness(Keeper, state={"name": "a"}, state_version=0) as one:
        for _ in range(2):
            with pytest.raises(ValueError, match="too old"):
                one.call(["add b"])
    none = AgentHarness(Keeper, state={"none": True}, state_version=1)
    with none, pytest.raises(UsageError, match="migrate of Keeper returned None"):
        none.call(["add b"])
    newer = AgentHarness(Keeper, state={}, state_version=3)
    with newer, pytest.raises(UsageError, match="of version 3: Keeper has state_version 2"):
        newer.call([])
    with AgentHarness(Clerk, state={}, state_version=0) as one:
        one.agent.state_version = 1
        with pytest.raises(UsageError, match=r"Clerk has state_version 1 and no migrate"):
            one.send([])
