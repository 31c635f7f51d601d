"""Whether an agent stands still by somebody's doing: then it is silent, and its author is not to blame."""

from __future__ import annotations

from agenthost.containment import procfs
from agenthost.host.incarnation import Incarnation

_WORDS = {"T": "it is stopped by a signal (SIGSTOP)", "t": "it is stopped by a debugger"}
"""States of proc(5)."""


def why_it_stands(one: Incarnation) -> str:
    """In words; "" if it does not, has no process, or we may not look."""
    if one.frozen:
        return "it is frozen"
    try:
        main = procfs.stat(one.agent_pid) if one.agent_pid is not None and not one.exited else None
    except OSError:  # out of descriptors
        return ""
    return _WORDS.get(main.state, "") if main is not None else ""


def silence_in_words(one: Incarnation, text: str) -> str:
    """``text`` says how silent it is."""
    still = why_it_stands(one)
    return f"{text}: {still}" if still else text
