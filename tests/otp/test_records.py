"""Cases 89 and 90 of the suite: what is told of what happened. Erlang's reports are our event records (L1, L2, L4)."""

from __future__ import annotations

import shlex
from pathlib import Path

from agenthost.host.chronicle import LONGEST, Chronicle
from agenthost.observe.record import Record
from tests.host.conftest import Start
from tests.host.running import Running, agent, tree
from tests.otp.case import case
from tests.otp.play import Play
from tests.otp.shape import Child, pool, sup
from tests.otp.stage import Note

FORM_DOES_NOT_MATTER = "how a record is written does not depend on who it is of"


def level(note: Note) -> str:
    return Record(1, 0.0, note.name, f"/{note.path}", note.fields).level


@case(89)
def test_format_log_1_a_bad_end_is_told_with_who_when_and_why_and_a_good_one_as_news_alone(play: Play) -> None:
    """Erlang's contexts child_terminated, shutdown_error, shutdown; the supervisor is the path above the offender."""
    stage = play(sup(Child("a"), Child("t", "transient"), Child("deaf", shutdown=0.3), intensity=1))
    stage.asked("deaf", "deaf")
    first, deaf = stage.who("a", "deaf")
    stage.end("t")
    [well] = stage.notes("agent.exited", "t")
    assert (well.fields["kind"], well.fields["reason"], level(well)) == ("normal", "ended normally", "info")
    assert stage.notes("agent.restarting", "t") == []
    stage.crash("a", 3)
    [bad] = stage.notes("agent.exited", "a")
    assert {key: bad.fields[key] for key in ("kind", "reason", "status")} == {
        "kind": "exit",
        "reason": "exit status 3",
        "status": "exit status 3",
    }
    assert str(bad.fields["incarnation"]).rpartition(".")[2] == str(first)
    assert level(bad) == "warning"
    [again] = stage.notes("agent.restarting", "a")
    assert (again.fields["reason"], again.fields["strategy"]) == ("exit status 3", "one_for_one")
    stage.kill("a")
    [up] = stage.notes("supervisor.gave_up", "")
    assert up.fields["reason"] == f"2 restarts in 30 s; the last: {stage.top}/a killed by SIGKILL"
    assert level(up) == "error"
    [late] = stage.notes("agent.exited", "deaf")
    assert late.fields["reason"].startswith("killed: did not stop within 0.3")
    assert (late.fields["status"], level(late)) == ("killed by SIGKILL", "warning")
    assert str(late.fields["incarnation"]).rpartition(".")[2] == str(deaf)
    [end] = stage.notes("supervisor.ended", "")
    assert end.fields["kind"] == "shutdown"


@case(89, forms=("sim", "agent"), why="the test beside it runs in every form")
def test_format_log_1_a_start_that_fails_is_told_with_the_offender(play: Play) -> None:
    """The context start_error, and a progress record for each that came up."""
    stage = play(sup(Child("a"), Child("b"), name="s"), plan={"b": ("fail",)}, fails=True)
    assert stage.order("ready") == [("ready", "a")]
    [failed] = stage.notes("agent.exited", "b")
    assert failed.fields["kind"] in ("start_failed", "exit")
    [end] = stage.notes("supervisor.ended", "")
    assert end.fields["kind"] == "start_failed"
    assert end.fields["reason"].startswith(f"failed to start: cannot start {stage.top}/b: ")
    assert failed.fields["reason"] in end.fields["reason"]


@case(89, forms=("host",), why=FORM_DOES_NOT_MATTER)
def test_format_log_1_what_an_agent_raises_is_cut_at_its_beginning(start: Start) -> None:
    """Erlang's depth limit: the end of a traceback says most."""
    host: Running = start(tree(agent("a", "Doer"), intensity=10))
    host.client.send("/a", {"do": "crash", "text": "<begin>" + "x" * 3 * LONGEST + "<end>"}, durable=False)
    host.wait_event("agent.exited", "/a")
    assert "<end>" in host.printed("/a"), "all of it is in its log"
    for record in host.events("", "/a"):
        assert all(len(value) <= LONGEST + 4 for value in record["fields"].values() if isinstance(value, str)), record


@case(90, forms=("host",), why=FORM_DOES_NOT_MATTER)
def test_format_log_2_a_record_is_one_line_whatever_its_author_wrote(places: Path) -> None:
    """Full, and with a limit of characters; as a line for machines and as a sentence for people."""
    shown: list[Record] = []
    chronicle = Chronicle(shown.append)
    wild = 'first\nsecond\r\x1b[2J "quoted" \\ \u2028 = end'
    for text in (wild, wild + "y" * 2 * LONGEST + "<end>"):
        chronicle.add("agent.exited", "/a b", {"incarnation": "7.3", "reason": text, "kind": "exit", "trace": ""})
    full, cut = shown
    assert full.fields["reason"] == wild
    assert len(cut.fields["reason"]) == LONGEST + len("... ") and cut.fields["reason"].endswith("y<end>")
    for record in shown:
        assert record.line().isprintable() and record.sentence().isprintable()
        assert len(record.line().splitlines()) == len(record.sentence().splitlines()) == 1
        assert record.line().startswith('agent.exited path="/a b" incarnation=7.3 reason="')
    fields = dict(word.partition("=")[::2] for word in shlex.split(full.line())[1:])
    assert list(fields) == ["path", "incarnation", "reason", "kind"], "what is empty is left out"


@case(90, forms=("sim", "agent"), why=FORM_DOES_NOT_MATTER)
def test_format_log_2_of_a_pool_the_pool_is_told_and_its_members_are_counted(play: Play) -> None:
    stage = play(pool(Child("any"), intensity=0))
    for name in ("x", "y", "z"):
        stage.start(name)
    assert stage.count()["workers"] == 3
    stage.crash("y", 3)
    told = stage.notes("supervisor.", "")
    assert [note.name for note in told if note.name != "supervisor.ready"] == [
        "supervisor.starting",
        "supervisor.gave_up",
        "supervisor.stopping",
        "supervisor.ended",
    ]
    assert told[2].fields["reason"] == f"1 restart in 30 s; the last: {stage.top}/y exit status 3"
    assert not any({"pid", "incarnation"} & note.fields.keys() for note in told)
