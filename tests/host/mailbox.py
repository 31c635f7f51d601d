"""Agents of a busy mailbox: posters, and one who notes when each turn began, and ended."""

from __future__ import annotations

import json
import time
from pathlib import Path

from agenthost import Agent, Context, Message, TurnFailed


class Poster(Agent):
    """Sends so many messages to whom its body says."""

    def handle(self, message: Message, ctx: Context) -> None:
        for number in range(message.body["count"]):
            ctx.send(message.body["to"], {"number": number, "takes_s": message.body["takes_s"]})


class Busy(Agent):
    """``poison`` in the body: it fails after it has taken its time."""

    def handle(self, message: Message, ctx: Context) -> None:
        began = time.time()
        time.sleep(message.body["takes_s"])
        line = {"id": message.id, "poison": "poison" in message.body, "began": began, "ended": time.time()}
        with Path(self.args["file"]).open("a") as file:
            file.write(json.dumps(line) + "\n")
        if "poison" in message.body:
            raise TurnFailed("no good")
