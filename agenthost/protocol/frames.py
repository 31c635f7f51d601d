"""Messages on a stream: 4 bytes of length, big-endian, then the message. Pure: bytes in, bytes out.

Doors (``mail``) and the journal's link are spoken this way. Whoever is longer than it may be, or ends in the middle of
a message, is not to be believed any further.
"""

from __future__ import annotations

import struct

from agenthost.errors import ProtocolError

_LENGTH = struct.Struct(">I")
HEAD_BYTES = _LENGTH.size


def framed(payload: bytes) -> bytes:
    return _LENGTH.pack(len(payload)) + payload


class Frames:
    """Bytes as they come, whole messages as they are complete. ``ProtocolError`` for one beyond ``max_bytes``."""

    __slots__ = ("_buffer", "_max_bytes")

    def __init__(self, max_bytes: int) -> None:
        self._buffer = b""
        self._max_bytes = max_bytes

    def feed(self, data: bytes) -> list[bytes]:
        buffer = self._buffer + data if self._buffer else data
        found, start, end = [], 0, len(buffer)
        while end - start >= HEAD_BYTES:
            (length,) = _LENGTH.unpack_from(buffer, start)
            if length > self._max_bytes:
                raise ProtocolError(f"cannot read a message of {length} bytes: at most {self._max_bytes} come")
            if end - start - HEAD_BYTES < length:
                break
            start += HEAD_BYTES
            found.append(buffer[start : start + length])
            start += length
        self._buffer = buffer[start:]
        return found
