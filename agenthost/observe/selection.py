"""Patterns that select agents by path: ``/crew`` is it and all below it, ``/crew/*`` its children and all below them.

``*`` and ``?`` stay within one name, ``**`` crosses. The leading ``/`` may be left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> re.Pattern[str]:
    parts = []
    for token in re.findall(r"\*\*|\*|\?|\[[^\]/]+\]|.", pattern.strip("/"), re.DOTALL):
        if token == "**":
            parts.append(".*")
        elif token == "*":
            parts.append("[^/]*")
        elif token == "?":
            parts.append("[^/]")
        elif token[0] == "[" and len(token) > 2:
            inside = token[1:-1].replace("\\", r"\\").replace("[", r"\[").replace("&", r"\&").replace("~", r"\~")
            parts.append("[^" + inside[1:] + "]" if inside[0] == "!" and len(inside) > 1 else f"[{inside}]")
        else:
            parts.append(re.escape(token))
    body = "".join(parts)
    try:
        return re.compile(f"/{body}(?:/.*)?" if body else "/.*", re.DOTALL)
    except re.error:  # a set like [z-a]: nothing is in it
        return re.compile(r"(?!)")


def selects(patterns: Iterable[str], path: str) -> bool:
    """Whether one of ``patterns`` selects ``path``."""
    return any(_compiled(pattern).fullmatch(path) for pattern in patterns)
