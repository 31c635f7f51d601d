"""What one agent has asked and was told: each request acts once, and what is kept of the answers is bounded."""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any

from agenthost.containment.walk import WalkContainment
from agenthost.core import effects as do
from agenthost.core import events as on
from agenthost.core.birth import AgentBirth, Limits, May
from agenthost.core.spec import SupervisorSpec, WorkerSpec
from agenthost.core.step import step
from agenthost.core.tree import State
from agenthost.host.incarnation import Incarnation
from agenthost.host.wishes import LONGEST_WHY, REMEMBERED_BYTES, Wishes
from agenthost.protocol import control as say
from agenthost.protocol.codec import read_from_host

AGENT = b"agent"


class Side:
    """/a, which is up and may start nothing unless ``may`` says so. Effects are not carried out, answers are heard."""

    def __init__(self, may: May) -> None:
        birth = AgentBirth("m:A", may=may)
        self.state = State(SupervisorSpec("root", (WorkerSpec("a", birth=birth),)))
        self.it = Incarnation("/a", 1, "1.1", birth, WalkContainment().cell("/a", "1.1", Limits()), time.monotonic())
        self.it.peer = AGENT
        self.heard: list[Any] = []
        self.adds = 0
        self.broken = False
        self.wishes = Wishes(
            state=self.state,
            folder="/",
            present=lambda path: self.it if path == "/a" else None,
            send=lambda peer, frame: self.heard.append(read_from_host(frame)),
            tell=self.tell,
        )
        self.tell(on.Boot())
        self.tell(on.Ready("/a", 1))

    def tell(self, event: on.Event) -> None:
        self.adds += isinstance(event, on.Add)
        step(self.state, event, time.monotonic())
        if self.broken:
            raise ValueError("another owner's bug")

    def ask(self, id: int, **args: Any) -> Any:
        self.wishes.asked(self.it, say.Request(id=id, op="begin", args=args))
        return self.heard[-1] if self.heard else None


def test_what_is_kept_for_an_agent_is_bounded_in_bytes_whatever_it_asks() -> None:
    side = Side(May(start=()))
    long = "x" * 700_000
    for number in range(1, 200):
        answer = side.ask(number, name="sub", spec={"command": [long], "cwd": long})
        assert isinstance(answer, say.Refused) and len(answer.why) <= LONGEST_WHY
    (asker,) = side.wishes._askers.values()
    assert sum(map(len, asker.answers.values())) == asker.answers_bytes <= REMEMBERED_BYTES


def test_a_request_whose_answer_is_not_kept_does_not_act_again() -> None:
    side = Side(May(children=5000))
    assert side.ask(1, name="one", spec={"command": ["x"]}) is None
    (op,) = side.wishes.children._open
    side.wishes.answered(do.Answer(op))
    first = side.heard[-1]
    assert isinstance(first, say.Response) and side.adds == 1
    assert side.ask(1, name="one", spec={"command": ["x"]}) == first
    for number in range(2, 1000):
        side.ask(number, name="a b" * 100, spec={"command": ["x"]})
    again = side.ask(1, name="one", spec={"command": ["x"]})
    assert isinstance(again, say.Refused) and "was answered" in again.why and side.adds == 1


def test_a_start_is_answered_once_even_if_another_owner_of_effects_fails() -> None:
    side = Side(May())
    side.broken = True
    assert "another owner's bug" in side.ask(1, name="one", spec={"command": ["x"]}).why
    side.broken = False
    (op,) = side.wishes.children._open
    side.wishes.answered(do.Answer(op))
    assert [type(one) for one in side.heard] == [say.Refused]


def test_a_tool_that_was_ended_before_its_streams_came_is_not_started_when_they_do() -> None:
    async def main() -> None:
        side = Side(May())
        streams = side.wishes._streams
        args = {"name": "tool", "argv": ["true"], "env": {}, "cwd": "/", "streams": 5}
        side.wishes.asked(side.it, say.Request(id=1, op="run", args=args))
        assert side.heard == []
        side.wishes.asked(side.it, say.Request(id=2, op="end", args={"path": "/a/tool", "how": "kill"}))
        refused, ended = side.heard
        assert isinstance(refused, say.Refused) and (refused.id, refused.code) == (1, "not_running")
        assert isinstance(ended, say.Response) and ended.result["was_there"] is False
        streams.came(1, 5, list(os.pipe()))
        assert side.adds == 0
        # asked anew, under another number, it is started: the streams are there
        side.wishes.asked(side.it, say.Request(id=3, op="run", args=args))
        assert side.adds == 1
        streams.close()

    asyncio.run(main())
