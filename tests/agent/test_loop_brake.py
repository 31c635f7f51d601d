"""A turn that goes round in circles is stopped at the call that is one too many, whatever its author makes of that."""

from __future__ import annotations

import subprocess
import sys
from hashlib import blake2b
from typing import Any

import pytest
from msgspec.structs import replace

from agenthost import Agent, AsyncContext, Context, Message, TurnInterrupted
from agenthost.agent import loops as loops_module
from agenthost.agent.blame import failure_of
from agenthost.agent.loops import LONG_BYTES, LOOPED, PATIENT, POLITE, Brake
from agenthost.core.loops import Loops
from agenthost.core.remedy.failure import Failure
from agenthost.core.remedy.fingerprint import fingerprint
from agenthost.errors import Down, OutcomeUnknown, TurnFailed, TurnLooped
from agenthost.protocol.codec import pack_body
from agenthost.protocol.mail import Mail
from agenthost.testing import AgentHarness, Killed


class Circling(Agent):
    """Makes the calls that it is told to; what they raise is its business."""

    def handle(self, message: Message, ctx: Context) -> Any:
        self.state["begun"] = True
        done = 0
        for path, body in message.body["calls"]:
            try:
                ctx.call(path, body)
                done += 1
            except Exception:
                if not message.body.get("swallows"):
                    raise
            except TurnInterrupted:
                if message.body["swallows"] != "all":
                    raise
        return done


class AsyncCircling(Agent):
    async def handle(self, message: Message, ctx: AsyncContext) -> Any:
        done = 0
        for path, body in message.body["calls"]:
            try:
                await ctx.call(path, body)
                done += 1
            except Exception:
                if not message.body.get("swallows"):
                    raise
            except TurnInterrupted:
                if message.body["swallows"] != "all":
                    raise
        return done


KINDS = pytest.mark.parametrize("kind", [Circling, AsyncCircling])


def circling(kind: Any = Circling, loops: Any = None, answer: Any = lambda body: body) -> AgentHarness:
    return AgentHarness(kind, answers={"/tool": answer, "/other": answer}, config={"loops": loops or {"same_call": 4}})


def looped(agent: AgentHarness, calls: list[Any], *, mail: bool = False, **more: Any) -> TurnLooped:
    with pytest.raises(TurnLooped) as caught:
        (agent.send if mail else agent.call)({"calls": calls, **more})
    return caught.value


@KINDS
@pytest.mark.parametrize("mail", [False, True])
def test_the_call_that_is_one_too_many_is_not_made(kind: Any, mail: bool) -> None:
    with circling(kind) as agent:
        error = looped(agent, [("/tool", {"a": 1, "b": 2}), ("/tool", {"b": 2, "a": 1})] * 2, mail=mail)
        assert len(agent.calls) == 3, "equal maps are the same in any order"
        assert "cannot call /tool: that would be 4 times with the same arguments" in str(error)
        assert (error.tool, error.by) == ("/tool", "same_call")
        assert agent.state == {}


@KINDS
def test_other_arguments_and_other_agents_are_other_calls(kind: Any) -> None:
    with circling(kind) as agent:
        calls = [("/tool", n) for n in range(20)] + [("/other", n) for n in range(3)] * 3
        assert agent.call({"calls": calls}) == len(calls)


@KINDS
@pytest.mark.parametrize("long", [b"x" * (LONG_BYTES + 1), {"text": "x" * LONG_BYTES}])
def test_long_arguments_count_as_well_as_short_ones(kind: Any, long: Any) -> None:
    with circling(kind) as agent:
        assert looped(agent, [("/tool", long)] * 9, swallows="all").by == "same_call"
        assert len(agent.calls) == 3


@KINDS
def test_long_arguments_that_differ_in_their_middle_alone_are_other_ones(kind: Any) -> None:
    half = b"x" * LONG_BYTES
    with circling(kind) as agent:
        assert agent.call({"calls": [("/tool", half + bytes([n]) + half) for n in range(50)]}) == 50


def test_what_is_packed_anyway_is_packed_once_and_of_what_is_long_little_is_hashed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hashed: list[int] = []

    def counting(said: bytes, digest_size: int) -> Any:
        hashed.append(len(said))
        return blake2b(said, digest_size=digest_size)

    monkeypatch.setattr(loops_module, "blake2b", counting)
    monkeypatch.setattr(loops_module, "pack_body", None)
    brake = Brake(Loops())
    brake.begin()
    body = b"x" * 1_000_000
    packed = pack_body(body)
    for _ in range(400):
        brake.call("/tool", body, packed)
    assert max(hashed) < LONG_BYTES


@KINDS
@pytest.mark.parametrize("swallows", [True, "all"])
def test_who_swallows_that_calls_nothing_more_and_fails_all_the_same(kind: Any, swallows: Any) -> None:
    with circling(kind) as agent:
        calls = [("/tool", 1)] * 4 + [("/other", n) for n in range(20)]
        assert looped(agent, calls, swallows=swallows).tool == "/tool"
        assert len(agent.calls) == 3
        assert agent.call({"calls": [("/tool", 1)] * 3}) == 3, "the next turn is another one, and it is counted anew"


def test_first_it_is_told_by_an_error_then_by_an_interruption() -> None:
    brake = Brake(Loops(same_call=2))
    brake.begin()
    brake.call("/tool", 1)
    told: list[type[BaseException]] = []
    for number in range(POLITE + 3):
        with pytest.raises((TurnLooped, TurnInterrupted)) as caught:
            brake.call("/tool", number if told else 1)
        told.append(type(caught.value))
    assert told == [TurnLooped] * (POLITE + 1) + [TurnInterrupted] * 2


def test_who_never_stops_calling_is_ended() -> None:
    script = f"""
from agenthost.agent.loops import Brake
from agenthost.core.loops import Loops
brake = Brake(Loops(same_call=2), lambda found: print("last word:", found.by, flush=True))
brake.begin()
for number in range({PATIENT} * 2):
    try:
        brake.call("/tool", 1)
    except BaseException:
        pass
print("not reached")
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout) == (LOOPED, "last word: same_call\n")
    assert f"it was told so {PATIENT} times and goes on: this process ends" in ended.stderr


def test_all_calls_of_a_round_count() -> None:
    class Gatherer(Agent):
        def handle(self, message: Message, ctx: Context) -> Any:
            return ctx.gather([("/tool", 1)] * message.body)

    with circling(Gatherer) as agent:
        assert agent.call(3) == [1, 1, 1]
        with pytest.raises(TurnLooped):
            agent.call(1)


@KINDS
def test_the_same_error_again_and_again_is_a_loop_though_the_arguments_differ(kind: Any) -> None:
    def down(body: Any) -> Any:
        raise Down(f"cannot get an answer from /tool: it has ended (request {body})")

    with circling(kind, {"same_error": 3}, down) as agent:
        error = looped(agent, [("/tool", n) for n in range(9)], swallows=True)
        assert len(agent.calls) == 3
        assert "/tool has failed 3 times in the same way" in str(error)
        assert "request 2" in str(error), "what it was, in its own words"
        mark = fingerprint(replace(failure_of(error), text=str(error)))
    assert mark.startswith("loop same_error of /tool: cannot go on: / has failed # times in the same way")


def test_turns_before_count() -> None:
    with circling(loops={"same_call": 4, "across": 2}) as agent:
        for _ in range(3):
            agent.call({"calls": [("/tool", 1)]})
        assert agent.call({"calls": [("/tool", 1)]}) == 1, "the first of them is out of reach"
        assert looped(agent, [("/tool", 1)] * 2).by == "same_call"


def test_what_an_earlier_attempt_has_left_is_not_called_and_so_does_not_count() -> None:
    with circling() as agent:
        agent.answers["/other"] = lambda body: (_ for _ in ()).throw(Killed())
        with pytest.raises(Killed):
            agent.send({"calls": [*[("/tool", 1)] * 3, ("/other", 1)]})
        agent.answers["/other"] = lambda body: body
        with pytest.raises(OutcomeUnknown):
            agent.again()
        assert [path for path, _ in agent.calls] == ["/tool"] * 3 + ["/other"]


def test_nothing_is_counted_where_that_is_not_wanted() -> None:
    with AgentHarness(Circling, answers={"/tool": lambda body: body}, config={"loops": False}) as agent:
        assert agent.call({"calls": [("/tool", 1)] * 1200}) == 1200


def test_without_configuration_a_thousand_are_too_many() -> None:
    with AgentHarness(Circling, answers={"/tool": lambda body: body}) as agent:
        assert looped(agent, [("/tool", 1)] * 1001).by == "same_call"
        assert len(agent.calls) == 999


class Sorry(Agent):
    def handle(self, message: Message, ctx: Context) -> Any:
        if message.body == "fail":
            raise TurnFailed(f"429: slow down (request {ctx.attempt.number})")
        return {"text": "I am sorry, I cannot help you with that."}


class AsyncSorry(Agent):
    async def handle(self, message: Message, ctx: AsyncContext) -> Any:
        return {"text": "I am sorry, I cannot help you with that."}


@pytest.mark.parametrize("kind", [Sorry, AsyncSorry])
def test_in_its_session_equal_answers_in_a_row_are_counted_and_elsewhere_not(kind: Any) -> None:
    with AgentHarness(kind, config={"loops": {"same_answer": 3}}) as agent:
        for number in range(5):
            agent.call(number)
            agent.send(number)
        agent.say("may I?")
        agent.say("and now?")
        with pytest.raises(TurnLooped, match="3 times the same in a row"):
            agent.say("please")
    assert [one.type for one in agent.log] == ["message", "reply"] * 2 + ["message"]
    assert agent.log[-2].fields == {"body": {"text": "I am sorry, I cannot help you with that."}}


def test_turns_that_fail_of_the_same_become_a_loop_which_begins_at_the_bottom_of_the_ladder() -> None:
    config = {"loops": {"same_error": 3}, "recovery": [{"retry": {"times": 4}}]}
    with AgentHarness(Sorry, config=config) as agent:
        assert agent.climb("fail") == "dead_letter"
        taken = ["retry", "retry 2", "retry", "retry 3", "retry 4", "retry 2", "dead_letter"]
        assert [one.rung for one in agent.remedies] == taken
        assert agent.remedies[2].fingerprint.startswith("loop same_error")
        assert agent.remedies[2].reason.startswith("3 turns have failed in the same way")


# ---- what the desks do besides


def mail(message: int, attempt: int = 1) -> Mail:
    return Mail(message, "/s", b"", attempt, 0)


def test_an_answer_that_is_longer_than_a_nod_may_not_be_the_same_for_ever() -> None:
    brake = Brake(Loops(same_answer=3))
    for _ in range(10):
        brake.begin()
        brake.answered({"ok": True})
        brake.answered("no")
    long = "I am sorry, I cannot help you with that."
    for _ in range(2):
        brake.begin()
        brake.answered(long)
    with pytest.raises(TurnLooped, match="3 times the same in a row"):
        brake.answered(long)
    with pytest.raises(TurnLooped):
        brake.end_turn()


def test_turns_that_fail_of_the_same_are_a_loop_from_the_bound_on() -> None:
    brake = Brake(Loops(same_error=3))
    failure = Failure("error", "turn_failed", "a:A.handle+3")
    found = []
    for number in range(4):
        brake.begin()
        found.append(brake.failed_turn(failure, f"429: slow down (request {number})"))
    assert [one.kind for one, _ in found] == ["error", "error", "loop", "error"]
    assert found[2][1] == (
        "3 turns have failed in the same way in this turn and the 10 before it: 429: slow down (request 2)"
    )


def test_what_was_counted_is_told_when_it_has_changed_and_taken_over() -> None:
    loops = Loops(same_call=5)
    first = Brake(loops)
    first.begin()
    assert first.kept(mail(1)) is None
    first.begin()
    first.call("/tool", 1)
    first.call("/tool", 1)
    kept = first.kept(mail(2))
    assert kept
    assert first.kept(mail(2)) is None, "it was told"
    second = Brake(loops)
    second.resume(kept)
    second.begin()
    second.call("/tool", 1)
    second.call("/tool", 1)
    with pytest.raises(TurnLooped):
        second.call("/tool", 1)
