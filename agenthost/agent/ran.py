"""What came of a tool: :class:`Ran`, and the errors that carry one."""

from __future__ import annotations

import msgspec

from agenthost.errors import ToolFailed

_LAST_LINES, _LONGEST_SHOWN = 5, 1000


class Ran(msgspec.Struct, frozen=True, kw_only=True):
    """``status`` is that of exit, or ``signal`` the name of what ended it; ``reason`` says it in words. Where more was
    printed than is kept, the first and the last of it stand in ``out`` and ``err``, between them a line that says how
    many bytes were left out; ``truncated`` is their number, of both together."""

    path: str
    argv: tuple[str, ...]
    status: int | None
    signal: str | None
    reason: str
    out: bytes
    err: bytes
    truncated: int
    took_s: float

    @property
    def text(self) -> str:
        """``out`` as UTF-8; what is none is replaced."""
        return self.out.decode("utf-8", "replace")

    def check(self) -> None:
        """``ToolFailed`` unless it ended with status 0; the message has the last lines that it printed."""
        if self.status == 0:
            return
        last = b"\n".join((self.err.strip() or self.out.strip()).splitlines()[-_LAST_LINES:])
        shown = last.decode("utf-8", "replace")[-_LONGEST_SHOWN:]
        raise ToolFailed(
            f"cannot go on after {words(self.argv)}: {self.reason}{': ' if shown else ''}{shown}", ran=self
        )


def words(argv: tuple[str, ...], longest: int = 80) -> str:
    """The command for people, cut."""
    text = " ".join(word if word and not any(mark in word for mark in " '\"\n") else repr(word) for word in argv)
    return repr(text) if len(text) <= longest else repr(text[: longest - 3] + "...")
