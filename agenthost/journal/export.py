"""A whole journal as lines of JSON, for people and for other programs; bytes are base64."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from agenthost.errors import UsageError
from agenthost.journal.store import Reader
from agenthost.journal.values import Exported

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Exported).decode


def lines(reader: Reader) -> Iterator[bytes]:
    """One look at one moment; each line ends with a newline, ``kind`` says what it is."""
    for value in reader.export():
        yield _encode(value) + b"\n"


def parse(line: bytes) -> Exported:
    """``UsageError`` if it is no line of an export."""
    try:
        return _decode(line)  # type: ignore[no-any-return]
    except msgspec.DecodeError as error:
        raise UsageError(
            f"cannot read a line of an export: {error}", hint="is it whole, and of this version?"
        ) from None
