"""What was decided is decided again: the same events, written down and read, end in the same state."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from agenthost.config.load import load
from agenthost.core import effects as do
from agenthost.core import events as on
from agenthost.core import view
from agenthost.core.reason import Reason
from agenthost.core.replay import Replay
from agenthost.core.spec import SupervisorSpec, WorkerSpec
from agenthost.core.step import step
from agenthost.core.tree import State
from agenthost.core.written import digest, read_beginning, read_event, write_beginning, write_event
from agenthost.errors import StateError
from tests.core import world
from tests.core.test_machine import Core
from tests.core.world import World

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))


class Notebook:
    """What a host writes down: event, time, chance where it has changed, the digest of the effects."""

    def __init__(self) -> None:
        self.lines: list[tuple[bytes, float, bytes, int]] = []
        self._chance = -1

    def step(self, state: State, event: on.Event, now: float) -> list[do.Effect]:
        chance, self._last = state.chance.state, self._chance
        self._chance = chance
        effects = step(state, event, now)
        told = b"" if chance == self._last else chance.to_bytes(8, "big")
        self.lines.append((write_event(event), now, told, digest(effects)))
        return effects

    def read(self, spec: SupervisorSpec, seed: int, *, without: tuple[int, ...] = ()) -> tuple[Replay, list[Any]]:
        again = Replay(*read_beginning(write_beginning(spec, seed)))
        moves = []
        for number, (event, now, chance, recorded) in enumerate(self.lines):
            if number in without:
                again.gap()
            else:
                moves.append(again.take(read_event(event), now, chance, recorded))
        return again, moves


def test_a_random_history_ends_in_the_same_state_and_nothing_differs(monkeypatch: pytest.MonkeyPatch) -> None:
    class Noted(Core):
        def new_world(self, tree: SupervisorSpec, seed: int) -> World:
            self.book, self.began = Notebook(), (tree, seed)
            monkeypatch.setattr(world, "step", self.book.step)
            return World(tree, seed=seed)

        def teardown(self) -> None:
            super().teardown()
            if hasattr(self, "book"):
                again, moves = self.book.read(*self.began)
                assert list(view.rows(again.state)) == list(view.rows(self.world.state))
                assert not again.differing and not [move for move in moves if move.differs]

    shape = settings(max_examples=15, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck))
    run_state_machine_as_test(Noted, settings=shape)


def crashing(monkeypatch: pytest.MonkeyPatch, crashes: int = 3) -> tuple[Notebook, SupervisorSpec]:
    book, spec = Notebook(), SupervisorSpec("root", (WorkerSpec("a"), WorkerSpec("b")))
    monkeypatch.setattr(world, "step", book.step)
    one = World(spec, seed=5).boot()
    for _ in range(crashes):
        one.crash("/a")
        one.pass_time(3)
    return book, spec


def test_what_comes_out_differently_is_said_of_the_event_that_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    book, spec = crashing(monkeypatch)
    place = next(n for n, (event, *_) in enumerate(book.lines) if isinstance(read_event(event), on.Exited))
    event, now, chance, recorded = book.lines[place]
    book.lines[place] = event, now, chance, recorded ^ 1
    again, moves = book.read(spec, 5)
    assert again.differing == 1
    assert moves[place].differs == ("its effects are not those that were recorded",)


def test_another_seed_is_noticed_where_chance_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    book, spec = crashing(monkeypatch)
    again, moves = book.read(spec, 6)
    assert moves[0].differs == ("another chance was drawn before it",)
    assert again.differing == 1  # from there on it goes on with the chance that was told


def test_after_a_gap_everything_is_uncertain_and_the_end_may_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    book, spec = crashing(monkeypatch)
    place = next(n for n, (event, *_) in enumerate(book.lines) if isinstance(read_event(event), on.Exited))
    again, moves = book.read(spec, 5, without=(place,))
    assert not any(move.uncertain for move in moves[:place])
    assert all(move.uncertain for move in moves[place:])
    assert again.unsure and not again.differing


def test_an_event_that_cannot_be_is_told_and_the_rest_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    book, spec = crashing(monkeypatch, 0)
    again = Replay(spec, 5)
    for event, now, chance, recorded in book.lines:
        again.take(read_event(event), now, chance, recorded)
    told = again.take(on.Emptied("/a", 1), 2000.0, b"", 0)  # it had not exited
    assert told.differs[0].startswith("the core cannot take it: ImpossibleMove: /a is ready")
    assert again.take(on.Exited("/b", 2, Reason("exit", 1)), 2001.0, b"", 0).decided


@pytest.mark.parametrize("file", CONFIGS, ids=lambda file: file.name)
def test_whole_configs_are_read_as_they_were_written(file: Path) -> None:
    tree = load(file).tree
    read, seed = read_beginning(write_beginning(tree, 7))
    assert (read, seed) == (tree, 7)
    event = on.Reload(3, tree, "uid 0")
    assert read_event(write_event(event)) == event


def test_every_field_of_a_spec_is_read_as_it_was_written(tmp_path: Path) -> None:
    """Also those that no example uses: each has another value than its default, where that is of a simple type."""
    from agenthost.core.birth import AgentBirth, ProgramBirth

    def other(kind: Any, **own: Any) -> Any:
        changed = {}
        for one in dataclasses.fields(kind):
            if one.name in own or one.default is dataclasses.MISSING:
                continue
            value = one.default
            if isinstance(value, bool):
                changed[one.name] = not value
            elif isinstance(value, int | float):
                changed[one.name] = value + 1
        return kind(**own, **changed)

    agent = other(AgentBirth, agent="m:C", args={"a": [1, {"b": None}]}, code=b"\x80", env=(("A", "b"),))
    program = other(ProgramBirth, argv=("true",))
    tree = other(
        SupervisorSpec,
        name="root",
        children=(
            other(WorkerSpec, name="a", birth=agent, significant=False),
            other(WorkerSpec, name="p", birth=program, significant=False),
            SupervisorSpec("pool", template=WorkerSpec("any", birth=agent), live=3),
        ),
        significant=False,
    )
    assert read_beginning(write_beginning(tree, 0)) == (tree, 0)
    event = on.Add(-1, "/a", "x", tree.children[0], "/a")
    assert read_event(write_event(event)) == event
    assert read_event(write_event(on.Add(1, "/pool", "x"))) == on.Add(1, "/pool", "x")


def test_what_is_of_another_version_is_refused_with_what_to_do() -> None:
    for data in (b"", b"\x81\xa5event\xa4Boom", write_event(on.Boot())[:-1]):
        with pytest.raises(StateError, match="cannot read an event of the core"):
            read_event(data)
    with pytest.raises(StateError, match="written by another version"):
        read_beginning(write_event(on.Boot()))
