"""agenthost: a host for AI agents on Unix. Erlang's supervision trees, with real processes.

The map of the code, from the ground up; ``docs/architecture.md`` says what passes between the parts.

=================  =====================================================================================
``errors``         every error, with its code on the wire and its exit status
``kernel``         system calls that Python lacks: clone3, prctl, mount
``core``           PURE. ``step(state, event, now) -> effects``: all that is decided about supervision
``protocol``       PURE. Every message, and ``SPEC.md``
``observe``        records of what happened; captured output and its log files
``config``         ``config.yaml`` to specs, with errors that name file, line and column
``containment``    cells: what an agent started is signalled, measured and killed as one
``journal``        what survives: mail, turns, sessions, events of the core; SQLite, and a twin in memory
``systemd``        a host as a unit: its text
``transport``      the router process, the control plane, the data plane, places of sockets
``launch``         zygotes: how a process is born without the host forking
``host``           the daemon: turns what happened into events, carries effects out
``agent``          what runs inside an agent's process; what its author sees
``client``         talking to a host from outside
``cli``            the command line, a client and nothing more
``guardian``       the tiny process above the host
``testing``        an agent in a test, without a host
=================  =====================================================================================

``workers/`` installs as ``agenthost_workers``: the agents that ship with agenthost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agenthost.version import VERSION as __version__

if TYPE_CHECKING:
    from agenthost.agent.agent import IGNORE, Agent, Message
    from agenthost.agent.async_context import AsyncContext
    from agenthost.agent.async_popen import AsyncTool
    from agenthost.agent.children import AsyncChild, Child
    from agenthost.agent.context import Context
    from agenthost.agent.group import AsyncGroup, Group
    from agenthost.agent.monitor import AsyncMonitor, Ended, Monitor
    from agenthost.agent.popen import Tool
    from agenthost.agent.ran import Ran
    from agenthost.agent.scope import AsyncScope, Scope
    from agenthost.agent.telling import Stream
    from agenthost.errors import Refuse, TurnFailed, TurnInterrupted

__all__ = [
    "IGNORE",
    "Agent",
    "AsyncChild",
    "AsyncContext",
    "AsyncGroup",
    "AsyncMonitor",
    "AsyncScope",
    "AsyncTool",
    "Child",
    "Context",
    "Ended",
    "Group",
    "Message",
    "Monitor",
    "Ran",
    "Refuse",
    "Scope",
    "Stream",
    "Tool",
    "TurnFailed",
    "TurnInterrupted",
    "__version__",
]

_HOMES = {
    "IGNORE": "agenthost.agent.agent",
    "Refuse": "agenthost.errors",
    "TurnFailed": "agenthost.errors",
    "TurnInterrupted": "agenthost.errors",
    "Agent": "agenthost.agent.agent",
    "Message": "agenthost.agent.agent",
    "Context": "agenthost.agent.context",
    "AsyncContext": "agenthost.agent.async_context",
    "Child": "agenthost.agent.children",
    "AsyncChild": "agenthost.agent.children",
    "Ran": "agenthost.agent.ran",
    "Tool": "agenthost.agent.popen",
    "AsyncTool": "agenthost.agent.async_popen",
    "Scope": "agenthost.agent.scope",
    "AsyncScope": "agenthost.agent.scope",
    "Stream": "agenthost.agent.telling",
    "Ended": "agenthost.agent.monitor",
    "Monitor": "agenthost.agent.monitor",
    "AsyncMonitor": "agenthost.agent.monitor",
    "Group": "agenthost.agent.group",
    "AsyncGroup": "agenthost.agent.group",
}


def __getattr__(name: str) -> Any:
    """Import late: the guardian and the command line start without the agent's libraries (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'agenthost' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)
