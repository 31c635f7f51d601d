"""Sessions as readers see them: entries as stored, parts as they grow, and who is slow costs nobody anything."""

from __future__ import annotations

import random
from typing import Any

import msgpack
import pytest

from agenthost.errors import Busy, JournalDamaged
from agenthost.journal import following as rules
from agenthost.journal import ops, watched
from agenthost.journal.party import Party
from agenthost.journal.values import Entry
from agenthost.journal.watched import Follow
from agenthost.protocol import mail
from agenthost.protocol import sessions as say
from tests.journal.screen import Screen, stored
from tests.journal.test_clerk import Office


class Room(Office):
    """An agent at ``/a`` that tells of its turns, and those who look on."""

    def __init__(self) -> None:
        super().__init__()
        self.agent = self.own("/a", 1)
        self.following = self.clerk.telling.following
        self._ids_of_asked = iter(range(1, 1 << 30))
        self._part = self._turn = 0

    def turn(self) -> None:
        """Of the loop."""
        self.commit()
        while self.following.is_busy:
            self.following.turn()

    def follow(self, screen: Screen, after: int = 0, name: str = "", *, live: bool = True) -> Follow:
        follow = self.following.follow(screen, say.Follow(1, "/a", after, name, live))
        self.turn()
        return follow

    def begins(self, type: str = "answer", **fields: Any) -> int:
        self._part += 1
        self.tells(self._part, 0, "", type, msgpack.packb(fields))
        return self._part

    def tells(self, part: int, at: int, text: str, type: str = "answer", fields: bytes = b"") -> None:
        self.clerk.hear(self.agent, mail.Delta(part, 0, 0, type, fields, at, text), self.now_ms)
        self.turn()

    def ends(self, *entries: mail.Entry) -> None:
        """The turn, with these."""
        self._turn += 1
        answer = self.ask(self.agent, mail.Commit(next(self._ids_of_asked), entries=entries, turn=self._turn))
        assert isinstance(answer, mail.Leased), answer
        self.turn()

    def breaks(self, party: Party | None = None) -> None:
        self._turn += 1
        answer = self.ask(party or self.agent, mail.Break(next(self._ids_of_asked), self._turn, self._part))
        assert isinstance(answer, mail.Done), answer
        self.turn()

    def notes(self, *bodies: str) -> None:
        self.ends(*(mail.Entry("note", msgpack.packb({"text": body}), 0) for body in bodies))

    def log(self) -> list[Any]:
        return stored(self.clerk.reader().log("/a", 0, 1000).entries)


def entry(text: str, part: int = 0, **fields: Any) -> mail.Entry:
    return mail.Entry("answer", msgpack.packb({**fields, "text": text}), part)


def kinds(found: list[say.ToReader]) -> list[str]:
    return [type(one).__name__ for one in found]


def test_a_reader_gets_what_there_is_and_then_what_comes() -> None:
    room, screen = Room(), Screen()
    room.notes("one", "two")
    room.follow(screen)
    assert kinds(screen.look()) == ["Present", "Entry", "Entry", "CaughtUp"]
    room.notes("three")
    assert kinds(screen.look()) == ["Entry"]
    assert screen.fold == room.log()


@pytest.mark.parametrize("after", [2, 3, 99])
def test_a_reader_may_begin_anywhere(after: int) -> None:
    room, screen = Room(), Screen()
    room.notes("one", "two", "three")
    room.follow(screen, after)
    screen.look()
    assert (screen.caught_up, len(screen.entries)) == (3, max(0, 3 - after))
    room.notes("four")
    screen.look()
    assert screen.entries[-1].seq == 4


def test_a_part_is_seen_as_it_grows_and_settles_into_its_entry() -> None:
    room, screen = Room(), Screen()
    room.follow(screen)
    part = room.begins(model="m")
    room.tells(part, 0, "Hel")
    room.tells(part, 3, "lo")
    screen.look()
    assert screen.parts == {"1.1:1": {"model": "m", "text": "Hello"}}
    room.ends(entry("Hello", part, model="m"))
    assert kinds(screen.look()) == ["Settled", "Entry"]
    assert screen.parts == {}
    assert screen.settled_as["1.1:1"] == msgpack.unpackb(screen.entries[0].body)


def test_who_comes_late_gets_the_part_whole() -> None:
    room, screen = Room(), Screen()
    part = room.begins()
    room.tells(part, 0, "x" * 200_000)
    room.follow(screen)
    room.tells(part, 200_000, "y")
    screen.look()
    assert screen.parts["1.1:1"]["text"] == "x" * 200_000 + "y"


def test_who_does_not_want_what_is_live_gets_entries_alone() -> None:
    room, screen = Room(), Screen()
    room.follow(screen, live=False)
    part = room.begins()
    room.tells(part, 0, "Hello")
    room.ends(entry("Hello", part))
    assert kinds(screen.look()) == ["Present", "CaughtUp", "Entry"]


def test_the_parts_of_a_turn_that_failed_are_broken_entries() -> None:
    room, screen = Room(), Screen()
    room.follow(screen)
    part = room.begins(model="m")
    room.tells(part, 0, "Hel")
    room.breaks()
    screen.look()
    (one,) = screen.entries
    assert (one.broken, msgpack.unpackb(one.body)) == (True, {"model": "m", "text": "Hel"})
    assert screen.parts == {}


def test_a_break_that_is_said_again_breaks_nothing_twice() -> None:
    """The journal has answered the first one, and died: the agent says its part again, and the break."""
    room, screen = Room(), Screen()
    room.follow(screen)
    part = room.begins()
    room.tells(part, 0, "Hel")
    room.breaks()
    room.tells(part, 0, "Hel")
    room._turn -= 1
    room.breaks()
    screen.look()
    assert len(screen.entries) == 1
    assert screen.parts == {}


def test_what_an_incarnation_has_told_before_it_died_is_broken() -> None:
    room, screen = Room(), Screen()
    room.follow(screen)
    room.tells(room.begins(), 0, "half of")
    room.disown("/a", 1)
    room.turn()
    screen.look()
    assert [(one.broken, msgpack.unpackb(one.body)["text"]) for one in screen.entries] == [(True, "half of")]


def test_of_an_incarnation_that_has_a_successor_nothing_is_written() -> None:
    room, screen = Room(), Screen()
    room.follow(screen)
    room.tells(room.begins(), 0, "stale")
    old = room.agent
    room.store.commit([ops.Own("/a", (1, 9))], room.now_ms)
    answer = room.ask(old, mail.Break(1, 1, 1))
    room.turn()
    screen.look()
    assert isinstance(answer, mail.Done)
    assert (screen.entries, screen.parts) == ([], {})


def test_a_failed_attempt_of_mail_is_broken_in_the_commit_that_backs_it_off() -> None:
    room, screen = Room(), Screen()
    room.follow(screen)
    room.send("/a", msgpack.packb("go"))
    one = room.ask(room.agent, mail.Take(900)).mail
    room.clerk.hear(room.agent, mail.Delta(1, one.message, one.attempt, "answer", b"\x80", 0, "par"), room.now_ms)
    room.ask(room.agent, mail.Fail(901, one.message, one.attempt, "no"))
    room.turn()
    room.ask(room.agent, mail.Fail(901, one.message, one.attempt, "no"))  # its answer was lost
    room.turn()
    screen.look()
    assert [(one.broken, one.message, one.attempt) for one in screen.entries] == [(True, one.message, 1)]


def test_each_reader_gets_what_all_get_under_its_own_number() -> None:
    room = Room()
    screens = [Screen() for _ in range(5)]
    for number, screen in enumerate(screens, 1):
        room.following.follow(screen, say.Follow(number, "/a", 0, "", True))
    room.turn()
    for screen in screens:
        screen.look()
    room.notes("same")
    for number, screen in enumerate(screens, 1):
        (one,) = screen.look()
        assert isinstance(one, say.Entry)
        assert one.id == number
    assert len({tuple(screen.fold) for screen in screens}) == 1


def test_a_slow_reader_has_a_bounded_buffer_and_misses_no_entry() -> None:
    room, slow, quick = Room(), Screen(room_bytes=10_000), Screen()
    room.follow(slow)
    room.follow(quick)
    for number in range(300):
        part = room.begins()
        room.tells(part, 0, f"{number} " * 50)
        room.ends(entry(f"{number} " * 50, part))
        quick.look()
        assert slow.waits < 15_000
    while slow.last_seq < 300:
        slow.look()
        room.following.has_room(slow)
        room.turn()
    slow.look()
    assert slow.fold == quick.fold == room.log()
    assert (slow.parts, quick.parts) == ({}, {})
    assert quick.behind == 0


def test_who_is_far_behind_is_told_to_forget_what_was_live(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watched, "SETTLED", 3)
    room, slow = Room(), Screen(room_bytes=2000)
    room.follow(slow)
    part = room.begins()
    room.tells(part, 0, "x" * 3000)
    room.ends(entry("x" * 3000, part))
    for number in range(10):
        part = room.begins()
        room.ends(entry(str(number), part))
    while slow.last_seq < 11:
        slow.look()
        room.following.has_room(slow)
        room.turn()
    slow.look()
    assert slow.behind == 1
    assert slow.fold == room.log()
    assert slow.parts == {}


def test_a_huge_log_is_read_a_few_pages_in_a_turn() -> None:
    room, screen = Room(), Screen(room_bytes=1 << 30)
    for _ in range(60):
        room.ends(*(mail.Entry("note", bytes(1000), 0) for _ in range(100)))
    room.following.follow(screen, say.Follow(1, "/a", 0, "", True))
    turns = 0
    while room.following.is_busy:
        room.following.turn()
        turns += 1
        got = sum(isinstance(one, say.Entry) for one in screen.look())
        assert got <= rules.PAGES_AT_ONCE * rules.PAGE_ENTRIES + watched.TAIL_ENTRIES
    assert len(screen.entries) == 6000
    assert turns > 5


def test_a_session_that_is_removed_is_said_to_be() -> None:
    room, screen = Room(), Screen()
    room.notes("one")
    follow = room.follow(screen)
    room.clerk.submit((ops.RemoveSession("/a"),), lambda answers, error: None, room.now_ms)
    room.turn()
    screen.look()
    assert screen.removed == "the session of /a was removed"
    assert not follow.is_followed


def test_one_that_is_removed_and_revived_goes_on_with_the_next_number() -> None:
    room = Room()
    room.notes("one", "two")
    for op in (ops.RemoveSession("/a"), ops.Revive("/a")):
        room.clerk.submit((op,), lambda answers, error: None, room.now_ms)
        room.turn()
    screen = Screen()
    room.follow(screen, after=2)
    room.notes("three")
    screen.look()
    assert [one.seq for one in screen.entries] == [3]


def test_one_that_retention_has_removed_is_followed_anew() -> None:
    room, screen = Room(), Screen()
    room.notes("one", "two")
    room.follow(screen)
    room.store.commit([ops.EndSession("/a")], 1)
    assert room.store.retain(ops.Retention(ended_ms=0), room.now_ms + 10).sessions == 1
    room.notes("new")
    screen.look()
    assert screen.removed.endswith("has begun anew")


def test_what_others_write_to_a_log_is_seen_too() -> None:
    room, screen = Room(), Screen()
    room.follow(screen)
    said = Entry("message", msgpack.packb({"body": "hi", "sender": "client:0"}))
    op = ops.Accept("/a", "client:0", b"hi", session="/a", logged=said)
    room.clerk.submit((op,), lambda answers, error: None, room.now_ms)
    room.turn()
    screen.look()
    assert [one.type for one in screen.entries] == ["message"]


# ---- who is there


def test_readers_with_a_name_see_each_other_come_and_go() -> None:
    room, ana, bob, mute = Room(), Screen(), Screen(), Screen()
    room.follow(ana, name="ana")
    room.follow(mute)
    there = room.follow(bob, name="bob")
    for screen in (ana, bob, mute):
        screen.look()
        assert screen.names == ["ana", "bob"]
    room.following.unfollow(there)
    room.turn()
    ana.look()
    assert ana.names == ["ana"]


def test_one_reader_has_the_writing_seat_until_it_is_taken_or_given_back() -> None:
    room, ana, bob = Room(), Screen(), Screen()
    follows = [room.follow(ana, name="ana"), room.follow(bob, name="bob")]
    room.following.check_seat("/a", "")
    room.following.seat(follows[0], take=False)
    with pytest.raises(Busy, match="ana has the writing seat"):
        room.following.seat(follows[1], take=False)
    room.turn()
    ana.look()
    first = ana.seat
    assert first
    room.following.check_seat("/a", first)
    for wrong in ("", "something else"):
        with pytest.raises(Busy, match="ana has the writing seat"):
            room.following.check_seat("/a", wrong)
    room.following.seat(follows[1], take=True)
    room.turn()
    ana.look()
    bob.look()
    assert (ana.seat, ana.writer, bob.writer) == ("", "bob", "bob")
    with pytest.raises(Busy):
        room.following.check_seat("/a", first)
    room.following.unfollow(follows[1])
    room.turn()
    ana.look()
    assert ana.writer == ""
    room.following.check_seat("/a", "")


# ---- all at once


@pytest.mark.parametrize("seed", range(8))
def test_whatever_happens_all_readers_and_the_store_have_the_same_bytes(seed: int) -> None:
    chance = random.Random(seed)
    room = Room()
    screens: list[tuple[Follow, Screen]] = []
    open_parts: dict[int, str] = {}
    for _ in range(400):
        what = chance.random()
        if what < 0.1 and len(screens) < 6:
            screen = Screen(room_bytes=chance.choice([500, 5000, 1 << 20]))
            screens.append((room.follow(screen, live=chance.random() < 0.8), screen))
        elif what < 0.3:
            open_parts[room.begins(n=chance.randrange(9))] = ""
        elif what < 0.7 and open_parts:
            part = chance.choice(list(open_parts))
            text = chance.choice("aé€") * chance.randrange(900)
            room.tells(part, len(open_parts[part]), text)
            open_parts[part] += text
        elif what < 0.8 and open_parts:
            room.ends(*(entry(text, part) for part, text in open_parts.items()))
            open_parts.clear()
        elif what < 0.85 and open_parts:
            room.breaks()
            open_parts.clear()
        for _, screen in chance.sample(screens, chance.randrange(len(screens) + 1)):
            screen.look()
            room.following.has_room(screen)
            room.turn()
    room.breaks()
    for _, screen in screens:
        while screen.look():
            room.following.has_room(screen)
            room.turn()
        assert screen.fold == room.log()
        assert screen.parts == {}
    assert len(room.log()) > 30


# ---- what is stashed while it grows


def test_what_was_told_a_while_ago_survives_the_journal_and_the_agent_together() -> None:
    room = Room()
    part = room.begins(model="m")
    room.tells(part, 0, "half ")
    room.pass_time(1)
    room.commit()
    room.tells(part, 5, "of it")
    room.pass_time(2000)
    room.commit()
    assert room.log() == []
    after = Office(room.store)  # another journal; the agent is gone
    after.clerk.telling.opened(2, room.now_ms)
    after.commit()
    (one,) = room.log()
    assert (one[6], msgpack.unpackb(one[3])) == (True, {"model": "m", "text": "half of it"})


def test_an_agent_that_ends_while_there_is_no_journal_leaves_what_was_stashed() -> None:
    room = Room()
    room.tells(room.begins(), 0, "half")
    room.pass_time(1)
    room.commit()
    after = Office(room.store)
    after.clerk.telling.opened(1, room.now_ms)  # of this boot: its agent may go on with it
    after.commit()
    assert room.log() == []
    after.disown("/a", 1)
    assert [one[6] for one in room.log()] == [True]


@pytest.mark.parametrize("ends", [True, False])
def test_a_turn_that_ends_leaves_nothing_stashed(ends: bool) -> None:
    room = Room()
    part = room.begins()
    room.tells(part, 0, "half")
    room.pass_time(1)
    room.commit()
    assert room.clerk.reader().stashes()
    if ends:
        room.ends(entry("half", part))
    else:
        room.breaks()
    room.pass_time(5000)
    room.commit()
    assert room.clerk.reader().stashes() == ()
    assert len(room.log()) == 1


def test_a_commit_that_waits_for_the_disk_is_not_followed_by_its_own_stash() -> None:
    room = Room()
    part = room.begins()
    room.tells(part, 0, "half")
    room.clerk.hear(room.agent, mail.Commit(1, entries=(entry("half", part),), turn=1), room.now_ms)
    room.clerk.tick(room.now_ms)
    room.turn()
    assert (len(room.log()), room.clerk.reader().stashes()) == (1, ())


# ---- when the store fails


def test_who_cannot_be_read_to_is_told_why_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    room, ana, bob = Room(), Screen(), Screen()
    room.ends(*(mail.Entry("note", bytes(2000), 0) for _ in range(500)))
    there = room.follow(ana)
    ana.look()

    def fails(path: str, after: int, *bounds: int) -> Any:
        raise JournalDamaged("cannot read the journal: page 7 does not read")

    monkeypatch.setattr(room.clerk.reader(), "log", fails)
    late = room.follow(bob)
    bob.look()
    (refused,) = [one for one in bob.heard if isinstance(one, say.Refused)]
    assert (refused.code, late.is_followed) == ("journal_damaged", False)
    monkeypatch.undo()
    assert there.is_followed
    room.notes("on")
    ana.look()
    assert ana.fold == room.log()[: len(ana.entries)]
    assert ana.last_seq == 501


def test_who_reads_a_huge_log_from_the_beginning_does_not_keep_others_waiting() -> None:
    room = Room()
    for _ in range(12):
        room.ends(*(mail.Entry("note", msgpack.packb({"text": "x" * 900}), 0) for _ in range(200)))
    greedy, other = Screen(1 << 30), Screen(1 << 30)
    room.following.follow(greedy, say.Follow(1, "/a", 0))
    room.following.follow(other, say.Follow(1, "/a", 0))
    for _ in range(3):
        room.following.turn()
    greedy.look()
    other.look()
    assert not greedy.caught_up
    assert other.entries
