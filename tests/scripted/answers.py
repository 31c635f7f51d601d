"""What the scripted model says: made of nothing but the prompt, so the same question gets the same answer."""

from __future__ import annotations

import json
from typing import Any


def answer(request: dict[str, Any]) -> str:
    """The whole text for a chat/completions request; JSON by its schema, if it has one."""
    text = _last_words_of_user(request.get("messages") or [])
    wanted = request.get("response_format") or {}
    if wanted.get("type") == "json_schema":
        return json.dumps(fitting(wanted["json_schema"]["schema"], text))
    if wanted.get("type") == "json_object":
        return json.dumps({"text": text[:80]})
    return f"You said: {text}"


def fitting(schema: dict[str, Any], text: str, place: int = 0) -> Any:
    """A value that ``schema`` accepts. ``place``: it is the so many-th property, and takes the so many-th choice."""
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][place % len(schema["enum"])]
    kind = schema.get("type")
    if kind == "object":
        return {name: fitting(part, text, at) for at, (name, part) in enumerate(schema.get("properties", {}).items())}
    if kind == "array":
        return [fitting(schema["items"], text, at) for at in range(max(1, schema.get("minItems", 1)))]
    if kind == "string":
        return " ".join(text.split())[: schema.get("maxLength", 120)]
    if kind in ("integer", "number"):
        return schema.get("minimum", 0)
    if kind == "boolean":
        return bool(len(text) % 2)
    if kind == "null":
        return None
    raise ValueError(f"cannot fit a schema of type {kind!r}")


def _last_words_of_user(messages: list[dict[str, Any]]) -> str:
    for message in reversed(messages):
        if message.get("role") == "user" and isinstance(message.get("content"), str):
            return str(message["content"])
    return ""
