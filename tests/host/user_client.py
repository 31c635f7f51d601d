"""A client that runs as another user: each question is a process of its own, whose uid the kernel vouches for."""

from __future__ import annotations

import json
import os
import subprocess
from types import TracebackType
from typing import Any, Self

from agenthost.errors import from_wire

_CODE = """
import json, sys
from agenthost.client.client import Client
from agenthost.errors import AgenthostError
endpoint, patience_s, method, (words, named) = sys.argv[1], float(sys.argv[2]), sys.argv[3], json.loads(sys.argv[4])
try:
    with Client(endpoint, patience_s=patience_s) as client:
        print(json.dumps({"result": getattr(client, method)(*words, **named)}))
except AgenthostError as error:
    print(json.dumps({"code": error.code, "error": str(error)}))
"""


class UserClient:
    """As much of ``Client`` as the tests need."""

    def __init__(self, python: str, environment: dict[str, str], uid: int, endpoint: str, patience_s: float) -> None:
        self._python, self._environment, self._uid = python, environment, uid
        self._endpoint, self._patience_s = endpoint, patience_s

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        return

    def close(self) -> None:
        return

    def request(self, op: str, args: dict[str, Any] | None = None, timeout: float | None = 30.0) -> Any:
        return self._ask("request", op, args or {}, timeout)

    def call(self, path: str, body: Any = None, timeout: float | None = 30.0) -> Any:
        return self._ask("call", path, body, timeout)

    def send(self, path: str, body: Any = None, timeout: float | None = 30.0, *, durable: bool = True) -> None:
        self._ask("send", path, body, timeout, durable=durable)

    def _ask(self, method: str, *words: Any, **named: Any) -> Any:
        done = subprocess.run(
            [self._python, "-c", _CODE, self._endpoint, str(self._patience_s), method, json.dumps([words, named])],
            user=self._uid,
            group=self._uid,
            extra_groups=[],
            env={**os.environ, **self._environment},
            cwd="/",
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        said = json.loads(done.stdout)
        if "code" in said:
            raise from_wire(said["code"], said["error"])
        return said["result"]
