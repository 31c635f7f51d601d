"""Parts of a turn that not every agent has: made for the agents that do, imported when the first of it is needed.

In an agent of a zygote the modules are there already.
"""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING

from agenthost.agent.loops import Brake

if TYPE_CHECKING:
    from agenthost.agent.agent import Agent
    from agenthost.agent.durable import Durable
    from agenthost.agent.health import Health
    from agenthost.agent.judging import Ask
    from agenthost.agent.wires import Wires


def brake_of(wires: Wires, durable: Durable) -> Brake | None:
    loops = wires.certificate.loops
    return None if loops is None else Brake(loops, lambda found: committing().last_word(durable, found))


def health_of(agent: Agent, wires: Wires, ask: Ask) -> Health | None:
    """Nothing is imported for an agent of whose answers nothing is asked."""
    certificate = wires.certificate
    if certificate.schema is None and certificate.judge is None and not hasattr(agent, "check"):
        return None
    from agenthost.agent.health import Health

    return Health(agent, certificate.schema, certificate.judge, ask)


def telling() -> ModuleType:
    from agenthost.agent import telling as module

    return module


def recalling() -> ModuleType:
    from agenthost.agent import recalling as module

    return module


def remedying() -> ModuleType:
    from agenthost.agent import remedying as module

    return module


def committing() -> ModuleType:
    from agenthost.agent import committing as module

    return module
