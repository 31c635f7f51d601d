"""``judge:``: another agent is asked whether an answer is good. How it is asked, and what counts as yes and no.

It gets a map: ``question``, ``message`` and ``answer``; and the same as ``messages`` for a model, which an agent like
``chat`` takes as they are. It says yes by ``True``, by a text that begins with yes, or by ``{"ok": true}``; and no
likewise, what stands behind that is its reason. Pure but for ``examine``, which waits by the desk's means.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable
from typing import Any

from agenthost.core.answers import Judge
from agenthost.errors import AgenthostError, AnswerRejected

Ask = Callable[[str, Any, float], Awaitable[Any]]
"""(path, body, deadline) to the reply, or an ``AgenthostError``, as ``context.Desk.ask``."""

_LONGEST = 300
_AROUND = r"[\s*_`\"'#>({\[]*"
_BEHIND = r"[\s*_`\"',.:;!)\]}\u2013\u2014-]*"
_SAID = re.compile(rf"{_AROUND}(?P<word>yes|no|true|false)\b{_BEHIND}(?P<why>.*)", re.IGNORECASE | re.DOTALL)
_THOUGHT = re.compile(r"\s*<think>.*?</think>", re.S)
"""What some models say before they speak."""
_TEXTS = ("value", "text", "answer", "reply")
_REASONS = ("why", "reason", "because")


async def examine(judge: Judge, ask: Ask, message: Any, answer: Any, deadline: float) -> None:
    """``AnswerRejected`` if it says no, or nothing where that counts as no."""
    try:
        reply = await ask(judge.agent, request(judge, message, answer), deadline)
    except AgenthostError as error:  # the answer is too large for it, say
        reply = error
    if isinstance(reply, AgenthostError):
        verdict, why = None, f"it has not answered: {reply.message}"
    else:
        verdict, why = verdict_of(reply)
    if verdict is None and judge.when_silent == "reject":
        text = f"cannot take the answer: {judge.agent} was to judge it, and {why}"
        raise AnswerRejected(text, by="judge_silent", tool=judge.agent)
    if verdict is False:
        text = f"cannot take the answer: {judge.agent} says no" + (f": {why}" if why else "")
        raise AnswerRejected(text, by="judge", tool=judge.agent)


def request(judge: Judge, message: Any, answer: Any) -> dict[str, Any]:
    """What the judge gets."""
    prompt = (
        f"{judge.question}\n\nBegin with yes or no. After no, say why in one sentence.\n\n"
        f"The message:\n{_text(message)}\n\nThe answer:\n{_text(answer)}"
    )
    messages = [{"role": "user", "content": prompt}]
    return {"question": judge.question, "message": message, "answer": answer, "messages": messages}


def verdict_of(reply: Any) -> tuple[bool | None, str]:
    """Yes, no or neither; and why."""
    if isinstance(reply, bool):
        return reply, ""
    if isinstance(reply, dict):
        said = reply.get("ok")
        if isinstance(said, bool):
            return said, next((_cut(str(reply[name])) for name in _REASONS if reply.get(name)), "")
        for name in _TEXTS:
            if isinstance(reply.get(name), bool | str | dict):
                return verdict_of(reply[name])
    if isinstance(reply, str):
        text = _THOUGHT.sub("", reply, count=1).strip()
        if found := _SAID.match(text):
            return found["word"].lower() in ("yes", "true"), _cut(found["why"])
        if text.startswith("{") and isinstance(said := _parsed(text), dict) and isinstance(said.get("ok"), bool):
            return verdict_of(said)
    return None, f"it has said neither yes nor no: {_cut(_text(reply))}"


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=_shown)


def _shown(value: Any) -> str:
    return f"{len(value)} bytes" if isinstance(value, bytes) else repr(value)


def _cut(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"
