"""Work that fails in a running host: each attempt is given the next rung, and nothing that failed leaves a trace."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.host.running import Running, tree

REMEDIED = Path(__file__).resolve().parent / "remedied.py"
Start = Callable[..., Running]
QUICK = {"times": 1, "initial": "1ms"}


def fragile(name: str, folder: Path, *rungs: Any, kind: str = "Fragile", **keys: Any) -> dict[str, Any]:
    return {
        "name": name,
        "agent": f"{REMEDIED}:{kind}",
        "args": {"file": str(folder / "attempts"), "temperature": 0.1},
        "backoff": {"initial": "1ms", "max": "5ms"},
        **({"recovery": list(rungs)} if rungs else {}),
        **keys,
    }


def attempts(folder: Path, of: str = "") -> list[dict[str, Any]]:
    """As far as they were written: of durable mail alone, and in its order."""
    file = folder / "attempts"
    found = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    return [one for one in found if not of or one["path"] == of]


def wait_attempts(host: Running, folder: Path, count: int) -> list[dict[str, Any]]:
    host.wait(lambda: len(attempts(folder)) >= count, f"there were {count} attempts")
    return attempts(folder)


@pytest.mark.parametrize("kind", ["Fragile", pytest.param("AsyncFragile", marks=pytest.mark.slow)])
@pytest.mark.parametrize("how", ["crash", "raise"])
def test_every_rung_is_climbed_and_what_it_does_holds_for_its_attempt_alone(
    start: Start, tmp_path: Path, kind: str, how: str
) -> None:
    rungs = [
        {"retry": QUICK},
        {"vary": {"temperature": [0.7, 0.9], "seed": "random"}},
        {"compact": {"keep_last": 1}},
        {"roll_back": 1},
        {f"{REMEDIED}:own_rung": {"mark": "m"}},
        {"fall_back": {"model": "small"}},
        "dead_letter",
    ]
    host = start(tree(fragile("a", tmp_path, *rungs, kind=kind), intensity=99))
    for number in range(3):
        host.client.send("/a", number)
    host.client.send("/a", {"how": how, "times": 99})
    host.wait_event("mail.dead_letter", "/a")
    climbed = attempts(tmp_path)[3:]
    assert [one["remedy"] for one in climbed] == [
        "",
        "retry",
        "vary",
        "vary",
        "compact",
        "roll_back",
        f"{REMEDIED}:own_rung",
        "fall_back",
    ]
    usual = {"temperature": 0.1}
    seeds = [one["args"].pop("seed") for one in climbed[2:4]]
    assert len(set(seeds)) == 2
    assert [one["args"] for one in climbed] == [
        usual,
        usual,
        {"temperature": 0.7},
        {"temperature": 0.9},
        usual,
        usual,
        {**usual, "marked": 7},
        {**usual, "model": "small"},
    ]
    assert [one["state"].get("got") for one in climbed] == [[0, 1, 2]] * 4 + [[2], [0, 1]] + [[0, 1, 2]] * 2
    assert climbed[6]["state"]["mark"] == "m"
    assert not any("lost" in one["state"] for one in climbed)
    assert all("the one before ended" in one["what"] for one in climbed[1:])
    (letter,) = host.ask("letters")
    assert letter["attempt"] == 8 and len({line["fingerprint"] for line in letter["history"]}) == 1
    host.client.send("/a", "after")
    wait_attempts(host, tmp_path, 12)
    assert attempts(tmp_path)[-1]["state"]["got"] == [0, 1, 2]  # nothing of all that has stayed


def test_what_a_remedy_did_is_kept_when_its_turn_ends_well(start: Start, tmp_path: Path) -> None:
    host = start(tree(fragile("a", tmp_path, {"compact": {"keep_last": 1}}), intensity=99))
    for number in range(3):
        host.client.send("/a", number)
    host.client.send("/a", {"how": "raise", "times": 1})
    host.client.send("/a", "after")
    found = wait_attempts(host, tmp_path, 6)
    assert found[-1]["state"]["got"] == [2, "done"] and found[-1]["args"] == {"temperature": 0.1}


def test_a_remedy_that_cannot_be_applied_is_passed_over(start: Start, tmp_path: Path) -> None:
    rungs = [{"compact": {"keep_last": 99}}, {"roll_back": 9}, "no_such_module.rung", {"vary": {"temperature": 1.0}}]
    host = start(tree(fragile("a", tmp_path, *rungs), intensity=99))
    host.client.send("/a", {"how": "raise", "times": 1})
    found = wait_attempts(host, tmp_path, 1)
    host.wait(lambda: [one["remedy"] for one in attempts(tmp_path)] == ["", "vary"], "only vary was applied")
    assert found[0]["attempt"] == 1
    why = [one["fields"]["why"] for one in host.events("mail.failed", "/a")[1:]]
    assert [text.split(":")[:2] for text in why] == [
        ["passed over", " cannot compact"],
        ["passed over", " cannot go back 9 turns"],
        ["passed over", " cannot load no_such_module.rung"],
    ]
    assert host.pid("/a")  # no process was lost over it
    assert not host.events("agent.exited", "/a")


def test_a_provider_that_says_when_is_not_asked_before(start: Start, tmp_path: Path) -> None:
    host = start(tree(fragile("a", tmp_path, {"vary": {"temperature": 1.0}}), intensity=99))
    host.client.send("/a", {"how": "wait", "times": 1, "wait_s": 0.7})
    wait_attempts(host, tmp_path, 2)
    (failed,) = host.events("mail.failed", "/a")
    assert failed["fields"]["pause_s"] == 0.7
    assert failed["fields"]["fingerprint"].endswith("fail+13: #: slow down (request #)")


def test_a_poison_message_holds_back_no_other_sender(start: Start, tmp_path: Path) -> None:
    host = start(
        tree(fragile("a", tmp_path, {"retry": {"times": 5, "initial": "1h", "max": "1h"}}), fragile("b", tmp_path))
    )
    host.client.send("/a", {"how": "raise", "times": 99})
    host.wait_event("mail.failed", "/a")
    with host.new_client() as other:
        assert other.request("ping")
    host.ask("send", path="/a", body=b"\xa1x")  # of the same user: behind it
    assert host.call("/a", "called") is None
    assert [one["state"].get("got") for one in attempts(tmp_path, "/a")][-1] is None


@pytest.mark.slow  # tests/journal/test_settling.py shows what is decided
def test_another_agent_gets_what_one_cannot_do(start: Start, tmp_path: Path) -> None:
    children = [fragile("a", tmp_path, {"fall_back": {"agent": "/b"}}), fragile("b", tmp_path, {"retry": QUICK})]
    host = start(tree(*children, intensity=99))
    host.client.send("/a", {"how": "raise", "times": 2})
    host.wait(lambda: len(attempts(tmp_path)) == 3, "three attempts")
    found = [(one["path"], one["attempt"], one["remedy"]) for one in attempts(tmp_path)]
    assert found == [("/a", 1, ""), ("/b", 2, "fall_back"), ("/b", 3, "retry")]


def test_a_question_survives_everybody_and_its_answer_reaches_the_agent(start: Start, tmp_path: Path) -> None:
    host = start(tree(fragile("a", tmp_path, {"ask": "go on?"}), intensity=99))
    host.client.send("/a", {"how": "crash", "times": 1})
    (question,) = host.wait(lambda: host.ask("asked"), "a person is asked")
    assert (question["receiver"], question["question"], question["until"]) == ("/a", "go on?", 0)
    host.own_pids("journal")
    assert host.stop() == 0
    host.start().wait_ready()
    (question,) = host.wait(lambda: host.ask("asked"), "it still is")
    assert len(attempts(tmp_path)) == 1
    host.ask("answer", message=question["message"], yes=True, text="use less")
    found = wait_attempts(host, tmp_path, 2)[-1]
    assert (found["attempt"], found["remedy"], found["answer"]) == (2, "ask", "use less")
    assert "a person was asked, and says: use less" in found["what"]
    assert host.ask("asked") == []


def test_an_escalation_ends_the_process_and_its_supervisor_hears_why(start: Start, tmp_path: Path) -> None:
    host = start(tree(fragile("a", tmp_path, "dead_letter", "escalate"), intensity=99))
    first = host.pid("/a")
    host.client.send("/a", {"how": "raise", "times": 99})
    ended = host.wait_event("agent.exited", "/a")["fields"]
    assert ended["kind"] == "escalated" and "no good after 1 tries" in ended["reason"]
    host.wait(lambda: host.state("/a") == "ready" and host.pid("/a") != first, "another one runs")
    (letter,) = host.ask("letters")
    assert letter["receiver"] == "/a"


@pytest.mark.slow  # tests/journal/test_settling.py shows what is decided
def test_a_killed_process_climbs_as_well_and_then_answers(start: Start, tmp_path: Path) -> None:
    host = start(tree(fragile("a", tmp_path, {"retry": QUICK}, {"vary": {"temperature": 0.5}}), intensity=99))
    host.client.send("/a", {"how": "kill", "times": 2})
    found = wait_attempts(host, tmp_path, 3)
    assert [one["remedy"] for one in found] == ["", "retry", "vary"]
    marks = {one["fields"]["fingerprint"] for one in host.events("mail.failed", "/a")}
    assert marks == {"signal SIGKILL"}
