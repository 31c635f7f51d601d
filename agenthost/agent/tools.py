"""``ctx.run``: a program below the agent, in a cell of its own, that belongs to the turn and is gone when that ends.

A tool is a child of the host's making, as others are; the agent makes its pipes and gives the far ends away over the
birth socket. ``popen`` has the tool that is talked to. The rule: a turn is over when nothing of its tools is left, so
its reply, or its error, leaves after that.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from agenthost.agent.birth import Birth, end_all
from agenthost.agent.deadlines import LONGEST_S
from agenthost.agent.ran import Ran, words
from agenthost.agent.tool_output import Echo
from agenthost.agent.tool_pipes import Pipes, Pump
from agenthost.agent.tool_wants import check_seconds, check_streamed, check_surroundings
from agenthost.agent.wanted import Wanted, clean
from agenthost.core.reason import signal_name
from agenthost.errors import StartFailed, TimedOut, ToolTimedOut, UsageError
from agenthost.protocol import wishes

if TYPE_CHECKING:
    from agenthost.agent.kin import Kin
    from agenthost.agent.monitor import Ended

Argv = Sequence[str | os.PathLike[str]]
OUTPUT_BYTES = 1024 * 1024
_SLACK_S = 0.5
"""The host kills a tool whose time is over; so much later than the agent does, which may be computing then."""


class Tools:
    """Those of one agent. ``of_turn`` are there, or about to be, and belong to the turn in hand."""

    def __init__(self) -> None:
        self.of_turn: dict[ToolBirth, None] = {}
        self.to_close: list[Callable[[], None]] = []
        """What the turn has opened."""
        self.had_any = False
        """In this turn, that end with it."""
        self._is_over = False
        self._numbers = 0

    def new_number(self) -> int:
        self._numbers += 1
        return self._numbers

    def begin(self, birth: ToolBirth) -> None:
        if not birth.of_turn:
            return
        if self._is_over:
            raise UsageError(f"cannot start {birth.path}: its turn is over")
        self.of_turn[birth] = None
        self.had_any = True

    async def end_turn(self, kin: Kin) -> None:
        """Returns when nothing of them is left, whatever interrupts; the interruption goes on after that."""
        if not self.of_turn and not self.to_close:
            return
        self._is_over = True
        births = list(self.of_turn)
        try:
            await end_all(kin, list[Birth](births), "kill")
        finally:
            self._is_over = False
            for birth in births:
                birth.over()
            while self.to_close:
                self.to_close.pop()()


class ToolBirth(Birth):
    """``over`` forgets it and closes what is open of it, and says so; perhaps more than once."""

    def __init__(
        self,
        kin: Kin,
        argv: tuple[str, ...],
        pipes: Pipes,
        *,
        env: Mapping[str, str] | None,
        cwd: str | os.PathLike[str] | None,
        limits: dict[str, Any] | None,
        until: float | None,
        of_turn: bool = True,
        name: str | None = None,
    ) -> None:
        super().__init__(kin, Wanted(name, clean(os.path.basename(argv[0])), {}, b""), until, _nobody_else_hears)
        self.argv, self.pipes, self.of_turn = argv, pipes, of_turn
        self._env = _texts(os.environ if env is None else env)
        self._cwd = _absolute(cwd)
        self._limits = limits or {}
        self.on_over: Callable[[], None] = lambda: None
        kin.all_tools().begin(self)

    def wish(self, for_s: float | None) -> wishes.Wish:
        kin = self._kin
        number = kin.all_tools().new_number()
        kin.plugs.give(number, self.pipes.far)
        self.pipes.given()
        return wishes.Run(
            name=self.name,
            argv=list(self.argv),
            env=self._env,
            cwd=self._cwd,
            streams=number,
            limits=self._limits,
            of_turn=self.of_turn,
            for_s=for_s,
        )

    def over(self) -> None:
        self._kin.all_tools().of_turn.pop(self, None)
        self.on_over()
        self.pipes.close()


async def run(
    kin: Kin,
    argv: Argv,
    *,
    timeout: float | None,
    input: bytes | str | None,
    env: Mapping[str, str] | None,
    cwd: str | os.PathLike[str] | None,
    limits: dict[str, Any] | None,
    output_bytes: int,
    check: bool,
) -> Ran:
    """Behind ``ctx.run``."""
    began = time.monotonic()
    called = plain_words(argv)
    check_seconds(timeout)
    check_surroundings(env, cwd)
    check_streamed(input, output_bytes)
    due = kin.limit(LONGEST_S if timeout is None else timeout)
    feed = input.encode() if isinstance(input, str) else input or b""
    pipes = Pipes("pipe" if feed else "null", "pipe", "pipe")
    until = due + _SLACK_S if due < began + LONGEST_S / 2 else None
    birth = begin(kin, called, pipes, env=env, cwd=cwd, limits=limits, until=until)
    pump = Pump(kin.plugs, pipes, feed, output_bytes, (Echo(birth.name, _to_log), Echo(birth.name, _to_log)))

    def ran(ended: Ended | None, why: str = "") -> Ran:
        watch = birth.watch
        number = watch.signal if ended is not None else None
        return Ran(
            path=birth.path,
            argv=called,
            status=watch.status if ended is not None else None,
            signal=signal_name(number) if number is not None else None if ended is not None else "SIGKILL",
            reason=ended.reason if ended is not None else why,
            out=pump.out.value(),
            err=pump.err.value(),
            truncated=pump.out.dropped + pump.err.dropped,
            took_s=time.monotonic() - began,
        )

    def late() -> ToolTimedOut:
        pump.finish()
        if timeout is not None and due >= began + timeout:
            why = f"it took longer than {timeout:g} s and was killed"
        else:
            why = f"the time of {'the turn' if kin.is_turns(due) else 'its scope'} was over, and it was killed"
        return ToolTimedOut(f"cannot wait for {words(called)}: {why}", ran=ran(None, f"killed: {why}"))

    try:
        pump.begin()
        try:
            await wait_ready(birth, due)
        except TimedOut:
            if time.monotonic() < due:
                raise  # the host's: it is overloaded
            await end_all(kin, [birth], "kill")
            raise late() from None
        watch = birth.watch
        await kin.until(lambda: watch.ended is not None, due, watch.bell)
        ended = watch.ended
        if ended is None or (watch.signal == 9 and time.monotonic() >= due + _SLACK_S):
            await end_all(kin, [birth], "kill")
            raise late()
        pump.finish()
    except BaseException:  # its time is over, it could not start, the turn was interrupted: nothing of it may stay
        await end_all(kin, [birth], "kill")
        raise
    finally:
        pump.close()
        birth.over()
    result = ran(ended)
    if check:
        result.check()
    return result


def begin(kin: Kin, argv: tuple[str, ...], pipes: Pipes, **how: Any) -> ToolBirth:
    """Closes ``pipes`` if it cannot be."""
    try:
        return ToolBirth(kin, argv, pipes, **how)
    except BaseException:
        pipes.close()
        raise


async def wait_ready(birth: ToolBirth, deadline: float) -> str:
    """As ``birth.wait_ready``; what the host says of a program that does not exist stands first."""
    try:
        return await birth.wait_ready(deadline)
    except StartFailed as error:
        raise StartFailed(f"cannot start {birth.path}: {_why(error)}", hint=error.hint) from None


def plain_words(argv: Argv) -> tuple[str, ...]:
    """``UsageError`` for what is no list of words."""
    if isinstance(argv, str | bytes):
        raise UsageError(
            f"cannot run {argv!r}: a list of words is wanted", hint=f'for a shell write ["sh", "-c", {argv!r}]'
        )
    try:
        found = tuple(os.fspath(word) for word in argv)
        joined = "".join(found)
    except TypeError as error:
        raise UsageError(f"cannot run {argv!r}: {error}", hint="every word must be text or a path") from None
    if not found or not found[0]:
        raise UsageError("cannot run an empty command", hint="give the program, then its arguments")
    if "\0" in joined:
        raise UsageError(f"cannot run {words(found)}: a word cannot hold a NUL character")
    if not _is_text(joined):
        raise UsageError(f"cannot run {found!a}: a word is no UTF-8", hint="give the file another name")
    return found


def _texts(env: Mapping[str, str]) -> dict[str, str]:
    """Without what is no UTF-8: it cannot be written down in a request."""
    return {name: value for name, value in env.items() if _is_text(name + value)}


def _is_text(text: str) -> bool:
    return text.isascii() or not any("\ud800" <= mark <= "\udfff" for mark in text)


def _absolute(cwd: str | os.PathLike[str] | None) -> str:
    try:
        here = os.getcwd()
    except OSError:
        here = "/"  # it was removed
    return here if cwd is None else os.path.join(here, os.fspath(cwd))


def _why(error: StartFailed) -> str:
    said = error.message.removeprefix("failed to start: ")
    for step in (" (exec)", " (cwd)"):
        said = said.removesuffix(step)
    return said


def _to_log(text: str) -> None:
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except (OSError, ValueError):
        pass  # who captures it has gone, or the author has closed it: no reason to end a tool


def _nobody_else_hears(ended: Ended) -> None:
    """Its end is waited for here: no turn of ``on_down``."""
