"""The agents of this folder's tests: ``f"{agents}:Echo"``."""

from __future__ import annotations

import os
import time
from typing import Any

from agenthost import Agent


class Echo(Agent):
    def handle(self, message: Any, ctx: Any) -> Any:
        return message.body


class Talker(Agent):
    def handle(self, message: Any, ctx: Any) -> None:
        os.write(1, message.body.encode("latin-1"))


class Crasher(Agent):
    def handle(self, message: Any, ctx: Any) -> None:
        raise ValueError(message.body)


class Failing(Agent):
    def on_start(self, ctx: Any) -> None:
        raise LookupError("no \x1b[31mprices today")

    def handle(self, message: Any, ctx: Any) -> None: ...


class Sleeper(Agent):
    def handle(self, message: Any, ctx: Any) -> None:
        time.sleep(1000)
