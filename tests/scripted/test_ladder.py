"""A conversation with a model that fails in every way a provider fails, until a rung of its ladder helps.

The scripted endpoint fails by count, or until a request is as some rung makes it; the chat worker and the ladder are
the real ones, without a host. What is shown for each way, each rung and mixtures of ways: the order of rungs, what each
attempt was asked with, that the conversation is kept as promised, and that nothing is said or remembered twice.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from agenthost_workers.chat import Chat

from agenthost.testing import AgentHarness
from tests.scripted.endpoint import Endpoint, Step, running

WAYS: dict[str, Step] = {
    "busy": {"do": "status", "status": 429, "retry_after": "7", "message": "slow down"},
    "overloaded": {"do": "status", "status": 503, "message": "not now"},
    "broken": {"do": "status", "status": 500, "message": "oops"},
    "no key": {"do": "status", "status": 401, "message": "who are you"},
    "too long": {"do": "too_long", "limit": 0},
    "garbage": {"do": "garbage"},
    "truncated": {"do": "truncate", "pieces": 1},
    "silent end": {"do": "silent_end", "pieces": 1},
    "error inside": {"do": "error", "pieces": 1},
    "endless": {"do": "endless"},
    "declines": {"do": "decline"},
    "held back": {"do": "filter"},
    "says nothing": {"do": "nothing"},
    "same tool call": {"do": "tool", "name": "/pay", "arguments": {"order": 7}},
    "hangs": {"do": "hang"},
    "stalls": {"do": "stall", "pieces": 1},
}
SLOW = ("hangs", "stalls")
"""They cost the time that a turn has."""
REJECTED = ("declines", "held back", "says nothing", "same tool call")
RUNGS: list[Any] = [
    {"retry": {"times": 2, "initial": "1s"}},
    {"vary": {"temperature": [0.7, 0.9]}},
    {"compact": {"keep_last": 2}},
    {"roll_back": 1},
    {"ask": "go on?"},
    {"fall_back": {"model": "small"}},
    "dead_letter",
]
LABELS = [
    "retry",
    "retry 2",
    "vary temperature=0.7",
    "vary temperature=0.9",
    "compact keep_last=2",
    "roll_back 1",
    "ask go on?",
    "fall_back model=small",
]
HISTORY = [letter * 200 for letter in "abc"]
ASKED = "what is it?"


@pytest.fixture(scope="module")
def shared() -> Iterator[Endpoint]:
    with running() as endpoint:
        yield endpoint


@pytest.fixture
def endpoint(shared: Endpoint) -> Iterator[Endpoint]:
    yield shared
    shared.script_over()


def talking(endpoint: Endpoint, *rungs: Any, **args: Any) -> AgentHarness:
    """A chat in which something was said before."""
    usual = {
        "base_url": endpoint.base_url,
        "model": "large",
        "temperature": 0.1,
        "timeout_s": 60,
        "patience_s": 0,
        "answer_max_bytes": 4000,
        **args,
    }
    chat = AgentHarness(Chat, args=usual, config={"recovery": list(rungs or RUNGS)})
    for text in HISTORY:
        chat.send(text)
    endpoint.requests.clear()
    chat.log.clear()
    return chat


def climb(chat: AgentHarness) -> str:
    """To its end; a person who is asked says yes."""
    ended = chat.climb(ASKED)
    while ended == "asked":
        chat.answer("go on")
        ended = chat.climb_on()
    return ended


def said(request: dict[str, Any]) -> list[str]:
    """By the user, in a request."""
    return [one["content"] for one in request["messages"] if one["role"] == "user"]


def expected(label: str) -> tuple[float, str, list[str]]:
    """Temperature, model and what the user had said, of an attempt with that rung."""
    temperature = float(label.partition("=")[2]) if label.startswith("vary") else 0.1
    model = "small" if label.startswith("fall_back") else "large"
    kept = {"compact keep_last=2": HISTORY[-1:], "roll_back 1": HISTORY[:-1]}.get(label, HISTORY)
    return temperature, model, [*kept, ASKED]


def check(chat: AgentHarness, endpoint: Endpoint, labels: list[str], ended: str) -> None:
    """``labels`` are the rungs that were to be taken, in order."""
    assert [one.rung for one in chat.remedies] == labels + ["dead_letter"] * (ended == "dead_letter")
    asked = [(one["temperature"], one["model"], said(one)) for one in endpoint.requests]
    assert asked == [expected(label) for label in ["", *labels]]
    whole = [entry for entry in chat.log if not entry.broken]
    assert [entry.type for entry in whole] == ["answer"] * (ended == "done"), "a reader is shown one answer, or none"
    remembered = [one["content"] for one in chat.state["messages"] if one["role"] == "user"]
    kept = expected(labels[-1] if labels else "")[2]
    assert remembered == (kept if ended == "done" else HISTORY), "the conversation is as its last good turn left it"
    assert len(chat.state["messages"]) == 2 * len(remembered)
    assert chat.agent.args["temperature"] == 0.1 and chat.agent.args["model"] == "large"
    notes = [one["messages"][-2] for one in endpoint.requests[1:]]
    for label, note in zip(labels, notes, strict=True):
        assert (note["role"] == "system") == (not label.startswith("retry")), "beyond a retry the model is told why"


MOST = len(LABELS)
HOW_OFTEN = [
    pytest.param((1, MOST + 1), id="once and for ever"),
    pytest.param(range(MOST + 2), marks=pytest.mark.slow, id="each"),
]


@pytest.mark.parametrize("how_often", HOW_OFTEN)
@pytest.mark.parametrize("way", WAYS)
def test_a_model_that_fails_until_some_rung_gets_each_before_in_its_order(
    way: str, how_often: Iterable[int], endpoint: Endpoint
) -> None:
    if way in SLOW:
        how_often = (1,) if isinstance(how_often, tuple) else (2, MOST + 1)
    for failures in how_often:
        with talking(endpoint) as chat:
            if way in SLOW:  # where an answer is to come it must come in that time too
                chat.agent.args["timeout_s"] = 0.5 if failures <= MOST else 0.05
            endpoint.script(*[WAYS[way]] * failures)
            ended = climb(chat)
            assert ended == ("done" if failures <= MOST else "dead_letter")
            check(chat, endpoint, LABELS[:failures], ended)
            assert len({one.fingerprint for one in chat.remedies}) == min(failures, 1)
            kinds = {one.fingerprint.split()[0] for one in chat.remedies}
            assert kinds <= {"rejected" if way in REJECTED else "error"}
            pauses = [one.pause_s for one in chat.remedies if one.rung in LABELS and not one.rung.startswith("ask")]
            least = 7.0 if way == "busy" else 0.0
            assert all(pause >= least for pause in pauses), "who says when is not asked before"


def test_each_way_is_a_failure_of_its_own(endpoint: Endpoint) -> None:
    marks: dict[str, str] = {}
    for way in set(WAYS) - set(SLOW):
        with talking(endpoint, "retry", "dead_letter") as chat:
            endpoint.script(WAYS[way])
            assert climb(chat) == "done"
            marks[way] = chat.remedies[0].fingerprint
    assert len(set(marks.values())) == len(marks), marks


def climbed(ways: list[str]) -> list[str]:
    """What the ladder does about these failures, one after the other: for each its own next rung."""
    taken: dict[str, int] = {}
    labels = []
    for way in ways:
        place = taken[way] = taken.get(way, -1) + 1
        if place >= len(LABELS):
            break
        labels.append(LABELS[place])
    return labels


@pytest.mark.parametrize("seed", [*range(3), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(3, 40))])
def test_of_mixed_failures_each_climbs_by_itself_from_the_bottom(seed: int, endpoint: Endpoint) -> None:
    chance = random.Random(seed)
    few = chance.sample(sorted(set(WAYS) - set(SLOW)), chance.randint(2, 4))
    ways = [chance.choice(few) for _ in range(chance.randint(3, 12))]
    with talking(endpoint) as chat:
        endpoint.script(*(WAYS[way] for way in ways))
        ended = climb(chat)
        labels = climbed(ways)
        assert ended == ("done" if len(labels) == len(ways) else "dead_letter")
        check(chat, endpoint, labels, ended)


@pytest.mark.parametrize(
    ("step", "helps"),
    [
        ({"do": "garbage", "unless": {"temperature": 0.9}}, "vary temperature=0.9"),
        ({"do": "filter", "unless": {"temperature": 0.7}}, "vary temperature=0.7"),
        ({"do": "status", "status": 500, "unless": {"model": "small"}}, "fall_back model=small"),
        ({"do": "too_long", "limit": 1200}, "compact keep_last=2"),
    ],
    ids=["garbage", "held back", "a model that is down", "a context that is too long"],
)
def test_the_rung_that_helps_is_the_last_one_taken(step: Step, helps: str, endpoint: Endpoint) -> None:
    with talking(endpoint) as chat:
        endpoint.always(step)
        assert climb(chat) == "done"
        check(chat, endpoint, LABELS[: LABELS.index(helps) + 1], "done")


def test_attempts_are_bounded_whatever_the_ladder_says(endpoint: Endpoint) -> None:
    """Failures that are never the same begin at the bottom each time."""
    with talking(endpoint, {"retry": {"times": 50}}, "dead_letter") as chat:
        words = ["alpha", "beta", "gamma", "delta", "epsilon"]
        endpoint.script(*({"do": "status", "status": 500, "message": f"{a} {b}"} for a in words for b in words))
        assert climb(chat) == "dead_letter"
        assert len(endpoint.requests) == 20
        assert chat.remedies[-1].why == "attempt 20 of 20 was the last"


def test_an_endpoint_may_be_what_a_fall_back_changes(endpoint: Endpoint) -> None:
    with running() as other, talking(endpoint, {"fall_back": {"base_url": other.base_url}}) as chat:
        endpoint.always(WAYS["broken"])
        assert climb(chat) == "done"
        assert len(endpoint.requests) == len(other.requests) == 1
        endpoint.always(None)
        chat.send("again")
        assert len(endpoint.requests) == 2, "it held for that attempt"


@pytest.mark.parametrize(("spend", "requests"), [(0.01, 1), (2.5, 3), (1000, MOST + 1)])
def test_what_a_message_may_cost_is_bounded(spend: float, requests: int, endpoint: Endpoint) -> None:
    """Each answer is used up to its end, and is then no good: that costs as much as a good one."""
    args = {"base_url": endpoint.base_url, "model": "large"}
    config = {"recovery": {"steps": RUNGS, "spend": spend}}
    with AgentHarness(Chat, args=args, config=config, prices={"la*": (0, 1_000_000), "small": (0, 0)}) as chat:
        for text in HISTORY:
            chat.send(text)
        before = len(chat.spent)
        endpoint.requests.clear()
        endpoint.always(WAYS["says nothing"])
        assert climb(chat) == "dead_letter"
        assert len(endpoint.requests) == len(chat.spent) - before == requests
        if spend < 1000:
            assert f"of at most {spend:g}" in chat.remedies[-1].why
