"""Durations and sizes, written with units: ``1m30s``, ``2GiB``. A bare number is refused: seconds or milliseconds?

The patterns are the ones of the JSON schema as well (``schema.py``), so they keep to what ECMA 262 and Python share.
"""

from __future__ import annotations

import re

from agenthost.config.problem import Refused, show

_NUMBER = r"[0-9]{1,9}(?:\.[0-9]{1,9})?"
DURATION_PATTERN = "(?=[0-9])" + "".join(f"(?:{_NUMBER}{unit})?" for unit in ("d", "h", "m(?!s)", "s", "ms"))
POSITIVE_DURATION_PATTERN = "(?=.*[1-9])" + DURATION_PATTERN
SIZE_PATTERN = rf"(?=.*[1-9]){_NUMBER}(?:B|[kKMGT]B|[KMGT]iB)"

_SECONDS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_BYTES: dict[str, int] = {"B": 1} | {f"{p}B": 1000**n for n, p in enumerate("KMGT", 1)} | {"kB": 1000}
_BYTES |= {f"{p}iB": 1024**n for n, p in enumerate("KMGT", 1)}

_duration = re.compile(DURATION_PATTERN)
_parts = re.compile(rf"({_NUMBER})([a-zA-Z]+)")
_size = re.compile(SIZE_PATTERN)
_bare = re.compile(r"[0-9]+(?:\.[0-9]+)?")


def duration_s(text: str, *, positive: bool = False) -> float:
    """Seconds. ``Refused`` if there is no unit, or it is none of d h m s ms from large to small."""
    if _bare.fullmatch(text):
        raise Refused(f"{text} has no unit", f"write {text}s, or {text}ms")
    if not _duration.fullmatch(text):
        raise Refused(f"cannot use {show(text)} as a duration", "write it like 250ms, 5s or 1m30s (d, h, m, s, ms)")
    total_s = sum(float(number) * _SECONDS[unit] for number, unit in _parts.findall(text))
    # the text decides, not the sum: 0.000000001ms is more than nothing
    if positive and not re.search("[1-9]", text):
        raise Refused(f"cannot use {text}: it must be more than nothing", "write it like 250ms, 5s or 1m30s")
    return total_s


def size_bytes(text: str) -> int:
    """Bytes, at least 1. ``Refused`` if there is no unit."""
    if _bare.fullmatch(text):
        raise Refused(f"{text} has no unit", f"write {text}MiB, {text}GiB or {text}B")
    if not _size.fullmatch(text):
        hint = "write it like 512MiB, 2GiB or 1.5GB (B, kB ... TB, KiB ... TiB)"
        raise Refused(f"cannot use {show(text)} as a size", hint)
    found = _parts.fullmatch(text)
    assert found is not None  # SIZE_PATTERN has these two parts
    whole, _, part = found[1].partition(".")
    parts = int(10 ** len(part))
    return max(1, int(whole + part) * _BYTES[found[2]] // parts)
