"""How a state and a date are said in a sentence."""

from __future__ import annotations

import time

_STATES = {
    "down": "stopped",
    "waiting": "down, and waits to be restarted",
    "asked": "asked to end",
    "terminating": "being ended: TERM went to all that it started",
    "killing": "being ended: KILL went to all that it started",
    "stuck": "stuck: KILL does not empty its cell",
    "done": "done: it has ended, and is not to come back",
    "gave_up": "given up",
}


def state_words(state: str) -> str:
    """Of one of the core's; what has no words of its own is said as it is."""
    return _STATES.get(state, state)


def date_words(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))
