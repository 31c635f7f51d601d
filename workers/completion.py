"""One answer of an OpenAI-compatible endpoint (``POST BASE_URL/chat/completions``), streamed, over httpx.

Leaves to ``chat`` what a conversation is. The rule it keeps: an answer is whole or it is an error. A stream that breaks
off, or ends without saying that it is finished, gives nothing, however much of it was already there.

::

    CompletionError       the endpoint's or the network's words; ``status`` of HTTP, ``after_s`` it wants no request
    |- Unreachable        nobody there: refused, unknown host; may be there soon
    |- Broken             it answered, but not to the end; another try may help
    |- Rejected           it understood and said no; the same request will be refused again
    |- Declined           the model will not answer this
    |- NotNow             it is busy for longer than the caller waits
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
_WORDLESS = {"content_filter", "tool_calls", "function_call"}
"""Reasons to finish with nothing said."""
NOT_NOW_STATUS = {429, 503}
"""Too many requests; not up yet, or overloaded. Both may carry Retry-After (RFC 9110 10.2.3)."""


class CompletionError(Exception):
    """See the tree above. 0: there is no status, and nothing was said of when."""

    def __init__(self, why: str, *, status: int = 0, after_s: float = 0.0) -> None:
        super().__init__(why)
        self.status, self.after_s = status, after_s


class Unreachable(CompletionError):
    pass


class Broken(CompletionError):
    pass


class Rejected(CompletionError):
    pass


class Declined(CompletionError):
    pass


class NotNow(CompletionError):
    pass


class TooLate(CompletionError):
    pass


@dataclass(frozen=True, slots=True)
class Completion:
    """``finish_reason`` is "stop" or "length" (cut at max_tokens) or the endpoint's own word; ``usage`` as it came;
    ``model`` is who says that it has answered, "" if nobody does."""

    text: str
    finish_reason: str
    usage: dict[str, Any] | None = None
    model: str = ""


class Endpoint:
    """Where completions come from. Nothing is opened before the first of them (a zygote must hold no socket)."""

    def __init__(self, base_url: str, *, api_key: str | None = None, headers: Mapping[str, str] | None = None) -> None:
        self.base_url = base_url.rstrip("/")
        self._headers = {**({"authorization": f"Bearer {api_key}"} if api_key else {}), **(headers or {})}
        self._client: httpx.Client | None = None

    def complete(
        self,
        request: Mapping[str, Any],
        *,
        deadline: float,
        on_text: Callable[[str], None] | None = None,
        patience_s: float = math.inf,
        most_bytes: int = ANSWER_MAX_BYTES,
    ) -> Completion:
        """The answer to ``request``, before ``deadline`` (``time.monotonic``). Raises ``CompletionError``.

        A 429 or 503 is asked again after the time it names, or after a growing wait, if that is before the deadline,
        and all these waits take no longer than ``patience_s``; else ``NotNow``. ``on_text`` hears every piece as it
        comes; what it heard counts only if this returns. Silence of the endpoint in the middle of an answer may be
        borne for at most the time that was left when the request was sent. An answer of more than ``most_bytes``, as
        they come over the wire, is ``Broken``.
        """
        for wait_s in waits():
            try:
                return self._once(request, deadline, on_text, most_bytes)
            except _Busy as refusal:
                pause_s = wait_s if refusal.after_s is None else refusal.after_s
                left_s = deadline - time.monotonic()
                after_s = refusal.after_s or 0.0
                if pause_s > patience_s:
                    raise NotNow(str(refusal), status=refusal.status, after_s=after_s) from None
                if pause_s >= left_s:
                    why = f"{refusal}; to wait {pause_s:.1f} s, {max(left_s, 0):.1f} s are left"
                    raise TooLate(why, status=refusal.status, after_s=after_s) from None
                time.sleep(pause_s)
                patience_s -= pause_s
        raise AssertionError("waits() has no end")

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    def _once(
        self, request: Mapping[str, Any], deadline: float, on_text: Callable[[str], None] | None, most_bytes: int
    ) -> Completion:
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
                    return _read_stream(_within(response, deadline, most_bytes), on_text)
                return _read_whole(_within(response, deadline, most_bytes), on_text)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise Unreachable(f"cannot reach {self.base_url}: {error}") from error
        except httpx.TimeoutException as error:
            raise TooLate(f"{self.base_url} did not answer in {left_s:.1f} s") from error
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise Rejected(f"cannot use the base URL {self.base_url!r}: {error}", status=0) from error
        except httpx.HTTPError as error:
            raise Broken(f"{self.base_url} broke off: {str(error) or type(error).__name__}") from error


class _Busy(Exception):
    def __init__(self, why: str, status: int, after_s: float | None) -> None:
        super().__init__(why)
        self.status, self.after_s = status, after_s


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
        raise _Busy(words, response.status_code, retry_after_s(response.headers.get("retry-after")))
    if response.status_code >= 500:
        raise Broken(words, status=response.status_code)
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


def _read_whole(pieces: Iterator[bytes], on_text: Callable[[str], None] | None) -> Completion:
    """An endpoint that does not stream."""
    raw = b"".join(pieces)
    answer = _parse(raw)
    choice = _choice(answer)
    message, finish = choice.get("message"), choice.get("finish_reason")
    text = message.get("content") if isinstance(message, dict) else None
    if isinstance(message, dict):
        _check_declined(message.get("refusal"))
        text = "" if text is None and finish in _WORDLESS else text
    if not isinstance(text, str) or not isinstance(finish, str):
        raise Broken(f"the answer has no message or no finish_reason: {raw[:200]!r}")
    if on_text is not None:
        on_text(text)
    return Completion(text, finish, _usage(answer), _model(answer))


def _read_stream(raw: Iterator[bytes], on_text: Callable[[str], None] | None) -> Completion:
    pieces: list[str] = []
    finish, usage, done, declined, model = "", None, False, "", ""
    for data in _event_data(raw):
        if data == b"[DONE]":
            done = True
            break
        chunk = _parse(data)
        usage, model = _usage(chunk) or usage, _model(chunk) or model
        if not chunk.get("choices"):
            continue  # the last chunk of stream_options.include_usage has none
        choice = _choice(chunk)
        delta = choice.get("delta")
        text = delta.get("content") if isinstance(delta, dict) else None
        if isinstance(delta, dict) and delta.get("refusal"):
            declined += str(delta["refusal"])
        if isinstance(text, str) and text:
            pieces.append(text)
            if on_text is not None:
                on_text(text)
        finish = choice.get("finish_reason") or finish
    _check_declined(declined)
    if not finish and not done:
        raise Broken(f"the stream ended after {len(pieces)} pieces without saying that it is finished")
    return Completion("".join(pieces), finish or "stop", usage, model)


def _check_declined(refusal: Any) -> None:
    """``refusal`` of a message, or of all deltas, is where the model says that it will not (OpenAI API reference)."""
    if refusal:
        raise Declined(f"the model declines: {str(refusal)[:400]}")


def _within(response: httpx.Response, deadline: float, most_bytes: int) -> Iterator[bytes]:
    size = 0
    for piece in response.iter_bytes():
        size += len(piece)
        if size > most_bytes:
            raise Broken(f"the answer is longer than {most_bytes} bytes")
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


def _model(answer: dict[str, Any]) -> str:
    return str(answer.get("model") or "")[:200]


def _usage(answer: dict[str, Any]) -> dict[str, Any] | None:
    usage = answer.get("usage")
    return usage if isinstance(usage, dict) else None
