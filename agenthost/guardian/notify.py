"""What systemd hears (sd_notify(3)): readiness, status, the watchdog. Silent where nobody listens.

The guardian is the unit's main process, so it alone speaks; the host does not inherit the address.
"""

from __future__ import annotations

import socket

MINE = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES")
"""Variables that concern this process only and are not handed down."""


class Notify:
    def __init__(self, environment: dict[str, str], pid: int) -> None:
        address = environment.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._socket: socket.socket | None = None
        if address.startswith(("/", "@")):
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._socket.setblocking(False)
        watched = environment.get("WATCHDOG_PID", str(pid)) == str(pid)
        usec = environment.get("WATCHDOG_USEC", "")
        self._watchdog_s = int(usec) / 1e6 if watched and usec.isascii() and usec.isdigit() else 0.0
        self._next_alive_s = 0.0

    def say(self, *lines: str) -> None:
        if self._socket is None:
            return
        try:
            self._socket.sendto("\n".join(lines).encode(), self._address)
        except OSError:  # nobody there or its queue is full: telling systemd must never hinder the guardian
            return

    def ready(self) -> None:
        self.say("READY=1", "STATUS=host is ready")

    def stopping(self) -> None:
        self.say("STOPPING=1", "STATUS=stopping")

    def alive(self, now: float) -> None:
        """Said as often as systemd wants to hear it (sd_watchdog_enabled(3): half of its time, or less)."""
        if self._watchdog_s and now >= self._next_alive_s:
            self._next_alive_s = now + self._watchdog_s / 4
            self.say("WATCHDOG=1")
