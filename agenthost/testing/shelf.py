"""What survives an agent in a test without a host: its state, its checkpoints, and the calls of the message in hand."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from agenthost.agent.agent import Agent, Message
from agenthost.agent.attempt import Attempt
from agenthost.agent.blame import Inapplicable
from agenthost.agent.durable import Durable, check_name
from agenthost.agent.stored_state import EMPTY, opened, packed_state, version_of
from agenthost.agent.tool_calls import ToolCalls
from agenthost.errors import AgenthostError, TurnInterrupted, UnknownName, UsageError
from agenthost.protocol.mail import Called
from agenthost.testing.session_log import SessionLog

MOST_BACK = 32
"""As many turns as a ladder may go back."""


class Killed(BaseException):
    """Raised in a handler, or by an answer of the test: the process ends here, as by SIGKILL. Nothing of the turn
    stays but the calls that it has made."""


class Spend(NamedTuple):
    """One ``ctx.spend``."""

    tokens_in: int
    tokens_out: int
    model: str
    cost: float | None


class Shelf(Durable):
    """As much of ``Durable`` as is needed without a journal. ``tool_calls.Journal`` for the message in hand."""

    def __init__(self, packed: bytes | None = None, version: int | None = None) -> None:
        self.agent: Agent | None = None
        self._kept = packed if packed is not None else EMPTY
        self._version = version or 0
        self._is_new = packed is None
        self.usual_args = None
        self._turns: deque[tuple[bytes, int]] = deque(maxlen=MOST_BACK + 1)
        """The states after the last turns that have changed it, the present one first."""
        self.checkpoint = ""
        self.checkpoints: dict[str, tuple[bytes, int]] = {}
        self.message: Message | None = None
        """Of durable mail: in hand, or to be tried again."""
        self.ended = ""
        """Why its last attempt has failed."""
        self.has_crashed = False
        self._calls: list[Called] = []
        self.log = SessionLog()
        self.spent: list[Spend] = []
        self.dies_in = ""
        """The tool in whose next call the process ends."""

    def load_state(self) -> Any:
        return opened(self.agent, self._kept, version_of(self.agent) if self._is_new else self._version)

    # ---- turns

    def begin(self) -> None:
        """What a test has changed between two turns stays."""
        there = self.agent.__dict__ if self.agent is not None else {}
        self.checkpoint = ""
        if "state" in there:
            self._keep(packed_state(there["state"]))

    def commit(self) -> None:
        there = self.agent.__dict__ if self.agent is not None else {}
        self._unvary()
        if "state" in there:
            packed = packed_state(there["state"])
            if packed != self._kept or not self._turns:
                self._turns.appendleft((packed, version_of(self.agent)))
            self._keep(packed)
        if self.checkpoint:
            self.checkpoints[self.checkpoint] = self._kept, self._version
            self.checkpoint = ""
        self.log.end_turn(well=True)

    def _keep(self, packed: bytes) -> None:
        self._kept, self._version, self._is_new = packed, version_of(self.agent), False

    def failed(self, error: BaseException) -> None:
        self.checkpoint = ""
        self._unvary()
        self.log.end_turn(well=False)
        if self.agent is not None:
            self.agent.__dict__.pop("state", None)
        survives = isinstance(error, AgenthostError | TurnInterrupted | Inapplicable)
        self.ended = str(error) if survives else f"{type(error).__name__}: {error}".rstrip(": ")
        self.has_crashed = not survives

    # ---- mail

    def deliver(self, message: Message) -> Attempt:
        if message.attempt == 1:
            self._calls.clear()
            self.ended = ""
        self.message = message
        return Attempt(message.attempt, self.ended, ToolCalls(self, message.attempt, tuple(self._calls)))

    def acknowledge(self) -> None:
        self.message = None
        self._calls.clear()

    async def intend(self, calls: Sequence[Called], deadline: float) -> None:
        self._calls += calls

    def conclude(self, key: str, outcome: bytes) -> None:
        for place, one in reversed(list(enumerate(self._calls))):
            if one.key == key:
                if one.tool == self.dies_in:
                    self.dies_in = ""
                    raise Killed(f"in a call of {one.tool}")
                self._calls[place] = msgspec.structs.replace(one, outcome=outcome)
                return

    # ---- what was used

    def spend(self, tokens_in: int, tokens_out: int, model: str, cost: float | None) -> None:
        self.spent.append(Spend(tokens_in, tokens_out, model, cost))

    # ---- points to go back to

    async def state_before(self, until: Any, turns: int) -> tuple[bytes, int]:
        if turns >= len(self._turns):
            raise UnknownName(f"cannot go back {turns} turns: the states after {len(self._turns)} are kept")
        return self._turns[turns]

    def roll_back(self, name: str, *, in_turn: bool) -> None:
        check_name(name)
        if not in_turn:
            raise UsageError(f"cannot go back to {name!r}: the turn of this ctx is over")
        if name not in self.checkpoints:
            raise UnknownName(f"cannot go back to {name!r}: there is no such checkpoint")
        assert self.agent is not None
        self.agent.state = opened(self.agent, *self.checkpoints[name])
