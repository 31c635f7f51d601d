"""The journal's process: doors as descriptors, an answer after the commit, the end with its link."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agenthost.journal import words
from agenthost.journal.process import Process
from agenthost.journal.sqlite.store import SqliteStore
from agenthost.protocol import mail
from agenthost.protocol.frames import Frames, framed

encode = msgspec.msgpack.encode
PATIENCE_S = 30


class End:
    """One end of a stream, which waits."""

    def __init__(self, sock: socket.socket, kind: Any) -> None:
        self.sock, self._read = sock, msgspec.msgpack.Decoder(kind).decode
        sock.settimeout(PATIENCE_S)
        self._frames, self._come = Frames(1 << 24), list[Any]()

    def say(self, *messages: Any) -> None:
        self.sock.sendall(b"".join(framed(encode(one)) for one in messages))

    def wait(self, kind: Any) -> Any:
        """The next of that kind; None at the end."""
        while True:
            for number, one in enumerate(self._come):
                if isinstance(one, kind):
                    return self._come.pop(number)
            data = self.sock.recv(1 << 16)
            if not data:
                return None
            self._come += [self._read(frame) for frame in self._frames.feed(data)]


class Running:
    """A ``Process`` in a thread: its loop knows of no signals."""

    def __init__(self, folder: Path) -> None:
        link, theirs = socket.socketpair()
        self.doors, their_doors = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.host = End(link, words.FromJournal)
        self._thread = threading.Thread(target=self._run, args=(theirs, their_doors, folder / "journal.db"))
        self._thread.start()
        self._sockets: list[socket.socket] = [link, self.doors]
        self._numbers = iter(range(1, 1000))

    @staticmethod
    def _run(link: socket.socket, doors: socket.socket, file: Path) -> None:
        with doors:
            Process(link, doors, file, 1, "process").run()

    def own(self, path: str, n: int, *, early: bool = True) -> End:
        """``early``: the descriptor comes before the word on it."""
        ours, theirs = socket.socketpair()
        self._sockets.append(ours)
        number = next(self._numbers)
        word = words.Own(number, path, 1, n, number, words.Terms())
        if not early:
            self.host.say(word)
        socket.send_fds(self.doors, [number.to_bytes(8, "big")], [theirs.fileno()])
        theirs.close()
        if early:
            self.host.say(word)
        return End(ours, mail.FromJournal)

    def end(self) -> None:
        for one in self._sockets:
            one.close()
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Running]:
    one = Running(tmp_path)
    yield one
    one.end()


@pytest.mark.parametrize("early", [True, False])
def test_what_an_agent_commits_is_there_for_its_successor(journal: Running, early: bool) -> None:
    assert isinstance(journal.host.wait(words.Opened), words.Opened)
    first = journal.own("/a", 1, early=early)
    first.say(mail.Load(1), mail.Commit(2, state=b"\x81\xa1n\x01"))
    assert first.wait(mail.State).state is None
    assert first.wait(mail.Leased) == mail.Leased(2)
    second = journal.own("/a", 2, early=early)
    second.say(mail.Load(1))
    assert second.wait(mail.State).state == b"\x81\xa1n\x01"
    first.say(mail.Commit(3, state=b"\x80"))
    assert first.wait(mail.Refused).code == mail.STALE


def test_mail_of_a_client_is_answered_and_its_receiver_told(journal: Running) -> None:
    door = journal.own("/a", 1)
    journal.host.say(words.Send(500, "client:0", "/a", b"\x05", "", words.Terms()))
    assert journal.host.wait(words.Answer).result["twice"] is False
    assert door.wait(mail.Waiting) == mail.Waiting()
    door.say(mail.Take(1))
    found = door.wait(mail.Leased).mail
    assert (found.sender, found.body, found.attempt) == ("client:0", b"\x05", 1)


def test_what_an_agent_said_last_counts_though_its_end_is_told_first(journal: Running) -> None:
    door = journal.own("/a", 1)
    journal.host.say(words.Send(500, "client:0", "/a", b"\x05", "", words.Terms()))
    door.say(mail.Take(1))
    one = door.wait(mail.Leased).mail
    door.say(mail.Commit(2, one.message, one.attempt, b"\x80"))
    door.sock.close()
    journal.host.say(words.Disown(501, "/a", 1, 1, "killed by SIGKILL", words.Terms()), words.Ask(502, "mailboxes"))
    while journal.host.wait(words.Answer).id != 502:
        pass
    journal.host.say(words.Ask(503, "stats"))
    assert journal.host.wait(words.Answer).result["open_mail"] == 0


def test_who_speaks_nonsense_loses_its_door_and_nobody_else_does(journal: Running) -> None:
    bad, good = journal.own("/bad", 1), journal.own("/good", 2)
    bad.sock.sendall(framed(b"\xc1"))
    assert bad.wait(mail.Leased) is None
    good.say(mail.Load(1))
    assert good.wait(mail.State) == mail.State(1)


def test_an_operator_who_asks_nonsense_gets_an_answer(journal: Running) -> None:
    for number, (what, args) in enumerate([("nothing", {}), ("letters", {}), ("drop", {"message": 7})], 500):
        journal.host.say(words.Ask(number, what, args))
        assert journal.host.wait(words.Answer).code


def test_all_that_was_said_before_the_end_of_the_link_is_written(tmp_path: Path) -> None:
    one = Running(tmp_path)
    one.host.wait(words.Opened)
    one.host.say(*(words.Event(number, 1, number, 0.0, b"e") for number in range(1, 2001)))
    one.end()
    with SqliteStore(tmp_path / "journal.db") as store, store.reader() as reader:  # type: ignore[attr-defined]
        assert reader.last_number(1) == 2000
