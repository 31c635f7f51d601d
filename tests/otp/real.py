"""The same vocabulary over a host with real processes, as a user starts it."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agenthost.errors import AgenthostError
from tests.host.conftest import Start
from tests.host.running import Running, is_alive, kill, marked
from tests.otp.forms import ENTRY, config_of_form, write_asked, write_exit, write_go, write_plan
from tests.otp.shape import Sup, config_above, config_beside
from tests.otp.stage import Answer, Note, Row, Stage, relative


class Real(Stage):
    """``folder`` holds what survives the incarnations of the children. The host runs once ``begin`` was called."""

    def __init__(self, form: str, shape: Sup, folder: Path, *, strict: bool = True, static: bool = False) -> None:
        self.form, self.folder, self.token = form, folder, secrets.token_hex(8)
        self.top = f"/{shape.name}" if static else f"/t/{shape.name}"
        self._strict, self._static = strict, static
        self._tree = (config_beside if static else config_above)(shape, self._worker, strict=strict)
        self._pids: set[int] = set()
        """Every main process of the supervisor under test that was ever seen."""
        self.host: Running

    def begin(self, start: Start, **host_keys: Any) -> Answer:
        self.host = start(self._tree, **host_keys)
        return Answer(None, "") if self._static else self.ask("start")

    def plan(self, path: str, *words: str) -> None:
        write_plan(self.folder, self._full(path), words)

    def asked(self, path: str, word: str) -> None:
        write_asked(self.folder, self._full(path), word)

    def go(self, path: str) -> None:
        write_go(self.folder, self._full(path))

    def leave(self, path: str, status: int) -> None:
        if self.form == "agent":
            self.host.client.send(self._full(path), {"status": status}, durable=False)
        else:
            write_exit(self.folder, self._full(path), status)

    def shoot(self, path: str) -> None:
        kill(self.handle(path))

    def ask(self, verb: str, path: str = "", *, wait: bool = True) -> Answer:
        try:
            result = self.host.ask(verb, path=self._full(path), wait=wait)
        except AgenthostError as error:
            return Answer(error.code, error.message)
        return Answer(None, result["text"])

    def reload(self, shape: Sup) -> Answer:
        config = json.loads(self.host.config.read_text())
        config["tree"] = config_beside(shape, self._worker, strict=self._strict)
        self.host.config.write_text(json.dumps(config))
        try:
            return Answer(None, self.host.ask("reload")["text"])
        except AgenthostError as error:
            return Answer(error.code, error.message)

    def notes(self, name: str = "", path: str | None = None) -> list[Note]:
        found = [
            Note(one["name"], relative(one["path"], self.top), one["fields"])
            for one in self.host.events(name)
            if one["path"] == self.top or one["path"].startswith(self.top + "/")
        ]
        return [note for note in found if path in (None, note.path)]

    def rows(self) -> dict[str, Row]:
        found = {}
        for path, row in self.host.rows(paths=[self.top]).items():
            if row.get("pid"):
                self._pids.add(row["pid"])
            n = int(row["incarnation"].rpartition(".")[2]) if row["incarnation"] else 0
            found[relative(path, self.top)] = Row(
                row["kind"],
                row["state"],
                n,
                row["restarts"],
                row["reason"] or "",
                row["held"],
                row.get("pool", False),
                row["restart"],
                row.get("strategy", ""),
            )
        return found

    def handle(self, path: str) -> int:
        """The pid, as seen outside."""
        pid = self.host.pid(self._full(path))
        self._pids.add(pid)
        return pid

    def is_gone(self, handle: int) -> bool:
        return not is_alive(handle)

    def left(self) -> list[str]:
        programs = [f"{pid} {what}" for pid, what in marked(f"{ENTRY}={self.token}").items()]
        return programs + [str(pid) for pid in self._pids if is_alive(pid)]

    def wait(self, true: Callable[[], Any], what: str) -> Any:
        return self.host.wait(true, what)

    def pass_time(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        self.wait(lambda: time.monotonic() >= until, f"{seconds} s have passed")

    def _worker(self) -> dict[str, Any]:
        return config_of_form(self.form, self.folder, self.token)

    def _full(self, path: str) -> str:
        return f"{self.top}/{path}" if path else self.top
