"""An agent in a test, without a host: ``from agenthost.testing import AgentHarness``."""

from __future__ import annotations

from agenthost.testing.harness import AgentHarness
from agenthost.testing.shelf import Killed

__all__ = ["AgentHarness", "Killed"]
