"""What the config sends its agents at times that repeat, as the journal is told of it."""

from __future__ import annotations

from collections.abc import Iterator

from agenthost.core.birth import AgentBirth
from agenthost.core.spec import SupervisorSpec
from agenthost.journal import words
from agenthost.protocol.codec import pack_body


def schedules_of(spec: SupervisorSpec, path: str = "") -> Iterator[words.Periodic]:
    """Of all agents below ``path``, which ``spec`` is of."""
    for child in spec.children:
        below = f"{path}/{child.name}"
        if isinstance(child, SupervisorSpec):
            yield from schedules_of(child, below)
        elif isinstance(child.birth, AgentBirth):
            for one in child.birth.cron:
                yield words.Periodic(f"config:{below}#{one.name}", below, one.cron, pack_body(one.body))
