"""The dialog with a program over its standard input and output: one line there, one line back.

Leaves to ``command`` what a line means and what an end means for the agent. The rule it keeps: a line is only ever
taken for the answer to the question that was asked last. What the program says unasked, or after its deadline, is an
error after which nothing more can be asked; a question that is given up needs its answer all the same. (Lines have no
numbers: a second answer that arrives only after the next question cannot be told from its answer. A program that gives
two is not fit for this protocol.)
"""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence

LINE_MAX_BYTES = 16 * 1024 * 1024
_READ_BYTES = 64 * 1024


class LineError(Exception):
    """The dialog is over; the text says why."""


class Ended(LineError):
    """The program has ended, or closed its output and is about to."""


class Late(LineError):
    """No answer within the deadline."""


class LineProgram:
    """A running program. Its error output is ours; it has a session of its own, so a terminal's signals miss it.

    ``OSError`` when it cannot be started. ``env`` is added to our own environment.
    """

    def __init__(self, argv: Sequence[str], *, env: Mapping[str, str] | None = None, cwd: str | None = None) -> None:
        self._process = subprocess.Popen(
            list(argv),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **(env or {})},
            cwd=cwd,
            start_new_session=True,
            bufsize=0,
            pass_fds=_files_in_memory(),
        )
        assert self._process.stdin is not None and self._process.stdout is not None  # we asked for pipes
        self._stdin, self._stdout = self._process.stdin, self._process.stdout
        self._in, self._out = self._stdin.fileno(), self._stdout.fileno()
        os.set_blocking(self._in, False)
        os.set_blocking(self._out, False)
        self._unread = bytearray()
        self._closed = False
        self._is_saying = self._is_owed = False
        """A question is being said; it was said in full, and is not answered."""
        self.pid = self._process.pid
        self.pidfd = os.pidfd_open(self.pid)  # readable when it has ended; a grandchild may hold its pipe for ever

    def ask(self, line: bytes, *, left_s: float | None = None) -> bytes:
        """Say ``line`` (no newline in it) and return the next line without its newline. Raises ``LineError``."""
        deadline = None if left_s is None else time.monotonic() + left_s
        if len(line) > LINE_MAX_BYTES:
            raise LineError(f"cannot say a line of {len(line)} bytes: {LINE_MAX_BYTES} is the most")
        self._refuse_unasked()
        self._is_saying = True
        self._exchange(memoryview(line + b"\n"), deadline)
        return self._take_line()

    def try_give_up(self, wait_s: float) -> bool:
        """Of a question whose asking was left by an exception: SIGINT to the program's group, and its answer is waited
        for and dropped. False if none comes within ``wait_s``: then nothing more can be asked."""
        if self._is_saying:
            return False
        if not self._is_owed:
            return True
        if b"\n" not in self._unread and self._process.poll() is None:  # as in kill
            os.killpg(self.pid, signal.SIGINT)
        try:
            self._exchange(memoryview(b""), time.monotonic() + wait_s)
        except LineError:
            return False
        self._take_line()
        return True

    def _take_line(self) -> bytes:
        end = self._unread.index(b"\n")
        answer = bytes(self._unread[:end])
        del self._unread[: end + 1]
        self._is_saying = self._is_owed = False
        return answer

    @property
    def is_unread(self) -> bool:
        """True if the program has said something that nobody has asked for."""
        self._try_read()
        return bool(self._unread)

    def _refuse_unasked(self) -> None:
        """What is already there cannot be the answer to what has not been asked yet."""
        if self.is_unread:
            raise LineError(f"cannot ask: the program said {bytes(self._unread[:80])!r} unasked")

    def _exchange(self, unsaid: memoryview, deadline: float | None) -> None:
        """Write and read at once: a program may answer before it has read all, and a full pipe blocks (pipe(7))."""
        scanned = 0
        poll = select.poll()
        poll.register(self._out, select.POLLIN)
        if unsaid:
            poll.register(self._in, select.POLLOUT)
        poll.register(self.pidfd, select.POLLIN)
        while self._unread.find(b"\n", scanned) < 0:
            scanned = len(self._unread)
            if scanned > LINE_MAX_BYTES:
                raise LineError(f"cannot take the answer: its line is longer than {LINE_MAX_BYTES} bytes")
            left_ms = None if deadline is None else int((deadline - time.monotonic()) * 1000)
            if left_ms is not None and left_ms <= 0:
                raise Late("no answer in time")
            ready = dict(poll.poll(left_ms))
            if self._in in ready:
                unsaid = self._say(unsaid, ready[self._in])
                if not unsaid:
                    self._is_owed, self._is_saying = True, False
                    poll.unregister(self._in)
            if self._out in ready or self.pidfd in ready:
                # What it said before it ended is still to be read: it is an end only when nothing comes any more.
                came = self._try_read()
                if not came and (self._closed or self.pidfd in ready):
                    raise Ended("the program has ended, or closed its output")
        if unsaid:
            raise LineError("cannot take the answer: it came before the question was read")

    def _say(self, unsaid: memoryview, events: int) -> memoryview:
        if events & (select.POLLERR | select.POLLNVAL):
            return unsaid[:0]  # nobody reads any more: what is left to learn is on the other pipe
        try:
            return unsaid[os.write(self._in, unsaid) :]
        except BlockingIOError:
            return unsaid
        except BrokenPipeError:
            return unsaid[:0]

    def _try_read(self) -> bool:
        """Take what is there; False if nothing was."""
        try:
            piece = os.read(self._out, _READ_BYTES)
        except BlockingIOError:
            return False
        if not piece:
            self._closed = True
            return False
        self._unread += piece
        return True

    def close_input(self) -> None:
        """End of file for the program: the polite way of asking it to end."""
        self._stdin.close()

    def wait_ended(self, timeout_s: float | None = None) -> int | None:
        """The exit status, negative for a signal, or None if it still runs after ``timeout_s``."""
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None

    def kill(self) -> int:
        """Kill its whole process group and wait for it. What left the group is the business of the agent's cell."""
        if self._process.poll() is None:  # once it is reaped, its number may be somebody else's
            os.killpg(self.pid, signal.SIGKILL)
        return self._process.wait()

    def close(self) -> None:
        """Give the descriptors back; call it once, after the end."""
        self._stdin.close()
        self._stdout.close()
        os.close(self.pidfd)


def _files_in_memory() -> tuple[int, ...]:
    """Descriptors that variables name by their path, secrets that the config gives ``as: file``: for the program."""
    named = (re.fullmatch(r"/proc/self/fd/([0-9]+)", value) for value in os.environ.values())
    return tuple(int(one[1]) for one in named if one and os.path.exists(one[0]))
