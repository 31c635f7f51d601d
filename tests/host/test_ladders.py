"""Ladders in a running host: a model that fails by script, remedies that hang, nobody to fall back to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.host import laddered
from tests.host.running import Running, tree
from tests.scripted import endpoint as scripted

Start = Callable[..., Running]
AT_ONCE = {"times": 1, "initial": "1ms"}


def stuck(name: str, kind: str, **keys: Any) -> dict[str, Any]:
    ladder = ["compact", {"vary": {"well": True}}]
    return {"name": name, "agent": f"{laddered.__file__}:{kind}", "recovery": ladder, **keys}


def rungs(host: Running, path: str) -> list[tuple[str, str]]:
    """What was taken for which failure."""
    found = [one["fields"] for one in host.events("mail.failed", path)]
    return [(one["fingerprint"].partition(" at ")[0], one["remedy"]) for one in found]


def test_a_remedy_that_hangs_is_interrupted_and_why_is_told_apart(start: Start) -> None:
    clock = {"turn": {"timeout": "300ms"}}
    host = start(
        tree(
            stuck("a", "Stuck", **clock),
            stuck("b", "AsyncStuck", **clock),
            stuck("c", "Stuck"),
            stuck("d", "AsyncStuck"),
        )
    )
    pids = {path: host.pid(path) for path in ("/a", "/b", "/c", "/d")}
    for path in pids:
        host.client.send(path, "x")
    for path in ("/c", "/d"):
        for count in (1, 2):
            host.wait(lambda: host.printed(path).count("compacting") == count, "it compacts")  # noqa: B023
            host.client.interrupt(path, timeout=60)
    for path, why in {"/a": "turn_timeout", "/b": "turn_timeout", "/c": "interrupted", "/d": "interrupted"}.items():
        host.wait_event("mail.failed", path, count=3)
        (first, *interrupted) = rungs(host, path)
        assert first == ("error turn_failed", "compact")
        assert [(mark.partition(":")[0], rung) for mark, rung in interrupted] == [
            (why, "compact"),
            (why, "vary well=True"),
        ]
        host.wait(lambda: host.row(path)["mailbox"] == 0, "it was done")  # noqa: B023
    assert {path: host.pid(path) for path in pids} == pids and host.ask("letters") == []


@pytest.mark.slow  # tests/journal/test_settling.py shows what is decided
def test_where_a_child_of_an_agent_has_nobody_to_fall_back_to_the_next_rung_is_taken(start: Start) -> None:
    host = start(tree({"name": "owner", "agent": f"{laddered.__file__}:Owner"}))
    assert host.call("/owner") == "/owner/child"
    host.client.send("/owner/child", "x")
    fields = host.wait_event("mail.failed", "/owner/child")["fields"]
    assert fields["remedy"] == "vary well=True"
    assert fields["why"].startswith("passed over: cannot fall back to /nobody: ") and fields["reason"] == "no good"
    host.wait(lambda: host.row("/owner/child")["mailbox"] == 0, "it was done")


@pytest.mark.slow  # tests/scripted/test_ladder.py climbs without a host
def test_a_conversation_climbs_past_a_model_that_fails_and_whoever_follows_is_shown_one_answer(start: Start) -> None:
    ladder = [
        {"retry": AT_ONCE},
        {"vary": {"temperature": [0.7]}},
        {"compact": {"keep_last": 2}},
        {"fall_back": {"model": "small"}},
    ]
    with scripted.running() as model:
        args = {"base_url": model.base_url, "model": "large", "temperature": 0.1, "patience_s": 0}
        host = start(tree({"name": "chat", "agent": "chat", "args": args, "recovery": ladder}))
        model.always({"do": "garbage", "unless": {"model": "small"}})
        model.script({"do": "text", "text": "hello to you"}, {"do": "text", "text": "fine"})
        with host.client.session("/chat") as session:  # type: ignore[union-attr]  # it is ours
            for text in ("hello", "how are you"):
                session.say(text)
            model.script()
            session.say("what is it?")
            host.wait(lambda: host.row("/chat")["mailbox"] == 0, "all is answered")
            entries = [one for one in session.events() if one.type == "answer"]
        assert [one.fields["text"] for one in entries if not one.broken] == [
            "hello to you",
            "fine",
            "You said: what is it?",
        ]
        assert [rung for _, rung in rungs(host, "/chat")] == [
            "retry",
            "vary temperature=0.7",
            "compact keep_last=2",
            "fall_back model=small",
        ]
        assert len({mark for mark, _ in rungs(host, "/chat")}) == 1
        last = model.requests[2:]
        assert [(one["temperature"], one["model"]) for one in last] == [
            (0.1, "large"),
            (0.1, "large"),
            (0.7, "large"),
            (0.1, "large"),
            (0.1, "small"),
        ]
        assert [len(one["messages"]) for one in last] == [5, 5, 6, 4, 6]
