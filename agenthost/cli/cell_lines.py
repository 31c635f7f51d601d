"""The processes of a cell as lines for people, a tree; of ``inspect`` and of records of crashes."""

from __future__ import annotations

from typing import Any

from agenthost.cli.showing import size


def process_lines(seen: dict[str, Any]) -> list[str]:
    """``seen`` has ``processes``, parents before children, and ``processes_in_all``; or why it has not."""
    if why := seen.get("processes_means"):
        return [why]
    listed = seen.get("processes", [])
    depth_of: dict[int, int] = {}
    lines = []
    for one in listed:
        depth_of[one["pid"]] = depth = depth_of.get(one["ppid"], -1) + 1
        words = " ".join(one.get("argv") or []) or one["name"]
        used = f"{one['state']}, cpu {one['cpu_s']:.3g} s, {size(one['memory_bytes'])}"
        lines.append(f"{'  ' * depth}{one['pid']} {words} ({used})")
    more = seen.get("processes_in_all", 0) - len(listed)
    return [*lines, f"and {more} more"] if more > 0 else lines
