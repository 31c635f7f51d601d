"""What a turn must pass in a test without a host, as in one: its answer is looked at, and it may not repeat itself.

``check()`` of the agent always counts, ``schema`` and ``judge`` if the config of the harness has them. The judge is
called as any other agent is: it needs an answer of the test.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agenthost.agent.agent import Agent, Message
from agenthost.agent.answer import NONE, answer_of
from agenthost.agent.async_context import AsyncContext
from agenthost.agent.context import Context
from agenthost.agent.health import Health
from agenthost.agent.loops import Brake
from agenthost.core.birth import AgentBirth
from agenthost.testing.session_log import SessionLog

if TYPE_CHECKING:
    from agenthost.agent.judging import Ask


class Scrutiny:
    """Of one agent. ``birth`` has what the config says."""

    def __init__(self, birth: AgentBirth | None) -> None:
        birth = birth or AgentBirth("test:Agent")
        self.brake = None if birth.loops is None else Brake(birth.loops)
        self._schema, self._judge = birth.schema, birth.judge

    def begin(self, context: Context | AsyncContext) -> None:
        if self.brake is not None:
            self.brake.begin()
            context.brake = self.brake
            if context.attempt.calls is not None:
                context.attempt.calls.brake = self.brake

    async def examine(
        self, agent: Agent, message: Message, reply: Any, context: Context | AsyncContext, log: SessionLog, ask: Ask
    ) -> None:
        """Raises what the turn fails of."""
        if self.brake is not None:
            self.brake.end_turn()
        is_call = message.kind == "call"
        answer = reply if is_call else answer_of(reply, log.telling)
        if answer is not NONE:
            if log.in_session and not is_call and self.brake is not None:
                self.brake.answered(answer)
            await Health(agent, self._schema, self._judge, ask).examine(message, answer, context)
        if log.in_session and not is_call:
            log.reply = reply
