"""What is said in a session stands in its log, with the message; what a turn tells stands there once, however often it
is said."""

from __future__ import annotations

from agenthost.journal import ops
from agenthost.journal.answers import Accepted, Appended, Committed
from agenthost.journal.values import Entry, Owner
from tests.journal.desk import Desk


def told(desk: Desk, path: str = "/a") -> list[tuple[int, str, bytes, int]]:
    return [(one.seq, one.type, one.body, one.message) for one in desk.read.log(path).entries]


def test_a_message_that_is_logged_has_its_entry_with_its_number(desk: Desk) -> None:
    desk.commits(entries=(Entry("note", b"before"),))
    answer = desk.asks(ops.Accept("/a", "client:1", b"hi", session="/a", logged=Entry("message", b"said")))
    assert isinstance(answer, Accepted)
    assert answer.seq == 2
    assert told(desk)[1:] == [(2, "message", b"said", answer.message)]
    mail = desk.leased()
    assert (mail.id, mail.session) == (answer.message, "/a")


def test_a_logged_message_that_is_taken_twice_is_logged_once(desk: Desk) -> None:
    said = ops.Accept("/a", "client:1", b"hi", session="/a", key="k", logged=Entry("message", b"said"))
    first, second = desk.asks(said), desk.asks(said)
    assert isinstance(first, Accepted)
    assert second == Accepted(first.message, twice=True)
    assert len(told(desk)) == 1


def test_a_message_that_is_refused_is_not_logged(desk: Desk) -> None:
    desk.takes(b"one")
    said = ops.Accept("/a", "client:1", b"two", session="/a", limit=1, logged=Entry("message", b"two"))
    assert desk.refuses(said) == "overloaded"
    desk.does(ops.RemoveSession("/a"))
    assert desk.refuses(said) == "removed"


def test_a_log_entry_of_a_message_has_the_bound_of_entries(desk: Desk) -> None:
    huge = Entry("message", bytes(16 * 1024 * 1024 + 1))
    assert desk.refuses(ops.Accept("/a", "client:1", b"hi", logged=huge)) == "too_large"


def test_a_turn_without_mail_is_known_by_its_number(desk: Desk) -> None:
    turn = desk.turn(entries=(Entry("note", b"1"),), state=b"\x01", turn=1)
    first, again = desk.asks(turn), desk.asks(turn)
    assert isinstance(first, Committed)
    assert isinstance(again, Committed)
    assert (first.twice, again.twice) == (False, True)
    assert len(told(desk)) == 1
    desk.commits(entries=(Entry("note", b"2"),), turn=2)
    assert [body for _, _, body, _ in told(desk)] == [b"1", b"2"]


def test_a_turn_that_was_refused_may_be_committed_again_under_its_number(desk: Desk) -> None:
    desk.takes(b"full", to="/b")
    send = ops.Accept("/b", "/a", b"more", limit=1)
    assert desk.refuses(desk.turn(entries=(Entry("note", b"1"),), sends=(send,), turn=1)) == "overloaded"
    assert not desk.commits(entries=(Entry("note", b"1"),), turn=1).twice
    assert len(told(desk)) == 1


def test_what_is_appended_again_under_its_number_is_not(desk: Desk) -> None:
    broken = ops.Append("/a", (Entry("answer", b"par", broken=True),), (1, 1), 3)
    assert desk.asks(broken) == Appended(1, 1)
    assert desk.asks(broken) == Appended(2, 1)
    assert desk.asks(desk.turn(entries=(Entry("note", b"late"),), turn=2)) == Committed(1, twice=True)
    assert len(told(desk)) == 1


def test_a_new_incarnation_counts_its_turns_anew(desk: Desk) -> None:
    desk.commits(entries=(Entry("note", b"1"),), turn=7)
    desk.does(ops.Own("/a", (1, 2)))
    assert not desk.commits(entries=(Entry("note", b"2"),), incarnation=(1, 2), turn=1).twice
    desk.does(ops.Own("/a", (1, 2)))
    assert desk.commits(entries=(Entry("note", b"2"),), incarnation=(1, 2), turn=1).twice
    assert [one for one in desk.read.export() if isinstance(one, Owner)] == [Owner("/a", (1, 2), 1)]


def test_a_page_of_a_log_ends_when_it_has_enough_bytes(desk: Desk) -> None:
    desk.commits(entries=tuple(Entry("note", bytes(100)) for _ in range(10)))
    assert [one.seq for one in desk.read.log("/a", 0, 100, 250).entries] == [1, 2, 3]
    assert [one.seq for one in desk.read.log("/a", 3, 100, 0).entries] == [4]
    page = desk.read.log("/a", 4, 2, 10_000)
    assert ([one.seq for one in page.entries], page.last_seq) == ([5, 6], 10)


# ---- what is stashed of a turn in hand


HALF = (Entry("answer", b"half", 5, 1),)
BROKEN = [(1, "answer", b"half", True)]


def broken(desk: Desk) -> list[tuple[int, str, bytes, bool]]:
    return [(one.seq, one.type, one.body, one.broken) for one in desk.read.log("/a").entries]


def test_what_is_stashed_is_no_entry_until_its_turn_is_given_up(desk: Desk) -> None:
    desk.does(ops.Stash("/a", (1, 1), (Entry("answer", b"h"),)))
    desk.does(ops.Stash("/a", (1, 1), HALF))
    assert desk.asks(ops.BreakOff("/a", (1, 2))) == Appended(1, 0)
    assert (broken(desk), desk.read.stashes()) == ([], (("/a", (1, 1)),))
    assert desk.asks(ops.BreakOff("/a", (1, 1))) == Appended(1, 1)
    assert desk.asks(ops.BreakOff("/a", (1, 1))) == Appended(2, 1)
    assert (broken(desk), desk.read.stashes()) == (BROKEN, ())


def test_a_successor_finds_what_was_stashed_as_broken(desk: Desk) -> None:
    desk.does(ops.Stash("/a", (1, 1), HALF))
    desk.does(ops.Own("/a", (1, 1)))
    assert broken(desk) == []
    desk.does(ops.Own("/a", (2, 1)))
    assert broken(desk) == BROKEN
    assert desk.refuses(ops.Stash("/a", (1, 1), HALF)) == "stale"


def test_the_end_of_the_turn_drops_what_was_stashed(desk: Desk) -> None:
    for ends in (
        desk.turn(state=b"\x01"),
        ops.Append("/a", (Entry("answer", b"half", broken=True),), (1, 1), 9),
        ops.Stash("/a", (1, 1), ()),
        ops.RemoveSession("/a"),
    ):
        desk.does(ops.Stash("/a", (1, 1), HALF))
        desk.asks(ends)
        assert desk.read.stashes() == ()
    assert desk.refuses(ops.Stash("/a", (1, 1), HALF)) == "removed"


def test_what_others_append_leaves_the_stash_alone(desk: Desk) -> None:
    desk.does(ops.Stash("/a", (1, 1), HALF))
    desk.asks(ops.Append("/a", (Entry("note", b"by the host"),)))
    desk.asks(ops.Accept("/a", "client:1", b"hi", logged=Entry("message", b"hi")))
    assert desk.read.stashes() == (("/a", (1, 1)),)


def test_a_turn_that_is_refused_keeps_its_stash(desk: Desk) -> None:
    desk.takes(b"full", to="/b")
    desk.does(ops.Stash("/a", (1, 1), HALF))
    send = ops.Accept("/b", "/a", b"more", limit=1)
    assert desk.refuses(desk.turn(sends=(send,))) == "overloaded"
    assert desk.asks(ops.BreakOff("/a", (1, 1))) == Appended(1, 1)
    assert broken(desk) == BROKEN
