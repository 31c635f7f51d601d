"""The ladder: what comes next for a message whose turn has failed."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from agenthost.core.remedy import rungs as on
from agenthost.core.remedy.failure import Failure
from agenthost.core.remedy.fingerprint import fingerprint
from agenthost.core.remedy.ladder import Past, Remedy, decide, decide_again, since_requeued, usual
from agenthost.core.remedy.rungs import Ladder, Rung, steps, word

GARBAGE = Failure("crash", "ValueError", "crew:Planner.handle+3", text="no JSON")
LIMITED = Failure("error", "provider", "crew:Planner.ask+9", text="429", retry_after_s=7.0)
LONG = Failure("error", "provider", "crew:Planner.ask+9", text="the context is too long")

FULL = Ladder(
    (
        on.Retry(2, 1.0, 60.0),
        on.Vary({"temperature": 0.9}, {"top_p": [0.5, 0.9]}, ("seed",)),
        on.Compact({"keep_last": 8}),
        on.Roll_back(1),
        on.Fall_back("", {"model": "small"}),
        on.Ask("go on?", 60.0),
        on.Dead_letter(),
    ),
    attempts=20,
)
_WHAT = {on.Dead_letter: "dead_letter", on.Ask: "parked", on.Escalate: "backed_off"}


class Message:
    """What the journal keeps of one: each failure gets its remedy, which becomes a line of its history."""

    def __init__(self, ladder: Ladder) -> None:
        self.ladder = ladder
        self.history: list[Past] = []

    def fail(self, failure: Failure, **how: Any) -> Remedy:
        attempt = self.history[-1].attempt + 1 if self.history else 1
        remedy = decide(self.ladder, self.history, failure, attempt, chance=attempt, **how)
        what = _WHAT.get(type(remedy.rung), "backed_off")
        self.history.append(Past(attempt, fingerprint(failure), remedy.label, what))
        return remedy

    def climb(self, failure: Failure) -> list[Remedy]:
        """Until it is set aside."""
        taken = [self.fail(failure)]
        while not isinstance(taken[-1].rung, on.Dead_letter):
            taken.append(self.fail(failure))
        return taken


def test_without_configuration_it_is_tried_three_times_and_then_set_aside() -> None:
    taken = Message(usual()).climb(GARBAGE)
    assert [(one.label, one.pause_s) for one in taken] == [("retry", 1.0), ("retry 2", 2.0), ("dead_letter", 0.0)]


def test_pauses_double_up_to_their_bound() -> None:
    taken = Message(usual(10, 1.0, 60.0)).climb(GARBAGE)
    assert [one.pause_s for one in taken] == [1, 2, 4, 8, 16, 32, 60, 60, 60, 0]


def test_one_attempt_means_that_nothing_is_tried_again() -> None:
    assert [one.label for one in Message(usual(1)).climb(GARBAGE)] == ["dead_letter"]


def test_the_same_failure_climbs_rung_by_rung() -> None:
    taken = Message(FULL).climb(GARBAGE)
    assert [one.label for one in taken] == [
        "retry",
        "retry 2",
        "vary seed=random temperature=0.9 top_p=0.5",
        "vary seed=random temperature=0.9 top_p=0.9",
        "compact keep_last=8",
        "roll_back 1",
        "fall_back model=small",
        "ask go on?",
        "dead_letter",
    ]
    assert [one.parameters for one in taken[4:7]] == [{"keep_last": 8}, {}, {"model": "small"}]


def test_another_failure_begins_at_the_bottom_and_goes_on_where_it_was() -> None:
    message = Message(FULL)
    assert [message.fail(GARBAGE).label for _ in range(3)][-1].startswith("vary")
    assert message.fail(LONG).label == "retry"
    assert message.fail(GARBAGE).label == "vary seed=random temperature=0.9 top_p=0.9"
    assert message.fail(LONG).label == "retry 2"


def test_pauses_grow_with_every_retry_whatever_failed() -> None:
    message = Message(FULL)
    assert [message.fail(one).pause_s for one in (GARBAGE, LONG, GARBAGE)] == [1.0, 2.0, 4.0]


def test_a_random_parameter_is_another_number_each_time() -> None:
    varied = [one.parameters["seed"] for one in Message(FULL).climb(GARBAGE) if isinstance(one.rung, on.Vary)]
    assert len(set(varied)) == 2 and all(isinstance(seed, int) and 0 <= seed < 2**31 for seed in varied)


def test_a_provider_that_says_when_is_not_asked_before() -> None:
    message = Message(FULL)
    assert message.fail(LIMITED).pause_s == 7.0
    assert message.fail(GARBAGE).pause_s == 2.0
    long = Failure("error", "provider", text="come back tomorrow", retry_after_s=86_400.0)
    assert message.fail(long).pause_s == 3600.0


def test_the_pause_a_provider_wants_holds_for_every_rung_that_calls_it_again() -> None:
    message = Message(Ladder((on.Vary({"temperature": 1.0}), on.Dead_letter()), 20))
    assert message.fail(LIMITED).pause_s == 7.0


def test_what_another_attempt_could_not_change_is_set_aside_at_once() -> None:
    assert Message(FULL).fail(GARBAGE, final=True).label == "dead_letter"


def test_attempts_are_bounded_whatever_fails() -> None:
    message = Message(Ladder(FULL.rungs, attempts=5))
    found = [message.fail(Failure("crash", f"Error{'abcdefg'[number]}")).label for number in range(5)]
    assert found == ["retry"] * 4 + ["dead_letter"]


def test_spending_is_bounded() -> None:
    message = Message(Ladder(FULL.rungs, 20, spend=0.5))
    assert message.fail(GARBAGE, spent=0.49).label == "retry"
    last = message.fail(GARBAGE, spent=0.5)
    assert last.label == "dead_letter" and "0.5" in last.why


def test_a_ladder_that_ends_without_a_word_ends_with_a_dead_letter() -> None:
    assert [one.label for one in Message(Ladder((on.Retry(),), 20)).climb(GARBAGE)] == ["retry", "dead_letter"]


def test_after_escalation_the_same_failure_sets_it_aside() -> None:
    message = Message(Ladder((on.Retry(), on.Escalate()), 20))
    assert [message.fail(GARBAGE).label for _ in range(3)] == ["retry", "escalate", "dead_letter"]


def test_a_remedy_that_cannot_be_applied_is_followed_by_the_next_for_the_same_failure() -> None:
    message = Message(FULL)
    while message.fail(GARBAGE).label != "compact keep_last=8":
        pass
    instead = decide_again(FULL, message.history, "cannot compact: it would not be smaller", 6)
    assert instead.label == "roll_back 1" and instead.pause_s == 0.0
    assert "would not be smaller" in instead.why
    message.history.append(Past(6, fingerprint(GARBAGE), instead.label, "backed_off"))
    assert message.fail(GARBAGE).label == "fall_back model=small"


def test_a_question_that_nobody_answers_is_followed_by_the_next_rung_of_the_same_attempt() -> None:
    message = Message(FULL)
    while not isinstance(message.fail(GARBAGE).rung, on.Ask):
        pass
    asked = message.history[-1].attempt
    late = decide_again(FULL, message.history, "nobody has answered", asked)
    assert late.label == "dead_letter" and f"attempt {asked} of 20" in late.why


def test_a_requeued_message_has_everything_before_it_again() -> None:
    message = Message(usual())
    message.climb(GARBAGE)
    message.history.append(Past(3, "", "", "requeued"))
    assert since_requeued(message.history) == []
    assert [one.label for one in message.climb(GARBAGE)] == ["retry", "retry 2", "dead_letter"]


def test_the_word_of_why_counts_attempts_and_repetitions() -> None:
    message = Message(FULL)
    assert message.fail(GARBAGE).why == "attempt 1 of 20"
    assert message.fail(GARBAGE).why == "attempt 2 of 20; the same failure for the 2nd time"
    assert message.fail(LONG).why == "attempt 3 of 20"


def test_a_span_is_stepped_through_evenly() -> None:
    assert on.Span(0.2, 1.0, 5).values() == [0.2, 0.4, 0.6, 0.8, 1.0]
    assert on.Span(1, 9, 3).values() == [1, 5, 9] and all(isinstance(n, int) for n in on.Span(1, 9, 3).values())
    assert on.Span(3.0, 9.0, 1).values() == [3.0]


def test_values_that_are_stepped_together_keep_their_last() -> None:
    vary = on.Vary({}, {"a": [1, 2, 3], "b": ["x", "y"]})
    found = [on.parameters(vary, step.turn, 0) for step in steps((vary,))]
    assert found == [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}, {"a": 3, "b": "y"}]


_RUNGS: st.SearchStrategy[Rung] = st.one_of(
    st.builds(on.Retry, st.integers(1, 3)),
    st.builds(on.Vary, st.dictionaries(st.sampled_from("ab"), st.integers(0, 2), max_size=2)),
    st.builds(on.Compact, st.just({"keep_last": 2})),
    st.builds(on.Roll_back, st.integers(1, 2)),
    st.builds(on.Fall_back, st.just("/other")),
    st.builds(on.Ask, st.sampled_from(["a?", "b?"])),
    st.builds(on.Authors, st.just("my.rung")),
    st.just(on.Escalate()),
    st.just(on.Dead_letter()),
)
_KINDS = [GARBAGE, LIMITED, LONG]


@given(st.lists(_RUNGS, max_size=6), st.integers(1, 30), st.lists(st.sampled_from(_KINDS), max_size=60))
def test_whatever_fails_it_ends_and_no_step_is_taken_twice_for_one_failure(
    ladder: list[Rung], attempts: int, failed: list[Failure]
) -> None:
    message = Message(Ladder(tuple(ladder), attempts))
    for failure in failed:
        remedy = message.fail(failure)
        if isinstance(remedy.rung, on.Dead_letter):
            break
    else:
        assert len(failed) < attempts
    assert len(message.history) <= attempts
    taken = [(one.fingerprint, one.rung) for one in message.history]
    assert len(set(taken)) == len(taken)
    order = [one.label for one in steps(tuple(ladder))]
    for kind in _KINDS:  # each climbs from the bottom, and never down
        climbed = [rung for mark, rung in taken if mark == fingerprint(kind) and rung != "dead_letter"]
        heights = [order.index(rung) for rung in climbed]
        assert heights == list(range(len(heights)))


@given(st.lists(_RUNGS, max_size=8))
def test_no_two_steps_of_a_ladder_have_one_label(ladder: list[Rung]) -> None:
    labels = [one.label for one in steps(tuple(ladder))]
    assert len(set(labels)) == len(labels)
    assert all(word(one.rung) for one in steps(tuple(ladder)))
