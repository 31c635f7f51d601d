"""What an agent uses, as its own process sees it: ``ctx.spend``, its turns, its calls of others. And what its budgets
mean for it: turns that are refused, other args.

All is summed up from the beginning of the process, and said as that sum (``mail.Spent``): what the author tells at
once, calls in bunches, and all of it before the end of a turn is committed. So nothing is counted twice where it is
said again. What the host can see (processor, programs, long turns) it counts itself. Nothing here waits.
"""

from __future__ import annotations

import math
import time
from collections import deque
from typing import TYPE_CHECKING, Any

import msgspec

from agenthost.errors import UsageError
from agenthost.protocol import birth, mail
from agenthost.protocol.frames import framed

if TYPE_CHECKING:
    from agenthost.agent.durable import Durable

BUNCH_S = 0.02
MODELS, MODEL_MOST = 1000, 200
"""Names of models that one process may tell of, and characters of each."""
MOST_ONCE = 10**12
"""Less than a meter bears (``core.budget.budget.MOST``): several go in one word."""
_LATER_BYTES = 1024 * 1024
"""More than this on its way to the journal: it is said later."""

_encode = msgspec.msgpack.Encoder().encode


class Spending:
    """Of one agent. Only ``heed`` may be called in another thread than the turn's."""

    __slots__ = (
        "_args",
        "_began_at",
        "_cost",
        "_durable",
        "_is_known",
        "_is_unsaid",
        "_message",
        "_models",
        "_news",
        "_others",
        "_said_at",
        "_tool_calls",
        "_turn",
        "_turn_args",
        "_turns",
        "_wall_s",
        "is_metered",
        "tells_turns",
        "why",
    )

    def __init__(self, durable: Durable) -> None:
        self._durable = durable
        self.is_metered = self.tells_turns = False
        """Turns and calls are counted, too: a budget holds for us."""
        self.why = ""
        """Why no turn may begin; "" if one may."""
        self._news: deque[birth.Budget] = deque()
        self._args: dict[str, Any] = {}
        self._turn_args: dict[str, Any] = {}
        self._turn = self._message = 0
        self._began_at = self._said_at = 0.0
        self._turns = self._tool_calls = 0
        self._wall_s = self._cost = 0.0
        self._others = [0, 0]
        self._models: dict[str, list[int]] = {}
        self._is_unsaid = self._is_known = False

    # ---- the author's

    def spend(self, tokens_in: int, tokens_out: int, model: str, cost: float | None) -> None:
        self.read_news()
        if cost is not None:
            self._cost += cost
            tokens = self._others
        else:
            if model not in self._models and len(self._models) >= MODELS:
                raise UsageError(f"cannot tell of more than {MODELS} models", hint="name the model, not the call")
            tokens = self._models.setdefault(model, [0, 0])
        tokens[0] += tokens_in
        tokens[1] += tokens_out
        self.flush()  # 20 us; the process may die before it has a second chance

    # ---- the desk's

    def begin(self, turn: int) -> None:
        """``turn`` is the number that beats tell."""
        self._turn, self._began_at = turn, time.monotonic()
        if self._news:
            self.read_news()
        if self.tells_turns:
            self.flush()

    def is_in(self, turn: int) -> None:
        """It has begun before there was anything to count."""
        if turn != self._turn:
            self._turn, self._began_at = turn, time.monotonic()

    def called(self, count: int) -> None:
        """So many other agents."""
        if self.is_metered:
            self._tool_calls += count
            self._is_unsaid = True
            if time.monotonic() - self._said_at >= BUNCH_S:
                self.flush()

    def over(self, *, is_timed: bool) -> None:
        """The author's code has ended. ``is_timed``: by the host, which has heard beats of the turn."""
        if not self._turn:
            return
        if self.is_metered:
            self._turns += 1
            if not is_timed:
                self._wall_s += time.monotonic() - self._began_at
            self._is_unsaid = True
        if self._is_unsaid:
            self.flush()
        self._turn = 0
        if self._turn_args:
            self._turn_args = {}
            self._rearrange()

    def flush(self) -> None:
        self._is_unsaid = True
        door = self._durable.open()
        if not self._is_known:
            self._is_known = True
            door.prefaces.append(self._say)
        if door.backlog_bytes > _LATER_BYTES:
            return
        self._said_at = time.monotonic()
        if door.sock is None:
            door.tell(b"")  # it is said at the next door
        else:
            door.tell(self._say())
        self._is_unsaid = False

    def _say(self) -> bytes:
        in_hand = self._durable.in_hand
        said = mail.Spent(
            self._turn,
            in_hand.message if in_hand is not None and self._turn else 0,
            self._turns,
            self._tool_calls,
            self._wall_s,
            self._cost,
            (self._others[0], self._others[1]),
            {model: (tokens[0], tokens[1]) for model, tokens in self._models.items()},
        )
        return framed(_encode(said))

    # ---- what the host says

    def heed(self, message: birth.Budget) -> None:
        """In any thread; it holds from the next turn on, or the next ``spend`` of this one."""
        self.is_metered = True
        self._news.append(message)

    def refusal(self) -> str:
        if self._news:
            self.read_news()
        return self.why

    def read_news(self) -> None:
        if not self._news:
            return
        while self._news:
            one = self._news.popleft()
            if not one.turn:
                self.why, self._args, self.tells_turns = one.why, one.args, one.turns
            elif one.turn == self._turn:
                self._turn_args = one.args
        self._rearrange()

    def _rearrange(self) -> None:
        self._durable.fall_back({**self._args, **self._turn_args})


def check_spent(tokens_in: Any, tokens_out: Any, model: Any, cost: Any) -> None:
    for name, value in (("tokens_in", tokens_in), ("tokens_out", tokens_out)):
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < MOST_ONCE:
            raise UsageError(f"cannot spend {value!r} {name}: give a whole number from 0 on")
    if not isinstance(model, str) or len(model) > MODEL_MOST:
        raise UsageError(f"cannot use {model!r} as the name of a model: give a text of at most {MODEL_MOST} characters")
    if cost is not None and (not isinstance(cost, int | float) or not math.isfinite(cost) or not 0 <= cost < MOST_ONCE):
        raise UsageError(f"cannot spend {cost!r}: give a number from 0 on, in the currency of the prices")
