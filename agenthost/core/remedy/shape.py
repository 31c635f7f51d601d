"""What is left of an error's text when all that differs from one time to the next is taken out.

Numbers, ids, addresses, times, paths, URLs and quoted text go; the words stay. Nothing is known of the texts of any
provider or library: what is a number and what an id is told by the characters alone, and both become the same mark, for
an id may consist of digits.
"""

from __future__ import annotations

import re

LONGEST_READ = 65_536
"""Characters of a text that are looked at."""

_QUOTED = "|".join(
    rf"(?<!\w){open_}(?:\\.|(?<=\w){open_}(?=\w)|[^{close}\\])*{close}(?!\w)"
    for open_, close in (("'", "'"), ('"', '"'), ("`", "`"), ("“", "”"), ("\u2018", "\u2019"), ("«", "»"))
)
"""A quote that stands within a word is an apostrophe, and neither opens nor closes anything."""

_URL = r"[A-Za-z][A-Za-z0-9+.-]*://(?:[^\s'\"<>)\]},;:]|[,;:]+(?=[^\s'\"<>)\]},;:]))+"
_TOKEN = r"[^\s()\[\]{}<>,;=:|\"`“”«»]+"
_FOUND = re.compile(rf"(?P<quoted>{_QUOTED})|(?P<url>{_URL})|(?P<token>{_TOKEN})", re.DOTALL)
_HEX = re.compile(r"(?:[0-9a-fA-F]{8,}|[0-9a-fA-F]{2}(?:-[0-9a-fA-F]{2}){5,}|[0-9a-fA-F-]{32,})\.?")
_SPACE = re.compile(r"\s+")
_RUNS = re.compile(r"(?P<mark>#|/|'…')(?:[\s,:;.+-]*(?P=mark))+(?![\w'])")
"""Several of a kind, as in a list or a time: their count is a number too."""
_EDGE = "'\"`.!?*"


def shape(text: str) -> str:
    """One line: ``#`` is a number or an id, ``/`` a path or URL, ``'…'`` what was quoted."""
    marked = _FOUND.sub(_mark, text[:LONGEST_READ])
    return _RUNS.sub(lambda found: found["mark"], _SPACE.sub(" ", marked)).strip()


def _mark(found: re.Match[str]) -> str:
    if found["quoted"] is not None:
        return "'…'"
    if found["url"] is not None:
        return "/"
    token = found["token"]
    if "/" in token or "\\" in token:
        return "/" if token.strip("/\\") else token
    bare = token.strip(_EDGE)
    if any(character.isdigit() for character in token) or _HEX.fullmatch(bare):
        return "#"
    return token
