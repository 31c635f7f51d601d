"""What the host asks the journal about members of pools that it does not know, in every kind of journal."""

from __future__ import annotations

from agenthost.journal import members, ops
from tests.journal.desk import Desk
from tests.journal.test_sessions import said


def test_the_sessions_right_below_a_pool_are_counted(desk: Desk) -> None:
    for path in ("/chats/ana", "/chats/bob", "/chats/bob/sub", "/chats2/x", "/chat", "/chats"):
        desk.asks(ops.Append(path, said(b"1")))
    assert desk.read.session_count("/chats/") == 2
    assert desk.read.session_count("/chats/bob/") == 1
    assert desk.read.session_count("/nobody/") == 0
    desk.does(ops.RemoveSession("/chats/ana"))
    assert desk.read.session_count("/chats/") == 1


def test_those_that_run_do_not_sleep_and_those_without_a_session_are_not_counted(desk: Desk) -> None:
    for path in ("/chats/ana", "/chats/bob", "/chats/eve"):
        desk.asks(ops.Append(path, said(b"1")))
    pools = {"/chats": ["bob", "new"], "/other": []}
    assert members.look(desk.read, "asleep", {"pools": pools}) == {"/chats": 2, "/other": 0}


def test_what_was_removed_is_known_to_be(desk: Desk) -> None:
    desk.asks(ops.Append("/chats/ana", said(b"1")))
    assert members.look(desk.read, "removed", {"path": "/chats/ana"}) is False
    desk.does(ops.RemoveSession("/chats/ana"))
    assert members.look(desk.read, "removed", {"path": "/chats/ana"}) is True
    assert members.look(desk.read, "removed", {"path": "/chats/new"}) is False
