"""What the host says of what failed, on its way into the journal, whatever the disk does meanwhile.

The rule it keeps: a word is named in a Did when it is written, or can never be. While the disk refuses, those that wait
here are tried again; of more than ``WAITING_BYTES`` the host keeps the rest, and says them to the next journal.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from agenthost.errors import AgenthostError, JournalUnavailable, Overloaded
from agenthost.journal import crashes, words
from agenthost.journal.answers import Answer
from agenthost.journal.writer import FOR_EVER_MS

WAITING_BYTES = 32 * 1024 * 1024


class CrashWords:
    """``submit`` is the clerk's; ``did(id)`` names a word in the next Did."""

    def __init__(self, submit: Callable[..., Any], did: Callable[[int], None]) -> None:
        self._submit, self._did = submit, did
        self._waiting_bytes = 0

    def hear(self, word: words.Crashed, now_ms: int) -> None:
        size_bytes = len(word.details)
        if self._waiting_bytes and self._waiting_bytes + size_bytes > WAITING_BYTES:
            return
        self._waiting_bytes += size_bytes

        def token(answers: list[Answer] | None, error: AgenthostError | None) -> None:
            self._waiting_bytes -= size_bytes
            if not isinstance(error, JournalUnavailable | Overloaded):
                self._did(word.id)

        self._submit((crashes.of_word(word),), token, now_ms, FOR_EVER_MS)
