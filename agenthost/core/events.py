"""What happened: the inputs of ``step``. ``n`` numbers an agent's incarnation; an event of an older one is dropped."""

from __future__ import annotations

from typing import Literal

import msgspec

from agenthost.core.reason import Kind, Reason
from agenthost.core.spec import ChildSpec, SupervisorSpec


class _Event(msgspec.Struct, frozen=True, tag_field="event", tag=True):
    pass


class Boot(_Event, frozen=True):
    """The host is there; start the tree."""


class Ready(_Event, frozen=True):
    """The process can work (S1)."""

    path: str
    n: int


class Ignored(_Event, frozen=True):
    """The process says there is nothing to do for it (S3)."""

    path: str
    n: int


class Exited(_Event, frozen=True):
    """The main process is gone, or was never born; what it left in its cell is not yet."""

    path: str
    n: int
    reason: Reason


class Emptied(_Event, frozen=True):
    """The cell is empty: the incarnation has ended."""

    path: str
    n: int


class Fault(_Event, frozen=True):
    """The host saw a reason to end the incarnation: silence, a failed health check."""

    path: str
    n: int
    reason: Reason


class Overrun(_Event, frozen=True):
    """The turn in hand is beyond a bound; ``text`` says which. ``turn`` is the agent's number of it, 0 whichever is in
    hand; ``kind`` is what its process is ended of if it does not come back."""

    path: str
    n: int
    turn: int
    text: str
    kind: Kind = "turn_timeout"


class TurnEnded(_Event, frozen=True):
    """An agent that was interrupted has come back. ``in_turn`` False: no turn was in hand; else ``text`` says what was
    interrupted."""

    path: str
    n: int
    in_turn: bool
    text: str = ""


class Idle(_Event, frozen=True):
    """It has had nothing to do for ``for_s`` seconds, and may be asked to sleep."""

    path: str
    n: int
    for_s: float


class Stirred(_Event, frozen=True):
    """It has something to do again, and does not sleep if it was asked to."""

    path: str
    n: int


class FallsAsleep(_Event, frozen=True):
    """It was asked to, and had nothing to do: it takes nothing more and ends."""

    path: str
    n: int


class Due(_Event, frozen=True):
    """A timer set by ``SetTimer`` ran out."""

    timer: str


class Command(_Event, frozen=True):
    """An operator's wish. ``op`` is answered exactly once by ``Answer``."""

    op: int
    verb: Literal["start", "stop", "restart", "kill", "interrupt", "freeze", "thaw"]
    path: str
    by: str = "operator"


class Add(_Event, frozen=True):
    """Start a child at run time, under a supervisor by its own spec, in a pool by the pool's template. Answered when it
    is up, or with why it is not; then nothing of it is kept."""

    op: int
    parent: str
    name: str
    spec: ChildSpec | None = None
    by: str = "operator"


class Restore(_Event, frozen=True):
    """A child that persists, of an earlier life of the host: of a pool without ``spec``, of an agent with it. It is
    started when that runs."""

    parent: str
    name: str
    spec: ChildSpec | None = None


class Wake(_Event, frozen=True):
    """Somebody wants something of a worker that sleeps, or of a member of a pool that need not be there yet. Answered
    when it runs, or with why it does not."""

    op: int
    path: str
    by: str


class Delete(_Event, frozen=True):
    """Forget a child that has no process."""

    op: int
    path: str
    by: str = "operator"


class Reload(_Event, frozen=True):
    """Become the tree of ``spec``, all or nothing. Answered when everything new is up and the rest under way."""

    op: int
    spec: SupervisorSpec
    by: str = "operator"


class Halt(_Event, frozen=True):
    """End everything. ``ask`` climbs the ladder in reverse order, ``hurry`` sends TERM to all, ``kill`` kills all."""

    how: Literal["ask", "hurry", "kill"]
    by: str = "operator"


OfProcess = Ready | Ignored | Exited | Emptied | Fault | Overrun | TurnEnded | Idle | Stirred | FallsAsleep
Event = Boot | OfProcess | Due | Command | Add | Restore | Wake | Delete | Reload | Halt
