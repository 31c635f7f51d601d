"""Which failures are the same: the fingerprint of one, by which a ladder is climbed.

Of what was raised it is the kind, the type and the place; of a tool or another agent that failed, the kind, its name
and the shape of what it said (``shape``). It is a line that people can read, the same after a restart and on another
machine: places are a module and a function, lines are counted from where the function begins.
"""

from __future__ import annotations

from agenthost.core.remedy.failure import Failure
from agenthost.core.remedy.shape import shape

try:
    from _blake2 import blake2s  # hashlib would bring OpenSSL into every agent whose turn fails
except ImportError:  # another Python's
    from hashlib import blake2s

LONGEST = 200
_CUT = 160
_BY_TYPE = frozenset({"crash", "signal", "out_of_memory", "silent", "turn_timeout", "no_progress"})
"""What these say is the data's, as often as not; what and where is enough."""
_BY_TYPE_TOO = frozenset(
    {("rejected", "schema"), ("rejected", "judge"), ("loop", "same_call"), ("loop", "same_answer")}
)
"""A judge says the same in other words each time."""


def fingerprint(failure: Failure) -> str:
    """One line of at most ``LONGEST`` characters."""
    parts = [failure.kind, failure.type]
    parts += [f"of {failure.tool}"] if failure.tool else []
    parts += [f"at {failure.place}"] if failure.place else []
    line = " ".join(" ".join(parts).split())
    if failure.text and failure.kind not in _BY_TYPE and (failure.kind, failure.type) not in _BY_TYPE_TOO:
        line = f"{line}: {shape(failure.text)}"
    return line if len(line) <= LONGEST else f"{line[:_CUT]}~{_digest(line)}"


def _digest(line: str) -> str:
    return blake2s(line.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
