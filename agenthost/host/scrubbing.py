"""Words of a command line as they may be shown: what is, or looks like, a secret is ``***``.

Arguments are for all to see while a process runs (proc(5)); a record of them is kept, and read by more people. The
rule: rather too much is hidden. What the host itself has given away as a secret is known by its value, the rest by how
it is named or what it looks like. What is neither is shown: an author who puts a password where nothing tells it is one
is not saved by this.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

HIDDEN = "***"
SHORTEST_SECRET = 4
"""Characters of a value that is looked for: a shorter one would hide words that have nothing to do with it."""

_NAME = (
    r"(?:\w*pass(?:word|wd|phrase)|pass|passcode|pwd|secret|token|credentials?|bearer|cookie|api[_-]?key|apikey"
    r"|(?:auth|access|private|session|encryption|signing|account|license)[_-]?key|authorization)"
)
_ALONE = re.compile(rf"(?i)--?(?:[\w.-]*[_.-])?{_NAME}(?:[_.-][\w.-]*)?")
"""An option whose value is the next word."""
_ASSIGNED = re.compile(
    rf"(?i)(\b(?:[\w.]*[_.-])?{_NAME}(?:[_.-][\w.]*)?[\"']?\s*(?:=|:)\s*)(\"[^\"]*\"|'[^']*'|[^\s\"'&;|]+)"
)
_WHOLE = re.compile(rf"(?is)(-*(?:[\w.-]*[_.-])?{_NAME}(?:[_.-][\w.-]*)?=).+")
_OPTION_INSIDE = re.compile(
    rf"(?i)(\s--?(?:[\w.-]*[_.-])?{_NAME}(?:[_.-][\w.-]*)?\s+)(\"[^\"]*\"|'[^']*'|[^\s\"';|&-][^\s\"';|&]*)"
)
_HEADER = re.compile(r"(?i)\b((?:proxy-)?authorization\s*:\s*|\b(?:bearer|basic)\s+)(?!\*)[^\"'\r\n]+")
_IN_URL = re.compile(r"(\b[A-Za-z][A-Za-z0-9+.-]*://[^\s/@:]*:)[^\s/@]+(@)")
_BY_SHAPE = re.compile(
    r"\b(?:sk|pk|rk)[-_][A-Za-z0-9_-]{16,}|\bgh[pousr]_[A-Za-z0-9]{16,}|\bgithub_pat_\w{16,}|\bglpat-[\w-]{16,}"
    r"|\bxox[abprs]-[A-Za-z0-9-]{10,}|\bAKIA[A-Z0-9]{12,}|\bAIza[\w-]{30,}|\bhf_[A-Za-z0-9]{16,}"
    r"|\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"
)


def scrubbed(words: Sequence[str], secrets: Iterable[str] = ()) -> list[str]:
    """``secrets`` are values that are hidden wherever they stand."""
    known = sorted((value for value in secrets if len(value) >= SHORTEST_SECRET), key=len, reverse=True)
    shown: list[str] = []
    hides_next = False
    for word in words:
        if hides_next and not word.startswith("-"):
            shown.append(HIDDEN)
            hides_next = False
            continue
        hides_next = _ALONE.fullmatch(word) is not None
        shown.append(_scrubbed_word(word, known))
    return shown


def _scrubbed_word(word: str, known: Sequence[str]) -> str:
    for value in known:
        word = word.replace(value, HIDDEN)
    if (whole := _WHOLE.fullmatch(word)) is not None:
        return whole[1] + HIDDEN
    word = _HEADER.sub(rf"\1{HIDDEN}", word)
    word = _IN_URL.sub(rf"\1{HIDDEN}\2", word)
    word = _ASSIGNED.sub(rf"\1{HIDDEN}", word)
    word = _OPTION_INSIDE.sub(rf"\1{HIDDEN}", word)
    return _BY_SHAPE.sub(HIDDEN, word)
