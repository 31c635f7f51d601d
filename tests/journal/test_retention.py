"""Retention, in every kind of journal: what is old goes, what is open or alive stays."""

from __future__ import annotations

from agenthost.journal import ops
from agenthost.journal.answers import Accepted, Retained
from agenthost.journal.ops import Retention
from agenthost.journal.values import Entry, Noted, Snapshot
from tests.journal.desk import Desk

DAY = 86_400_000
OFF = Retention(mail_ms=None, events_ms=None, ended_ms=None)


def test_acknowledged_mail_goes_with_its_key_and_open_mail_stays(desk: Desk) -> None:
    desk.takes(b"old", key="k")
    desk.handles()
    desk.takes(b"open")
    policy = Retention(mail_ms=DAY, events_ms=None, ended_ms=None)
    assert desk.store.retain(policy, 1000 + DAY - 1) == Retained()
    assert desk.store.retain(policy, 1000 + DAY) == Retained(mail=1)
    assert desk.status(1) == "gone"
    assert desk.asks(ops.Accept("/a", "/s", b"", key="k")) == Accepted(3)
    assert [desk.handles(), desk.handles()] == [b"open", b""]


def test_dead_letters_go_by_a_rule_of_their_own(desk: Desk) -> None:
    desk.takes(b"dead")
    desk.does(ops.DeadLetter(desk.leased().id, 1, "why"))
    assert desk.store.retain(Retention(mail_ms=0), DAY) == Retained()
    assert desk.store.retain(Retention(dead_ms=0), DAY) == Retained(mail=1)
    assert desk.read.history(1) == ()


def test_only_sessions_that_ended_go(desk: Desk) -> None:
    desk.commits(state=b"s", entries=(Entry("x", b""),), checkpoint="c")
    desk.asks(ops.Append("/b", (Entry("x", b""),)))
    desk.does(ops.EndSession("/b"))
    assert desk.store.retain(Retention(ended_ms=DAY), 999 + DAY) == Retained()
    assert desk.store.retain(Retention(ended_ms=DAY), 1000 + DAY) == Retained(sessions=1)
    assert [one.path for one in desk.read.sessions()] == ["/a"]
    desk.asks(ops.Append("/b", (Entry("anew", b""),)))
    assert desk.read.log("/b").last_seq == 1


def test_events_of_the_core_go_up_to_a_snapshot(desk: Desk) -> None:
    for number in range(1, 7):
        desk.does(ops.Note(1, number, 0.0, b"e"))
        if number % 2 == 0:
            desk.does(ops.Picture(1, number, 0.0, b"s"))
        desk.now_ms += 1000
    policy = Retention(events_ms=0, mail_ms=None)
    assert desk.store.retain(policy, 4500) == Retained(events=5)
    assert [type(one) for one in desk.read.core(1)] == [Snapshot, Noted, Noted, Snapshot]
    desk.does(ops.Note(1, 7, 0.0, b"e"))


def test_a_new_boot_lets_the_old_one_go(desk: Desk) -> None:
    desk.does(ops.Note(1, 1, 0.0, b"e"))
    desk.does(ops.Picture(2, 0, 0.0, b"s"))
    assert desk.store.retain(Retention(events_ms=0), 1000) == Retained(events=1)
    assert desk.read.boots() == (2,)
    assert desk.refuses(ops.Note(1, 2, 0.0, b"e")) == "out_of_order"


def test_tombstones_stay_unless_somebody_says_how_long(desk: Desk) -> None:
    desk.does(ops.RemoveSession("/b"))
    assert desk.store.retain(Retention(), 1000 * DAY) == Retained()
    assert desk.store.retain(Retention(tombstones_ms=DAY), 1000 * DAY) == Retained(tombstones=1)
    desk.takes(b"", to="/b")


def test_retention_goes_in_steps(desk: Desk) -> None:
    for _ in range(5):
        desk.takes()
        desk.handles()
    steps = list[Retained]()
    while not steps or steps[-1].more:
        steps.append(desk.store.retain(Retention(mail_ms=0), 9999, limit=2))
    assert sum(step.mail for step in steps) == 5
    assert len(steps) == 3


def test_a_long_log_goes_in_parts_and_says_where_it_begins(desk: Desk) -> None:
    desk.asks(ops.Append("/b", tuple(Entry("x", b"%d" % n) for n in range(25))))
    desk.does(ops.EndSession("/b"))
    assert desk.store.retain(Retention(ended_ms=0), 9999, limit=1) == Retained(more=True)
    page = desk.read.log("/b")
    assert (page.first_seq, page.last_seq, page.entries[0].seq) == (11, 25, 11)
    while desk.store.retain(Retention(ended_ms=0), 9999, limit=1).more:
        pass
    assert desk.read.session("/b") is None


def test_beyond_its_size_the_oldest_goes_although_it_is_not_old(desk: Desk) -> None:
    for _ in range(50):
        desk.takes(b"x" * 50_000)
        desk.handles()
        desk.now_ms += 1
    desk.takes(b"y" * 50_000)
    policy = Retention(size_bytes=1_000_000)
    while desk.store.retain(policy, desk.now_ms, limit=5).more:
        pass
    assert desk.read.stats().size_bytes <= 1_000_000
    assert desk.status(1) == "gone" and desk.status(50) == "done" and desk.status(51) == "waiting"
    assert desk.store.retain(OFF, desk.now_ms) == Retained()
    size = desk.read.stats().size_bytes
    desk.store.vacuum()
    assert desk.read.stats().size_bytes <= size
