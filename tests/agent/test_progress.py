"""What an agent gets done is counted; what it waits for is not."""

from __future__ import annotations

import io
import os
from typing import Any

from agenthost import Agent
from agenthost.agent.progress import Output, steps
from agenthost.testing import AgentHarness


def test_what_is_read_from_a_tool_counts_and_its_end_does_not() -> None:
    read, write = os.pipe()
    with io.BufferedReader(Output(read, "rb")) as output:
        before = steps.count
        os.write(write, b"one\ntwo\n")
        assert output.readline() == b"one\n" and steps.count == before + 1
        assert output.readline() == b"two\n" and steps.count == before + 1, "it lay in the buffer"
        os.write(write, b"rest")
        os.close(write)
        assert output.read() == b"rest"
        seen = steps.count
        assert seen > before + 1
        assert output.read() == b"" and steps.count == seen


class Doer(Agent):
    def handle(self, message: Any, ctx: Any) -> list[int]:
        deeds = (
            lambda: ctx.progress(),
            lambda: ctx.emit("note", text="x"),
            lambda: ctx.run(["echo", "a"]),
            lambda: ctx.log("a line"),
        )
        found = []
        for deed in deeds:
            before = steps.count
            deed()
            found.append(steps.count - before)
        return found


def test_what_an_author_does_with_ctx_counts() -> None:
    with AgentHarness(Doer) as doer:
        told, emitted, ran, logged = doer.call(None)
    assert (told, logged) == (1, 0)
    assert emitted > 0 and ran > 0
