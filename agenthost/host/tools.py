"""What a tool is, from what an agent says of it: a temporary program whose streams and environment its owner has given.

Words and folder are taken as they are: nothing is expanded, as an author expects of what stands for fork and exec.
"""

from __future__ import annotations

import re
from typing import Any

from agenthost.config.births import Usual
from agenthost.config.kinds import NAME, NAME_PATTERN
from agenthost.config.plain import OwnCode, read_child
from agenthost.core.birth import AgentBirth, Limits, ProgramBirth
from agenthost.core.spec import Restart, WorkerSpec
from agenthost.errors import UsageError
from agenthost.protocol.wishes import Run

_NO_AGENT = OwnCode("")


def tool_spec(wanted: Run, owner: AgentBirth, folder: str, streams: int) -> WorkerSpec:
    """Below ``owner``, with its user and privileges. ``UsageError`` for words that cannot be executed, ``ConfigError``
    for wrong limits."""
    if not re.fullmatch(NAME_PATTERN, wanted.name):
        raise UsageError(f"cannot start a tool named {wanted.name!r}: {NAME.wrong}")
    if not wanted.argv or not wanted.argv[0]:
        raise UsageError(f"cannot start {wanted.name!r}: its argv is empty")
    if not wanted.cwd.startswith("/"):
        raise UsageError(f"cannot start {wanted.name!r} in {wanted.cwd!r}: its cwd must be absolute")
    if any("\0" in word for word in (*wanted.argv, wanted.cwd, *wanted.env, *wanted.env.values())):
        raise UsageError(f"cannot start {wanted.name!r}: there is a NUL character in its words or environment")
    return WorkerSpec(
        wanted.name,
        restart=Restart.TEMPORARY,
        backoff=None,
        birth=ProgramBirth(
            tuple(wanted.argv),
            cwd=wanted.cwd,
            limits=_limits(wanted.limits, folder) if wanted.limits else Limits(),
            streams=streams,
            user=owner.user,
            no_new_privileges=owner.no_new_privileges,
        ),
        of_turn=wanted.of_turn,
    )


def _limits(given: dict[str, Any], folder: str) -> Limits:
    """Read as those of any worker are."""
    spec = read_child("tool", {"limits": given}, folder, _NO_AGENT, Usual(cwd=folder))
    assert isinstance(spec, WorkerSpec)
    limits: Limits = spec.birth.limits
    return limits
