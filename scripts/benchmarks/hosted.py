"""A host of the benchmark's own, and what it tells: records, pids, processes.

Nothing follows the host while something is measured: times are those of its records, fetched afterwards.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from own_host import OwnHost

from agenthost.client import Client

HERE = Path(__file__).parent
PATIENCE_S = 60.0
LOOK_S = 0.02
MANY = "/many"
ASYNC = "/async"


class Hosted:
    """``many`` idle agents without asyncio below ``/many``, as many with it below ``/async``; callers and a crowd."""

    def __init__(self, folder: Path, many: int) -> None:
        self.many = many
        config = folder / "bench.yaml"
        config.write_text(json.dumps(_config(many)), encoding="utf-8")  # JSON is YAML
        self._host = OwnHost(config, folder, {})
        self.left: list[int] = []
        try:
            self._wait(self._host.listens, "its socket")
            self.client = Client(self._host.endpoint, patience_s=PATIENCE_S)
            self.wait_ready("/")
        except BaseException:
            print("\n".join(self._host.try_lines()[-20:]))
            self._host.stop()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.client.close()
        self._host.stop()
        self.left = self._host.left_processes()

    @property
    def guardian(self) -> int:
        return self._host.process.pid

    def ask(self, op: str, **arguments: Any) -> Any:
        self._host.try_lines()  # so that its terminal never fills up
        return self.client.request(op, arguments, timeout=PATIENCE_S)

    def wait_ready(self, path: str) -> None:
        self.ask("wait", path=path, **{"for": "ready"}, timeout_s=PATIENCE_S)

    def offset(self) -> int:
        """That of the next record."""
        return int(self.ask("counters")["host.records"]) + 1

    def records(self, start: int) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for batch in self.client.stream("events", {"from": start}, timeout=PATIENCE_S):
            found += batch
        return found

    def wait_records(self, start: int, name: str, count: int, below: str) -> list[dict[str, Any]]:
        """``count`` records ``name`` of ``below``. Looked for seldom: asking costs the host time that is measured."""
        found: list[dict[str, Any]] = []

        def are_there() -> bool:
            nonlocal found
            found = [one for one in self.records(start) if one["name"] == name and one["path"].startswith(below)]
            return len(found) >= count

        self._wait(are_there, f"{count} x {name} of {below}")
        return found

    def pids(self, below: str) -> dict[str, int]:
        rows = self.ask("status", paths=[below])["tree"]
        return {row["path"]: row["pid"] for row in rows if row["kind"] != "supervisor" and row.get("pid")}

    def own_pids(self) -> dict[str, int]:
        """host, router, logger."""
        return {one["what"]: one["pid"] for one in self.ask("ps") if not one["what"].startswith("zygote")}

    def _wait(self, predicate: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not predicate():
            if time.monotonic() > deadline or self._host.process.poll() is not None:
                raise RuntimeError(f"cannot measure: the host did not show {what} in {PATIENCE_S:g} s")
            time.sleep(LOOK_S)
            self._host.try_lines()


def _config(many: int) -> dict[str, Any]:
    def agent(name: str, file: str, kind: str, **more: Any) -> dict[str, Any]:
        return {"name": name, "agent": f"{HERE / file}:{kind}", "backoff": "none", **more}

    def supervisor(name: str, children: list[dict[str, Any]]) -> dict[str, Any]:
        return {"name": name, "intensity": 1_000_000, "children": children}

    children = [
        supervisor("many", [agent(f"a{n}", "idle_agents.py", "Idle") for n in range(many)]),
        supervisor("async", [agent(f"a{n}", "async_agents.py", "Idle") for n in range(many)]),
        supervisor("calls", [agent("echo", "busy_agents.py", "Echo"), agent("caller", "busy_agents.py", "Caller")]),
        supervisor("tools", [agent("smith", "busy_agents.py", "Smith")]),
        supervisor("kill", [agent("crowd", "busy_agents.py", "Crowd")]),
    ]
    return {"agenthost": 1, "name": "bench", "tree": {"intensity": 1_000_000, "children": children}}
