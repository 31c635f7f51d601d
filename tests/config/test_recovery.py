"""``recovery``: ladders as they are written, and what is refused of them, with its place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agenthost.config.load import read_config
from agenthost.config.problem import ConfigProblems
from agenthost.config.remarks import remarks
from agenthost.core.birth import AgentBirth
from agenthost.core.remedy import rungs as on
from agenthost.core.remedy.rungs import Ladder
from agenthost.core.spec import WorkerSpec

OWN = "or name one of your own: module:function"
ENDS = "ends the ladder; remove it, or put it before that"


def config(rungs: str, more: str = "") -> str:
    lines = "\n".join(f"        {line}" for line in rungs.splitlines())
    other = "    - {name: other, agent: 'crew:Other'}\n    - {name: tool, command: [x]}\n"
    pool = "    - {name: chats, pool: {agent: 'crew:Chat'}}\n"
    return f"""agenthost: 1
tree:
  children:
    - name: a
      agent: "crew:A"{more}
      recovery:
{lines}
{other}{pool}"""


def ladder(rungs: str, more: str = "", folder: str | Path = "/nowhere") -> Ladder:
    worker = read_config(config(rungs, more).encode(), f"{folder}/t.yaml", environment={}).tree.children[0]
    assert isinstance(worker, WorkerSpec) and isinstance(worker.birth, AgentBirth)
    assert worker.birth.recovery is not None
    return worker.birth.recovery


def refused(rungs: str, more: str = "", folder: str | Path = "/nowhere") -> list[str]:
    with pytest.raises(ConfigProblems) as caught:
        read_config(config(rungs, more).encode(), f"{folder}/t.yaml", environment={})
    return [
        f"{one.line}:{one.column} {one.what}" + (f"; {one.hint}" if one.hint else "") for one in caught.value.problems
    ]


def test_every_rung_as_the_design_writes_it() -> None:
    text = """\
- retry                              # clean process, last good state
- vary: {temperature: 0.9, seed: random}
- compact: {keep_last: 8}
- roll_back: 1
- fall_back: {model: small}
- dead_letter
- escalate"""
    assert ladder(text).rungs == (
        on.Retry(),
        on.Vary({"temperature": 0.9}, {}, ("seed",)),
        on.Compact({"keep_last": 8}),
        on.Roll_back(1),
        on.Fall_back("", {"model": "small"}),
        on.Dead_letter(escalates=True),
    )


@pytest.mark.parametrize(
    ("text", "rung"),
    [
        ("- retry: 3", on.Retry(3)),
        ("- retry: {times: 4, initial: 100ms, max: 2s}", on.Retry(4, 0.1, 2.0)),
        ("- retry: {max: 500ms}", on.Retry(1, 0.5, 0.5)),
        ("- retry: {initial: 2m}", on.Retry(1, 120.0, 120.0)),
        ("- vary: {temperature: [0.7, 0.9], stop: x}", on.Vary({"stop": "x"}, {"temperature": [0.7, 0.9]})),
        ("- vary: {n: {from: 1, to: 5, steps: 3}}", on.Vary({}, {"n": [1, 3, 5]})),
        ("- vary: {t: {from: 0.0, to: 1.0, steps: 3}}", on.Vary({}, {"t": [0.0, 0.5, 1.0]})),
        ("- vary: {strategy: random, noise_seed: random}", on.Vary({"strategy": "random"}, {}, ("noise_seed",))),
        ("- compact", on.Compact()),
        ("- roll_back", on.Roll_back(1)),
        ("- fall_back: {agent: /other}", on.Fall_back("/other")),
        ("- fall_back: {agent: /chats/ana}", on.Fall_back("/chats/ana")),
        ('- ask: "go on?"', on.Ask("go on?")),
        ('- ask: {question: "go on?", deadline: 1h}', on.Ask("go on?", 3600.0)),
        ("- my_rungs.smaller_model", on.Authors("my_rungs.smaller_model")),
        ('- "my.rungs:other": {n: 3}', on.Authors("my.rungs:other", {"n": 3})),
        ("- escalate", on.Escalate()),
    ],
)
def test_a_rung_alone(text: str, rung: Any) -> None:
    assert ladder(text).rungs == (rung,)


def test_a_function_of_a_file_is_looked_for_and_keeps_the_name_that_the_config_has(tmp_path: Path) -> None:
    (tmp_path / "rungs.py").write_text("raise SystemExit\ndef other(agent, attempt): ...\n")
    here = f"{tmp_path}/rungs.py:other"
    found = ladder(f'- rungs.py:other\n- "{here}": {{n: 3}}', folder=tmp_path).rungs
    assert found == (on.Authors(here, {}, "rungs.py:other"), on.Authors(here, {"n": 3}))
    assert [step.label for step in on.steps(found)] == ["rungs.py:other", f"{here} n=3"]
    (gone,) = refused("- gone.py:other", folder=tmp_path)
    assert gone.startswith(f"7:11 cannot read {tmp_path}/gone.py: No such file")
    assert refused("- rungs.py:othr", folder=tmp_path) == [
        f"7:11 there is no function 'othr' in {tmp_path}/rungs.py; did you mean 'other'?"
    ]


def test_attempts_that_two_keys_say_are_refused_unless_they_are_the_same() -> None:
    both = "\n      mail: {attempts: 2}"
    assert refused("{steps: [retry], attempts: 5}", both) == [
        "6:24 'recovery' says 5 attempts, and that is what counts; remove one of them"
    ]
    assert ladder("{steps: [retry], attempts: 2}", both).attempts == 2


@pytest.mark.parametrize(
    ("text", "reached"),
    [
        ("- retry: 100\n- vary: {t: 1}\n- dead_letter", "a message has 20 attempts, and 101"),
        ("- retry: 100\n- dead_letter\n- escalate", "a message has 20 attempts, and 101"),
        ("- vary: {t: [1, 2, 3]}\n- ask: x", ""),
        ("- retry: 18\n- compact\n- ask: {question: x, deadline: 1s}\n- ask: y", ""),
        ("- retry: 18\n- compact\n- ask: x\n- ask: y", "a message has 20 attempts, and 20"),
        ("{steps: [{ask: x}], attempts: 1}", "a message has 1 attempt, and 1"),
        ("{steps: [dead_letter], attempts: 1}", ""),
    ],
)
def test_a_rung_for_which_no_attempt_is_left_is_refused(text: str, reached: str) -> None:
    if not reached:
        assert ladder(text).rungs
        return
    (problem,) = refused(text)
    assert f"this rung is never reached: {reached} would have to fail before it; remove it, or allow more" in problem


def test_attempts_are_bounded_by_mail_or_by_twenty() -> None:
    assert ladder("- retry").attempts == 20
    assert ladder("- retry", "\n      mail: {attempts: 7}").attempts == 7
    assert ladder("- retry", "\n      mail: {limit: 7}").attempts == 20


def test_an_empty_ladder_sets_aside_at_once() -> None:
    assert ladder("[]") == Ladder((), 20)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("- retri", f"7:11 there is no rung 'retri'; did you mean 'retry'? {OWN}"),
        ("- {retri: 3}", f"7:11 there is no rung 'retri'; did you mean 'retry'? {OWN}"),
        (
            "- pray",
            (
                "7:11 there is no rung 'pray'; one of: ask, compact, dead_letter, escalate, fall_back, retry, "
                f"roll_back, vary, {OWN}"
            ),
        ),
        ("- ~", "7:11 a rung is wanted here, and there is nothing; write it like 'retry', or '{retry: 3}'"),
        (
            "- compact: 5",
            "7:11 a map is wanted here; write it like {compact: {keep_last: 8}}; its own compact() gets that",
        ),
        ("- ask: ' '", "7:16 cannot use ' ': nobody can answer an empty question; ask something"),
        ("- ask: {question: ''}", "7:27 cannot use '': nobody can answer an empty question; ask something"),
        ("retry", "7:9 a list is wanted here, not text; write it like [retry, dead_letter]"),
        ("- [retry]", "7:11 a rung is wanted here, not a list; write it like 'retry', or '{retry: 3}'"),
        ("- {retry: 1, compact: {}}", "7:11 a rung is one word, not 2 (retry, compact); begin each with '- '"),
        ("- vary", "7:11 vary does not stand alone; write it like {vary: {temperature: [0.7, 0.9], seed: random}}"),
        ("- vary: {t: []}", "7:21 a list without values cannot be stepped through; write [0.7, 0.9]"),
        ("- retry: 0", "7:18 cannot use 0; write a whole number from 1 to 1000"),
        ("- roll_back: 99", "7:22 cannot use 99; write a whole number from 1 to 32"),
        ("- retry: {initial: 2s, max: 1s}", "7:19 'initial' is more than 'max'; make it less"),
        ("- dead_letter: 3", "7:11 dead_letter stands alone; write '- dead_letter'"),
        ("- ask: {deadline: 1h}", "7:16 the key 'question' is missing; What the person is to decide."),
        ("- fall_back: {agent: other}", "7:30 cannot use 'other': it is no path of an agent; write it as /team/other"),
        ("- fall_back: {agent: /a}", "7:30 /a cannot fall back to itself; name another agent"),
        (
            "- fall_back: {agent: /othr}",
            "7:30 cannot fall back to /othr: there is no such agent; did you mean '/other'?",
        ),
        ("- fall_back: {agent: /tool}", "7:30 cannot fall back to /tool: it takes no messages; one of: /a, /other"),
        (
            "- fall_back: {agent: /other, model: x}",
            "7:22 another agent has args of its own: nothing stands beside 'agent'; remove the rest, or 'agent'",
        ),
    ],
)
def test_what_is_wrong_with_a_rung_is_said_at_its_place(text: str, problem: str) -> None:
    assert refused(text) == [problem]


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        (
            "- dead_letter\n- retry",
            [f"8:11 this rung is never reached: dead_letter at line 7 {ENDS}"],
        ),
        (
            "- escalate\n- dead_letter\n- retry",
            [
                f"8:11 this rung is never reached: escalate at line 7 {ENDS}",
                f"9:11 this rung is never reached: escalate at line 7 {ENDS}",
            ],
        ),
        (
            "- dead_letter\n- escalate\n- escalate",
            [f"9:11 this rung is never reached: escalate at line 8 {ENDS}"],
        ),
    ],
)
def test_rungs_that_are_never_reached_are_refused(text: str, problems: list[str]) -> None:
    assert refused(text) == problems


def test_bounds_in_money_without_prices_are_remarked_on() -> None:
    def remarked(recovery: str, prices: str = "") -> list[str]:
        text = config(recovery, "\n      budget: {session: {cost: 1}}") + prices
        return remarks(read_config(text.encode(), "/nowhere/t.yaml", environment={}).tree)

    (one,) = remarked("{steps: [retry], spend: 0.5}")
    assert one.startswith("there are no 'prices': only what ctx.spend(cost=...) says counts for the budget of /a, ")
    assert remarked("{steps: [retry], spend: 0.5}", "prices: {models: {large: {in: 3, out: 15}}}\n") == []
    plain = read_config(config("- retry").encode(), "/nowhere/t.yaml", environment={})
    assert remarks(plain.tree) == []


def test_a_ladder_that_is_too_long_is_refused() -> None:
    assert refused("- retry: 600\n- vary: {t: {from: 1, to: 9, steps: 600}}") == [
        "7:9 a ladder has at most 1000 steps; let it retry, or vary, less often"
    ]


def test_a_pool_whose_members_fall_back_to_its_own_is_told_apart_from_other_pools() -> None:
    text = """agenthost: 1
tree:
  children:
    - {name: small, agent: "crew:Small"}
    - name: chats
      pool: {agent: "crew:Chat", recovery: [retry, {fall_back: {agent: /small}}]}
"""
    (_, pool) = read_config(text.encode(), "/nowhere/t.yaml", environment={}).tree.children
    assert pool.template.birth.recovery.rungs[1] == on.Fall_back("/small")  # type: ignore[union-attr]
