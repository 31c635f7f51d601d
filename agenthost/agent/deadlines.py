"""How long what an agent asks for may take, if nobody says otherwise, and what bounds it from outside."""

from __future__ import annotations

from contextvars import ContextVar

DEFAULT_TIMEOUT_S = 30.0
LONGEST_S = 1e6
"""11 days; a longer timeout, also ``math.inf``, is this one: epoll_wait(2) counts milliseconds in an int."""

within: ContextVar[float | None] = ContextVar("within", default=None)
"""The deadline of the innermost scope that has one; what is sent inside it waits no longer."""
