"""An export says everything, a line each, and reads as it was written."""

from __future__ import annotations

import json

import pytest

from agenthost.errors import UsageError
from agenthost.journal import export, ops
from agenthost.journal.values import Entry
from tests.journal.desk import Desk


def test_every_kind_of_thing_is_in_it_and_reads_back(desk: Desk) -> None:
    desk.takes(b"\xff1", key="k")
    mail = desk.leased()
    desk.does(ops.Intend("/a", (1, 1), 0, 0, "c1", "tool", b"\x00"))
    desk.commits(mail, state=b"\xfe", entries=(Entry("said", b"\x80"),), checkpoint="c", lease_until_ms=5)
    desk.takes(b"2")
    desk.does(ops.DeadLetter(desk.leased().id, 1, "why"))
    desk.does(ops.Schedule("n", "/a", "/cron", "* * * * *", b"go", 5000))
    desk.does(ops.RemoveSession("/gone"))
    desk.does(ops.Keep("/a/child", b"\xff"))
    for op in (ops.Note(1, 1, 0.5, b"e"), ops.Picture(1, 1, 0.5, b"s"), ops.Missed(1, 3, "why")):
        desk.does(op)
    lines = list(export.lines(desk.read))
    assert [export.parse(line) for line in lines] == list(desk.read.export())
    kinds = {json.loads(line)["kind"] for line in lines}
    assert kinds == set("mail failure cron logged session state intent noted snapshot gap tombstone owner kept".split())


def test_a_line_of_something_else_is_refused() -> None:
    with pytest.raises(UsageError, match="cannot read a line of an export"):
        export.parse(b'{"kind": "mai')
