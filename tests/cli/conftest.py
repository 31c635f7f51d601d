"""A host per test, as the tests of the host have it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.host.conftest import Start
from tests.host.running import Running, running

AGENTS = """
import os, sys, time
from agenthost import Agent

class Echo(Agent):
    def handle(self, message, ctx):
        return message.body

class Talker(Agent):
    def handle(self, message, ctx):
        os.write(1, message.body.encode("latin-1"))

class Crasher(Agent):
    def handle(self, message, ctx):
        raise ValueError(message.body)

class Failing(Agent):
    def on_start(self, ctx):
        raise LookupError("no \\x1b[31mprices today")

    def handle(self, message, ctx):
        pass

class Sleeper(Agent):
    def handle(self, message, ctx):
        time.sleep(1000)
"""


@pytest.fixture
def agents(places: Path) -> str:
    """The file of this folder's agents: ``f"{agents}:Echo"``."""
    file = places / "actors.py"
    file.write_text(AGENTS)
    return str(file)


@pytest.fixture
def start(places: Path) -> Iterator[Start]:
    with ExitStack() as stack:

        def begin(config_tree: dict[str, Any], **keys: Any) -> Running:
            return stack.enter_context(running(places, config_tree, **keys))

        yield begin
