"""A mistyped path is told its neighbour, at a cost that does not grow as the crowd does."""

from __future__ import annotations

import time

from agenthost.host.chronicle import Chronicle
from agenthost.host.explaining import COMPARED, near_to


def test_a_letter_too_many_is_found_at_either_end() -> None:
    names = [f"/chats/user{n:05d}" for n in range(5000)] + ["/crew/coder"]
    assert near_to("/crew/codre", names) == "/crew/coder"
    assert near_to("/rew/coder", names) == "/crew/coder"
    assert near_to("/chats/user0099x", names).startswith("/chats/user0099")
    assert near_to("/nowhere/at/all", names) == ""


def test_of_a_crowd_few_are_compared() -> None:
    def took_s(count: int) -> float:
        names = [f"/chats/user{n:05d}" for n in range(count)]
        found = []
        for _ in range(5):
            begin = time.process_time()
            near_to("/chats/user0099x", names)
            found.append(time.process_time() - begin)
        return min(found)

    assert took_s(100 * COMPARED) < 30 * took_s(2 * COMPARED)


def test_records_are_read_from_the_newest_without_a_copy_of_all() -> None:
    chronicle = Chronicle()
    for n in range(3):
        chronicle.add("x", f"/{n}", {})
    newest = chronicle.newest_first()
    assert next(newest).path == "/2" and [one.path for one in newest] == ["/1", "/0"]
    assert not isinstance(newest, list)
