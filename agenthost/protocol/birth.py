"""The birth socket: a SOCK_SEQPACKET pair between the host and each process it starts. One message a packet.

The kernel vouches for who is at the other end, so this is where secrets travel. For a program the descriptor closes at
exec: end of file without BirthFailed means that exec succeeded.
"""

from __future__ import annotations

from typing import Any

import msgspec

from agenthost.core.answers import Judge
from agenthost.core.loops import Loops


class _Message(msgspec.Struct, frozen=True, tag_field="t", tag=str.lower, kw_only=True):
    """Base of all; the tag is the class name in lower case."""


class Expected(msgspec.Struct, frozen=True, array_like=True):
    """A caller that waits already: as Expect (``control``), and the data socket is bound before Up is said."""

    ticket: bytes
    caller: str
    caller_inc: str


class Certificate(_Message, frozen=True, kw_only=True):
    """All a Python agent needs to begin; part of the fork order, not a packet of its own."""

    path: str
    inc: str
    token: bytes
    endpoint: str
    """The control plane, ``ipc://...``."""
    data_folder: str
    """Where a data socket is bound, when somebody looks the agent up."""
    agent: str
    """``module:Class`` or ``path/file.py:Class``."""
    args: dict[str, Any] = {}
    code: bytes = b""
    """A class or function as dill wrote it, which is the agent; ``agent`` then names the code it was written in."""
    beat_s: float = 1.0
    credit: int = 64
    reap: bool = False
    """After each turn it asks the host to kill what that has left behind."""
    drowsy_s: float = 0.0
    """With nothing to do for so long it says Drowsy; 0 is never."""
    expected: tuple[Expected, ...] = ()
    schema: Any = None
    """What its answers must be like, a JSON schema."""
    judge: Judge | None = None
    """Whom it asks about them."""
    loops: Loops | None = None
    """How often a turn may repeat itself."""


# ---- process to host


class Here(_Message, frozen=True, kw_only=True):
    """First packet of a process: its sender's pid, by SCM_CREDENTIALS, is the agent's as the host sees it."""


class Up(_Message, frozen=True, kw_only=True):
    """A Python agent can work. It says Ready on the control plane as well, which may still have to connect: until then
    the host keeps what is asked of it."""


class BirthFailed(_Message, frozen=True, kw_only=True):
    """Something between fork and the author's code failed. ``step`` names it."""

    step: str
    error: str
    errno: int = 0
    trace: str = ""


class Beat(_Message, frozen=True, kw_only=True):
    """A turn is in hand and the interpreter runs. Sent from the first ``beat_s`` of a turn on, not before. ``message``
    and ``attempt``: of durable mail that it handles, 0 of a call."""

    turn: int
    busy_s: float
    steps: int = 0
    """Counts on with whatever the agent gets done; what counts is the agent's library's to say."""
    message: int = 0
    attempt: int = 0


class Idle(_Message, frozen=True, kw_only=True):
    """The turn of which beats were sent is over."""

    turn: int


class Drowsy(_Message, frozen=True, kw_only=True):
    """There is nothing to do, for ``idle_s`` seconds now. The same ``number`` again: there still is not."""

    number: int
    idle_s: float


class Awake(_Message, frozen=True, kw_only=True):
    """Something has come since Drowsy ``number``."""

    number: int


class Asleep(_Message, frozen=True, kw_only=True):
    """Answer to Sleep (``control``): it takes nothing more, and ends."""

    number: int


class Alive(_Message, frozen=True, kw_only=True):
    """Answer to Probe."""

    id: int


class Stack(_Message, frozen=True, kw_only=True):
    """Answer to WantStack: where its threads stand, and its async tasks; for people."""

    id: int
    text: str


class Streams(_Message, frozen=True, kw_only=True):
    """The standard streams of the tool that Run ``streams`` asks for: stdout, stderr and, unless it is /dev/null, stdin
    come with this packet, as SCM_RIGHTS. The agent closes its own copies; the host those of which no Run tells."""

    id: int


class Interrupted(_Message, frozen=True, kw_only=True):
    """Answer to Interrupt, when the turn that it hit is over. ``in_turn`` False: there was none, or another one; else
    ``busy_s`` is how long it took in all. ``by_itself``: it ended before it had seen anything of the interruption."""

    id: int
    in_turn: bool
    busy_s: float = 0.0
    by_itself: bool = False


class Crashed(_Message, frozen=True, kw_only=True):
    """The author's code has raised what ends the process: the end of a long ``trace``, the ``type`` of what was raised,
    and the ``place`` that it came from, module, function and line within that."""

    trace: str
    type: str = ""
    place: str = ""


class CallFailed(_Message, frozen=True, kw_only=True):
    """The turn of a call has failed, and the process goes on: its answer was rejected, or it went round in circles. As
    ``core.remedy.failure`` has it; ``why`` is its text."""

    kind: str
    type: str = ""
    place: str = ""
    tool: str = ""
    why: str = ""


class WantDoor(_Message, frozen=True, kw_only=True):
    """A door to the journal is wanted (``mail``). ``had``: the number of the one that has closed, 0 for none."""

    had: int = 0


class Execed(_Message, frozen=True, kw_only=True):
    """From the init of a PID namespace, which keeps the socket open: its program's exec succeeded."""


class Ended(_Message, frozen=True, kw_only=True):
    """From the init of a PID namespace, last packet: how the agent below it ended, as waitid(2) tells it."""

    code: int
    by_signal: bool
    dumped: bool = False


# ---- host to process


class Go(_Message, frozen=True, kw_only=True):
    """You are contained: begin."""


class Probe(_Message, frozen=True, kw_only=True):
    id: int


class WantStack(_Message, frozen=True, kw_only=True):
    """Where does it stand? Answered by Stack, unless the interpreter does not run."""

    id: int


class Interrupt(_Message, frozen=True, kw_only=True):
    """The turn in hand is to end; its caller gets ``interrupted`` with ``why``. If ``turn`` is not 0, only the turn
    that Beats have told of under that number is meant. ``kind``: what kind of failure that is, for its message."""

    id: int
    why: str
    turn: int = 0
    kind: str = "interrupted"


class Door(_Message, frozen=True, kw_only=True):
    """A stream to the journal comes with this packet, as SCM_RIGHTS: asked for, or because there is mail. It takes the
    place of an earlier one."""

    number: int


class Budget(_Message, frozen=True, kw_only=True):
    """A budget holds for you: count turns and calls. ``why`` no turn may begin, if none may: calls are refused with it
    (``budget_exhausted``). ``args`` are merged into your own, until this comes again without. With ``turn`` that is
    about this turn alone. ``turns``: say Spent when one begins, too, for each has bounds of its own."""

    why: str = ""
    args: dict[str, Any] = {}
    turn: int = 0
    turns: bool = False


class Pace(_Message, frozen=True, kw_only=True):
    """Beat every ``beat_s`` from now on."""

    beat_s: float


FromProcess = (
    Here
    | Up
    | BirthFailed
    | Beat
    | Idle
    | Drowsy
    | Awake
    | Asleep
    | Alive
    | Stack
    | Streams
    | Interrupted
    | Crashed
    | CallFailed
    | WantDoor
    | Execed
    | Ended
)
ToProcess = Go | Probe | WantStack | Interrupt | Budget | Pace | Door
