"""What is known of the use of one path: what its agent has said in all, and its turn, twice: as the agent says it, and
as the host has seen it. Each counts turns by itself: what an agent says of its turn changes nothing of what the host
has seen of it.

What an agent says is checked here before it is counted: a database holds no number of any size.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import msgspec

from agenthost.core.budget.amounts import EXACT, Amounts
from agenthost.journal.values import Incarnation, Spending
from agenthost.journal.words import IN_HAND
from agenthost.protocol import mail as say

MODELS, MODEL_MOST = 1000, 200
"""Names of models that one incarnation may tell of, and characters of each."""

_pack = msgspec.msgpack.Encoder().encode
_read_said = msgspec.msgpack.Decoder(say.Spent).decode
_NOTHING = say.Spent(0, 0)


def is_sane(said: say.Spent) -> bool:
    """It can be counted. What is not is as good as not said."""
    if len(said.models) > MODELS or any(len(model) > MODEL_MOST for model in said.models):
        return False
    tokens = (number for pair in (said.others, *said.models.values()) for number in pair)
    figures = (said.turn, said.message, said.turns, said.tool_calls, said.wall_s, said.cost, *tokens)
    return all(math.isfinite(one) and 0 <= one <= EXACT for one in figures)


class Spender:
    """Of the incarnation that was heard last. ``message``: the one in its hands, as far as that was looked up."""

    __slots__ = ("in_turn", "inc", "is_over", "message", "path", "said", "seen", "seen_turn", "turn")

    def __init__(self, path: str, kept: Spending | None) -> None:
        self.path = path
        self._take(kept or Spending(path, (0, 0)))

    def _take(self, kept: Spending) -> None:
        self.inc = kept.incarnation
        self.is_over = False
        """The session was removed: what that incarnation says is of another one."""
        self.turn, self.in_turn = kept.turn, kept.in_turn
        self.seen_turn, self.seen = kept.seen_turn, kept.seen
        self.said = _read_said(kept.said) if kept.said else _NOTHING
        self.message = 0

    def hears(self, inc: Incarnation) -> bool:
        """Whether that one still counts. A newer one begins anew."""
        if inc > self.inc:
            self._take(Spending(self.path, inc))
        return inc == self.inc and not self.is_over

    def tells(self, amounts: Amounts, turn: int) -> None:
        """The agent itself."""
        if turn and turn != self.turn:
            self.turn, self.in_turn = turn, Amounts()
        if turn:
            self.in_turn += amounts

    def is_seen(self, amounts: Amounts, turn: int) -> None:
        """By the host."""
        if turn == IN_HAND and self.turn:
            self.in_turn += amounts
            return
        if turn > 0 and turn != self.seen_turn:
            self.seen_turn, self.seen = turn, Amounts()
        if turn and self.seen_turn:
            self.seen += amounts

    def turns(self) -> Iterator[tuple[int, Amounts]]:
        """(turn, what was used in it), the latest last. Of one turn if both speak of the same, else of both."""
        if self.turn == self.seen_turn:
            found = [(self.turn, self.in_turn + self.seen)]
        else:
            found = sorted([(self.turn, self.in_turn), (self.seen_turn, self.seen)], key=lambda pair: pair[0])
        return iter([pair for pair in found if pair[0]])

    def latest(self) -> Amounts:
        """Of the turn in hand, or of the last one."""
        return next((amounts for _, amounts in reversed(list(self.turns()))), Amounts())

    def value(self) -> Spending:
        return Spending(self.path, self.inc, self.turn, self.in_turn, _pack(self.said), self.seen_turn, self.seen)
