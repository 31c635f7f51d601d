"""Text that is bounded, with its beginning and its end. Imports nothing: agents use it as well."""

from __future__ import annotations


def cut_middle(text: str, most_bytes: int) -> str:
    """At most so long as UTF-8; of what is longer the middle is left out, and that is said."""
    data = text.encode("utf-8", "backslashreplace")
    if len(data) <= most_bytes:
        return data.decode()
    left = max(0, most_bytes - 64)
    head, tail = data[: left // 2], data[len(data) - (left - left // 2) :]
    dropped = len(data) - len(head) - len(tail)
    return f"{head.decode(errors='ignore')}\n[... {dropped} bytes left out ...]\n{tail.decode(errors='ignore')}"
