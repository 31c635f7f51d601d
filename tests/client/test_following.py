"""How a reader follows a session over connections that end: messages in, updates out, no sockets."""

from __future__ import annotations

import msgspec
import pytest

from agenthost.client.follower import HELD, Follower
from agenthost.client.reading_line import ANSWER_S, CHECK_S, Line, Lost
from agenthost.client.reconnecting import PAUSES_S, Reconnecting
from agenthost.client.updates import CaughtUp, Cut, Dropped, Event, Part, Presence, Update
from agenthost.errors import Busy, NoHost, UnknownName
from agenthost.protocol import sessions as say
from agenthost.protocol.codec import pack_body
from agenthost.protocol.frames import Frames, framed


def entry(seq: int, id: int = 1, *, broken: bool = False) -> say.Entry:
    return say.Entry(id, seq, 1000 * seq, "answer", pack_body({"text": f"t{seq}"}), 7, 1, broken)


def delta(at: int, text: str, fields: bytes = b"", part: str = "p", id: int = 1) -> say.Delta:
    return say.Delta(id, part, 7, 1, "answer", fields, at, text)


def told(follower: Follower) -> list[Update]:
    found = []
    while (update := follower.take()) is not None:
        found.append(update)
    return found


def said(line: Line) -> list[say.FromReader]:
    """What the line has to say, taken from it."""
    frames = Frames(say.READER_BYTES).feed(bytes(line.out))
    line.out.clear()
    return [msgspec.msgpack.decode(frame, type=say.FromReader) for frame in frames]


def hear(line: Line, *messages: say.ToReader, now: float = 0.0) -> None:
    line.feed(b"".join(framed(msgspec.msgpack.encode(message)) for message in messages), now)


@pytest.fixture
def follower() -> Follower:
    return Follower(1, "/a", 0, "", live=True)


@pytest.fixture
def line() -> Line:
    line = Line("/a", "ana")
    line.connected(b"t" * say.TICKET_BYTES, 0.0)
    hear(line, say.Welcome(3))
    said(line)
    return line


# ---- one session


def test_each_entry_is_told_once_over_any_number_of_connections(follower: Follower) -> None:
    for seq in (1, 2):
        follower.hear(entry(seq))
    follower.cut("gone")
    assert follower.follow().after == 2
    for seq in (1, 2, 3):
        follower.hear(entry(seq))
    found = told(follower)
    assert [one.seq for one in found if isinstance(one, Event)] == [1, 2, 3]
    assert Cut("gone") in found


def test_a_part_grows_and_becomes_its_entry(follower: Follower) -> None:
    follower.hear(delta(0, "", pack_body({"model": "m"})))
    follower.hear(delta(0, "one "))
    follower.hear(delta(4, "two"))
    follower.hear(say.Settled(1, "p", 1))
    follower.hear(entry(1))
    first, second, third, event = told(follower)
    assert isinstance(third, Part) and (third.text, third.new, third.fields) == ("one two", "two", {"model": "m"})
    assert isinstance(first, Part) and first.begins
    assert isinstance(second, Part) and not second.begins
    assert isinstance(event, Event) and (event.part, event.fields) == ("p", {"text": "t1"})


def test_a_part_with_a_hole_is_not_told(follower: Follower) -> None:
    follower.hear(delta(5, "the end without a beginning"))
    assert told(follower) == []
    follower.hear(delta(0, "abc"))
    follower.hear(delta(9, "x"))
    assert len(told(follower)) == 1


def test_a_part_that_begins_anew_says_so(follower: Follower) -> None:
    follower.hear(delta(0, "abc"))
    follower.hear(delta(0, "ab"))
    part = told(follower)[-1]
    assert isinstance(part, Part) and part.begins and part.text == "ab"


def test_what_is_open_is_dropped_when_the_reader_is_behind_or_cut_off_or_nothing_came_of_it(follower: Follower) -> None:
    for end in (say.Behind(1, 0), say.Settled(1, "p", 0)):
        follower.hear(delta(0, "abc"))
        follower.hear(end)
        assert told(follower)[-1] == Dropped(("p",))
    follower.hear(delta(0, "abc"))
    follower.cut("gone")
    assert told(follower)[1:] == [Dropped(("p",)), Cut("gone")]


def test_a_body_that_is_no_map_is_shown_all_the_same(follower: Follower) -> None:
    follower.hear(msgspec.structs.replace(entry(1), body=pack_body([1])))
    follower.hear(msgspec.structs.replace(entry(2), body=b"\xc1"))
    assert [one.fields for one in told(follower) if isinstance(one, Event)] == [{"body": [1]}, {"packed": b"\xc1"}]


def test_who_takes_nothing_out_is_bounded_and_gets_the_rest_later(line: Line) -> None:
    follower = line.follow(0, live=True)
    said(line)
    for seq in range(1, HELD + 100):
        hear(line, entry(seq, follower.id))
    assert follower.is_full and said(line) == [say.Unfollow(follower.id)]
    before = follower.id
    events = [one for one in told(follower) if isinstance(one, Event)]
    assert [one.seq for one in events] == list(range(1, len(events) + 1)) and len(events) <= HELD + 1
    line.make_room(follower)
    (again,) = said(line)
    assert isinstance(again, say.Follow) and again.after == events[-1].seq and again.id != before
    hear(line, entry(HELD + 100, before))  # was on its way, and stands behind a hole
    assert told(follower) == []


def test_the_end_of_a_session_is_an_error(follower: Follower) -> None:
    follower.hear(say.Removed(1, "it was removed"))
    assert isinstance(follower.end, UnknownName) and "it was removed" in str(follower.end)


# ---- a connection


def test_a_new_connection_goes_on_with_all_that_is_followed_and_with_the_seat(line: Line) -> None:
    follower = line.follow(5, live=True)
    line.want_seat(False)
    hear(line, entry(6, follower.id), say.Seated(2, "secret"))
    assert line.seat == "secret"
    line.lost("gone")
    assert (line.seat, line.present) == ("", ())
    line.connected(b"u" * say.TICKET_BYTES, 9.0)
    hello, *rest = said(line)
    assert hello == say.Hello(b"u" * say.TICKET_BYTES)
    assert [one.after for one in rest if isinstance(one, say.Follow) and not one.name] == [6]
    assert rest[-1] == say.Seat(2)


def test_the_seat_is_taken_also_if_that_was_asked_before_there_was_a_connection() -> None:
    line = Line("/a", "ana")
    line.want_seat(True)
    line.connected(b"t" * say.TICKET_BYTES, 0.0)
    assert said(line)[-1] == say.Seat(1, True)


def test_a_seat_that_another_has_is_refused_and_not_asked_for_again(line: Line) -> None:
    line.want_seat(False)
    hear(line, say.Refused(1, "busy", "bob has it"))
    assert isinstance(line.refused, Busy)
    line.lost("gone")
    line.connected(b"t" * say.TICKET_BYTES, 0.0)
    assert not any(isinstance(one, say.Seat) for one in said(line))


def test_whoever_reads_hears_who_is_here(line: Line) -> None:
    follower = line.follow(0, live=True)
    line.attend()
    hear(line, say.Present(2, ["ana", "bob"], "bob"))
    assert (line.present, line.writer) == (("ana", "bob"), "bob")
    assert told(follower) == [Presence(("ana", "bob"), "bob")]


def test_presence_outlives_the_reading_that_had_the_name(line: Line) -> None:
    follower = line.follow(0, live=True, attend=True)
    line.want_seat(False)
    said(line)
    line.leave(follower)
    left, again, seat = said(line)
    assert left == say.Unfollow(follower.id)
    assert isinstance(again, say.Follow) and again.name == "ana" and seat == say.Seat(again.id)


def test_silence_is_asked_about_and_then_taken_for_the_end(line: Line) -> None:
    follower = line.follow(0, live=True)
    said(line)
    assert line.tick(CHECK_S - 1) == pytest.approx(1.0)
    assert line.tick(CHECK_S) == ANSWER_S and said(line) == [say.Check(follower.id)]
    hear(line, say.CaughtUp(follower.id, 0), now=CHECK_S + 1)
    assert line.tick(CHECK_S + 2) == pytest.approx(CHECK_S - 1)
    line.tick(2 * CHECK_S + 1)
    with pytest.raises(Lost, match="nothing has come"):
        line.tick(2 * CHECK_S + ANSWER_S + 2)
    assert told(follower) == [CaughtUp(0)]


def test_what_cannot_be_read_or_is_refused_ends_the_connection(line: Line) -> None:
    with pytest.raises(Lost):
        line.feed(framed(b"\xc1"), 0.0)
    with pytest.raises(Lost, match="no such ticket"):
        hear(line, say.Refused(0, "not_permitted", "no such ticket"))


# ---- trying again


def test_pauses_grow_and_begin_anew_after_a_success() -> None:
    again = Reconnecting("/a", None)
    assert [again.pause_s(0.0) for _ in range(8)] == [*PAUSES_S, PAUSES_S[-1], PAUSES_S[-1]]
    again.succeeded()
    assert again.pause_s(1.0) == PAUSES_S[0]


def test_it_gives_up_when_its_patience_is_over_and_at_once_where_waiting_cannot_help() -> None:
    again = Reconnecting("/a", 10.0)
    again.pause_s(0.0)
    again.failed(ConnectionRefusedError(), 9.0)
    with pytest.raises(NoHost):
        again.failed(ConnectionRefusedError(), 10.0)
    with pytest.raises(UnknownName):
        again.failed(UnknownName("no such agent"), 1.0)
    with pytest.raises(PermissionError):
        again.failed(PermissionError(13, "no"), 1.0)
