"""Agents that have an awkward program below them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from agenthost import Agent

AWKWARD = str(Path(__file__).resolve().parent / "awkward.py")
sys.path.insert(0, str(Path(__file__).resolve().parent))


class Parent(Agent):
    """Is ready when the program ``args["program"]`` is born."""

    def on_start(self, ctx: Any) -> None:
        words = [sys.executable, "-S", "-E", AWKWARD, self.args["program"]]
        self._program = subprocess.Popen(words, stdout=subprocess.PIPE)
        assert self._program.stdout is not None
        if self._program.stdout.readline() != b"born\n":
            raise RuntimeError(f"{self.args['program']} was not born")

    def handle(self, message: Any, ctx: Any) -> None:
        """From the second second on C code holds the interpreter: no beat is sent any more."""
        import time

        from awkward import hold_interpreter

        time.sleep(message.body["after_s"])
        hold_interpreter()


class Turner(Agent):
    """Has the program below it in a turn: as a tool, or started by itself, then it is the agent's own."""

    def handle(self, message: Any, ctx: Any) -> Any:
        import time

        if message.body["as"] == "nothing":
            return "done"
        words = [sys.executable, "-S", "-E", AWKWARD, message.body["program"]]
        if message.body["as"] == "tool":
            self._tool = ctx.popen(words, name="tool")
            born = self._tool.stdout.readline()
        else:
            self._program = subprocess.Popen(words, stdout=subprocess.PIPE)
            assert self._program.stdout is not None
            born = self._program.stdout.readline()
        if born != b"born\n":
            raise RuntimeError(f"{message.body['program']} was not born")
        Path(message.body["born"]).touch()
        while message.body["until"] is None or not Path(message.body["until"]).exists():
            time.sleep(0.01)
        return None
