"""The journal's process: one thread, one epoll(7); doors of agents, the link to the host, one database.

What can be read is read, what that asks for becomes one commit, then everybody is answered: the batches form by
themselves, the larger the slower the disk. It ends when the link does. What it knows beside the database it is told
anew by whoever speaks to it next, so it may be killed at any time.
"""

from __future__ import annotations

import contextlib
import gc
import random
import select
import signal
import socket
import sys
import time
import traceback
from pathlib import Path

import msgspec

from agenthost.errors import AgenthostError, ProtocolError
from agenthost.journal import words
from agenthost.journal.clerk import Clerk
from agenthost.journal.clock import WallClock
from agenthost.journal.late_store import LateStore
from agenthost.journal.ops import Retention
from agenthost.journal.orders import Orders
from agenthost.journal.party import Party
from agenthost.journal.readers import Readers
from agenthost.journal.sqlite.opening import Durability
from agenthost.journal.writer import Writer
from agenthost.protocol import mail
from agenthost.protocol.frames import Frames, framed

READ_BYTES = 256 * 1024
OUT_BYTES = 4 * 1024 * 1024
"""Who has not read so much is not read either, until it has."""
RETAIN_S, TROUBLE_LOOK_S = 60.0, 1.0
CLOCK_LOOK_S = 5.0
"""While something is due later: nobody wakes us when the clock is set."""
DOOR_NUMBER_BYTES = 8
GATHER_MS = 20

_encode = msgspec.msgpack.Encoder().encode
_read_word = msgspec.msgpack.Decoder(words.FromHost).decode
_read_agent = msgspec.msgpack.Decoder(mail.FromAgent).decode


def main(link: socket.socket, doors: socket.socket, database: str, boot: int, durability: Durability) -> None:
    """Returns when the host has closed the link; all that was answered has survived."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # a terminal's; the host closes the link
    gc.freeze()
    Process(link, doors, Path(database), boot, durability).run()


class _Stream:
    """A socket, what has come of a message, what must wait to be sent. ``party`` None is the host."""

    __slots__ = ("frames", "is_paused", "is_writing", "out", "party", "sock")

    def __init__(self, sock: socket.socket, party: Party | None, max_bytes: int) -> None:
        sock.setblocking(False)
        self.sock, self.party = sock, party
        self.frames = Frames(max_bytes)
        self.out = bytearray()
        self.is_writing = self.is_paused = False


class Process:
    def __init__(
        self, link: socket.socket, doors: socket.socket, database: Path, boot: int, durability: Durability
    ) -> None:
        self._boot = boot
        self._epoll = select.epoll()
        self._link = _Stream(link, None, words.WORD_BYTES)
        self._streams: dict[int, _Stream] = {link.fileno(): self._link}
        self._epoll.register(link, select.EPOLLIN)
        doors.setblocking(False)
        self._doors = doors
        self._epoll.register(doors, select.EPOLLIN)
        self._came: dict[int, int] = {}
        """Descriptors whose Own has not been heard yet, by their number."""
        self._awaited: dict[int, Party] = {}
        self._of: dict[Party, _Stream] = {}
        self._store = LateStore(database, durability, self._opened)
        self._writer = Writer(self._store)
        self._clerk = Clerk(self._store, self._writer, self._tell)
        self._orders = Orders(self._store, self._clerk, self._tell, self._own, self._disown)
        self._readers = Readers(self._epoll, self._clerk.telling.following, boot)
        self._orders.on_admit = self._readers.admit
        self._clerk.settling.chance = lambda: random.getrandbits(31)
        self._clock = WallClock()
        self._gathering_until_ms = 0
        """Until when events of the core wait for more of them; 0 while none does."""
        self._was_in_trouble = False
        self._is_fresh = False
        self._retain_at = 0.0

    def run(self) -> None:
        self._open()
        while self._link.sock.fileno() >= 0:
            self._turn()
        while self._writer.waiting and (outcomes := self._writer.try_commit(_now_ms())):
            for outcome in outcomes:
                token, answers, error = outcome.token, outcome.answers, outcome.error
                self._guarded(lambda: token(answers, error))  # noqa: B023 - called at once
        self._readers.turn()
        self._readers.close()
        if last_words := self._clerk.telling.last_words():
            self._guarded(lambda: self._store.commit(last_words, _now_ms()))
        for stream in list(self._streams.values()):
            self._close(stream)
        self._epoll.close()
        self._clerk.close()
        self._store.close()

    def _turn(self) -> None:
        for fd, events in self._epoll.poll(self._patience_s()):
            if fd == self._doors.fileno():
                self._take_doors()
                continue
            stream = self._streams.get(fd)
            if stream is None:
                if self._readers.has(fd):
                    self._readers.ready(fd, events)
                continue
            if events & select.EPOLLOUT:
                self._flush(stream)
            if events & ~select.EPOLLOUT:
                self._read(stream)
        now_ms = _now_ms()
        if (by_ms := self._clock.was_set_by_ms()) and self._store.is_open:
            self._guarded(lambda: self._clerk.clock_set(by_ms, now_ms))
        if self._is_fresh:
            self._is_fresh = False
            self._guarded(lambda: self._clerk.opened(now_ms))
            self._guarded(lambda: self._clerk.telling.opened(self._boot, now_ms))
        for outcome in () if self._may_gather(now_ms) else self._writer.try_commit(now_ms):
            token, answers, error = outcome.token, outcome.answers, outcome.error
            self._guarded(lambda: token(answers, error))  # noqa: B023 - called at once
        self._guarded(lambda: self._clerk.tick(now_ms))
        self._look_after(now_ms)
        self._answer()
        self._readers.turn()

    def _may_gather(self, now_ms: int) -> bool:
        """Events of the core come in small numbers, and nobody waits for them: several are written together."""
        if not self._writer.is_unhurried or not self._writer.waiting:
            self._gathering_until_ms = 0
            return False
        if not self._gathering_until_ms:
            self._gathering_until_ms = now_ms + GATHER_MS
        if now_ms < self._gathering_until_ms <= now_ms + GATHER_MS:
            return True
        self._gathering_until_ms = 0
        return False

    def _patience_s(self) -> float:
        now_ms = _now_ms()
        if self._is_fresh or (self._link.out and not self._link.is_writing):
            return 0.0  # it was opened before anybody had said a word
        if self._writer.waiting:
            due_ms = max(self._writer.retry_at_ms, self._gathering_until_ms)
            return max(0.0, min((due_ms - now_ms) / 1000, self._readers.patience_s()))
        due = [self._readers.patience_s()]
        due.append(self._retain_at - time.monotonic() if self._store.is_open else TROUBLE_LOOK_S)
        if tick_ms := self._clerk.next_tick_ms():
            due.append(min((tick_ms - now_ms) / 1000, CLOCK_LOOK_S))
        return max(0.0, min(due))

    # ---- reading

    def _read(self, stream: _Stream) -> bool:
        """One read of it; False if there was nothing."""
        try:
            data = stream.sock.recv(READ_BYTES)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if not data:
            self._close(stream)
            return False
        now_ms = _now_ms()
        try:
            for frame in stream.frames.feed(data):
                if stream.party is None:
                    word = _read_word(frame)
                    self._obey(word, now_ms)
                else:
                    self._clerk.hear(stream.party, _read_agent(frame), now_ms)
        except (ProtocolError, msgspec.DecodeError) as error:
            sys.stderr.write(f"journal: cannot go on with {_name(stream)}: {error}\n")
            self._close(stream)
            return False
        if stream.party is not None and not stream.is_paused and stream.party.is_full:
            stream.is_paused = True
            self._listen(stream)
        return True

    def _obey(self, word: words.FromHost, now_ms: int) -> None:
        try:
            self._orders.hear(word, now_ms)
        except AgenthostError as error:
            self._trouble(error)
        except Exception:  # a mistake of ours in one word: it would be said again to each of our successors
            sys.stderr.write(f"journal: cannot do {type(word).__name__}:\n{traceback.format_exc()}")
            sys.stderr.flush()
            self._orders.did.append(word.id)

    def _guarded(self, deed: object) -> None:
        """A disk that fails in the middle of a look is told by the writer, or at the next look."""
        try:
            deed()  # type: ignore[operator]
        except AgenthostError as error:
            self._trouble(error)

    def _take_doors(self) -> None:
        while True:
            try:
                data, descriptors, _, _ = socket.recv_fds(self._doors, DOOR_NUMBER_BYTES, 1, socket.MSG_CMSG_CLOEXEC)
            except BlockingIOError:
                return
            except OSError:
                data, descriptors = b"", []
            if not data:
                self._epoll.unregister(self._doors)
                self._close(self._link)
                return
            number = int.from_bytes(data, "big")
            for descriptor in descriptors:
                if number == words.LISTENER:
                    self._readers.listen(descriptor)
                    continue
                party = self._awaited.pop(number, None)
                if party is not None:
                    self._attach(party, descriptor)
                else:
                    self._came[number] = descriptor

    # ---- doors

    def _own(self, word: words.Own, party: Party) -> None:
        if word.door in self._came:
            self._attach(party, self._came.pop(word.door))
        else:
            self._awaited[word.door] = party

    def _attach(self, party: Party, descriptor: int) -> None:
        stream = _Stream(socket.socket(fileno=descriptor), party, mail.MESSAGE_BYTES)
        self._streams[descriptor] = self._of[party] = stream
        self._epoll.register(descriptor, select.EPOLLIN)

    def _disown(self, word: words.Disown) -> None:
        """What its agent has said before it ended counts."""
        for party in [one for one in self._of if one.path == word.path and one.inc == (word.boot, word.n)]:
            stream = self._of[party]
            while stream.sock.fileno() >= 0 and self._read(stream):
                pass
            self._close(stream)
        for number in [number for number, one in self._awaited.items() if one.inc == (word.boot, word.n)]:
            del self._awaited[number]

    def _close(self, stream: _Stream) -> None:
        fd = stream.sock.fileno()
        if fd < 0:
            return
        with contextlib.suppress(OSError):
            self._epoll.unregister(fd)
        del self._streams[fd]
        stream.sock.close()
        if stream.party is not None:
            self._of.pop(stream.party, None)
            self._clerk.there.lost(stream.party)

    # ---- saying

    def _tell(self, word: words.FromJournal) -> None:
        self._link.out += framed(_encode(word))

    def _answer(self) -> None:
        if self._orders.did:
            self._tell(words.Did(self._orders.did))
            self._orders.did = []
        if self._link.out:
            self._flush(self._link)
        spoken_to = self._clerk.there.spoken_to
        while spoken_to:
            party = spoken_to.pop()
            stream = self._of.get(party)
            if stream is None:
                continue  # its door is on its way
            stream.out += b"".join([framed(_encode(one)) for one in party.out])
            party.out.clear()
            self._flush(stream)

    def _flush(self, stream: _Stream) -> None:
        while stream.out:
            try:
                sent = stream.sock.send(stream.out, socket.MSG_NOSIGNAL)
            except BlockingIOError:
                break
            except OSError:
                self._close(stream)
                return
            del stream.out[:sent]
        is_paused = len(stream.out) > OUT_BYTES or (stream.party is not None and stream.party.is_full)
        if stream.is_writing != bool(stream.out) or stream.is_paused != is_paused:
            stream.is_writing, stream.is_paused = bool(stream.out), is_paused
            self._listen(stream)

    def _listen(self, stream: _Stream) -> None:
        wanted = (0 if stream.is_paused else select.EPOLLIN) | (select.EPOLLOUT if stream.is_writing else 0)
        if stream.sock.fileno() >= 0:
            self._epoll.modify(stream.sock.fileno(), wanted)

    # ---- the disk

    def _open(self) -> None:
        self._guarded(lambda: self._store.commit((), _now_ms()))

    def _opened(self) -> None:
        """From within the store: what is to be done with it waits for the end of this."""
        self._is_fresh = True
        self._retain_at = time.monotonic() + RETAIN_S
        self._tell(words.Opened(self._boot))

    def _look_after(self, now_ms: int) -> None:
        if not self._store.is_open and not self._writer.waiting:
            self._open()
        if self._store.is_open and time.monotonic() >= self._retain_at:
            self._retain_at = time.monotonic() + RETAIN_S
            self._guarded(lambda: self._store.retain(Retention(), now_ms))
        if (trouble := self._writer.trouble) is not None:
            self._trouble(trouble)
        elif self._was_in_trouble and self._store.is_open:
            self._was_in_trouble = False
            self._tell(words.Trouble())

    def _trouble(self, error: AgenthostError) -> None:
        if not self._was_in_trouble:
            self._was_in_trouble = True
            self._tell(words.Trouble(error.code, str(error)))


def _now_ms() -> int:
    return int(time.time() * 1000)


def _name(stream: _Stream) -> str:
    return "the host" if stream.party is None else f"{stream.party.path} {stream.party.inc}"
