"""Bytes to messages and back. A decoder raises ``ProtocolError`` with what was wrong; it never raises anything else."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import msgpack
import msgspec

from agenthost.errors import ProtocolError
from agenthost.protocol import birth, control, data

T = TypeVar("T")

_encoder = msgspec.msgpack.Encoder()
encode = _encoder.encode
"""``encode(message) -> bytes`` for every message of this package."""


class Reader(Generic[T]):
    """Decodes one direction of one plane."""

    def __init__(self, kind: Any) -> None:
        self._decode = msgspec.msgpack.Decoder(kind).decode

    def __call__(self, frame: bytes | memoryview) -> T:
        try:
            return self._decode(frame)  # type: ignore[no-any-return]
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError) as error:
            raise ProtocolError(f"cannot read a message of {len(frame)} bytes: {error}") from None


read_from_peer: Reader[control.FromPeer] = Reader(control.FromPeer)
read_from_host: Reader[control.FromHost] = Reader(control.FromHost)
read_from_caller: Reader[data.FromCaller] = Reader(data.FromCaller)
read_from_callee: Reader[data.FromCallee] = Reader(data.FromCallee)
read_from_process: Reader[birth.FromProcess] = Reader(birth.FromProcess)
read_to_process: Reader[birth.ToProcess] = Reader(birth.ToProcess)


def pack_body(value: Any) -> bytes:
    """A message's body as msgpack. ``TypeError`` names what cannot be sent and where it sits."""
    try:
        return msgpack.packb(value, use_bin_type=True)  # type: ignore[no-any-return]
    except (TypeError, ValueError, OverflowError) as error:
        raise TypeError(f"cannot send {_blame(value, 'body')}: {error}") from None


def unpack_body(frame: bytes | memoryview) -> Any:
    try:
        return msgpack.unpackb(frame, raw=False, strict_map_key=False)
    except Exception as error:  # msgpack raises a dozen kinds, some of them bare ValueError and struct.error
        why = str(error) or type(error).__name__
        raise ProtocolError(f"cannot read a body of {len(frame)} bytes: {why}") from None


def _blame(value: Any, where: str) -> str:
    """The innermost part of ``value`` that msgpack refuses, as ``body['key'][2] of type set``."""
    if isinstance(value, dict):
        parts = [(f"{where}[{key!r}]", item) for key, item in value.items()]
    elif isinstance(value, (list, tuple)):
        parts = [(f"{where}[{number}]", item) for number, item in enumerate(value)]
    else:
        parts = []
    for name, part in parts:
        try:
            msgpack.packb(part, use_bin_type=True)
        except (TypeError, ValueError, OverflowError):
            return _blame(part, name)
    return f"{where} of type {type(value).__name__}"
