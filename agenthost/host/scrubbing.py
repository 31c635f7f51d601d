"""Words as they may be shown: what is, or looks like, a secret is ``***``.

Arguments are for all to see while a process runs (proc(5)); a record of them is kept, and read by more people. The
rule: rather too much is hidden. What the host itself has given away as a secret is known by its value, the rest by how
it is named or what it looks like. What is neither is shown: an author who puts a password where nothing tells it is one
is not saved by this.

Words are an author's, and read in the host's loop: each is cut before it is looked through, and no pattern takes more
than time in proportion to it, however many values are known.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

HIDDEN = "***"
SHORTEST_SECRET = 4
"""Characters of a value that is looked for: a shorter one would hide words that have nothing to do with it."""
SHORTEST_LINE = 8
"""Of a value of several lines, each so long is looked for too: a traceback shows one."""
LOOKED_THROUGH = 512
"""Characters of a word; the rest is left out."""
ONE_BY_ONE = 64
"""Values that are looked for one after the other, by a loop in C; for more there is one loop of ours."""

_NAMES = frozenset(
    "pass passcode pwd secret token credential credentials bearer cookie apikey authorization".split()
    + [f"{what}key" for what in "auth access private session encryption signing account license".split()]
)
_ENDS = ("password", "passwd", "passphrase")
_OF_KEY = frozenset("api auth access private session encryption signing account license".split())
"""Before "key", these make a name of two parts."""
_BETWEEN = re.compile(r"[_.-]+")
_RUN = re.compile(r"[\w.-]+")
_VALUE = re.compile(r"[\"']?\s*[=:]\s*(\"[^\"]*\"?|'[^']*'?|[^\s\"'&;|]+)")
_NEXT = re.compile(r"\s+(\"[^\"]*\"?|'[^']*'?|[^\s\"';|&-][^\s\"';|&]*)")
_HEADER = re.compile(r"(?i)\b((?:proxy-)?authorization\s*:\s*|\b(?:bearer|basic)\s+)(?!\*)[^\"'\r\n]+")
_IN_URL = re.compile(r"(://[^\s/@:]*:)[^\s/@]+(@|\Z)")
_BY_SHAPE = re.compile(
    r"\b(?:sk|pk|rk)[-_][A-Za-z0-9_-]{16,}|\bgh[pousr]_[A-Za-z0-9]{16,}|\bgithub_pat_\w{16,}|\bglpat-[\w-]{16,}"
    r"|\bxox[abprs]-[A-Za-z0-9-]{10,}|\bAKIA[A-Z0-9]{12,}|\bAIza[\w-]{30,}|\bhf_[A-Za-z0-9]{16,}"
    r"|\beyJ[\w-]{8,}\.[\w.-]+"
)


class Known:
    """Values that no text may show, and their lines."""

    __slots__ = ("_all", "_by_start", "_few", "size_chars")

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        found: set[str] = set()
        for value in secrets:
            if len(whole := value.strip()) >= SHORTEST_SECRET:
                found.add(whole)
                lines = whole.splitlines()
                found.update(line.strip() for line in (lines if len(lines) > 1 else ()) if len(line) >= SHORTEST_LINE)
        self.size_chars = sum(map(len, found))
        longest_first = sorted(found, key=lambda one: (-len(one), one))
        self._few = tuple(longest_first) if len(found) <= ONE_BY_ONE else ()
        self._all = frozenset(() if self._few else found)
        self._by_start: dict[str, list[int]] = {}
        """Of the many: how long those are that begin so, the longest first."""
        for value in () if self._few else longest_first:
            lengths = self._by_start.setdefault(value[:SHORTEST_SECRET], [])
            if not lengths or lengths[-1] != len(value):
                lengths.append(len(value))

    def hidden_in(self, text: str) -> str:
        """The text, with all of them hidden."""
        for value in self._few:
            text = text.replace(value, HIDDEN)
        return self._hidden_in(text) if self._by_start else text

    def _hidden_in(self, text: str) -> str:
        starts, parts, begin, at = self._by_start, [], 0, 0
        while at + SHORTEST_SECRET <= len(text):
            for length in starts.get(text[at : at + SHORTEST_SECRET], ()):
                if at + length <= len(text) and text[at : at + length] in self._all:
                    parts += [text[begin:at], HIDDEN]
                    begin = at = at + length
                    break
            else:
                at += 1
        return "".join([*parts, text[begin:]])


NONE_KNOWN = Known()


def scrubbed(words: Sequence[str], known: Known = NONE_KNOWN) -> list[str]:
    """``known`` are values that are hidden wherever they stand."""
    shown: list[str] = []
    hides_next = False
    for word in words:
        if hides_next and not word.startswith("-"):
            shown.append(HIDDEN)
            hides_next = False
            continue
        hides_next = word.startswith("-") and len(word) <= LOOKED_THROUGH and is_named_secret(word) and _is_run(word)
        shown.append(_scrubbed_word(known.hidden_in(word)))
    return shown


def _is_run(word: str) -> bool:
    return _RUN.fullmatch(word) is not None


def is_named_secret(run: str) -> bool:
    """ "--api-key", "DB_PASSWORD", "client.secret"."""
    before = ""
    for part in _BETWEEN.split(run.lower()):
        if part in _NAMES or part.endswith(_ENDS) or (part == "key" and before in _OF_KEY):
            return True
        before = part
    return False


def _scrubbed_word(word: str) -> str:
    is_cut = len(word) > LOOKED_THROUGH
    word = word[:LOOKED_THROUGH]
    first = _RUN.match(word)
    if first is not None and word[first.end() : first.end() + 1] == "=" and is_named_secret(first[0]):
        return word[: first.end() + 1] + (HIDDEN if len(word) > first.end() + 1 else "")
    word = _HEADER.sub(rf"\1{HIDDEN}", word)
    word = _IN_URL.sub(lambda found: f"{found[1]}{HIDDEN}{found[2]}" if found[2] or is_cut else found[0], word)
    return _BY_SHAPE.sub(HIDDEN, _without_named(word))


def _without_named(word: str) -> str:
    parts: list[str] = []
    begin = at = 0
    while (run := _RUN.search(word, at)) is not None:
        at = run.end()
        if not is_named_secret(run[0]):
            continue
        value = _VALUE.match(word, at)
        if value is None and run[0].startswith("-") and word[run.start() - 1 : run.start()].isspace():
            value = _NEXT.match(word, at)
        if value is not None:
            parts += [word[begin : value.start(1)], HIDDEN]
            begin = at = value.end()
    return "".join([*parts, word[begin:]])
