"""An incarnation ends while what it has said is on its way to the disk: nothing of that is in the log twice, or not at
all, and its end counts, however soon its successor comes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from agenthost.errors import JournalUnavailable
from agenthost.journal import ops, words
from agenthost.journal.memory.reading import MemoryReader
from agenthost.journal.party import Party
from agenthost.protocol import mail as say
from tests.journal.test_clerk import TERMS, Office, packed

Ending = Callable[["Hall", Party], None]


class Hall(Office):
    """Its journal does not commit before ``commit``."""

    def tells(self, party: Party, message: int = 0) -> None:
        """Half an answer."""
        self.clerk.hear(party, say.Delta(1, message, min(message, 1), "answer", packed({}), 0, "hel"), self.now_ms)

    def hears(self, party: Party, message: say.FromAgent) -> None:
        self.clerk.hear(party, message, self.now_ms)

    def orders_only(self, *said: words.FromHost) -> None:
        for word in said:
            self.orders.hear(word, self.now_ms)

    def log(self) -> list[tuple[str, bool]]:
        return [(one.type, one.broken) for one in self.clerk.reader().log("/a", 0, 1000).entries]

    def history(self, message: int) -> list[str]:
        return [line.what for line in self.clerk.reader().history(message)]


def dies(hall: Hall, party: Party) -> None:
    hall.disown("/a", 1)


def is_followed(hall: Hall, party: Party) -> None:
    hall.own("/a", 2)


def dies_and_is_followed(hall: Hall, party: Party) -> None:
    own = words.Own(901, "/a", 1, 2, 2, TERMS)
    hall.orders_only(words.Disown(900, "/a", 1, 1, "killed", TERMS), own)
    hall.commit()


ENDINGS = pytest.mark.parametrize("ends", [dies, is_followed, dies_and_is_followed])


@ENDINGS
def test_what_a_turn_commits_as_it_ends_is_in_the_log_once(ends: Ending) -> None:
    hall = Hall()
    party = hall.own("/a", 1)
    hall.tells(party)
    entry = say.Entry("answer", packed({"text": "hello"}), 1)
    hall.hears(party, say.Commit(1, entries=(entry,), turn=1))
    ends(hall, party)
    assert hall.log() == [("answer", False)]


@ENDINGS
def test_what_a_failing_turn_breaks_off_is_in_the_log_once(ends: Ending) -> None:
    hall = Hall()
    party = hall.own("/a", 1)
    hall.send("/a", packed("x"))
    mail = hall.ask(party, say.Take(1)).mail
    hall.tells(party, mail.message)
    hall.hears(party, say.Fail(2, mail.message, 1, "it broke"))
    ends(hall, party)
    assert hall.log() == [("answer", True)]
    assert hall.history(mail.message) == ["backed_off"], "one failure"


@ENDINGS
def test_what_a_turn_without_mail_breaks_off_is_in_the_log_once(ends: Ending) -> None:
    hall = Hall()
    party = hall.own("/a", 1)
    hall.tells(party)
    hall.hears(party, say.Break(2, 1, 1))
    ends(hall, party)
    assert hall.log() == [("answer", True)]


@ENDINGS
def test_what_a_refused_commit_would_have_made_true_is_broken_off(ends: Ending) -> None:
    hall = Hall()
    party = hall.own("/a", 1)
    hall.tells(party)
    hall.host(words.Send(800, "client:0", "/b", packed("full"), "", TERMS))
    hall.host(words.Known(801, "/b", words.Terms(limit=1)))
    entry = say.Entry("answer", packed({"text": "hello"}), 1)
    hall.hears(party, say.Commit(1, entries=(entry,), turn=1, sends=(say.Sending("/b", packed("more"), "k"),)))
    ends(hall, party)
    assert hall.log() == [("answer", True)]


def test_an_end_counts_although_the_successor_is_told_of_in_the_same_breath() -> None:
    hall = Hall()
    party = hall.own("/a", 1)
    hall.send("/a", packed("x"))
    mail = hall.ask(party, say.Take(1)).mail
    hall.tells(party, mail.message)
    dies_and_is_followed(hall, party)
    assert hall.history(mail.message) == ["backed_off"]
    assert hall.log() == [("answer", True)]
    hall.pass_time(10)
    assert hall.ask(hall.parties[2], say.Take(1)).mail.attempt == 2


def test_those_who_come_and_go_in_one_breath_do_so_in_their_order() -> None:
    hall = Hall()
    hall.own("/a", 1)
    said: list[words.FromHost] = []
    for n in range(2, 6):
        said += [words.Disown(2 * n, "/a", 1, n - 1, "killed", TERMS), words.Own(2 * n + 1, "/a", 1, n, n, TERMS)]
    hall.orders.did.clear()
    hall.orders_only(*said)
    hall.commit()
    assert hall.orders.did == [word.id for word in said]
    assert hall.clerk.reader().owner("/a") == (1, 5)
    assert isinstance(hall.ask(hall.parties[5], say.Load(1)), say.State)


def test_a_disk_that_fails_in_the_middle_of_an_end_does_not_keep_the_successor_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hall = Hall()
    party = hall.own("/a", 1)
    hall.tells(party)

    def fails(*args: Any) -> Any:
        raise JournalUnavailable("cannot read: the disk fails")

    with monkeypatch.context() as patched:
        patched.setattr(MemoryReader, "held", fails)
        with pytest.raises(JournalUnavailable):
            hall.disown("/a", 1)
    assert isinstance(hall.ask(hall.own("/a", 2), say.Load(1)), say.State)


def test_all_who_held_something_when_the_host_was_killed_are_told_of() -> None:
    office = Office()
    for n in range(1, 2503):
        path = f"/chats/m{n:05}"
        office.store.commit([ops.Own(path, (1, n)), ops.Accept(path, "/s", b"x"), ops.Lease(path, (1, n), 99)], 1)
    office.clerk.opened(office.now_ms)
    assert sum(isinstance(one, words.Waits) for one in office.told) == 2502
