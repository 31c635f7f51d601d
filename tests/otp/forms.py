"""The scripted test child in three forms that obey the same words: a Python agent, a foreign program, and one whose
work and helpers are daemons outside its group. A supervisor must not be able to tell them apart.

``plan``: a word for each start to come: ready, fail (it ends before it is ready), hang (it never is), ignore (only an
agent can say that), gone (ends well before it is ready). ``asked``: what it does when it is asked to end: obeys, deaf
(only KILL ends it), crash (status 3), slow N (obeys after N seconds), until (obeys once it is let go).
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from agenthost import IGNORE, Agent

FORMS = ("agent", "program", "escaping")
HERE = Path(__file__).resolve()
ENTRY = "OTP_CASE"
"""In the environment of every program, with the token of its test."""


def key_of(path: str) -> str:
    return path.strip("/").replace("/", ".")


def config_of_form(form: str, folder: Path, token: str) -> dict[str, Any]:
    """The keys of a worker of that form."""
    if form == "agent":
        return {"agent": f"{HERE}:Scripted", "args": {"folder": str(folder)}}
    how = "escaping" if form == "escaping" else "plain"
    return {
        "command": [sys.executable, "-S", "-E", str(HERE.parent / "program.py"), str(folder), how],
        "ready": {"line": "^ready$"},
        "env": {ENTRY: token},
    }


def write_plan(folder: Path, path: str, words: tuple[str, ...]) -> None:
    (folder / f"{key_of(path)}.plan").write_text("\n".join(words))


def write_asked(folder: Path, path: str, word: str) -> None:
    (folder / f"{key_of(path)}.asked").write_text(word)


def write_exit(folder: Path, path: str, status: int) -> None:
    """To the program that is there now: what an older one had not read went with it."""
    fd = os.open(folder / f"{key_of(path)}.fifo", os.O_WRONLY | os.O_NONBLOCK)
    os.write(fd, f"{status}\n".encode())
    os.close(fd)


def write_go(folder: Path, path: str) -> None:
    (folder / f"{key_of(path)}.go").touch()


class Scripted(Agent):
    """The same words, as a Python agent."""

    def on_start(self, ctx: Any) -> Any:
        match self._take_plan(ctx.path):
            case "fail":
                raise LookupError("no prices today")
            case "ignore":
                return IGNORE
            case "gone":
                raise SystemExit(0)
            case "hang":
                while True:
                    time.sleep(1000)

    def handle(self, message: Any, ctx: Any) -> Any:
        raise SystemExit(int(message.body["status"]))

    def on_stop(self, ctx: Any) -> None:
        word, *rest = self._word(ctx.path).split()
        match word:
            case "deaf":
                for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
                    signal.signal(number, signal.SIG_IGN)
                while True:
                    time.sleep(1000)
            case "crash":
                os._exit(3)
            case "slow":
                time.sleep(float(rest[0]))
            case "until":
                while not Path(self.args["folder"], f"{key_of(ctx.path)}.go").exists():
                    time.sleep(0.005)

    def _word(self, path: str) -> str:
        file = Path(self.args["folder"], f"{key_of(path)}.asked")
        return file.read_text() if file.exists() else "obeys"

    def _take_plan(self, path: str) -> str:
        file = Path(self.args["folder"], f"{key_of(path)}.plan")
        if not file.exists():
            return "ready"
        first, _, rest = file.read_text().partition("\n")
        file.write_text(rest)
        return first or "ready"
