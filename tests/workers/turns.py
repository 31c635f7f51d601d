"""``AgentHarness`` for a ``with`` block that ends with an orderly stop: what an agent opened is closed again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from agenthost import Agent
from agenthost.testing import AgentHarness


@contextmanager
def turns_of(
    kind: type[Agent],
    args: dict[str, Any] | None = None,
    *,
    answers: Mapping[str, Callable[[Any], Any]] | None = None,
    path: str = "/agent",
) -> Iterator[AgentHarness]:
    with AgentHarness(kind, args=args, answers=answers, path=path) as harness:
        try:
            yield harness
        finally:
            harness.stop()
