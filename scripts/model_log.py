"""The request log of a model endpoint: one line of JSON when somebody asks, one when the answer has left.

``agenthost_workers.model_server`` writes it, and so does the scripted endpoint of the tests.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(slots=True)
class ModelLog:
    """Who has asked the model, and who still waits for its answer; read from the lines it writes."""

    file: Path
    waiting: dict[int, str] = field(default_factory=dict)
    """Request number to path."""
    callers: dict[str, set[str]] = field(default_factory=dict)
    """Path to the pids that have asked from there."""
    _at: int = 0

    def try_read(self) -> Iterator[dict[str, Any]]:
        """The lines that are new and whole."""
        if not self.file.exists():
            return
        with self.file.open("rb") as log:
            log.seek(self._at)
            for line in log:
                if not line.endswith(b"\n"):
                    return
                self._at += len(line)
                entry = json.loads(line)
                self._note(entry)
                yield entry

    def _note(self, entry: dict[str, Any]) -> None:
        if entry["event"] == "ready":
            self.waiting.clear()  # a new model knows nothing of the requests of the one before
        elif entry["event"] == "begin":
            self.waiting[entry["id"]] = entry["path"]
            self.callers.setdefault(entry["path"], set()).add(entry["pid"])
        else:
            self.waiting.pop(entry["id"], None)

    def is_asking(self, path: str) -> bool:
        return path in self.waiting.values()
