"""A journal that ends after it has committed, and before it has said so: turns that went ahead of their answers."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from agenthost.protocol import mail
from tests.journal.test_ahead import Worker, note, send, state_of, status
from tests.journal.test_clerk import Office


class Unheard(Worker):
    """``is_lost``: what it says next is committed, and the answers are lost with the door."""

    is_lost = False
    doors = 1

    def serve(self) -> None:
        if not self.is_lost:
            super().serve()
            return
        self.is_lost = False
        assert self.end is not None
        for frame in self.frames.feed(self.end.recv(1 << 22)):
            said = msgspec.msgpack.decode(frame, type=mail.FromAgent)
            self.office.clerk.hear(self.party, said, self.office.now_ms)
        self.office.commit()
        self.party.out.clear()
        self.doors += 1
        self.give_door(self.doors)


@pytest.mark.parametrize("at", range(6))
def test_what_was_committed_and_never_said_to_be_is_true_when_it_is_said_again(
    office: Office, at: int, patient: None
) -> None:
    numbers = send(office, 6)

    def lose(worker: Any, body: Any) -> None:
        note(worker, body)
        worker.is_lost = worker.is_lost or (body == at and worker.doors == 1)

    worker = Unheard(office, "/a", 1, lose)
    worker.run()
    numbers += send(office, 3, first=6)
    worker.run()
    assert worker.doors == 2
    assert worker.began == list(range(9)), "each once"
    assert state_of(office) == {"got": list(range(9))}
    assert {status(office, number) for number in numbers} == {("done", 1)}
    worker.close()
