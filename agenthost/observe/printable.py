"""Text of strangers made fit for a terminal: nothing in it acts on the screen, moves the cursor or turns the line.

What agents print, raise and name themselves is shown to people in tables, sentences and errors. Rule: every such text
goes through here on its way to a terminal; data (``-o json``, a reply in a pipe) is left as it is.
"""

from __future__ import annotations

import re

# C0 without tab, DEL and C1 (ECMA-48); what separates lines or turns their direction (UAX 9); lone surrogates, which no
# encoding takes.
_ACTING = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_ACTING_IN_LINES = re.compile(_ACTING.pattern.replace("\x0a-", "\x0b-"))
_SHORT = {"\n": "\\n", "\r": "\\r"}


def printable(text: object) -> str:
    """One line: every character that acts as its escape, such as ``\\x1b`` or ``\\n``; a tab as a space."""
    return _ACTING.sub(_escaped, str(text)).replace("\t", " ")


def printable_lines(text: object) -> str:
    """As ``printable``, but lines stay lines, and tabs stay."""
    return _ACTING_IN_LINES.sub(_escaped, str(text))


def _escaped(found: re.Match[str]) -> str:
    character = found[0]
    number = ord(character)
    return _SHORT.get(character) or (f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}")


def span(seconds: float) -> str:
    """A length of time for people: "0.4 ms", "35 ms", "1.4 s", "75 s", "12 min", "5 h", "9 d"."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    if seconds >= 10:
        return f"{seconds:.0f} s"
    if seconds >= 1:
        return f"{seconds:.1f} s"
    return f"{seconds * 1000:.0f} ms" if seconds >= 0.01 else f"{seconds * 1000:.1f} ms"


_TWICE = (("stopped: stopped ", "stopped "), ("killed: by ", "killed by "), ("failed to start: cannot ", "cannot "))


def said(reason: object) -> str:
    """A reason in words without saying a word twice: "stopped by uid 0", not "stopped: stopped by uid 0"."""
    text = str(reason or "")
    for twice, once in _TWICE:
        text = text.replace(twice, once)
    return text
