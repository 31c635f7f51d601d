"""An agent whose model calls tools: it does what the model wants, until that says something."""

from __future__ import annotations

import json
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

from agenthost import Agent, Context, Message, TurnFailed


class ToolUser(Agent):
    """Args: ``base_url``, ``temperature``. Tools are paths of other agents."""

    def handle(self, message: Message, ctx: Context) -> None:
        messages: list[dict[str, Any]] = [{"role": "user", "content": message.body}]
        while not (said := self._ask(messages)).get("content"):
            function = said["tool_calls"][0]["function"]
            result = ctx.call(function["name"], json.loads(function["arguments"]))
            messages += [said, {"role": "tool", "content": json.dumps(result)}]
        self.state.setdefault("said", []).append(said["content"])

    def _ask(self, messages: list[dict[str, Any]]) -> dict[str, Any]:
        request = {"messages": messages, "temperature": self.args.get("temperature", 0)}
        connection = HTTPConnection(urlsplit(self.args["base_url"]).netloc, timeout=60)
        try:
            connection.request("POST", "/v1/chat/completions", json.dumps(request))
            answer = connection.getresponse()
            if answer.status != 200:
                raise TurnFailed(f"the model said {answer.status}")
            said: dict[str, Any] = json.loads(answer.read())["choices"][0]["message"]
            return said
        finally:
            connection.close()
