"""What counts of a turn: the time since it began, without the time that the agent was frozen."""

from __future__ import annotations

from agenthost.core.birth import AgentBirth
from agenthost.host.ordering import beat_s_of
from agenthost.host.turns import TurnInHand


def test_a_turn_is_later_by_the_time_that_it_was_frozen() -> None:
    turn = TurnInHand()
    turn.begin(1, 100.0)
    turn.freeze(110.0)
    turn.freeze(112.0)
    turn.thaw(120.0)
    turn.thaw(130.0)
    assert turn.began_at == 110.0
    turn.freeze(140.0)
    turn.thaw(141.0)
    assert turn.began_at == 111.0


def test_a_turn_that_was_frozen_before_it_was_heard_of_is_later_too() -> None:
    turn = TurnInHand()
    turn.freeze(100.5)
    turn.thaw(160.5)
    turn.begin(1, 100.0)
    assert turn.began_at == 160.0


def test_what_it_was_frozen_before_it_began_does_not_count() -> None:
    turn = TurnInHand()
    turn.freeze(50.0)
    turn.thaw(60.0)
    turn.begin(1, 100.0)
    assert turn.began_at == 100.0
    turn.end()
    assert turn.number == 0


def test_an_agent_beats_early_enough_for_a_short_timeout() -> None:
    def beat_s(turn_s: float | None, group: str = "") -> float:
        return beat_s_of(AgentBirth("a:A", turn_s=turn_s, group=group))

    assert [beat_s(None), beat_s(60.0), beat_s(2.0), beat_s(0.01)] == [1.0, 1.0, 0.5, 0.05]
    assert beat_s(60.0, "readers") == 0.05


def test_a_turn_has_got_on_when_its_agent_has_counted_on() -> None:
    turn = TurnInHand()
    turn.begin(1, 100.0)
    turn.heard(0, 101.0)
    assert turn.moved_at == 100.0
    turn.heard(7, 102.0)
    turn.heard(7, 103.0)
    assert turn.moved_at == 102.0
    turn.freeze(110.0)
    turn.thaw(115.0)
    assert (turn.began_at, turn.moved_at) == (105.0, 107.0)
    turn.end()
    turn.begin(2, 200.0)
    turn.heard(7, 201.0)
    assert turn.moved_at == 200.0, "what was counted before it began is not its own"


def test_an_agent_beats_early_enough_to_be_seen_getting_on() -> None:
    def beat_s(turn_s: float | None, progress_s: float | None) -> float:
        return beat_s_of(AgentBirth("a:A", turn_s=turn_s, progress_s=progress_s))

    assert [beat_s(None, 60.0), beat_s(None, 2.0), beat_s(1.0, 2.0), beat_s(60.0, 0.01)] == [1.0, 0.5, 0.25, 0.05]
