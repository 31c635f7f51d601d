"""Answers that are rejected, and turns that go round in circles, in a running host."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgpack
import pytest

from agenthost.agent.loops import PATIENT
from agenthost.errors import AgenthostError, AnswerRejected, Down, Interrupted, TurnLooped
from tests.host.onlooker import Onlooker, shown
from tests.host.running import Running, tree

ANSWERING = Path(__file__).resolve().parent / "answering.py"
Start = Callable[..., Running]
QUICK = [{"retry": {"times": 3, "initial": "1ms"}}]


def agent(name: str, kind: str, **keys: Any) -> dict[str, Any]:
    return {"name": name, "agent": f"{ANSWERING}:{kind}", "backoff": {"initial": "1ms", "max": "5ms"}, **keys}


def test_an_answer_that_is_no_good_is_nobodys(start: Start, places: Path) -> None:
    """One host, many sentences: each has agents of its own."""
    files = {"args": {"file": str(places / "looked")}, "turn": {"interrupt": "30s"}}
    host = start(
        tree(
            agent("writer", "Writer", recovery=QUICK),
            agent("async-writer", "AsyncWriter", recovery=QUICK),
            agent("slow", "Slow", **files),
            agent("shaped", "Same", schema={"type": "object", "required": ["price"]}),
            agent("judge", "Judge", **files),
            agent("judged", "Same", judge={"agent": "/judge", "timeout": "50s"}, turn={"interrupt": "30s"}),
        )
    )
    for name in ("writer", "async-writer"):
        a_reader_sees_an_answer_that_is_rejected_grow_and_break_and_never_as_one(host, name)
    a_reply_that_is_not_as_its_schema_wants_it_is_an_error(host)
    a_judge_says_yes_or_no(host)
    for path in ("/slow", "/judged"):
        a_turn_can_be_interrupted_while_its_answer_is_looked_at(host, path, places / "looked")


def test_a_turn_that_goes_round_in_circles_is_stopped(start: Start, places: Path) -> None:
    """As above."""
    names = ("circling", "dying", "running", "stubborn")
    circling = [
        agent(name, "Circling", args={"file": str(places / name)}, loops={"same_call": 5}, recovery=QUICK)
        for name in names
    ]
    same = agent("same", "Same", loops={"same_answer": 3}, recovery=QUICK)
    host = start(tree({"name": "echo", "agent": "echo"}, *circling, same, intensity=1000))
    who_swallows_what_stops_him_calls_nothing_and_fails_all_the_same(host)
    programs_count_as_calls_do(host)
    a_crash_is_no_way_out_of_a_loop(host)
    who_never_stops_is_ended_and_his_message_has_failed_of_a_loop(host)
    the_same_answer_in_a_conversation_is_a_loop_at_last(host)


def said(host: Running, name: str) -> list[str]:
    return (host.folder / name).read_text().split()


def speak(host: Running, path: str, body: Any) -> Any:
    return host.client.request("send", {"path": path, "body": msgpack.packb(body), "session": True})


def failures(host: Running, path: str) -> list[dict[str, Any]]:
    return [one["fields"] for one in host.events("mail.failed", path)]


def a_reader_sees_an_answer_that_is_rejected_grow_and_break_and_never_as_one(host: Running, name: str) -> None:
    path = f"/{name}"
    ana = Onlooker(host, path)
    try:
        ana.wait(lambda screen: screen.caught_up is not None, "it is caught up")
        speak(host, path, {"bad": 2})
        told = ana.wait_entries(4)
    finally:
        ana.close()
    assert shown(told)[1:] == [
        ("answer", {"text": "this is bad "}, 1, True),
        ("answer", {"text": "this is bad "}, 2, True),
        ("answer", {"text": "fine after 3 "}, 3, False),
    ]
    first, second = failures(host, path)
    assert first["reason"] == "cannot take the answer: check() says: it is bad"
    assert first["fingerprint"] == second["fingerprint"]
    assert first["fingerprint"].startswith("rejected check: ")
    with pytest.raises(AnswerRejected, match="check\\(\\) says: it is bad"):
        host.call(path, {"bad": 1})
    assert host.call(path, {"bad": 0}) == "fine after 1"
    assert host.events("agent.ended", path) == []


def a_reply_that_is_not_as_its_schema_wants_it_is_an_error(host: Running) -> None:
    assert host.call("/shaped", {"price": 1}) == {"price": 1}
    with pytest.raises(AnswerRejected, match="'price' is a required property"):
        host.call("/shaped", {})


def a_judge_says_yes_or_no(host: Running) -> None:
    assert host.call("/judged", "good") == "good"
    with pytest.raises(AnswerRejected, match="/judge says no: it is not good"):
        host.call("/judged", "bad")


def a_turn_can_be_interrupted_while_its_answer_is_looked_at(host: Running, path: str, looked: Path) -> None:
    looked.unlink(missing_ok=True)
    found: list[Exception] = []

    def call() -> None:
        with host.new_client() as client:
            try:
                client.call(path, "slow", timeout=50)
            except AgenthostError as error:
                found.append(error)

    caller = threading.Thread(target=call)
    caller.start()
    host.wait(looked.exists, "it is being looked at")
    host.ask("interrupt", path=path)
    caller.join(50)
    assert [type(one) for one in found] == [Interrupted]
    assert host.events("agent.ended", path) == []


def who_swallows_what_stops_him_calls_nothing_and_fails_all_the_same(host: Running) -> None:
    with pytest.raises(TurnLooped, match="cannot call /echo: that would be 5 times"):
        host.call("/circling", {"calls": 12})
    assert said(host, "circling") == ["made"] * 4 + ["TurnLooped"] * 4 + ["TurnInterrupted"] * 4
    assert host.call("/circling", {"calls": 4}) == "done", "the next turn is another one"


def programs_count_as_calls_do(host: Running) -> None:
    with pytest.raises(TurnLooped, match="cannot call run true: that would be 5 times"):
        host.call("/running", {"runs": 6})
    assert said(host, "running") == ["made"] * 4 + ["TurnLooped"] * 2


def a_crash_is_no_way_out_of_a_loop(host: Running) -> None:
    """Two attempts make two calls each and are killed; the third makes none that was made before, and one too many."""
    host.client.send("/dying", {"calls": 4, "dies": 1})
    host.wait(lambda: host.row("/dying")["mailbox"] == 0, "it is done")
    assert said(host, "dying") == ["made"] * 8, "the second attempt was given what the first had got"
    host.client.send("/dying", {"calls": 2})
    failed = host.wait_event("mail.failed", "/dying", 2)["fields"]
    assert failed["fingerprint"] == "loop same_call of /echo"
    assert "5 times with the same arguments" in failed["reason"]


def who_never_stops_is_ended_and_his_message_has_failed_of_a_loop(host: Running) -> None:
    with pytest.raises(Down):
        host.call("/stubborn", {"calls": PATIENT * 2})
    host.client.send("/stubborn", {"calls": PATIENT * 2})
    failed = host.wait_event("mail.failed", "/stubborn")["fields"]
    assert failed["fingerprint"] == "loop same_call of /echo"
    host.ask("stop", path="/stubborn")


def the_same_answer_in_a_conversation_is_a_loop_at_last(host: Running) -> None:
    for _ in range(4):
        speak(host, "/same", "I am sorry, I cannot help you with that.")
    failed = host.wait_event("mail.failed", "/same")["fields"]
    assert failed["fingerprint"] == "loop same_answer"
    assert failed["reason"].startswith("cannot give this answer: that would be 3 times the same in a row")
