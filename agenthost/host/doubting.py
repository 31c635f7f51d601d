"""Whether an agent that does not answer is busy or dead: its sentry is asked. Silence, as long as a turn may keep it,
is death; code that holds the interpreter for good is silent from the first beat on, and is found this way alone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from agenthost.core import events as on
from agenthost.core.birth import AgentBirth
from agenthost.core.reason import Reason
from agenthost.host.incarnation import Incarnation
from agenthost.host.standstill import silence_in_words
from agenthost.protocol.birth import Probe
from agenthost.protocol.codec import encode


class Doubting:
    def __init__(self, tell: Callable[[on.Event], None]) -> None:
        self._tell = tell
        self._last_probe = 0

    def doubt(self, agent: Incarnation) -> None:
        """Nothing happens while an earlier probe is open."""
        if agent.exited or agent.born is None or agent.doubt is not None or not isinstance(agent.birth, AgentBirth):
            return
        self._last_probe += 1
        probe = agent.doubt = self._last_probe
        try:
            agent.born.birth_socket.send(encode(Probe(id=probe)))
        except OSError:
            pass  # its buffer is full of what it has not read: that is silence too
        silence_s = agent.birth.silence_s
        asyncio.get_running_loop().call_later(silence_s, self._no_answer, agent, probe, silence_s)

    def _no_answer(self, agent: Incarnation, probe: int, silence_s: float) -> None:
        if agent.doubt == probe and not agent.exited:
            excused_s = agent.silence_left_s(0.0, silence_s)
            if excused_s > 0:  # it was starved or frozen; while it is doubted it does not give way again
                asyncio.get_running_loop().call_later(excused_s, self._no_answer, agent, probe, silence_s)
                return
            text = f"its interpreter has not answered for {silence_s:g} s"
            reason = Reason("silent", text=silence_in_words(agent, text))
            self._tell(on.Fault(agent.path, agent.n, reason))
