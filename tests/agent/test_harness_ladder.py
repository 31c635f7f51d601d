"""A ladder without a host: the remedies of the config are decided and applied as in one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agenthost import Agent, AsyncContext, Context, Message, TurnFailed
from agenthost.errors import ConfigError, Refuse, UsageError
from agenthost.testing import AgentHarness, Killed


def work(agent: Agent, message: Message, ctx: Context | AsyncContext) -> None:
    """Fails as often as the message says, each time in the way that it names."""
    attempt = ctx.attempt
    agent.notes.append((attempt.number, attempt.remedy, dict(agent.args), agent.state.get("got", [])[:]))  # type: ignore[attr-defined]
    agent.state.setdefault("got", []).append(message.body)
    if isinstance(message.body, dict) and attempt.number <= message.body["times"]:
        match message.body["how"]:
            case "crash":
                raise ValueError("garbage")
            case "refuse":
                raise Refuse("no")
            case "kill":
                raise Killed
            case "wait":
                raise TurnFailed("slow down", retry_after_s=7)
        raise TurnFailed(f"no good after {attempt.number} tries")


NOTES: list[Any] = []


class Fragile(Agent):
    notes = NOTES

    def handle(self, message: Message, ctx: Context) -> None:
        work(self, message, ctx)

    def compact(self, state: dict[str, Any], keep_last: int = 1) -> dict[str, Any]:
        return {**state, "got": state.get("got", [])[-keep_last:]}


class AsyncFragile(Agent):
    notes = NOTES

    async def handle(self, message: Message, ctx: AsyncContext) -> None:
        work(self, message, ctx)

    async def compact(self, state: dict[str, Any], keep_last: int = 1) -> dict[str, Any]:
        return {**state, "got": state.get("got", [])[-keep_last:]}


def own_rung(agent: Agent, attempt: Any, mark: str) -> dict[str, Any]:
    return {"marked": mark}


def odd_rung(agent: Agent, attempt: Any, found: Any) -> Any:
    return found


def ladder(*rungs: Any, kind: type[Agent] = Fragile, **more: Any) -> AgentHarness:
    NOTES.clear()
    return AgentHarness(kind, args={"t": 0.1}, config={"recovery": list(rungs)}, **more)


def fail(times: int, how: str = "raise") -> dict[str, Any]:
    return {"how": how, "times": times}


@pytest.mark.parametrize("kind", [Fragile, AsyncFragile])
@pytest.mark.parametrize("how", ["raise", "crash", "kill"])
def test_every_rung_is_climbed_and_holds_for_its_attempt_alone(kind: type[Agent], how: str) -> None:
    rungs = [
        "retry",
        {"vary": {"t": [0.7, 0.9]}},
        {"compact": {"keep_last": 1}},
        {"roll_back": 1},
        {f"{__name__}:own_rung": {"mark": "m"}},
        {"fall_back": {"model": "small"}},
    ]
    with ladder(*rungs, kind=kind) as one:
        for number in range(3):
            one.send(number)
        NOTES.clear()
        assert one.climb(fail(99, how)) == "dead_letter"
        remedies, args, states = zip(*[note[1:] for note in NOTES], strict=True)
        assert remedies == (("", "retry", "vary", "vary", "compact", "roll_back", f"{__name__}:own_rung", "fall_back"))
        usual = {"t": 0.1}
        assert args == (
            usual,
            usual,
            {"t": 0.7},
            {"t": 0.9},
            usual,
            usual,
            {**usual, "marked": "m"},
            {**usual, "model": "small"},
        )
        assert states == ([0, 1, 2],) * 4 + ([2], [0, 1]) + ([0, 1, 2],) * 2
        assert one.state["got"] == [0, 1, 2] and one.agent.args == usual
        (mark,) = {step.fingerprint for step in one.remedies}
        assert mark.split()[0] == {"raise": "error", "crash": "crash", "kill": "signal"}[how]
        assert one.remedies[-1].rung == "dead_letter" and "no rung is left" in one.remedies[-1].why
        with pytest.raises(UsageError, match="the message is dead_letter"):
            one.again()
        assert one.climb("after") == "done" and one.remedies == []


def test_what_a_remedy_did_stays_when_its_turn_ends_well() -> None:
    with ladder({"compact": {"keep_last": 1}}) as one:
        for number in range(3):
            one.send(number)
        assert one.climb(fail(1)) == "done"
        assert one.state["got"] == [2, fail(1)]


def test_again_climbs_one_step_and_raises_what_that_raised() -> None:
    with ladder({"retry": {"times": 2, "initial": "3s"}}) as one:
        with pytest.raises(TurnFailed, match="after 1 tries"):
            one.send(fail(2))
        with pytest.raises(TurnFailed, match="after 2 tries"):
            one.again()
        assert [(step.rung, step.pause_s) for step in one.remedies] == [("retry", 3.0), ("retry 2", 6.0)]
        one.again()
        with pytest.raises(UsageError, match="was handled"):
            one.again()


def test_a_remedy_that_cannot_be_applied_is_passed_over() -> None:
    with ladder({"compact": {"keep_last": 99}}, {"roll_back": 9}, {"vary": {"t": 1}}) as one:
        assert one.climb(fail(1)) == "done"
        assert [note[1] for note in NOTES] == ["", "vary"]
        assert [step.rung for step in one.remedies] == ["compact keep_last=99", "roll_back 9", "vary t=1"]
        assert one.remedies[2].why.startswith("passed over: cannot go back 9 turns")
        assert {step.reason for step in one.remedies} == {"no good after 1 tries"}


def test_a_rung_of_ones_own_that_returns_something_else_is_passed_over(tmp_path: Path) -> None:
    name = f"{__name__}:odd_rung"
    with ladder({name: {"found": 42}}, {name: {"found": True}}) as one:
        assert one.climb(fail(1)) == "done"
        assert [note[1] for note in NOTES] == ["", name]
        why = f"passed over: cannot apply {name}: it has returned int, and a dict, None, True or False is wanted; "
        assert one.remedies[1].why.startswith(why)


def test_a_file_of_rungs_is_called_as_the_config_calls_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own").mkdir()
    code = "def mark(agent, attempt, n):\n    return {'seen': attempt.remedy, **n}\n"
    (tmp_path / "own" / "steps.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    with ladder({"own/steps.py:mark": {"n": {"m": 1}}}, {"own/steps.py:mark": {"n": 2}}) as one:
        assert one.climb(fail(2)) == "dead_letter"
        assert NOTES[1][1] == "own/steps.py:mark" and NOTES[1][2]["seen"] == "own/steps.py:mark"
        assert one.remedies[0].rung == "own/steps.py:mark n={'m': 1}"
        assert not any(str(tmp_path) in f"{step.rung} {step.why} {step.reason}" for step in one.remedies)


def test_without_a_ladder_of_its_own_it_is_retried_as_mail_says() -> None:
    with AgentHarness(Fragile, config={"mail": {"attempts": 2}}) as one:
        assert one.climb(fail(9)) == "dead_letter"
        assert [step.rung for step in one.remedies] == ["retry", "dead_letter"]


def test_what_it_refuses_is_a_dead_letter_at_once() -> None:
    with ladder("retry") as one:
        assert one.climb(fail(9, "refuse")) == "dead_letter"
        assert len(one.remedies) == 1


def test_who_says_when_is_not_asked_before() -> None:
    with ladder({"vary": {"t": 1}}) as one:
        assert one.climb(fail(1, "wait")) == "done"
        assert one.remedies[0].pause_s == 7.0


def test_the_test_answers_what_a_person_is_asked() -> None:
    with ladder({"ask": "go on?"}, "retry") as one:
        assert one.climb(fail(2)) == "asked"
        assert one.question == "go on?"
        with pytest.raises(UsageError, match="asked"):
            one.again()
        one.answer("use less")
        assert one.climb_on() == "done"
        assert [note[:2] for note in NOTES] == [(1, ""), (2, "ask"), (3, "retry")]
        assert one.climb(fail(1)) == "asked"
        one.answer(yes=False)
        assert one.climb_on() == "dead_letter"


@pytest.mark.parametrize(("path", "ends"), [("/other", "moved"), ("/test", "dead_letter")])
def test_a_message_moves_to_another_agent_not_to_itself(path: str, ends: str) -> None:
    with ladder({"fall_back": {"agent": path}}) as one:
        assert one.climb(fail(9)) == ends


def test_an_escalation_is_a_new_process() -> None:
    with ladder("escalate") as one:
        first = one.agent
        with pytest.raises(TurnFailed):
            one.send(fail(1))
        assert one.remedies[0].escalates
        one.again()
        assert one.agent is not first


def test_no_remedy_repeats_a_call_that_may_have_happened() -> None:
    class Buyer(Agent):
        def handle(self, message: Message, ctx: Context) -> None:
            ctx.call("/pay", 7)

    with AgentHarness(Buyer, answers={"/pay": lambda body: "paid"}, config={"recovery": [{"retry": 3}]}) as one:
        one.die_in("/pay")
        assert one.climb() == "dead_letter"
        assert one.calls == [("/pay", 7)]
        kinds = [step.fingerprint.split()[0] for step in one.remedies]
        assert kinds == ["signal", "error", "error", "error", "error"]


def test_a_config_that_is_wrong_is_refused_in_words() -> None:
    with pytest.raises(ConfigError, match="there is no rung"):
        ladder("retri")
    with pytest.raises(UsageError, match="no ladder"), AgentHarness(Fragile) as one:
        one.climb()


def test_the_example_of_the_documentation_is_true() -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "recovery.md"
    (example,) = [block for block in page.read_text().split("```") if "planner.climb_on()" in block]
    exec(compile(example.removeprefix("python"), str(page), "exec"), {"__name__": "example"})
