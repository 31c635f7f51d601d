"""What an agent has that survives it, as far as its process knows: its state, its mail, what its turn is to commit.

Nothing is loaded, and no door is asked for, before the author's code touches ``state``, sends something durable, or
mail comes. The desks carry out; here stands what there is to do. What a turn leaves becomes true with its commit, all
of it; of a turn that fails nothing stays, the state in memory included.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Awaitable, Callable
from socket import socket
from typing import TYPE_CHECKING, Any

from agenthost.agent.stored_state import EMPTY, opened, packed_state, version_of
from agenthost.errors import AgenthostError, UsageError, from_wire

if TYPE_CHECKING:
    from agenthost.agent.agent import Agent
    from agenthost.agent.ahead import Ahead
    from agenthost.agent.door import Asked, Door
    from agenthost.agent.loops import Brake
    from agenthost.agent.spending import Spending
    from agenthost.agent.telling import Telling
    from agenthost.protocol.birth import Budget
    from agenthost.protocol.mail import Mail, Refused, Sending

LOAD_S = 30.0
NAME_MOST = 200
"""Characters of the name of a checkpoint; the journal takes 1,024 bytes."""
FENCED = 75
"""Exit status of an agent that has a successor (EX_TEMPFAIL)."""


class Durable:
    """Of the one agent of this process."""

    __slots__ = (
        "_birth_socket",
        "_inc",
        "_last_key",
        "_loading",
        "_lock",
        "_packed",
        "_version",
        "agent",
        "ahead",
        "brake",
        "cancels",
        "checkpoint",
        "door",
        "in_hand",
        "is_taking",
        "known",
        "mail",
        "on_door",
        "on_unsaid",
        "own_args",
        "sends",
        "spending",
        "telling",
        "usual_args",
        "waits",
    )

    def __init__(self, inc: str, birth_socket: socket) -> None:
        self._inc, self._birth_socket = inc, birth_socket
        self.agent: Agent | None = None
        self.brake: Brake | None = None
        """The desk's; what it has counted goes with the mail."""
        self.door: Door | None = None
        self.on_door: Callable[[Door], None] | None = None
        """Called once, when there is one."""
        self._lock = threading.Lock()
        self._packed: bytes | None = None
        """The state as it was committed last; None before it is loaded."""
        self._version = 0
        """The one it was committed with."""
        self._loading: Asked | None = None
        """A Load that nobody waits for yet."""
        self.checkpoint = ""
        """The name under which the turn in hand keeps its state too."""
        self._last_key = 0
        self.usual_args: dict[str, Any] | None = None
        """Of the agent, while the turn in hand has others."""
        self.own_args: dict[str, Any] | None = None
        """Of the agent, while a budget has given it others."""
        self.spending: Spending | None = None
        """What it uses, once that is counted."""
        self.sends: list[Sending] = []
        """Of the turn in hand."""
        self.cancels: list[str] = []
        """Keys of what it has cancelled."""
        self.known: set[str] = set()
        self.mail: Mail | None = None
        """Leased, and its turn has not begun."""
        self.in_hand: Mail | None = None
        """What began the turn in hand, if that was mail."""
        self.telling: Telling | None = None
        """What the turn in hand has told, once there was something."""
        self.on_unsaid: Callable[[], None] | None = None
        """Called when something is to be told a little later; None where the desk sees to that by itself."""
        self.ahead: Ahead | None = None
        """Of a desk that begins turns of mail before those before them are true."""
        self.waits = self.is_taking = False
        """The journal has mail for us; we have asked for it."""

    def open(self) -> Door:
        """The door; it is asked for with the first request."""
        if self.door is None:
            with self._lock:  # the sentry's thread may be the first to need it
                if self.door is None:
                    from agenthost.agent.door import Door

                    door = Door(self._birth_socket, self._hear_waiting)
                    if self.on_door is not None:
                        self.on_door(door)
                    self.door = door
        return self.door

    def _hear_waiting(self) -> None:
        self.waits = True

    # ---- state

    def preload(self) -> None:
        """Ask for the state before anybody wants it. Of one that was woken: then it comes with whoever has woken it."""
        if self._packed is None and self._loading is None:
            from agenthost.protocol import mail

            self._loading = self.open().ask(mail.Load)

    def load_state(self) -> Any:
        """Blocks until the journal has said it, once."""
        if self._packed is None:
            from agenthost.protocol import mail

            door = self.open()
            asked, self._loading = self._loading or door.ask(mail.Load), None
            answer = door.wait(asked, time.monotonic() + LOAD_S)
            if isinstance(answer, mail.Refused):
                raise self.error(answer)
            self._packed = answer.state if answer.state is not None else EMPTY
            self._version = answer.state_version if answer.state is not None else version_of(self.agent)
        return opened(self.agent, self._packed, self._version)

    @property
    def stored(self) -> tuple[bytes | None, int]:
        """The state as it was committed last, None before it is loaded, and its version."""
        return self._packed, self._version

    def go_back(self, packed: bytes | None, version: int) -> None:
        """To what was ``stored`` once, with all that the turn in hand has done."""
        self._packed, self._version = packed, version
        self.revert()
        self.in_hand = None

    async def state_before(self, until: Callable[..., Awaitable[bool]], turns: int) -> tuple[bytes, int]:
        """The state as it was so many committed turns ago, packed, and its version. ``UnknownName`` if that is not
        kept."""
        from agenthost.agent.committing import wait_answer
        from agenthost.protocol import mail

        answer = await wait_answer(until, self.open().ask(lambda number: mail.Load(number, back=turns)))
        if isinstance(answer, mail.Refused):
            raise self.error(answer)
        return (EMPTY, version_of(self.agent)) if answer.state is None else (answer.state, answer.state_version)

    def changed_state(self) -> bytes | None:
        """Packed, if it is not what was committed last. ``TypeError`` names what cannot be kept."""
        there = self.agent.__dict__ if self.agent is not None else {}
        if "state" not in there:
            return None
        packed = packed_state(there["state"])
        return None if packed == self._packed and self._version == version_of(self.agent) else packed

    def tell(self) -> Telling:
        if self.telling is None:
            from agenthost.agent.telling import Telling

            self.telling = Telling(self)
        return self.telling

    def revert(self) -> None:
        """The turn has failed: nothing of it stays but what it has told. What was never loaded is loaded when it is
        wanted."""
        if self.telling is not None and self.in_hand is None:
            self.telling.broke()
        self.sends.clear()
        self.cancels.clear()
        self.checkpoint = ""
        self._unvary()
        if self.agent is not None:
            self.agent.__dict__.pop("state", None)

    def vary(self, parameters: dict[str, Any]) -> None:
        """Other args, until the turn in hand is over."""
        if self.agent is not None:
            if self.usual_args is None:
                self.usual_args = self.agent.args
            self.agent.args = {**self.agent.args, **parameters}

    def fall_back(self, parameters: dict[str, Any]) -> None:
        """Other args until this is said again; without any, its own. What a remedy varies stays varied."""
        agent = self.agent
        if agent is None or (not parameters and self.own_args is None):
            return
        usual = agent.args if self.usual_args is None else self.usual_args
        own = usual if self.own_args is None else self.own_args
        fallen = {**own, **parameters} if parameters else own
        self.own_args = own if parameters else None
        if self.usual_args is not None:
            varied = {name: value for name, value in agent.args.items() if name not in usual or usual[name] != value}
            self.usual_args, agent.args = fallen, {**fallen, **varied}
        else:
            agent.args = fallen

    def spend_book(self) -> Spending:
        if self.spending is None:
            from agenthost.agent.spending import Spending

            self.spending = Spending(self)
        return self.spending

    def heed_budget(self, message: Budget) -> None:
        """In any thread."""
        self.spend_book().heed(message)

    def _unvary(self) -> None:
        if self.usual_args is not None and self.agent is not None:
            self.agent.args, self.usual_args = self.usual_args, None

    # ---- a turn's end

    @property
    def is_used(self) -> bool:
        """A turn may have something to commit."""
        if self.sends or self.cancels or self.checkpoint or (self.telling is not None and self.telling.is_used):
            return True
        return self.agent is not None and "state" in self.agent.__dict__

    def keep_checkpoint(self, name: str, *, in_turn: bool) -> None:
        check_name(name)
        if not in_turn:
            raise UsageError(f"cannot keep checkpoint {name!r}: the turn of this ctx is over")
        if self.checkpoint not in ("", name):
            raise UsageError(
                f"cannot keep checkpoint {name!r}: this turn keeps its state as {self.checkpoint!r} already",
                hint="one name a turn: it is the state at the turn's end",
            )
        self.checkpoint = name

    @property
    def has_work(self) -> bool:
        """There is mail, or it is asked for, or something is still to be said or heard."""
        if self.mail is not None or self.waits or self.is_taking:
            return True
        return self.door is not None and self.door.is_busy

    def new_key(self) -> str:
        """Ours alone, for what may have to be said twice."""
        self._last_key += 1
        return f"{self._inc}:{self._last_key}"

    def committed(self, state: bytes | None) -> None:
        if state is not None:
            self._packed, self._version = state, version_of(self.agent)
        if self.telling is not None:
            self.telling.committed()
        self.in_hand = None
        self._unvary()
        self.sends.clear()
        self.cancels.clear()
        self.checkpoint = ""

    def error(self, refused: Refused) -> AgenthostError:
        """``SystemExit`` for one that has a successor: nothing that it does counts any more."""
        if refused.code == "stale":
            raise SystemExit(FENCED)
        return from_wire(refused.code, refused.why, refused.hint or None)


def check_name(name: Any) -> None:
    """Of a checkpoint."""
    if not isinstance(name, str) or not 0 < len(name) <= NAME_MOST:
        raise UsageError(f"cannot use {name!r} as the name of a checkpoint: give a text of 1 to {NAME_MOST} characters")


def check_in_hand(is_in_hand: bool) -> None:
    """Of the turn whose context wants to tell something."""
    if not is_in_hand:
        raise UsageError(
            "cannot tell anything: the turn of this ctx is over, or has not begun",
            hint="what a turn tells becomes true with its commit",
        )
