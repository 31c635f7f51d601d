"""Messages on the stream between host and router: 4 bytes of length, big-endian, then a msgpack array.

``LinkEnd`` is one end that never blocks and knows no event loop; the router polls it, ``link.RouterLink`` gives it to
asyncio. What is not a bounded array raises ``ProtocolError``: the other end is our own process, so the link is over.
"""

from __future__ import annotations

import socket
import struct
from typing import Any

import msgpack

from agenthost.errors import ProtocolError
from agenthost.protocol.limits import HOST_MESSAGE_BYTES

_LENGTH = struct.Struct(">I")
LINK_MESSAGE_BYTES = HOST_MESSAGE_BYTES + 4096
_READ_BYTES = 64 * 1024


def pack(message: list[Any]) -> bytes:
    payload: bytes = msgpack.packb(message, use_bin_type=True)
    if len(payload) > LINK_MESSAGE_BYTES:
        raise ProtocolError(f"cannot send {len(payload)} bytes over the link: at most {LINK_MESSAGE_BYTES} go")
    return _LENGTH.pack(len(payload)) + payload


class Unpacker:
    """Bytes as they come, whole messages as they are complete."""

    def __init__(self, max_bytes: int = LINK_MESSAGE_BYTES) -> None:
        self._max_bytes = max_bytes
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[list[Any]]:
        buffer = self._buffer
        buffer += data
        messages, start, end = [], 0, len(buffer)
        while end - start >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(buffer, start)
            if length > self._max_bytes:
                raise ProtocolError(f"cannot read {length} bytes from the link: at most {self._max_bytes} come")
            if end - start - _LENGTH.size < length:
                break
            start += _LENGTH.size
            messages.append(_unpack(bytes(buffer[start : start + length])))
            start += length
        del buffer[:start]
        return messages


def _unpack(payload: bytes) -> list[Any]:
    try:
        message = msgpack.unpackb(payload, raw=False)
    except Exception as error:  # msgpack raises a dozen kinds, some of them bare ValueError and struct.error
        raise ProtocolError(f"cannot read a message of the link: {error}") from None
    if not isinstance(message, list) or not message:
        raise ProtocolError(f"cannot read a message of the link: it is a {type(message).__name__}, not an array")
    return message


class LinkEnd:
    """One end of the socket pair. ``backlog_bytes`` wait here because the other end does not read."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.sock = sock
        self._unpacker = Unpacker()
        self._out = bytearray()

    @property
    def backlog_bytes(self) -> int:
        return len(self._out)

    def put(self, message: list[Any]) -> None:
        """Queue a message; ``try_flush`` sends it."""
        self._out += pack(message)

    def try_flush(self) -> None:
        """Send what goes. ``OSError`` if the other end is gone."""
        out = self._out
        while out:
            try:
                sent = self.sock.send(out)
            except BlockingIOError:
                return
            del out[:sent]

    def try_receive(self) -> list[list[Any]] | None:
        """What has come, from one read; None at end of file. ``OSError`` and ``ProtocolError`` end the link."""
        try:
            data = self.sock.recv(_READ_BYTES)
        except BlockingIOError:
            return []
        return self._unpacker.feed(data) if data else None
