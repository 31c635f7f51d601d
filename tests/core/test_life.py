"""The table of a worker's life, walked exhaustively."""

from __future__ import annotations

import itertools

import pytest

from agenthost.core.life import AT_REST, ENDING, TABLE, WITH_PROCESS, Action, ImpossibleMove, Input, Life, move


def test_every_life_is_with_a_process_or_at_rest_and_never_both() -> None:
    assert set(Life) == WITH_PROCESS | AT_REST
    assert not WITH_PROCESS & AT_REST


@pytest.mark.parametrize(("life", "what"), list(itertools.product(Life, Input)))
def test_every_pair_is_decided_or_raises_and_names_both(life: Life, what: Input) -> None:
    if (life, what) in TABLE:
        after, actions = move(life, what, who="/a")
        assert after in Life
        assert all(action in Action for action in actions)
    else:
        with pytest.raises(ImpossibleMove, match=f"/a is {life} and cannot take {what}"):
            move(life, what, who="/a")


def test_a_process_is_born_only_from_rest() -> None:
    births = {life for (life, _), (_, actions) in TABLE.items() if Action.BIRTH in actions}
    assert births == AT_REST


def test_only_an_empty_cell_leads_back_to_rest() -> None:
    for (life, what), (after, _) in TABLE.items():
        if life in WITH_PROCESS and after in AT_REST:
            assert what is Input.EMPTIED


def test_the_end_is_told_exactly_where_a_process_ends() -> None:
    for (life, _), (after, actions) in TABLE.items():
        assert (Action.TELL_ENDED in actions) == (life in WITH_PROCESS and after in AT_REST)


def test_whoever_is_on_the_way_down_never_comes_back_up() -> None:
    reached, todo = set(ENDING), list(ENDING)
    while todo:
        life = todo.pop()
        for (before, _), (after, _) in TABLE.items():
            if before is life and after not in reached and life in WITH_PROCESS and after in WITH_PROCESS:
                reached.add(after)
                todo.append(after)
    assert reached == ENDING


@pytest.mark.parametrize("life", sorted(WITH_PROCESS))
def test_every_process_can_be_killed_and_its_exit_is_always_taken(life: Life) -> None:
    assert (life, Input.KILL) in TABLE
    assert (life, Input.EXITED) in TABLE
    assert (life, Input.TERM) in TABLE


@pytest.mark.parametrize("life", sorted(WITH_PROCESS))
def test_rest_can_be_reached_from_everywhere(life: Life) -> None:
    reached, todo = {life}, [life]
    while todo:
        here = todo.pop()
        for (before, _), (after, _) in TABLE.items():
            if before is here and after not in reached:
                reached.add(after)
                todo.append(after)
    assert Life.DOWN in reached
