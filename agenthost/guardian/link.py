"""The guardian's end of its link to the host: words out, packets in; never blocks, never fails on garbage.

``docs/architecture.md`` defines the words. What they mean is ``guard``'s business.
"""

from __future__ import annotations

import select
import socket

_PACKET_BYTES = 1 << 18
"""More than the default send buffer (net.core.wmem_default, 212,992), which bounds a SEQPACKET packet."""
_CREDENTIALS_BYTES = socket.CMSG_SPACE(12)
"""struct ucred: pid, uid, gid."""


class Link:
    def __init__(self) -> None:
        self._socket, self.host_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.setblocking(False)
        # Every packet then carries credentials; so an empty packet, which is garbage, is not taken for the end.
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._unsent: list[str] = []
        self.open = True

    def fileno(self) -> int:
        return self._socket.fileno()

    def interest(self) -> int:
        """What to poll for."""
        return select.POLLIN | (select.POLLOUT if self._unsent else 0)

    def say(self, word: str) -> None:
        """Send now, or as soon as the host reads again."""
        self._unsent.append(word)
        self.try_flush()

    def try_flush(self) -> None:
        while self.open and self._unsent:
            try:
                self._socket.send(self._unsent[0].encode())
            except BlockingIOError:
                return
            except OSError:  # the host has closed its end, or died: its pidfd says which
                return
            del self._unsent[0]

    def try_read(self) -> list[list[str]]:
        """The packets that wait, each as its words."""
        packets: list[list[str]] = []
        while self.open:
            try:
                data, credentials, flags, _ = self._socket.recvmsg(_PACKET_BYTES, _CREDENTIALS_BYTES)
            except BlockingIOError:
                break
            except OSError:  # ECONNRESET: the host died with our words unread
                data, credentials, flags = b"", [], 0
            if not data and not credentials:
                self.open = False
            elif not flags & socket.MSG_TRUNC:
                packets.append(data.decode("utf-8", "surrogateescape").split())
        return packets

    def close(self) -> None:
        self.open = False
        self._socket.close()
        self.host_end.close()
