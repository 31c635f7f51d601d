"""Echo: the smallest agent that is of use. It replies with the body it was sent."""

from __future__ import annotations

import time
from typing import Any

from agenthost import Agent, Context, Message


class Echo(Agent):
    """Args: ``delay_s`` (default 0), the time a turn takes."""

    def handle(self, message: Message, ctx: Context) -> Any:
        delay_s = float(self.args.get("delay_s", 0))
        if delay_s > 0:
            time.sleep(delay_s)
        return message.body
