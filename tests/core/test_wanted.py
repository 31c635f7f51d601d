"""One table says which ends somebody wanted, and what follows from that."""

from __future__ import annotations

from typing import get_args

import pytest

from agenthost.core.reason import WELL, Kind, Reason
from agenthost.core.spec import Shutdown
from agenthost.core.wanted import _TABLE, LATE, Meaning, is_late, meaning, meaning_of
from tests.core.trees import supervisor, worker
from tests.core.world import World


def test_each_kind_of_end_has_its_line() -> None:
    assert set(_TABLE) == set(get_args(Kind))


@pytest.mark.parametrize("kind", ["shutdown", "killed", "ignore", "asleep"])
def test_what_somebody_wanted_has_no_consequence(kind: Kind) -> None:
    assert meaning_of(Reason(kind, text="stopped by uid 1000")) == Meaning()


def test_who_did_not_stop_in_time_is_looked_at_and_recorded_and_its_work_is_not_to_blame() -> None:
    late = Reason("killed", text=f"{LATE} within 5 s")
    assert is_late(late) and not is_late(Reason("shutdown", text=late.text))
    assert meaning_of(late) == meaning("killed", late=True) == Meaning(look=True, record=True)


def test_who_is_looked_at_is_recorded_and_what_ends_well_is_not() -> None:
    for kind, said in _TABLE.items():
        assert said.record or not (said.look or said.alone), kind
    assert not any(meaning(kind).record for kind in WELL)
    assert {kind for kind, said in _TABLE.items() if said.alone} == {"silent", "turn_timeout", "no_progress", "budget"}


def test_the_record_of_an_end_says_that_it_came_late_unless_all_of_it_ends() -> None:
    for halts in (False, True):
        world = World(supervisor("root", worker("a", shutdown=Shutdown(10.0))), stubborn={"/a"}).boot()
        if halts:
            world.halt()
        else:
            world.command("stop", "/a")
        world.pass_time(11.0)
        (exited,) = [one for one in world.records if one.name == "agent.exited"]
        assert exited.fields["kind"] == "killed" and exited.fields.get("late", False) is not halts
