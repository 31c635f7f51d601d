"""The terminal of a chat: above what was said, then what is being said, then the line one types, then who is here.

Keys, history, editing and the screen are prompt_toolkit's. The rule it keeps: nothing that comes in moves or changes
what is being typed.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from prompt_toolkit import PromptSession
from prompt_toolkit.application import get_app_or_none
from prompt_toolkit.formatted_text import ANSI, StyleAndTextTuples
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.input.vt100 import Vt100Input
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.patch_stdout import patch_stdout

from agenthost.cli.chat_feed import ChatFeed
from agenthost.cli.showing import is_colourful, tinted
from agenthost.client.async_session import AsyncSession
from agenthost.client.updates import CaughtUp, Cut, Presence
from agenthost.observe.printable import printable, printable_lines
from agenthost.transport.places import chat_history

GROWING_ROWS, PROMPT_ROWS = 12, 6
"""What is being said has at most so many rows, and leaves so many to the rest."""


class ChatScreen:
    def __init__(self, session: AsyncSession, path: str, *, is_plain: bool) -> None:
        self._session, self._path = session, path
        self._colours = is_colourful()
        self._feed = ChatFeed(is_plain=is_plain, colours=self._colours)
        self._cut = "connecting"
        self._refused = ""
        self._on_interrupt: Callable[[], None] = lambda: None
        self._is_left = self._was_here = False
        self._presence: Presence | None = None
        self._input = _RawInput(sys.stdin)
        self._prompt: PromptSession[str] = PromptSession(
            input=self._input,
            history=_history(),
            multiline=True,
            key_bindings=self._keys(),
            bottom_toolbar=self._toolbar,
            prompt_continuation="  ",
            enable_history_search=False,
            complete_while_typing=False,
            reserve_space_for_menu=0,
            erase_when_done=True,
        )

    @property
    def seq(self) -> int:
        return self._feed.seq

    @property
    def feed(self) -> ChatFeed:
        return self._feed

    # ---- life

    async def run(self, on_entered: Callable[[str], None], on_interrupt: Callable[[], None]) -> None:
        """Until it is left."""
        self._on_interrupt = on_interrupt
        with self._input.raw_mode(), patch_stdout(raw=True):
            while not self._is_left:
                refused, self._refused = self._refused, ""
                try:
                    text = await self._prompt.prompt_async(self._above, default=refused, handle_sigint=False)
                except EOFError:
                    return
                if not self._is_left:
                    on_entered(text)

    async def follow(self, after: int) -> None:
        """What is said, for as long as it goes on; what ends it is raised."""
        async for update in self._session.updates(after, attend=True):
            if isinstance(update, Cut):
                if not self._cut:
                    self.note(f"cut off: {update.why}; connecting again")
                self._cut = update.why or "connecting"
            elif isinstance(update, CaughtUp) and self._cut:
                self.note("here again" if self._was_here else f"in {self._path}; Ctrl-D leaves, /help says more")
                self._cut, self._was_here = "", True
            elif isinstance(update, Presence):
                self._tell_presence(update)
            if text := self._feed.take(update, self._width()):
                self._print(text)
            self._redraw()

    def _tell_presence(self, now: Presence) -> None:
        """Who has come, gone, or taken the seat, where one knows how it was before."""
        before, self._presence = self._presence, now
        if before is None or self._cut:
            return
        came, went = Counter(now.names) - Counter(before.names), Counter(before.names) - Counter(now.names)
        lines = [f"{name} has come" for name in came.elements()] + [f"{name} has left" for name in went.elements()]
        if now.writer != before.writer:
            lines.append(self._who_may_write())
        if lines:
            self.note("\n".join(lines))

    def _who_may_write(self) -> str:
        writer = self._session.writer
        if not writer:
            return "anyone may write"
        return "only you may write" if self._session.has_seat else f"only {writer} may write"

    def leave(self) -> None:
        self._is_left = True
        app = self._prompt.app
        if app.is_running:
            app.exit(exception=EOFError)

    def note(self, text: str, *, is_error: bool = False) -> None:
        """Something that is no part of the conversation."""
        self._print(
            "\n".join(tinted(line, "31" if is_error else "2") for line in printable_lines(text).split("\n")) + "\n"
        )

    def give_back(self, text: str) -> None:
        """It was not said: it stands in the line again, unless something else does."""
        buffer = self._prompt.default_buffer
        if not buffer.text:
            buffer.text = text
            buffer.cursor_position = len(text)
            self._redraw()

    # ---- the parts of the screen

    def _above(self) -> ANSI | str:
        """What is being said, and the sign where one types."""
        columns, rows = shutil.get_terminal_size()
        growing = self._feed.growing(columns - 1, max(1, min(GROWING_ROWS, rows - PROMPT_ROWS)))
        sign = "> " if not self._session.writer or self._session.has_seat else "(read only) > "
        return ANSI(f"{growing}\n{sign}" if growing else sign)

    def _toolbar(self) -> StyleAndTextTuples:
        parts = [printable(self._path)]
        if self._cut:
            parts.append(f"away: {printable(self._cut)}")
        if here := len(self._session.present):
            parts.append("alone here" if here == 1 else f"{here} here")
        if self._session.writer:
            parts.append(printable(self._who_may_write()))
        if self._feed.is_busy:
            parts.append("Ctrl-C interrupts")
        parts.append("/help")
        return [("", "  ".join(parts))]

    def _keys(self) -> KeyBindings:
        keys = KeyBindings()

        @keys.add("enter")
        def enter(event: KeyPressEvent) -> None:
            event.current_buffer.validate_and_handle()

        @keys.add("escape", "enter")
        @keys.add("c-j")
        def new_line(event: KeyPressEvent) -> None:
            event.current_buffer.insert_text("\n")

        @keys.add("c-c")
        def interrupt(event: KeyPressEvent) -> None:
            if event.current_buffer.text and not self._feed.is_busy:
                event.current_buffer.reset()
            else:
                self._on_interrupt()

        return keys

    # ---- drawing

    def _print(self, text: str) -> None:
        """Above the line; as it is, for it was made fit for a terminal."""
        sys.stdout.write(text if text.endswith("\n") else text + "\n")
        sys.stdout.flush()

    def _redraw(self) -> None:
        if (app := get_app_or_none() or self._prompt.app).is_running:
            app.invalidate()

    def _width(self) -> int:
        return max(20, shutil.get_terminal_size().columns)


class _RawInput(Vt100Input):
    """A terminal that stays raw while something is printed above the line. In cooked mode a Return that is typed just
    then would come as a Ctrl-J (termios(3), ICRNL), and be taken for a new line."""

    def cooked_mode(self) -> AbstractContextManager[None]:
        return self.raw_mode()


def _history() -> History:
    """What one has said before, in all chats; readable by its owner alone."""
    path = chat_history(os.getuid(), os.environ)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
    except OSError:
        return InMemoryHistory()
    return FileHistory(Path(path))
