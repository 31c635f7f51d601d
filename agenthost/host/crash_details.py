"""Details of a record of a crash, packed, and never more than a record takes. Pure.

Each part is bounded where it is found; all at their bounds are more than fits, and then parts are shed, the one that
says least first: words of command lines, last lines, the middle of the stack. The rule it keeps: what is left out is
said (``left_out``), and a record is never lost for being too large.
"""

from __future__ import annotations

from typing import Any

import msgspec

from agenthost.observe.middle import cut_middle

MOST_BYTES = 192 * 1024
"""Less than ``journal.limits.CRASH_BYTES``."""
SHORT_BYTES = 16 * 1024
"""Of a stack, or a trace, when nothing else is left to be shed."""


def packed(details: dict[str, Any]) -> bytes:
    """b"" without any."""
    details = {name: value for name, value in details.items() if value}
    data = _pack(details)
    left_out: list[str] = []
    for shed in (_words, _lines, _stack, _trace, _processes):
        if len(data) <= MOST_BYTES:
            return data
        if what := shed(details):
            left_out.append(what)
            data = _pack({**details, "left_out": left_out})
    return data if len(data) <= MOST_BYTES else _pack({"left_out": [*left_out, "all the rest: it is too large"]})


def _pack(details: dict[str, Any]) -> bytes:
    return msgspec.msgpack.encode(details) if details else b""


def _words(details: dict[str, Any]) -> str:
    autopsy = details.get("autopsy", {})
    if not autopsy.get("processes"):
        return ""
    shorter = [{**one, "argv": []} for one in autopsy["processes"]]
    details["autopsy"] = {**autopsy, "processes": shorter}
    return "words of command lines"


def _lines(details: dict[str, Any]) -> str:
    return "last lines" if details.pop("lines", None) else ""


def _stack(details: dict[str, Any]) -> str:
    autopsy = details.get("autopsy", {})
    if not autopsy.get("stack"):
        return ""
    details["autopsy"] = {**autopsy, "stack": cut_middle(autopsy["stack"], SHORT_BYTES)}
    return "the middle of the stack"


def _trace(details: dict[str, Any]) -> str:
    if not details.get("trace"):
        return ""
    details["trace"] = cut_middle(details["trace"], SHORT_BYTES)
    return "the middle of the traceback"


def _processes(details: dict[str, Any]) -> str:
    autopsy = details.get("autopsy", {})
    if not autopsy.get("processes") and not autopsy.get("killed"):
        return ""
    details["autopsy"] = {**autopsy, "processes": [], "killed": []}
    return "processes"
