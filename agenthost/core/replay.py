"""Deciding again what was decided: the events of a journal through ``step``, and whether it comes out the same.

Leaves to others where events are kept and how they are shown. The rules: an event is decided with its own time and the
chance that was told with it; effects are those that were recorded if their digest is; after a gap nothing is certain,
which is said of each event until the end.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from agenthost.core import effects as do
from agenthost.core import events as on
from agenthost.core.backoff import Chance
from agenthost.core.rules import Rule
from agenthost.core.spec import SupervisorSpec
from agenthost.core.step import move
from agenthost.core.tree import State, Turn
from agenthost.core.written import digest

CHANCE_BYTES = 8


@dataclass(frozen=True, slots=True)
class Decided:
    """One rule, and what it made; nothing, where it decided that nothing is to be done."""

    rule: Rule
    effects: tuple[do.Effect, ...]


@dataclass(frozen=True, slots=True)
class Moved:
    """``differs`` says in which way it did not come out as recorded; empty if it did. ``uncertain``: a gap was before
    it. ``unproven``: nothing was recorded to compare it with."""

    decided: tuple[Decided, ...]
    differs: tuple[str, ...] = ()
    uncertain: bool = False
    unproven: bool = False


@dataclass(slots=True)
class Replay:
    """Of one life of a host. ``state`` is what its core has come to."""

    spec: SupervisorSpec
    seed: int
    state: State = field(init=False)
    differing: int = 0
    """Events that did not come out as recorded."""
    unsure: int = 0
    """The same after a gap, where that says nothing."""
    has_gap: bool = False
    has_ended: bool = False
    """It has come to the end of the host: all has ended as planned."""

    def __post_init__(self) -> None:
        self.state = State(self.spec, seed=self.seed)

    def gap(self) -> None:
        """Events are missing here."""
        self.has_gap = True

    def take(self, event: on.Event, now: float, chance: bytes, recorded: int) -> Moved:
        """``chance`` is empty if it was as before; ``recorded`` the digest of its effects, 0 if there is none."""
        differs = []
        told = int.from_bytes(chance, "big") if len(chance) == CHANCE_BYTES else None
        if told is not None and told != self.state.chance.state:
            if not self.has_gap:
                differs.append("another chance was drawn before it")
            self.state.chance = Chance(told)
        try:
            turn = move(self.state, event, now)
        except Exception as error:  # whatever the core says to what cannot have happened
            differs.append(f"the core cannot take it: {type(error).__name__}: {error}")
            self._count()
            return Moved((), tuple(differs), self.has_gap)
        if recorded and digest(turn.effects) != recorded:
            differs.append("its effects are not those that were recorded")
        if differs:
            self._count()
        self.has_ended = self.has_ended or any(isinstance(effect, do.Ended) for effect in turn.effects)
        return Moved(decided(turn), tuple(differs), self.has_gap, unproven=not recorded)

    def _count(self) -> None:
        if self.has_gap:
            self.unsure += 1
        else:
            self.differing += 1


def decided(turn: Turn) -> tuple[Decided, ...]:
    """What a move has decided, in order, by which rules."""
    found: list[Decided] = []
    for place, (start, rule) in enumerate(turn.marks):
        end = turn.marks[place + 1][0] if place + 1 < len(turn.marks) else len(turn.effects)
        made = tuple(turn.effects[start:end])
        if found and found[-1].rule == rule:
            found[-1] = Decided(rule, found[-1].effects + made)
        elif made or place:
            found.append(Decided(rule, made))
    return tuple(found)
