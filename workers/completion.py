"""One answer of an OpenAI-compatible endpoint (``POST BASE_URL/chat/completions``), streamed, over httpx.

Leaves to ``chat`` what a conversation is. The rule it keeps: an answer is whole or it is an error. A stream that breaks
off, or ends without saying that it is finished, gives nothing, however much of it was already there.

::

    CompletionError       the endpoint's or the network's words
    |- Unreachable        nobody there: refused, unknown host; may be there soon
    |- Broken             it answered, but not to the end; another try may help
    |- Rejected           it understood and said no (``status``); the same request will be refused again
    `- TooLate            the deadline passed, or the endpoint asked for a longer wait than is left
"""

from __future__ import annotations

import email.utils
import json
import math
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx
from agenthost_workers.again import waits

ANSWER_MAX_BYTES = 16 * 1024 * 1024
_ERROR_MAX_BYTES = 64 * 1024
_CONNECT_S = 10.0
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}
NOT_NOW_STATUS = {429, 503}
"""Too many requests; not up yet, or overloaded. Both may carry Retry-After (RFC 9110 10.2.3)."""


class CompletionError(Exception):
    """See the tree above."""


class Unreachable(CompletionError):
    pass


class Broken(CompletionError):
    pass


class Rejected(CompletionError):
    def __init__(self, why: str, *, status: int) -> None:
        super().__init__(why)
        self.status = status


class TooLate(CompletionError):
    pass


@dataclass(frozen=True, slots=True)
class Completion:
    """``finish_reason`` is "stop" or "length" (cut at max_tokens) or the endpoint's own word; ``usage`` as it came."""

    text: str
    finish_reason: str
    usage: dict[str, Any] | None = None


class Endpoint:
    """Where completions come from. Nothing is opened before the first of them (a zygote must hold no socket)."""

    def __init__(self, base_url: str, *, api_key: str | None = None, headers: Mapping[str, str] | None = None) -> None:
        self.base_url = base_url.rstrip("/")
        self._headers = {**({"authorization": f"Bearer {api_key}"} if api_key else {}), **(headers or {})}
        self._client: httpx.Client | None = None

    def complete(
        self, request: Mapping[str, Any], *, deadline: float, on_text: Callable[[str], None] | None = None
    ) -> Completion:
        """The answer to ``request``, before ``deadline`` (``time.monotonic``). Raises ``CompletionError``.

        A 429 or 503 is asked again after the time it names, or after a growing wait, if that is before the deadline.
        ``on_text`` hears every piece as it comes; what it heard counts only if this returns. Silence of the endpoint in
        the middle of an answer may be borne for at most the time that was left when the request was sent.
        """
        for wait_s in waits():
            try:
                return self._once(request, deadline, on_text)
            except _NotNow as refusal:
                pause_s = wait_s if refusal.after_s is None else refusal.after_s
                left_s = deadline - time.monotonic()
                if pause_s >= left_s:
                    raise TooLate(f"{refusal}; to wait {pause_s:.1f} s, {max(left_s, 0):.1f} s are left") from None
                time.sleep(pause_s)
        raise AssertionError("waits() has no end")

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    def _once(self, request: Mapping[str, Any], deadline: float, on_text: Callable[[str], None] | None) -> Completion:
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            raise TooLate("no time is left")
        body = {**request, "stream": True, "stream_options": {"include_usage": True}}
        try:
            content = json.dumps(body).encode()
        except (TypeError, ValueError, RecursionError) as error:
            raise Rejected(f"cannot ask this: {error}; a request is JSON", status=0) from error
        try:
            if self._client is None:
                self._client = _open_client(self.base_url, self._headers)
            with self._client.stream(
                "POST",
                f"{self.base_url}/chat/completions",
                content=content,
                timeout=httpx.Timeout(left_s, connect=min(left_s, _CONNECT_S)),
            ) as response:
                if response.status_code != 200:
                    _refuse(response)
                if response.headers.get("content-type", "").startswith("text/event-stream"):
                    return _read_stream(response, deadline, on_text)
                return _read_whole(response, deadline, on_text)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise Unreachable(f"cannot reach {self.base_url}: {error}") from error
        except httpx.TimeoutException as error:
            raise TooLate(f"{self.base_url} did not answer in {left_s:.1f} s") from error
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise Rejected(f"cannot use the base URL {self.base_url!r}: {error}", status=0) from error
        except httpx.HTTPError as error:
            raise Broken(f"{self.base_url} broke off: {str(error) or type(error).__name__}") from error


class _NotNow(Exception):
    def __init__(self, why: str, after_s: float | None) -> None:
        super().__init__(why)
        self.after_s = after_s


def _open_client(base_url: str, headers: Mapping[str, str]) -> httpx.Client:
    """A client without what a plain local endpoint does not need: certificates (2 MB, 20 ms), a proxy."""
    url = httpx.URL(base_url)
    verify: ssl.SSLContext | bool = True if url.scheme == "https" else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    headers = {"content-type": "application/json", **headers}
    return httpx.Client(headers=headers, verify=verify, trust_env=url.host not in _LOOPBACK)


def _refuse(response: httpx.Response) -> None:
    """Raise what a status other than 200 means."""
    words = f"{response.url.host} said {response.status_code}: {_error_words(response)}"
    if response.status_code in NOT_NOW_STATUS:
        raise _NotNow(words, retry_after_s(response.headers.get("retry-after")))
    if response.status_code >= 500:
        raise Broken(words)
    raise Rejected(words, status=response.status_code)


def retry_after_s(value: str | None) -> float | None:
    """Retry-After: seconds or an HTTP date (RFC 9110 10.2.3); None if there is none or it cannot be read."""
    if value is None:
        return None
    try:
        seconds = float(value)
        return None if math.isnan(seconds) else max(seconds, 0.0)
    except ValueError:
        pass
    try:
        when = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return None
    return max((when - datetime.now(UTC)).total_seconds(), 0.0) if when.tzinfo else None


def _error_words(response: httpx.Response) -> str:
    raw = bytearray()
    for piece in response.iter_bytes():
        raw += piece
        if len(raw) > _ERROR_MAX_BYTES:
            break
    try:
        return _words_of(json.loads(raw))
    except ValueError:
        return raw[:200].decode(errors="replace").strip() or response.reason_phrase


def _words_of(body: Any) -> str:
    error = body.get("error", body) if isinstance(body, dict) else body
    words = error.get("message", error) if isinstance(error, dict) else error
    return str(words)[:400]


def _read_whole(response: httpx.Response, deadline: float, on_text: Callable[[str], None] | None) -> Completion:
    """An endpoint that does not stream."""
    raw = b"".join(_within(response, deadline))
    answer = _parse(raw)
    choice = _choice(answer)
    message, finish = choice.get("message"), choice.get("finish_reason")
    text = message.get("content") if isinstance(message, dict) else None
    if not isinstance(text, str) or not isinstance(finish, str):
        raise Broken(f"the answer has no message or no finish_reason: {raw[:200]!r}")
    if on_text is not None:
        on_text(text)
    return Completion(text, finish, _usage(answer))


def _read_stream(response: httpx.Response, deadline: float, on_text: Callable[[str], None] | None) -> Completion:
    pieces: list[str] = []
    finish, usage, done = "", None, False
    for data in _event_data(_within(response, deadline)):
        if data == b"[DONE]":
            done = True
            break
        chunk = _parse(data)
        usage = _usage(chunk) or usage
        if not chunk.get("choices"):
            continue  # the last chunk of stream_options.include_usage has none
        choice = _choice(chunk)
        delta = choice.get("delta")
        text = delta.get("content") if isinstance(delta, dict) else None
        if isinstance(text, str) and text:
            pieces.append(text)
            if on_text is not None:
                on_text(text)
        finish = choice.get("finish_reason") or finish
    if not finish and not done:
        raise Broken(f"the stream ended after {len(pieces)} pieces without saying that it is finished")
    return Completion("".join(pieces), finish or "stop", usage)


def _within(response: httpx.Response, deadline: float) -> Iterator[bytes]:
    size = 0
    for piece in response.iter_bytes():
        size += len(piece)
        if size > ANSWER_MAX_BYTES:
            raise Broken(f"the answer is longer than {ANSWER_MAX_BYTES} bytes")
        if time.monotonic() > deadline:
            raise TooLate("the deadline passed in the middle of the answer")
        yield piece


def _event_data(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The data of each server-sent event; an event that was not closed by an empty line is none (WHATWG HTML 9.2.6)."""
    rest, data = b"", list[bytes]()
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            line = line.removesuffix(b"\r")
            if line.startswith(b"data:"):
                data.append(line[5:].removeprefix(b" "))
            elif not line and data:
                yield b"\n".join(data)
                data = []


def _parse(raw: bytes) -> dict[str, Any]:
    try:
        value = json.loads(raw)
    except ValueError:
        raise Broken(f"the answer is no JSON: {raw[:120]!r}") from None
    if not isinstance(value, dict):
        raise Broken(f"the answer is no object: {raw[:120]!r}")
    if value.get("error"):
        raise Broken(f"the endpoint failed in the middle of the answer: {_words_of(value)}")
    return value


def _choice(answer: dict[str, Any]) -> dict[str, Any]:
    choices = answer.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise Broken(f"the answer has no choice: {str(answer)[:200]}")
    choice: dict[str, Any] = choices[0]
    return choice


def _usage(answer: dict[str, Any]) -> dict[str, Any] | None:
    usage = answer.get("usage")
    return usage if isinstance(usage, dict) else None
