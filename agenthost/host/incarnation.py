"""What the host knows of one run of an agent, from its birth until its cell is empty."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from dataclasses import dataclass, field

from agenthost.containment.cell import Cell
from agenthost.core.birth import AgentBirth, ProgramBirth
from agenthost.core.reason import Reason
from agenthost.host.private_values import NOTHING, Private
from agenthost.host.turns import TurnInHand
from agenthost.launch.launcher import Born
from agenthost.protocol.birth import Crashed, Ended, Expected
from agenthost.protocol.control import Down, Failed, Ignore, Ready


@dataclass(slots=True, eq=False)
class Incarnation:
    path: str
    n: int
    name: str
    """"boot.n", what everybody outside the core calls it."""
    birth: AgentBirth | ProgramBirth
    cell: Cell
    began_at: float
    token: bytes = field(default_factory=lambda: os.urandom(16), repr=False)
    born: Born | None = None
    agent_pid: int | None = None
    """The process that runs the author's code; in a cell with a PID namespace ``born.pid`` is its init."""
    early: tuple[bytes, int, Ready | Ignore | Failed] | None = None
    """(routing id, pid, message) that came over the control plane before its Here."""
    expected: list[Expected] = field(default_factory=list)
    """Who waits for it to be born."""
    peer: bytes | None = None
    """Its routing id on the control plane, once it said Ready."""
    asked: tuple[str, float | None] | None = None
    """(why, grace_s) of a stop that it has not heard of yet."""
    killing: bool = False
    let_go: bool = False
    """Nothing of it is left, here either."""
    is_watched: bool = False
    """Its cell will tell when it is empty."""
    next_look: asyncio.TimerHandle | None = None
    reaped: bool = False
    """Its pid may mean somebody else by now."""
    exited: bool = False
    execed: bool = False
    """The program's exec has succeeded."""
    reported: Ended | None = None
    """How the agent below a cell's init ended."""
    code: int | None = None
    signal: int | None = None
    """What its main process ended with, or by."""
    untold: Reason | None = None
    """Why it has ended, if who monitors it hears of that when its cell is empty."""
    ended_as: Reason | None = None
    """The host's verdict on why its main process has ended."""
    start_error: Reason | None = None
    """What it said itself of why it did not come up."""
    crash: Crashed | None = None
    """What its author's code ended it with, if it has said so."""
    turn: TurnInHand = field(default_factory=TurnInHand)
    beat_at: float | None = None
    """The last beat of the turn in hand; None between turns and in short ones."""
    doubt: int | None = None
    """Number of the probe that asked whether its interpreter runs, until it is answered."""
    listening: bool = False
    """A timer runs that will look whether the beats go on."""
    computing: bool = False
    """It computes without pause, and gives way to everybody (``giving_way``)."""
    cpu_seen_s: float = 0.0
    """What its cell had used when that was looked at last."""
    hold_until: float = 0.0
    """Does not give way before: it was starved."""
    hold_s: float = 0.0
    """How long that was, if it was in this turn."""
    excused_at: float = 0.0
    """When it was last made to give way, found starved, or thawed: its silence until then is our doing."""
    frozen: bool = False
    private: Private = field(default=NOTHING, repr=False)
    """What only it may know, kept as long as checks of its liveness need it."""
    drowsy_s: float = 0.0
    """It says after so long that it has nothing to do; 0: it does not."""
    drowsy: int = 0
    """Number of the last time that it did."""
    says: str = ""
    """How it is, in its own words (STATUS of sd_notify(3))."""
    sign_at: float = 0.0
    """When it last said that it lives (WATCHDOG=1)."""
    is_leaving: bool = False
    """It said that it is about to end by itself (STOPPING=1)."""

    @property
    def is_tool(self) -> bool:
        return isinstance(self.birth, ProgramBirth) and self.birth.streams > 0

    def down(self, id: int, reason: Reason) -> Down:
        """What is told of its end to those who wait for it."""
        return Down(
            id=id,
            path=self.path,
            inc=self.name,
            reason=reason.words(),
            well=reason.well,
            code=self.code,
            signal=self.signal,
            asleep=reason.kind == "asleep",
        )

    def silence_left_s(self, spoke_at: float, silence_s: float) -> float:
        """How long it may still be silent, having last spoken then; 0 or less is too long."""
        if self.frozen:
            return silence_s
        return max(spoke_at, self.excused_at) + silence_s - time.monotonic()

    def signal_main(self, signum: int) -> None:
        """To the agent's own process alone, by pidfd."""
        if self.born is None or self.exited:
            return
        try:
            if self.agent_pid in (None, self.born.pid):
                signal.pidfd_send_signal(self.born.pidfd, signum)
                return
            assert self.agent_pid is not None
            pidfd = os.pidfd_open(self.agent_pid)  # not reaped before its init ends, so the pid is its own
            try:
                signal.pidfd_send_signal(pidfd, signum)
            finally:
                os.close(pidfd)
        except ProcessLookupError:
            return  # it has ended by itself
