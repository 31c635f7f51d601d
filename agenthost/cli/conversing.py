"""What is typed into ``agenthost chat``, carried out: words that are said, and those that begin with a slash."""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import Any

from agenthost.cli.chat_screen import ChatScreen
from agenthost.client.async_session import AsyncSession
from agenthost.errors import AgenthostError, Busy, NotRunning, UnknownName, UsageError
from agenthost.observe.printable import printable

HELP = """\
Enter sends; Alt-Enter (or Ctrl-J) begins a new line; Up and Down are what you have said before.
Ctrl-C interrupts the turn in hand, and its message is not tried again.
Ctrl-D or /detach leaves; the agent goes on.
/who   who is here, and who may write      /take  only you may write, whoever it was before
/give  anyone may write again              /help  this"""

LOOK_S = 1.0
"""So often it is looked what became of a message that nothing is heard of."""
DEAD, OVER = "dead", frozenset({"dead", "done", "dropped"})


async def talk(endpoint: str, path: str, after: int, name: str, plain: bool) -> int:
    """The number of the last entry that was shown."""
    async with AsyncSession(path, endpoint=endpoint, name=name, patience_s=None) as session:
        screen = ChatScreen(session, path, is_plain=plain)
        talk = _Talk(session, screen, path)
        following = asyncio.get_running_loop().create_task(screen.follow(after))
        running = asyncio.get_running_loop().create_task(screen.run(talk.entered, talk.interrupt))
        try:
            await asyncio.wait([following, running], return_when=asyncio.FIRST_COMPLETED)
            if running.done():
                running.result()
            else:
                screen.leave()
                await running
                following.result()  # says why it ended
        finally:
            following.cancel()
            await asyncio.wait([following])
            await talk.end()
        return screen.seq


class _Talk:
    """What is typed, carried out. Each wish is a task: the screen never waits for the host."""

    def __init__(self, session: AsyncSession, screen: ChatScreen, path: str) -> None:
        self._session, self._screen, self._path = session, screen, path
        self._saying = asyncio.Lock()
        """What is said is said in the order in which it was typed."""
        self._wishes: set[asyncio.Task[None]] = set()
        self._hearing: set[asyncio.Task[None]] = set()
        """They wait for the agent, and nobody waits for them."""

    def entered(self, text: str) -> None:
        """A line, or some."""
        word = text.strip()
        match word:
            case "":
                return
            case "/detach" | "/quit" | "/exit":
                self._screen.leave()
            case "/help" | "/?":
                self._screen.note(HELP)
            case "/who":
                self._screen.note(self._who())
            case "/take":
                self._begin(self._take())
            case "/give":
                self._session.give_seat()
            case _ if word.startswith("/") and not word.startswith("//"):
                self._screen.note(f"there is no {word.split()[0]}; see /help, or say it with //")
            case _:
                self._begin(self._say(text.rstrip().removeprefix("/") if word.startswith("//") else text.rstrip()))

    def interrupt(self) -> None:
        self._begin(self._interrupt())

    async def end(self) -> None:
        """What was said just before the end is still sent."""
        if self._wishes:
            await asyncio.wait(self._wishes, timeout=5)
        for task in self._hearing:
            task.cancel()
        if self._hearing:
            await asyncio.wait(self._hearing, timeout=5)

    def _begin(self, wish: Any, among: set[asyncio.Task[None]] | None = None) -> None:
        async def guarded() -> None:
            try:
                await wish
            except AgenthostError as error:
                self._screen.note(str(error), is_error=True)

        task = asyncio.get_running_loop().create_task(guarded())
        tasks = self._wishes if among is None else among
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    async def _say(self, text: str) -> None:
        key = f"chat:{os.urandom(12).hex()}"
        async with self._saying:
            while True:
                try:
                    message = await self._session.say(text, key=key)
                    self._begin(self._hear_of(message), self._hearing)
                    return
                except Busy as error:
                    if error.code == "busy":  # somebody else has the seat
                        self._screen.note(f"{error.message}; /take it", is_error=True)
                        self._screen.give_back(text)
                        return
                    raise
                except AgenthostError:
                    self._screen.give_back(text)
                    raise

    async def _hear_of(self, message: int) -> None:
        """What becomes of a message that no entry tells of: it was set aside, or its turn had nothing to say."""
        status = ""
        while status not in OVER:
            await asyncio.sleep(LOOK_S)
            if status and not self._screen.feed.is_unanswered(message):
                return
            with contextlib.suppress(AgenthostError):  # nobody is there to ask, and the toolbar says so
                letter = await self._session.request("letter", {"message": message})
                status = letter["status"]
        self._screen.feed.forget(message)
        if status == DEAD:
            why = letter["history"][-1]["reason"] if letter["history"] else "it was set aside"
            self._screen.note(f"not done: {why}; see: agenthost dead-letters show {message}", is_error=True)

    async def _take(self) -> None:
        await self._session.seat(take=True)

    def _who(self) -> str:
        here = ", ".join(printable(one) for one in self._session.present) or "nobody that I know of"
        writer = self._session.writer
        return f"here: {here}\n" + (f"only {printable(writer)} may write" if writer else "anyone may write")

    async def _interrupt(self) -> None:
        """The turn in hand; and its message with it, or that would be tried again."""
        message = self._screen.feed.message
        if message:
            with contextlib.suppress(UsageError, UnknownName):  # its turn has ended meanwhile
                await self._session.request("drop", {"message": message, "in_hand": True})
        try:
            await self._session.interrupt("by chat")
        except (NotRunning, UnknownName):  # unknown: a member that nobody has called yet
            self._screen.note("no turn is in hand")
            self._screen.feed.forget(message)
            return
        self._screen.feed.forget(message)
        self._screen.note("interrupted")
