"""What is too long for one message, put together from pieces."""

from __future__ import annotations

import pytest

from agenthost.errors import Overloaded, UsageError
from agenthost.host import uploads
from agenthost.host.uploads import Uploads


def test_pieces_become_a_whole_and_a_piece_said_twice_is_taken_once() -> None:
    taken = Uploads()
    assert taken.take("uid 1", "a", 0, b"one ") == 4
    assert taken.take("uid 1", "a", 0, b"one ") == 4
    assert taken.take("uid 1", "a", 4, b"two") == 7
    assert taken.give("uid 1", "a") == b"one two"
    with pytest.raises(UsageError, match="not here any more"):
        taken.give("uid 1", "a")


def test_nobody_gets_what_another_user_has_sent() -> None:
    taken = Uploads()
    taken.take("uid 1", "a", 0, b"secret")
    with pytest.raises(UsageError):
        taken.give("uid 2", "a")


def test_holes_and_too_much_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "UPLOAD_BYTES", 10)
    monkeypatch.setattr(uploads, "ALL_BYTES", 15)
    taken = Uploads()
    with pytest.raises(UsageError, match="at 3"):
        taken.take("uid 1", "a", 3, b"x")
    with pytest.raises(UsageError, match="more than 10 bytes"):
        taken.take("uid 1", "a", 0, bytes(11))
    taken.take("uid 1", "a", 0, bytes(10))
    with pytest.raises(Overloaded):
        taken.take("uid 1", "b", 0, bytes(10))
    monkeypatch.setattr(uploads, "FORGOTTEN_S", -1.0)
    assert taken.take("uid 1", "b", 0, bytes(10)) == 10
