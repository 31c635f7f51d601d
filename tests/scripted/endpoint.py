"""A scripted OpenAI-compatible endpoint: a model's manners without a model. For tests and for ``configs/demo.yaml``.

Streams and whole answers, JSON by schema (``answers``), and failures by script: each request takes the next step of the
script, and succeeds once it has run out, or gets what is said for ``always``. A step is a map:

==========================================  ==================================================================
``{"do": "status", "status": 429, ...}``    refused; ``retry_after`` (text) becomes the header
``{"do": "too_long", "limit": 500}``        400 for messages of more characters, else a good answer
``{"do": "truncate", "pieces": 2}``         the stream breaks off after so many pieces
``{"do": "silent_end", "pieces": 2}``       the stream ends as if all were well, but never says it is finished
``{"do": "error", "pieces": 2}``            an error object in the middle of the stream
``{"do": "garbage"}``                       200 and no JSON
``{"do": "hang"}``                          reads the request and says nothing until the caller has gone
``{"do": "stall", "pieces": 2}``            the same, in the midst of the stream
``{"do": "endless"}``                       words without end, until the caller has gone
``{"do": "nothing"}``                       a good answer without a word
``{"do": "decline", "text": "..."}``        the model says no (``refusal``)
``{"do": "filter"}``                        nothing, ``finish_reason`` "content_filter"
``{"do": "tool", "name": "/x", ...}``       the model wants to call a tool, with ``arguments``, a map
``{"do": "slow", "delay_s": 1.5}``          a good answer that takes so long
``{"do": "text", "text": "..."}``           a good answer, these words
``{"do": "length"}``                        the answer cut in half, ``finish_reason`` "length"
==========================================  ==================================================================

With ``"unless": {"temperature": 0.9}`` a request that has these values gets a good answer instead.

The log has the lines of ``agenthost_workers.model_server``: who began, who got an answer. As a program:
``python -m tests.scripted.endpoint [--port 8099] [--delay 0.4] [--log FILE] [--script JSON] [--always JSON]``, in the
project's folder.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import select
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TextIO

from tests.scripted.answers import answer

Step = dict[str, Any]


class Endpoint(ThreadingHTTPServer):
    """``delay_s`` is the time a good answer takes. Of each request it keeps the body, who said it was, and the key."""

    request_queue_size = 128

    def __init__(self, port: int = 0, *, delay_s: float = 0.0, log: TextIO | None = None) -> None:
        super().__init__(("127.0.0.1", port), _Request)
        self.delay_s = delay_s
        self.requests: list[dict[str, Any]] = []
        self.callers: list[tuple[str | None, str | None]] = []
        self.keys: list[str | None] = []
        self.answering = 0
        self._steps: deque[Step] = deque()
        self._always: Step | None = None
        self._log, self._lock, self._numbers = log, threading.Lock(), itertools.count(1)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    def script(self, *steps: Step) -> None:
        self._steps.extend(steps)

    def always(self, step: Step | None) -> None:
        """For each request from now on that finds no step of the script."""
        self._always = step

    def script_over(self) -> None:
        """From here on all is well, and nothing was asked."""
        with self._lock:
            self._steps.clear()
        self._always = None
        self.requests.clear()

    def next_step(self, body: dict[str, Any]) -> Step:
        good = {"do": "slow", "delay_s": self.delay_s}
        with self._lock:
            step = self._steps.popleft() if self._steps else self._always or good
        unless = step.get("unless") or {}
        return good if unless and all(body.get(name) == value for name, value in unless.items()) else step

    def note(self, **fields: Any) -> None:
        if self._log is not None:
            line = json.dumps(fields)
            with self._lock:
                print(line, file=self._log, flush=True)

    def count(self, step: int) -> None:
        with self._lock:
            self.answering += step

    def next_number(self) -> int:
        return next(self._numbers)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A caller that went away in the middle is part of the script; anything else is printed."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


@contextmanager
def running(*, delay_s: float = 0.0) -> Iterator[Endpoint]:
    """An endpoint on a free port for a ``with`` block; at its end nothing of it is left."""
    endpoint = Endpoint(delay_s=delay_s)
    thread = threading.Thread(target=endpoint.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield endpoint
    finally:
        endpoint.shutdown()
        thread.join()
        endpoint.server_close()


class _Request(BaseHTTPRequestHandler):
    server: Endpoint

    def do_GET(self) -> None:
        self._whole(200, {"status": "ok"})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        path, pid = self.headers.get("x-agent-path"), self.headers.get("x-agent-pid")
        who = {"id": self.server.next_number(), "path": path, "pid": pid}
        self.server.requests.append(body)
        self.server.callers.append((path, pid))
        self.server.keys.append(self.headers.get("authorization"))
        self.server.note(event="begin", **who)
        begun, status = time.monotonic(), 0
        self.server.count(+1)
        try:
            status = self._answer(body, self.server.next_step(body))
        finally:
            self.server.count(-1)
            self.server.note(event="end", **who, status=status, seconds=round(time.monotonic() - begun, 3))

    def _answer(self, body: dict[str, Any], step: Step) -> int:
        do = step["do"]
        if do == "status":
            headers = {"retry-after": str(step["retry_after"])} if "retry_after" in step else {}
            return self._whole(step["status"], {"error": {"message": step.get("message", "scripted")}}, headers)
        if do == "garbage":
            return self._whole(200, "<html>this is not a model</html>")
        if do == "hang":
            self._wait_caller_gone()
            return 0
        if do == "too_long" and len(str(body["messages"])) > step["limit"]:
            error = {"message": f"maximum context length is {step['limit']}", "code": "context_length_exceeded"}
            return self._whole(400, {"error": error})
        text, finish = step.get("text", answer(body)), "stop"
        if do == "length":
            text, finish = text[: len(text) // 2], "length"
        more: dict[str, Any] = {}
        if do in ("nothing", "filter", "tool", "decline"):
            finish = {"filter": "content_filter", "tool": "tool_calls"}.get(do, "stop")
            more = _instead(step)
            text = ""
        words = text.split(" ")
        pieces = [word if at == 0 else f" {word}" for at, word in enumerate(words)]
        usage = {"prompt_tokens": len(str(body["messages"])), "completion_tokens": len(pieces)}
        delay_s = step.get("delay_s", 0.0)
        if not body.get("stream"):
            self._pause(delay_s)
            message = {"role": "assistant", "content": None if more or do == "filter" else text, **more}
            return self._whole(200, {"choices": [{"message": message, "finish_reason": finish}], "usage": usage})
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        if do == "truncate":  # more is promised than will come: a connection that closes is then seen as broken
            self.send_header("content-length", "1000000")
        self.end_headers()
        self._event({"choices": [{"delta": {"role": "assistant", "content": None, **more}, "finish_reason": None}]})
        while do == "endless":
            self._event({"choices": [{"delta": {"content": " and on" * 50}, "finish_reason": None}]})
            if self._caller_gone(0.001):
                return 0
        for number, piece in enumerate(pieces):
            if do == "stall" and number == min(step["pieces"], len(pieces) - 1):
                self._wait_caller_gone()
                return 0
            if do in ("truncate", "silent_end", "error") and number == min(step["pieces"], len(pieces) - 1):
                if do == "error":
                    self._event({"error": {"message": "scripted, in the middle"}})
                return 200
            self._pause(delay_s / len(pieces))
            self._event({"choices": [{"delta": {"content": piece}, "finish_reason": None}]})
        self._event({"choices": [{"delta": {}, "finish_reason": finish}]})
        self._event({"choices": [], "usage": usage})
        self.wfile.write(b"data: [DONE]\n\n")
        return 200

    def _event(self, value: dict[str, Any]) -> None:
        self.wfile.write(b"data: " + json.dumps(value).encode() + b"\n\n")

    def _whole(self, status: int, body: Any, headers: dict[str, str] | None = None) -> int:
        raw = (body if isinstance(body, str) else json.dumps(body)).encode()
        self.send_response(status)
        self.send_header("content-type", "text/html" if isinstance(body, str) else "application/json")
        self.send_header("content-length", str(len(raw)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(raw)
        return status

    def _pause(self, seconds: float) -> None:
        """The time a model would compute; cut short when the caller goes away."""
        if seconds > 0 and self._caller_gone(seconds):
            raise ConnectionResetError("the caller has gone")

    def _wait_caller_gone(self) -> None:
        self._caller_gone(None)
        self.close_connection = True

    def _caller_gone(self, seconds: float | None) -> bool:
        """True once the connection is readable: a caller that waits for its answer says nothing more, but may close."""
        return bool(select.select([self.connection], [], [], seconds)[0])

    def log_message(self, format: str, *args: Any) -> None:
        """The request log says it all."""


def _instead(step: Step) -> dict[str, Any]:
    """What stands in a message in the place of words."""
    if step["do"] == "decline":
        return {"refusal": step.get("text", "I cannot help with that.")}
    if step["do"] == "tool":
        function = {"name": step["name"], "arguments": json.dumps(step.get("arguments", {}))}
        return {"tool_calls": [{"index": 0, "id": "call_1", "type": "function", "function": function}]}
    return {}


def main() -> None:
    words = argparse.ArgumentParser(description="a scripted OpenAI-compatible endpoint")
    words.add_argument("--port", type=int, default=int(os.environ.get("AGENTHOST_MODEL_PORT") or 8099))
    words.add_argument("--delay", type=float, default=0.0, help="seconds that a good answer takes")
    words.add_argument("--log", type=Path, default=os.environ.get("AGENTHOST_MODEL_LOG"), help="file; else stderr")
    words.add_argument("--script", type=json.loads, default=[], help="JSON list of steps")
    words.add_argument("--always", type=json.loads, help="JSON of a step, where none of the script is left")
    given = words.parse_args()
    endpoint = Endpoint(given.port, delay_s=given.delay, log=given.log.open("a") if given.log else sys.stderr)
    endpoint.daemon_threads = True
    endpoint.script(*given.script)
    endpoint.always(given.always)
    endpoint.note(event="ready", model="scripted", port=endpoint.server_port)
    endpoint.serve_forever()


if __name__ == "__main__":
    main()
