"""Agents of the tests of remedies. What each attempt found stands in a file: a turn that fails leaves nothing else."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

from agenthost import Agent, AsyncContext, Context, Message, TurnFailed


def note(agent: Agent, message: Message, ctx: Context | AsyncContext) -> None:
    attempt = ctx.attempt
    found = {
        "path": ctx.path,
        "attempt": attempt.number,
        "remedy": attempt.remedy,
        "rung": attempt.rung,
        "args": {name: value for name, value in agent.args.items() if name != "file"},
        "state": agent.state,
        "answer": attempt.answer,
        "what": attempt.what_happened,
    }
    with Path(agent.args["file"]).open("a") as file:
        file.write(json.dumps(found) + "\n")


def fail(agent: Agent, message: Message, attempt: int) -> None:
    """As often as the message says, in its way. Any other message is added to the state."""
    body: Any = message.body
    if not isinstance(body, dict):
        agent.state.setdefault("got", []).append(body)
    elif attempt <= body["times"]:
        agent.state["lost"] = True
        match body["how"]:
            case "crash":
                json.loads(f"garbage {attempt}")
            case "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            case "wait":
                raise TurnFailed(f"429: slow down (request req_{attempt})", retry_after_s=body["wait_s"])
            case _:
                raise TurnFailed(f"no good after {attempt} tries")
    else:
        agent.state.setdefault("got", []).append("done")


class Fragile(Agent):
    def handle(self, message: Message, ctx: Context) -> None:
        note(self, message, ctx)
        fail(self, message, ctx.attempt.number)

    def compact(self, state: dict[str, Any], keep_last: int) -> dict[str, Any]:
        return {**state, "got": state.get("got", [])[-keep_last:]}


class AsyncFragile(Agent):
    async def handle(self, message: Message, ctx: AsyncContext) -> None:
        note(self, message, ctx)
        fail(self, message, ctx.attempt.number)

    async def compact(self, state: dict[str, Any], keep_last: int) -> dict[str, Any]:
        return {**state, "got": state.get("got", [])[-keep_last:]}


def own_rung(agent: Agent, attempt: Any, mark: str) -> dict[str, Any]:
    agent.state["mark"] = mark
    return {"marked": attempt.number}
