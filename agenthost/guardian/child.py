"""One run of the host as the guardian sees it: a pid, a pidfd, a link, and a pipe of reports.

With a namespace the child is the init, which reports how the host ended; without one it is the host itself.
"""

from __future__ import annotations

import os
import select
import signal
import time

from agenthost.guardian.link import Link

_BIRTH_S = 10.0


class Child:
    def __init__(self, pid: int, pidfd: int, link: Link, report_fd: int, *, is_init: bool) -> None:
        self.pid, self.pidfd, self.link, self.is_init = pid, pidfd, link, is_init
        self.status: int | None = None
        """What waitpid(2) said of ``pid``; None while it has not been waited for."""
        self._report_fd = report_fd
        self._reports: dict[str, str] = {}

    @property
    def gone(self) -> bool:
        """With an init: everything in its namespace is gone too; the kernel lets it end last (pid_namespaces(7))."""
        return self.status is not None

    def try_reap(self) -> None:
        """Wait for whatever has ended: the child, and in a subreaper the orphans of the host."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self.pid:
                self.status = status

    def kill(self) -> None:
        try:
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
        except ProcessLookupError:
            return

    def wait_born(self) -> str | None:
        """Until the init has started the host: None, or why the kernel refused it the walls."""
        deadline = time.monotonic() + _BIRTH_S
        while not {"born", "refused"} & self._reports.keys():
            poll = select.poll()
            poll.register(self._report_fd, select.POLLIN)
            if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
                self.kill()
                return f"its init was not ready in {_BIRTH_S:g} s"
            if not self._read_reports():
                return None  # killed in the middle of it: that is a crash, not a refusal
        return self._reports.get("refused")

    def host_has_ended(self) -> bool:
        """The host itself, though what it started may still keep its init from ending."""
        poll = select.poll()
        poll.register(self._report_fd, select.POLLIN)
        if poll.poll(0):
            self._read_reports()
        return self.gone or "ended" in self._reports

    def _read_reports(self) -> bool:
        """False at the end of the pipe."""
        data = os.read(self._report_fd, 4096)
        for line in data.decode("utf-8", "replace").splitlines():
            word, _, text = line.partition(" ")
            self._reports[word] = text
        return bool(data)

    def close(self) -> None:
        """Only when gone."""
        while self._read_reports():
            pass
        os.close(self._report_fd)
        os.close(self.pidfd)
        self.link.close()

    def unexecutable(self) -> str | None:
        """Why the host's program could not be run at all. Known after ``close``."""
        return self._reports.get("unexecutable")

    def how_it_ended(self) -> str:
        """In words, such as ``host killed by SIGKILL``. Known after ``close``."""
        assert self.status is not None
        if not self.is_init:
            return f"host {_in_words(self.status)}"
        if self._reports.get("ended", "").isdigit():
            return f"host {_in_words(int(self._reports['ended']))}"
        return f"the host's init {_in_words(self.status)}"


def _in_words(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"ended with status {code} without a farewell"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:  # a real-time signal has a number only
        return f"killed by signal {-code}"
