"""An answer is looked at before anybody gets it: by check() of the agent, by its schema, by a judge."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from agenthost import Agent, AsyncContext, Context, Message, TurnFailed
from agenthost.agent import loading
from agenthost.agent.blame import failure_of
from agenthost.agent.judging import request, verdict_of
from agenthost.core.answers import Judge
from agenthost.core.remedy.fingerprint import fingerprint
from agenthost.errors import AnswerRejected, Down, Refuse, StartFailed, TimedOut
from agenthost.testing import AgentHarness


class Clerk(Agent):
    """Answers with what it is told to, after it has told that; what ``check`` says is an arg."""

    def handle(self, message: Message, ctx: Context) -> Any:
        body = message.body
        self.state["seen"] = self.state.get("seen", 0) + 1
        if isinstance(body, dict) and "told" in body:
            for text in body["told"]:
                with ctx.stream("answer", tone="calm") as out:
                    out.write(text)
            return None
        ctx.emit("note", text="on the way")
        ctx.send("/elsewhere", "done")
        return body

    def check(self, reply: Any) -> Any:
        said = self.args.get("check")
        if said == "fail":
            raise TurnFailed("the till is closed", retry_after_s=5)
        if said == "seen":
            return None if reply == self.args["wanted"] else f"it is {reply!r}"
        return said


class AsyncClerk(Agent):
    async def handle(self, message: Message, ctx: AsyncContext) -> Any:
        self.state["seen"] = 1
        return message.body

    async def check(self, reply: Any) -> Any:
        return self.args.get("check")


KINDS = pytest.mark.parametrize("kind", [Clerk, AsyncClerk])


@KINDS
@pytest.mark.parametrize("said", [None, True, ""])
def test_an_answer_that_check_has_nothing_against_is_the_reply(kind: Any, said: Any) -> None:
    with AgentHarness(kind, args={"check": said}) as clerk:
        assert clerk.call(7) == 7


@KINDS
@pytest.mark.parametrize(("said", "words"), [(False, "check\\(\\) says no"), ("too short", "says: too short")])
def test_one_that_it_says_no_to_is_an_error_and_the_turn_never_was(kind: Any, said: Any, words: str) -> None:
    with AgentHarness(kind, args={"check": said}) as clerk:
        with pytest.raises(AnswerRejected, match=words):
            clerk.call(7)
        assert clerk.state == {}
        assert [entry.broken for entry in clerk.log] == [True] * (kind is Clerk), "what it has told of itself"


@KINDS
def test_a_check_that_answers_something_else_is_a_crash(kind: Any) -> None:
    with AgentHarness(kind, args={"check": {"no": 1}}) as clerk, pytest.raises(TypeError, match="returned dict"):
        clerk.call(7)


def test_what_a_check_raises_is_what_the_turn_fails_of() -> None:
    with AgentHarness(Clerk, args={"check": "fail"}) as clerk, pytest.raises(TurnFailed, match="till") as caught:
        clerk.call(7)
    assert caught.value.retry_after_s == 5


def test_the_answer_to_mail_that_gets_no_reply_is_what_was_told_as_one_last() -> None:
    wanted = {"tone": "calm", "text": "good"}
    with AgentHarness(Clerk, args={"check": "seen", "wanted": wanted}) as clerk:
        clerk.send({"told": ["a try", "good"]})
        with pytest.raises(AnswerRejected, match="a try"):
            clerk.send({"told": ["good", "a try"]})
        clerk.send({"told": []})  # there is no answer: nothing to look at
        assert clerk.state["seen"] == 2


def test_a_check_that_is_async_wants_a_handler_that_is() -> None:
    class Mixed(Clerk):
        async def check(self, reply: Any) -> Any:
            return True

    assert not loading.is_async(Mixed)
    with pytest.raises(StartFailed, match="check\\(\\) is async"):
        loading._checked("x", "x", "Mixed", Mixed)


# ---- by a schema

SCHEMA = {
    "type": "object",
    "properties": {"price": {"type": "number"}, "items": {"type": "array", "items": {"$ref": "#/$defs/item"}}},
    "required": ["price"],
    "$defs": {"item": {"type": "object", "properties": {"n": {"type": "integer", "minimum": 1}}}},
}


def rejected(clerk: AgentHarness, body: Any) -> AnswerRejected:
    with pytest.raises(AnswerRejected) as caught:
        clerk.call(body)
    return caught.value


def mark_of(error: AnswerRejected) -> str:
    """Its fingerprint, as the journal makes it."""
    return fingerprint(replace(failure_of(error), text=str(error)))


def test_an_answer_is_what_its_schema_wants_or_is_rejected() -> None:
    with AgentHarness(Clerk, config={"schema": SCHEMA}) as clerk:
        assert clerk.call({"price": 2.5, "items": ({"n": 1},)}) == {"price": 2.5, "items": [{"n": 1}]}
        assert "'price' is a required property" in str(rejected(clerk, {}))
        assert "at price: it is not of type 'number'" in str(rejected(clerk, {"price": "dear"}))
        assert "at items[1].n: it is less than the minimum of 1" in str(
            rejected(clerk, {"price": 1, "items": [{"n": 1}, {"n": 0}]})
        )
        assert "it is not of type 'object'" in str(rejected(clerk, None))


def test_the_same_fault_has_the_same_fingerprint_whatever_the_data() -> None:
    with AgentHarness(Clerk, config={"schema": SCHEMA}) as clerk:
        marks = [
            mark_of(rejected(clerk, {"price": 1, "items": [{"n": 3}] * place + [{"n": -place}]})) for place in (1, 2)
        ]
    assert marks[0] == marks[1]
    assert marks[0].startswith("rejected schema at #/properties/items/items/")
    assert marks[0].endswith("/properties/n/minimum")


def test_an_answer_for_which_a_schema_has_no_end_is_rejected() -> None:
    endless = {"properties": {"a": {"$ref": "#/properties/a"}}}
    with AgentHarness(Clerk, config={"schema": endless}) as clerk:
        assert clerk.call({"b": 1}) == {"b": 1}
        error = rejected(clerk, {"a": 1})
        assert "nested too deeply" in str(error) and mark_of(error) == "rejected schema at #"


def test_what_the_schema_says_no_to_check_never_sees() -> None:
    with AgentHarness(Clerk, args={"check": "fail"}, config={"schema": SCHEMA}) as clerk:
        rejected(clerk, {})
        with pytest.raises(TurnFailed, match="till"):
            clerk.call({"price": 1})


# ---- by a judge


def judged(answer: Any, **judge: Any) -> AgentHarness:
    return AgentHarness(Clerk, answers={"/judge": answer}, config={"judge": {"agent": "/judge", **judge}})


def test_a_judge_gets_question_message_and_answer_and_says_yes_or_no() -> None:
    with judged(lambda body: body["answer"] == 7, question="Is it seven?") as clerk:
        assert clerk.call(7) == 7
        assert "/judge says no" in str(rejected(clerk, 8))
        ((path, body), _) = clerk.calls
        assert (path, body["question"], body["message"], body["answer"]) == ("/judge", "Is it seven?", 7, 7)


def test_why_the_judge_says_no_is_told_and_is_no_part_of_the_fingerprint() -> None:
    whys = iter(["No, because it is rude.", "no: nobody asked for that"])
    with judged(lambda body: next(whys)) as clerk:
        first, second = rejected(clerk, 1), rejected(clerk, 2)
    assert "/judge says no: because it is rude." in str(first)
    assert mark_of(first) == mark_of(second) == "rejected judge of /judge"


def silent(body: Any) -> Any:
    raise Down("cannot get an answer from /judge: it has ended")


@pytest.mark.parametrize("answer", [silent, lambda body: "Well, perhaps.", lambda body: None, lambda body: 1])
def test_a_judge_that_says_neither_rejects_unless_that_is_to_be_yes(answer: Any) -> None:
    with judged(answer) as clerk:
        assert rejected(clerk, 1).by == "judge_silent"
    with judged(answer, when_silent="accept") as clerk:
        assert clerk.call(1) == 1


@pytest.mark.parametrize("error", [TimedOut("late"), Refuse("not me")])
def test_so_does_one_that_is_late_or_refuses(error: Exception) -> None:
    def answer(body: Any) -> Any:
        raise error

    with judged(answer) as clerk:
        assert str(error) in str(rejected(clerk, 1))


@pytest.mark.parametrize(
    ("said", "verdict"),
    [
        (True, (True, "")),
        (False, (False, "")),
        ("yes", (True, "")),
        ("  **Yes**, it is fine.", (True, "it is fine.")),
        ("TRUE", (True, "")),
        ("No", (False, "")),
        ("no, because it is late", (False, "because it is late")),
        ("**No.** It is\nlate.", (False, "It is late.")),
        ("<think>hm, yes?</think>\nNo — too long", (False, "too long")),
        ({"ok": True}, (True, "")),
        ({"ok": False, "why": "dull"}, (False, "dull")),
        ({"ok": False, "reason": 5}, (False, "5")),
        ({"text": "yes", "usage": {"total_tokens": 3}}, (True, "")),
        ('{"ok": false, "why": "dull"}', (False, "dull")),
        ({"value": {"ok": False}, "text": '{"ok": false}'}, (False, "")),
    ],
)
def test_what_counts_as_yes_and_as_no(said: Any, verdict: Any) -> None:
    assert verdict_of(said) == verdict


@pytest.mark.parametrize("said", [None, 1, "", "Yesterday", "nothing", "Nobody knows", [], {"ok": "yes"}, {"text": 3}])
def test_nothing_else_does(said: Any) -> None:
    assert verdict_of(said)[0] is None


def test_a_model_is_asked_in_words_that_say_how_to_answer() -> None:
    asked = request(Judge("/judge", "Is it kind?"), {"text": "hi"}, "go away")
    (message,) = asked["messages"]
    assert message["role"] == "user"
    for part in ("Is it kind?", "yes or no", '{"text": "hi"}', "go away"):
        assert part in message["content"]
