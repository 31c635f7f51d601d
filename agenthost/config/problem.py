"""What is wrong with a config file, each with its place, all reported at once."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

from agenthost.errors import ConfigError

MAX_PROBLEMS = 200
"""More are counted, not shown: a file of another kind would give one per line."""

LONGEST_SLIP = 100
"""Characters; what is longer is no slip of a word, and takes long to compare."""


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """``line`` and ``column`` count from 1; 0: the whole file is meant. ``where`` is ``tree.children[2].limits``."""

    file: str
    line: int
    column: int
    where: str
    what: str
    hint: str = ""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        parts = [place, self.where, self.what] if self.where else [place, self.what]
        return ": ".join(parts) + (f"; {self.hint}" if self.hint else "")


class ConfigProblems(ConfigError):
    """All problems of one file, in the order of their lines. ``str()`` has one line for each."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(problems))
        shown = [str(problem) for problem in self.problems[:MAX_PROBLEMS]]
        if len(self.problems) > MAX_PROBLEMS:
            shown.append(f"{self.problems[0].file}: and {len(self.problems) - MAX_PROBLEMS} more problems")
        super().__init__("\n".join(shown))


class Refused(Exception):
    """A value is not what its key wants. Caught where the place in the file is known, and made a Problem."""

    def __init__(self, what: str, hint: str = "") -> None:
        super().__init__(what)
        self.what, self.hint = what, hint


def nearest(word: str, known: Iterable[str]) -> str:
    """``did you mean 'restart'?``, or the list of what there is if nothing is near and the list is short."""
    names = sorted(set(known))
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.6) if len(word) <= LONGEST_SLIP else []
    if close:
        return f"did you mean {close[0]!r}?"
    return f"one of: {', '.join(names)}" if 0 < len(names) <= 40 else ""


def show(text: str) -> str:
    """A value of the file in an error: quoted, and cut so that a page of text does not hide the message."""
    return repr(text if len(text) <= 60 else text[:57] + "...")
