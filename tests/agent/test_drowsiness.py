"""When an agent says that it has nothing to do, and whether it sleeps when it is asked."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from agenthost.agent.drowsiness import Drowsiness
from agenthost.protocol import birth


class Told(list[birth.FromProcess]):
    def said(self) -> list[birth.FromProcess]:
        found = self.copy()
        self.clear()
        return found


def test_it_says_so_after_its_time_and_again_ever_less_often() -> None:
    told = Told()
    one = Drowsiness(10.0, told.append)
    assert one.look(100.0) == 10.0
    assert one.look(109.0) == pytest.approx(1.0)
    assert told.said() == []
    assert one.look(110.0) == 10.0
    assert told.said() == [birth.Drowsy(number=1, idle_s=10.0)]
    assert one.look(120.0) == 20.0
    assert told.said() == [birth.Drowsy(number=1, idle_s=20.0)]
    assert one.look(140.0) == 40.0
    told.clear()
    assert one.look(180.0) == 60.0  # and no longer than that


def test_what_comes_ends_it_and_the_next_is_another() -> None:
    told = Told()
    one = Drowsiness(1.0, told.append)
    one.look(1.0)
    one.stir()
    assert told.said() == []
    one.look(5.0)
    one.look(6.0)
    one.stir()
    assert told.said() == [birth.Drowsy(number=1, idle_s=1.0), birth.Awake(number=1)]
    one.look(7.0)
    one.look(8.0)
    assert told.said() == [birth.Drowsy(number=2, idle_s=1.0)]
    assert not one.may_sleep(1)
    assert told.said() == [birth.Awake(number=1)]
    assert one.may_sleep(2)
    one.sleep()
    assert told.said() == [birth.Asleep(number=2)]


def test_it_may_be_told_not_to_sleep_any_more() -> None:
    told = Told()
    one = Drowsiness(1.0, told.append)
    one.look(1.0)
    one.look(2.0)
    one.set_after(0.0)
    assert one.look(1000.0) is None
    assert not one.may_sleep(1)
    assert [type(message) for message in told] == [birth.Drowsy, birth.Awake, birth.Awake]


@given(some.lists(some.tuples(some.sampled_from(["look", "stir", "ask late", "ask"]), some.floats(0, 5)), max_size=50))
def test_it_never_sleeps_over_what_has_come(steps: list[tuple[str, float]]) -> None:
    told = Told()
    one = Drowsiness(2.0, told.append)
    now, last_came, asked = 1.0, 1.0, 0
    for what, passes_s in steps:
        now += passes_s
        match what:
            case "look":
                one.look(now)
            case "stir":
                one.stir()
                last_came = now
            case _:
                drowsy = [message for message in told if isinstance(message, birth.Drowsy)]
                if not drowsy:
                    continue
                asked = drowsy[-1].number if what == "ask" else drowsy[0].number
                if one.may_sleep(asked):
                    assert now - last_came >= 2.0
                    assert not any(isinstance(message, birth.Awake) and message.number == asked for message in told)
                    return
