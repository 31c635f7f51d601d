"""Chat: a conversation with any OpenAI-compatible endpoint.

Leaves the wire to ``completion``. The rule it keeps: question and answer enter the history together, and only when the
answer is whole. What an endpoint or a network can say no with fails the turn in words, never the process: ``recovery``
in the config says what is done about it. Refused is only what is wrong with the message itself.
"""

from __future__ import annotations

import json
import math
import os
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from agenthost_workers.completion import ANSWER_MAX_BYTES, Completion, CompletionError, Declined, Endpoint

from agenthost import Agent, Context, Message, Refuse, TurnFailed
from agenthost.errors import AnswerRejected

if TYPE_CHECKING:
    from agenthost.agent.telling import Stream

_REQUEST_KEYS = ("model", "temperature", "max_tokens", "top_p", "seed", "stop", "response_format")


class Chat(Agent):
    """The body is a text, ``{"text": ...}`` or ``{"messages": [...]}``; the latter leaves the history aside.

    The answer (not one to ``messages``) is streamed into the session's log as ``answer``; see ``agenthost chat``. Mail
    has no other reply, and what the endpoint says no with is a broken ``error`` there.

    What fails: the endpoint, its answer (``check``), or JSON that cannot be read. Each attempt reads the args anew, so
    ``vary`` and ``fall_back`` may name another model, temperature, or endpoint; beyond a plain retry the model is told
    in one line what happened. An endpoint that says when to come again is left alone until then.

    With ``"schema"`` in the body (or in the args) the answer is JSON by that schema, and the reply has it parsed as
    ``value``. A key of the body wins over the same of the args. Reply: ``{"text", "finish_reason", "usage"}``.

    Args: ``base_url`` (default: OPENAI_BASE_URL), ``api_key_env`` (the variable that holds the key, default
    OPENAI_API_KEY), ``model``, ``system``, ``temperature``, ``max_tokens``, ``top_p``, ``seed``, ``stop``,
    ``response_format``, ``schema``, ``timeout_s`` (120, for messages without a deadline), ``patience_s`` (10: how long
    a turn of mail waits for an endpoint that is busy, before it fails), ``answer_max_bytes``, ``keep_last`` (messages
    of history that are sent, default all). ``self.state["messages"]`` is the history.
    """

    def on_start(self, ctx: Context) -> None:
        self._endpoints: dict[tuple[str, str | None], Endpoint] = {}
        self._endpoint(ctx)

    def handle(self, message: Message, ctx: Context) -> Any:
        body = {"text": message.body} if isinstance(message.body, str) else message.body
        if not isinstance(body, dict):
            raise Refuse(f"cannot chat about {type(body).__name__}: send a text, or a map with text or messages")
        history: list[dict[str, Any]] = self.state.get("messages", [])
        given, asked = body.get("messages"), {"role": "user", "content": body.get("text")}
        if given is None and not isinstance(asked["content"], str):
            raise Refuse("cannot chat without words: neither 'text' nor 'messages' is in the body")
        if given is not None and not _are_messages(given):
            raise Refuse("cannot chat about these messages: send a list of maps with role and content")
        keep_last = int(self.args.get("keep_last", 0))
        messages = [*history[-keep_last:], asked] if given is None else given
        request = self._request(body, messages, ctx)
        try:
            answer = self._answer(request, message, ctx, is_aside=given is not None)
        except CompletionError as error:
            why = f"cannot get an answer of the model: {error}"
            if message.kind == "send":
                ctx.emit("error", text=why)  # nobody waits for a reply: who has asked reads it in the session
            kind = AnswerRejected if isinstance(error, Declined) else TurnFailed
            raise kind(why, retry_after_s=error.after_s) from error
        spend(ctx, answer, request.get("model", ""))
        reply = {"text": answer.text, "finish_reason": answer.finish_reason, "usage": answer.usage}
        if request.get("response_format", {}).get("type") == "json_schema":
            reply["value"] = _parsed(answer.text, answer.finish_reason)
        if given is None:
            self.state["messages"] = [*history, asked, {"role": "assistant", "content": answer.text}]
        return reply if message.kind == "call" else None  # who follows the session has read it

    def check(self, reply: dict[str, Any]) -> str | None:
        """Why the answer is no good, None if it is. Of mail it is what was streamed."""
        finish = reply.get("finish_reason")
        if finish == "content_filter":
            return "the provider has held it back"
        if finish in ("tool_calls", "function_call"):
            return "the model wants to call a tool, and this agent has none"
        return None if str(reply.get("text", "")).strip() else "the model said nothing"

    def _endpoint(self, ctx: Context) -> Endpoint:
        """That of the args, which a remedy may have changed for this turn."""
        base_url = self.args.get("base_url") or os.environ.get("OPENAI_BASE_URL")
        if not base_url:
            raise ValueError("cannot tell where the model is: no base_url in args, no OPENAI_BASE_URL; set one of them")
        key = os.environ.get(self.args.get("api_key_env", "OPENAI_API_KEY"))
        if (base_url, key) not in self._endpoints:
            headers = {"x-agent-path": ctx.path, "x-agent-pid": str(os.getpid())}
            self._endpoints[base_url, key] = Endpoint(base_url, api_key=key, headers=headers)
        return self._endpoints[base_url, key]

    def _answer(self, request: dict[str, Any], message: Message, ctx: Context, *, is_aside: bool) -> Completion:
        deadline = message.deadline
        if deadline is None:
            deadline = time.monotonic() + float(self.args.get("timeout_s", 120))
        patience_s = math.inf if message.kind == "call" else float(self.args.get("patience_s", 10))
        most = int(self.args.get("answer_max_bytes", ANSWER_MAX_BYTES))
        endpoint = self._endpoint(ctx)
        if is_aside:
            return endpoint.complete(request, deadline=deadline, patience_s=patience_s, most_bytes=most)
        # a conversation: whoever follows the session sees the answer grow
        return self._stream(endpoint, request, deadline, patience_s, most, ctx)

    def _stream(
        self, endpoint: Endpoint, request: dict[str, Any], deadline: float, patience_s: float, most: int, ctx: Context
    ) -> Completion:
        """The entry begins with its first word: where there is none there is nothing to be broken off."""
        with ExitStack() as told:
            out: list[Stream] = []

            def write(text: str) -> None:
                if not out:
                    out.append(told.enter_context(ctx.stream("answer")))
                out[0].write(text)

            answer = endpoint.complete(
                request, deadline=deadline, on_text=write, patience_s=patience_s, most_bytes=most
            )
            if not out:
                write("")
            if answer.finish_reason != "stop":
                out[0].set(finish_reason=answer.finish_reason)
        return answer

    def on_stop(self, ctx: Context) -> None:
        for endpoint in self._endpoints.values():
            endpoint.close()

    def compact(self, state: dict[str, Any], keep_last: int | None = None) -> dict[str, Any]:
        """The remedy for a history that has grown too long: its last messages, half of them if that is not said. It
        begins with a question: an answer to nothing is no conversation."""
        history = state.get("messages", [])
        kept = history[len(history) - min(len(history), len(history) // 2 if keep_last is None else keep_last) :]
        while kept and kept[0].get("role") == "assistant":
            kept = kept[1:]
        return {**state, "messages": kept} if history else state

    def _request(self, body: dict[str, Any], messages: list[dict[str, Any]], ctx: Context) -> dict[str, Any]:
        wanted = {**self.args, **body}
        request = {key: wanted[key] for key in _REQUEST_KEYS if wanted.get(key) is not None}
        if wanted.get("schema") is not None:
            request["response_format"] = by_schema(wanted["schema"])
        if not isinstance(request.get("response_format", {}), dict):
            raise Refuse("cannot ask for this response_format: it is a map with a type")
        system = wanted.get("system")
        if system and not (messages and messages[0].get("role") == "system"):
            messages = [{"role": "system", "content": system}, *messages]
        if ctx.attempt.remedy not in ("", "retry"):
            messages = [*messages[:-1], {"role": "system", "content": ctx.attempt.what_happened}, messages[-1]]
        return {**request, "messages": messages}


def _are_messages(given: Any) -> bool:
    return isinstance(given, list) and bool(given) and all(isinstance(one, dict) for one in given)


def by_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """The ``response_format`` that makes an endpoint answer in JSON by ``schema``."""
    return {"type": "json_schema", "json_schema": {"name": "reply", "schema": schema, "strict": True}}


def spend(ctx: Context, answer: Completion, model: str) -> None:
    """What the endpoint says that it has used; that counts whatever becomes of the answer. It may know the model by a
    longer name than it was asked for: prices are by ours."""
    used = answer.usage or {}
    tokens = [
        int(used[name]) if isinstance(used.get(name), int) else 0 for name in ("prompt_tokens", "completion_tokens")
    ]
    if any(tokens):
        ctx.spend(max(tokens[0], 0), max(tokens[1], 0), model=model or answer.model)


def _parsed(text: str, finish_reason: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        cut = "it was cut at max_tokens" if finish_reason == "length" else "the endpoint does not keep to schemas"
        raise AnswerRejected(f"cannot read the model's answer as JSON: {cut}; it begins {text[:80]!r}") from None
