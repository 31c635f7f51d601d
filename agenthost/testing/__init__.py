"""An agent in a test, without a host: ``from agenthost.testing import AgentHarness``."""

from __future__ import annotations

from agenthost.testing.harness import AgentHarness

__all__ = ["AgentHarness"]
