"""The owner of Interrupt: it tells the agent, and the core how that went. And the clocks of each turn: one that takes
longer than ``turn.timeout``, or has not got on for ``turn.progress``, is looked at and told to the core.

An agent is told over its birth socket, and answers when its turn is over; whether it answers in time is the core's
business. A program has no turns: its main process gets SIGINT, as from Ctrl-C. A turn is known from its first Beat on,
which says when it began; the time that it was frozen does not count.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable

from agenthost.core import effects as do
from agenthost.core import events as on
from agenthost.core.birth import AgentBirth
from agenthost.core.reason import Reason
from agenthost.host.incarnation import Incarnation
from agenthost.host.ordering import beat_s_of
from agenthost.observe.printable import span
from agenthost.protocol.birth import Beat, Interrupt, Interrupted, Pace
from agenthost.protocol.codec import encode

TOOLS_TOLD = 10


class Interrupting:
    """``pid`` tells an incarnation's process as seen from outside; ``hasten`` lets one run at once that gives way;
    ``look`` looks at one and then calls what it was given (``examining``)."""

    def __init__(
        self,
        by_n: dict[int, Incarnation],
        present: Callable[[str], Incarnation | None],
        pid: Callable[[Incarnation], int | None],
        hasten: Callable[[Incarnation], None],
        tell: Callable[[on.Event], None],
        look: Callable[[Incarnation, Reason, Callable[[], None]], None],
    ) -> None:
        self._by_n, self._present, self._pid, self._hasten, self._tell = by_n, present, pid, hasten, tell
        self._look = look
        self._last_id = 0

    # ---- interrupting

    def interrupt(self, effect: do.Interrupt) -> None:
        incarnation = self._by_n.get(effect.n)
        if incarnation is None or incarnation.exited or incarnation.born is None:
            return  # its end answers
        if not isinstance(incarnation.birth, AgentBirth):
            if effect.alone:
                incarnation.signal_main(signal.SIGINT)
            text = "it is a program and has no turns: its main process got SIGINT" if effect.alone else ""
            self._tell(on.TurnEnded(effect.path, effect.n, effect.alone, text))
            return
        self._last_id += 1
        incarnation.turn.interruption = self._last_id
        incarnation.turn.killed = self._killed(effect.tools)  # their processes are still there to be named
        turn = effect.turn or incarnation.turn.number  # that one or none; of a short turn nothing is known here
        try:
            asked = Interrupt(id=self._last_id, why=effect.why, turn=turn, kind=effect.kind)
            incarnation.born.birth_socket.send(encode(asked))
        except OSError:
            pass  # it has not read for long: the core's clock runs
        self._hasten(incarnation)

    def answered(self, incarnation: Incarnation, said: Interrupted) -> None:
        turn = incarnation.turn
        if said.id != turn.interruption:
            return
        turn.interruption = 0
        text = ""
        if said.in_turn:
            text = f"its turn of {span(max(0.0, said.busy_s))}"
            text += ", which had just ended by itself" if said.by_itself else ""
            text += f"; killed: {turn.killed}" if turn.killed else ""
        self._tell(on.TurnEnded(incarnation.path, incarnation.n, said.in_turn, text))

    def _killed(self, paths: tuple[str, ...]) -> str:
        words = []
        for path in paths[:TOOLS_TOLD]:
            tool = self._present(path)
            pid = self._pid(tool) if tool is not None else None
            words.append(path.rpartition("/")[2] + (f" (pid {pid})" if pid else ""))
        more = [f"{len(paths) - TOOLS_TOLD} more"] if len(paths) > TOOLS_TOLD else []
        return ", ".join([*words, *more])

    # ---- the clocks of turns

    def beat(self, incarnation: Incarnation, said: Beat) -> None:
        now, turn = time.monotonic(), incarnation.turn
        if said.turn != turn.number and said.turn > 0:
            turn.begin(said.turn, now - max(0.0, said.busy_s), said.message, said.attempt)
            turn.heard(said.steps, now)
            self._wind(incarnation)
        else:
            turn.heard(said.steps, now)

    def thawed(self, n: int) -> None:
        if (incarnation := self._by_n.get(n)) is not None:
            self._wind(incarnation)

    def adopted(self, n: int, before: AgentBirth) -> None:
        """Its config has changed; that was ``before``."""
        incarnation = self._by_n.get(n)
        if incarnation is None or incarnation.exited or incarnation.born is None:
            return
        birth = incarnation.birth
        if not isinstance(birth, AgentBirth) or (birth.turn_s, birth.progress_s) == (before.turn_s, before.progress_s):
            return
        try:
            incarnation.born.birth_socket.send(encode(Pace(beat_s=beat_s_of(birth))))
        except OSError:
            pass  # it has not read for long; it goes on with the beats that it has
        self._wind(incarnation)

    def _wind(self, incarnation: Incarnation) -> None:
        turn, birth = incarnation.turn, incarnation.birth
        turn.stop_timer()
        if not isinstance(birth, AgentBirth) or not turn.number or turn.frozen_at is not None or incarnation.exited:
            return
        loop = asyncio.get_running_loop()
        if birth.turn_s is not None:
            left_s = max(0.0, turn.began_at + birth.turn_s - time.monotonic())
            reason = Reason("turn_timeout", text=f"its turn took longer than {birth.turn_s:g} s")
            turn.timer = loop.call_later(left_s, self._over, incarnation, turn.number, reason)
        if birth.progress_s is not None:
            self._wind_stillness(incarnation, birth.progress_s)

    def _wind_stillness(self, incarnation: Incarnation, progress_s: float) -> None:
        loop, turn = asyncio.get_running_loop(), incarnation.turn
        moved_at = max(turn.moved_at, incarnation.excused_at)  # until then it was made to wait by our doing
        left_s = moved_at + progress_s - time.monotonic()
        if left_s > 0:
            turn.stillness = loop.call_later(left_s, self._wind_stillness, incarnation, progress_s)
            return
        turn.stillness = None
        reason = Reason("no_progress", text=f"its turn has not got on for {progress_s:g} s")
        self._over(incarnation, turn.number, reason)

    def _over(self, incarnation: Incarnation, number: int, reason: Reason) -> None:
        """It is looked at, and then told."""
        if not incarnation.exited and incarnation.turn.number == number:
            self._look(incarnation, reason, lambda: self._tell_over(incarnation, number, reason))

    def _tell_over(self, incarnation: Incarnation, number: int, reason: Reason) -> None:
        if not incarnation.exited and incarnation.turn.number == number:
            self._tell(on.Overrun(incarnation.path, incarnation.n, number, reason.text, reason.kind))
