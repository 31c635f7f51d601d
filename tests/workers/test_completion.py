"""One answer of an OpenAI-compatible endpoint: whole, or an error."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from agenthost_workers import completion
from agenthost_workers.completion import Broken, Completion, Declined, NotNow, Rejected, TooLate, Unreachable

from tests.scripted.endpoint import Endpoint
from tests.waiting import wait_until

HELLO = {"messages": [{"role": "user", "content": "hello there"}]}
SCHEMA = {"type": "object", "properties": {"word": {"enum": ["yes", "no"]}}, "required": ["word"]}


@pytest.fixture
def model(endpoint: Endpoint) -> Iterator[completion.Endpoint]:
    model = completion.Endpoint(
        endpoint.base_url, api_key="secret", headers={"x-agent-path": "/me", "x-agent-pid": "7"}
    )
    yield model
    model.close()


def ask(model: completion.Endpoint, request: dict[str, Any] = HELLO, *, left_s: float = 10) -> Completion:
    return model.complete(request, deadline=time.monotonic() + left_s)


def test_a_stream_becomes_one_text_with_its_usage(model: completion.Endpoint) -> None:
    answer = ask(model)
    assert answer.text == "You said: hello there"
    assert answer.finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage["completion_tokens"] == 4


def test_the_pieces_are_heard_as_they_come(model: completion.Endpoint) -> None:
    heard: list[str] = []
    model.complete(HELLO, deadline=time.monotonic() + 10, on_text=heard.append)
    assert heard == ["You", " said:", " hello", " there"]


def test_the_endpoint_learns_who_asks(model: completion.Endpoint, endpoint: Endpoint) -> None:
    ask(model)
    assert endpoint.callers == [("/me", "7")]


def test_a_schema_is_kept_to(model: completion.Endpoint) -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "reply", "schema": SCHEMA}}
    assert ask(model, {**HELLO, "response_format": wanted}).text == '{"word": "yes"}'


@pytest.mark.parametrize("do", ["truncate", "silent_end", "error"])
def test_a_stream_that_breaks_in_the_middle_gives_nothing(
    model: completion.Endpoint, endpoint: Endpoint, do: str
) -> None:
    endpoint.script({"do": do, "pieces": 2})
    with pytest.raises(Broken):
        ask(model)
    assert ask(model).text == "You said: hello there"


def test_an_answer_cut_at_max_tokens_says_so(model: completion.Endpoint, endpoint: Endpoint) -> None:
    endpoint.script({"do": "length"})
    assert ask(model).finish_reason == "length"


def test_what_is_no_json_is_no_answer(model: completion.Endpoint, endpoint: Endpoint) -> None:
    endpoint.script({"do": "garbage"})
    with pytest.raises(Broken, match="no JSON"):
        ask(model)


def test_a_busy_endpoint_is_asked_again_after_the_time_it_names(model: completion.Endpoint, endpoint: Endpoint) -> None:
    endpoint.script({"do": "status", "status": 429, "retry_after": "0.3"})
    begun = time.monotonic()
    assert ask(model).finish_reason == "stop"
    assert time.monotonic() - begun >= 0.3
    assert len(endpoint.requests) == 2


def test_a_busy_endpoint_that_names_no_time_is_asked_again_all_the_same(
    model: completion.Endpoint, endpoint: Endpoint
) -> None:
    endpoint.script({"do": "status", "status": 503}, {"do": "status", "status": 429, "retry_after": "soon"})
    assert ask(model).finish_reason == "stop"
    assert len(endpoint.requests) == 3


def test_a_wait_beyond_the_deadline_is_refused_at_once(model: completion.Endpoint, endpoint: Endpoint) -> None:
    endpoint.script({"do": "status", "status": 429, "retry_after": "3600", "message": "too many"})
    begun = time.monotonic()
    with pytest.raises(TooLate, match=r"too many.*3600"):
        ask(model, left_s=60)
    assert time.monotonic() - begun < 30


def test_retry_after_may_be_a_date() -> None:
    soon = datetime.now(UTC) + timedelta(seconds=30)
    wait_s = completion.retry_after_s(format_datetime(soon, usegmt=True))
    assert wait_s is not None
    assert 25 < wait_s <= 30
    assert completion.retry_after_s(format_datetime(soon - timedelta(days=1), usegmt=True)) == 0
    assert completion.retry_after_s("-5") == 0
    assert completion.retry_after_s("soon") is None
    assert completion.retry_after_s("nan") is None
    assert completion.retry_after_s(None) is None


def test_a_request_that_is_wrong_is_refused_in_the_endpoints_words(
    model: completion.Endpoint, endpoint: Endpoint
) -> None:
    endpoint.script({"do": "status", "status": 400, "message": "the context is too long"})
    with pytest.raises(Rejected, match="the context is too long") as refused:
        ask(model)
    assert refused.value.status == 400


def test_what_json_cannot_hold_is_not_asked(model: completion.Endpoint, endpoint: Endpoint) -> None:
    with pytest.raises(Rejected, match="a request is JSON"):
        ask(model, {"messages": [{"role": "user", "content": b"bytes"}]})
    assert endpoint.requests == []


def test_an_error_of_the_endpoint_is_broken_not_rejected(model: completion.Endpoint, endpoint: Endpoint) -> None:
    endpoint.script({"do": "status", "status": 500, "message": "out of luck"})
    with pytest.raises(Broken, match="out of luck"):
        ask(model)


def test_silence_ends_at_the_deadline(model: completion.Endpoint, endpoint: Endpoint) -> None:
    endpoint.script({"do": "hang"})
    with pytest.raises(TooLate):
        ask(model, left_s=0.2)


def test_an_answer_that_trickles_ends_at_the_deadline_too(model: completion.Endpoint, endpoint: Endpoint) -> None:
    endpoint.script({"do": "slow", "delay_s": 60.0, "text": "word " * 1000})
    begun = time.monotonic()
    with pytest.raises(TooLate):
        ask(model, left_s=0.3)
    assert time.monotonic() - begun < 30


def test_nobody_there_is_unreachable() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        model = completion.Endpoint(f"http://127.0.0.1:{free.getsockname()[1]}/v1")
        with pytest.raises(Unreachable, match="cannot reach"):
            ask(model)
        model.close()


@pytest.mark.parametrize("url", ["ftp://model/v1", "http://model:port/v1", "no url"])
def test_a_base_url_that_is_none_is_rejected(url: str) -> None:
    model = completion.Endpoint(url)
    with pytest.raises(Rejected, match="cannot use the base URL"):
        ask(model)
    model.close()


def test_nothing_is_opened_before_the_first_question() -> None:
    before = threading.active_count()
    model = completion.Endpoint("http://127.0.0.1:1/v1")
    assert model._client is None
    assert threading.active_count() == before


def test_an_endpoint_that_does_not_stream_is_understood() -> None:
    """It answers with one JSON object, whatever was asked for."""
    whole = b'{"choices": [{"message": {"content": "all at once"}, "finish_reason": "stop"}], "usage": {"n": 1}}'
    assert ask_raw(whole, "application/json") == Completion("all at once", "stop", {"n": 1})


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b'{"choices": []}', "application/json"),
        (b'{"choices": [{"message": {"content": null}, "finish_reason": "stop"}]}', "application/json"),
        (b'{"choices": [{"message": {"content": "half"}}]}', "application/json"),
        (b"[1]", "application/json"),
        (b"data: [1]\n\n", "text/event-stream"),
        (b'data: {"choices": [{"delta": {"content": "x"}, "finish_reason": "stop"}]}', "text/event-stream"),
        (b'data: {"choices": 5}\n\n', "text/event-stream"),
        (b"", "text/event-stream"),
    ],
)
def test_what_has_no_answer_in_it_is_broken(body: bytes, kind: str) -> None:
    with pytest.raises(Broken):
        ask_raw(body, kind)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (
            b'{"choices": [{"message": {"content": null, "refusal": "I will not"}, "finish_reason": "stop"}]}',
            "application/json",
        ),
        (
            (
                b'data: {"choices": [{"delta": {"refusal": "I will"}}]}\n\n'
                b'data: {"choices": [{"delta": {"refusal": " not"}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n'
            ),
            "text/event-stream",
        ),
    ],
    ids=["whole", "streamed"],
)
def test_what_a_model_declines_is_said_in_its_words(body: bytes, kind: str) -> None:
    with pytest.raises(Declined, match="the model declines: I will not"):
        ask_raw(body, kind)


def test_what_was_held_back_or_wants_a_tool_is_an_answer_without_words() -> None:
    for reason in ("content_filter", "tool_calls"):
        whole = b'{"choices": [{"message": {"content": null}, "finish_reason": "%s"}], "model": "m"}' % reason.encode()
        assert ask_raw(whole, "application/json") == Completion("", reason, None, "m")


def test_who_has_no_patience_hears_at_once_when_to_come_again(model: completion.Endpoint, endpoint: Endpoint) -> None:
    endpoint.script(
        {"do": "status", "status": 429, "retry_after": "0.1"}, {"do": "status", "status": 429, "retry_after": "7"}
    )
    with pytest.raises(NotNow, match="429") as raised:
        model.complete(HELLO, deadline=time.monotonic() + 60, patience_s=0.5)
    assert (raised.value.status, raised.value.after_s) == (429, 7.0)
    assert len(endpoint.requests) == 2


def test_carriage_returns_comments_and_split_data_are_part_of_the_format() -> None:
    stream = (
        b': ping\r\n\r\nevent: x\r\ndata: {"choices": [{"delta": {"content": "a"}}]}\r\n\r\n'
        b'data:{"choices":\ndata: [{"delta": {"content": "b"}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n'
    )
    assert ask_raw(stream, "text/event-stream").text == "ab"


def ask_raw(body: bytes, kind: str) -> Completion:
    """Ask a server that says just this, byte by byte as TCP likes it, and closes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                head = f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\nconnection: close\r\n\r\n".encode()
                for at in range(0, len(head + body), 7):
                    connection.sendall((head + body)[at : at + 7])
                connection.shutdown(socket.SHUT_WR)
                connection.recv(1)

        server = threading.Thread(target=serve)
        server.start()
        model = completion.Endpoint(f"http://127.0.0.1:{port}/v1")
        try:
            return ask(model)
        finally:
            model.close()
            server.join()


def test_who_stops_listening_frees_the_endpoint(endpoint: Endpoint) -> None:
    """A caller that is killed in the middle: the endpoint hears it and stops computing."""
    endpoint.script({"do": "hang"})
    model = completion.Endpoint(endpoint.base_url)
    with pytest.raises(TooLate):
        ask(model, left_s=0.1)
    model.close()
    wait_until(lambda: endpoint.answering == 0, what="the endpoint has stopped computing")
