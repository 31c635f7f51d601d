"""Replaying a journal's events from its file: what is shown, by which rule, and what is said loudly."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from agenthost.cli.main import app
from agenthost.core.rules import RULES
from agenthost.core.spec import SupervisorSpec, WorkerSpec
from agenthost.core.written import write_beginning
from agenthost.journal import ops
from agenthost.journal.sqlite.store import SqliteStore
from tests.core import world
from tests.core.test_replay import Notebook
from tests.core.world import World

SPEC = SupervisorSpec("root", (WorkerSpec("a"), WorkerSpec("b")))


def journal(
    file: Path, monkeypatch: pytest.MonkeyPatch, *, missing: int = 0, false: int = 0, boot: int = 3, ends: bool = False
) -> Path:
    """A host that has started two agents, of which /a crashed twice; without event ``missing``, event ``false`` as if
    something else had been decided."""
    book = Notebook()
    monkeypatch.setattr(world, "step", book.step)
    one = World(SPEC, seed=5).boot()
    for _ in range(2):
        one.crash("/a")
        one.pass_time(3)
    if ends:
        one.halt()
    with SqliteStore(file) as store:
        store.commit([ops.Picture(boot, 0, 1000.0, write_beginning(SPEC, 5))], 1)
        for number, (event, now, chance, effects) in enumerate(book.lines, 1):
            if number != missing:
                note = ops.Note(boot, number, now, event, chance, effects ^ (number == false))
                store.commit([ops.Missed(boot, number - 1, "a test")] if number == missing + 1 > 1 else [], 1)
                store.commit([note], 1)
    return file


def replayed(file: Path, *words: str) -> Result:
    return CliRunner().invoke(app, ["--no-color", "replay", str(file), *words])


def test_each_event_is_shown_with_its_effects_below_the_rule_that_made_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = replayed(journal(tmp_path / "j", monkeypatch), "--path", "/a")
    assert done.exit_code == 0
    assert "boot 3, begun at " in done.stdout
    assert "Exited /a n=1: exit status 1\n     H1: when the main process is gone" in done.stdout
    assert f"     R1: {RULES['R1']}\n       Record agent.restarting /a: restarting at once\n     T1: " in done.stdout
    assert "       SetTimer wait /a in " in done.stdout
    assert "Ready /b n=2" not in done.stdout  # of no interest to /a
    assert "of them shown: all came out as they were recorded\n" in done.stdout


def test_a_range_of_events_is_shown_and_all_are_replayed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = replayed(journal(tmp_path / "j", monkeypatch), "--from", "2", "--to", "3", "-o", "json")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["number"] for line in lines[1:-1]] == [2, 3]
    assert lines[0]["boot"] == 3
    assert lines[-1]["events"] > 3 and lines[-1]["differing"] == 0
    assert {rule["rule"] for line in lines[1:-1] for rule in line["decided"]} <= set(RULES)


def test_what_comes_out_differently_is_said_and_shown_whatever_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = replayed(journal(tmp_path / "j", monkeypatch, false=4), "--path", "/nobody")
    assert done.exit_code == 1
    assert "#4 " in done.stdout
    assert "DIFFERS: its effects are not those that were recorded" in done.stdout
    assert "1 of them shown: 1 did not come out as they were recorded" in done.stdout


def test_a_gap_is_said_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = replayed(journal(tmp_path / "j", monkeypatch, missing=4))
    assert done.exit_code == 1
    before, _, after = done.stdout.partition("GAP: event 4 is missing: a test; nothing is certain from here on\n")
    assert "\n#3 " in before and "\n#5 " in after
    assert "DIFFERS" not in done.stdout, "nothing is certain there"
    assert ": events are missing" in after.splitlines()[-1]


def test_an_event_that_is_missing_without_a_word_is_a_gap_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = journal(tmp_path / "j", monkeypatch)
    with contextlib.closing(sqlite3.connect(file)) as lost, lost:
        lost.execute("DELETE FROM core WHERE number = 4")
    done = replayed(file, "--path", "/nobody")
    assert done.exit_code == 1
    assert "GAP: event 4 is missing: the journal does not have them, and does not say why;" in done.stdout
    assert "DIFFERS" not in done.stdout


def test_a_life_that_was_cut_off_is_told_from_one_that_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = journal(tmp_path / "j", monkeypatch)
    assert replayed(file).stdout.endswith("this life of the host has no end here: it goes on, or was cut off\n")
    journal(file, monkeypatch, boot=9, ends=True)
    cut_off = "has no end here: it was cut off, and what was decided last may be missing\n"
    assert replayed(file, "--boot", "3").stdout.endswith(cut_off)
    assert "has no end" not in replayed(file).stdout


def test_the_last_life_of_a_host_is_replayed_unless_another_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = journal(tmp_path / "j", monkeypatch)
    journal(file, monkeypatch, boot=9)
    assert "boot 9" in replayed(file).stdout
    assert "boot 3" in replayed(file, "--boot", "3").stdout
    done = replayed(file, "--boot", "4")
    assert str(done.exception) == "cannot replay boot 4: there is none; there are 3, 9"


def test_without_a_host_and_a_name_it_is_asked_which_journal_is_meant(
    places: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = CliRunner().invoke(app, ["replay"])
    assert str(done.exception).startswith("cannot reach a host: none runs for this user")
    for name in ("solo", "duo"):
        (places / "state" / name).mkdir()
        journal(places / "state" / name / "journal.db", monkeypatch)
        if name == "solo":
            assert CliRunner().invoke(app, ["replay"]).exit_code == 0
    done = CliRunner().invoke(app, ["replay"])
    assert str(done.exception) == "cannot tell which journal is meant: no host runs; name one with --host: duo, solo"
    assert CliRunner().invoke(app, ["--host", "solo", "replay", "--boot", "3"]).exit_code == 0


def test_the_rules_can_be_read() -> None:
    done = CliRunner().invoke(app, ["replay", "--rules"])
    assert done.exit_code == 0
    assert len(done.stdout.splitlines()) == len(RULES)
    assert f"R1   {RULES['R1']}" in done.stdout.splitlines()
