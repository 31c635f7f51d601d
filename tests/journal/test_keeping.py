"""Children of run time that persist, in every kind of journal; and intents that outlive no message."""

from __future__ import annotations

import pytest

from agenthost.journal import limits, ops
from agenthost.journal.values import Kept
from tests.journal.desk import Desk


def test_what_is_kept_is_told_by_path_until_it_is_kept_no_more(desk: Desk) -> None:
    for number, path in enumerate(("/b/y", "/a/x", "/a/x/deep")):
        desk.does(ops.Keep(path, bytes([number])))
    desk.now_ms += 1
    desk.does(ops.Keep("/b/y", b"anew"))
    assert desk.read.kept() == (
        Kept("/a/x", b"\x01", 1000),
        Kept("/a/x/deep", b"\x02", 1000),
        Kept("/b/y", b"anew", 1001),
    )
    assert [one.path for one in desk.read.kept("/a/x", 1)] == ["/a/x/deep"]
    desk.does(ops.Unkeep("/a/x"))
    desk.does(ops.Unkeep("/a/x"))
    assert [one.path for one in desk.read.kept()] == ["/a/x/deep", "/b/y"]


def test_what_is_too_large_to_keep_is_refused(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "BODY_BYTES", 10)
    assert desk.refuses(ops.Keep("/a", b"x" * 11)) == "too_large"


def test_the_intents_of_a_message_go_with_it(desk: Desk) -> None:
    number = desk.takes(b"1")
    held = desk.leased()
    desk.does(ops.Intend("/a", (1, 1), held.id, held.attempt, "c1", "/tools/pay"))
    desk.does(ops.DeadLetter(held.id, held.attempt, "why"))
    assert len(desk.read.intents("/a", number)) == 1, "it may be requeued"
    desk.does(ops.Drop(number))
    desk.now_ms += 10
    desk.store.retain(ops.Retention(mail_ms=5), desk.now_ms)
    assert desk.read.message(number) is None and desk.read.intents("/a") == ()
