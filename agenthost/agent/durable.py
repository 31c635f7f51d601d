"""What an agent has that survives it, as far as its process knows: its state, its mail, what its turn is to commit.

Nothing is loaded, and no door is asked for, before the author's code touches ``state``, sends something durable, or
mail comes. The desks carry out; here stands what there is to do. What a turn leaves becomes true with its commit, all
of it; of a turn that fails nothing stays, the state in memory included.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from socket import socket
from typing import TYPE_CHECKING, Any

from agenthost.errors import AgenthostError, UsageError, from_wire
from agenthost.protocol.codec import pack_body, unpack_body

if TYPE_CHECKING:
    from agenthost.agent.agent import Agent
    from agenthost.agent.door import Door
    from agenthost.protocol.mail import Mail, Refused, Sending

LOAD_S = 30.0
STATE_BYTES = 16 * 1024 * 1024
FENCED = 75
"""Exit status of an agent that has a successor (EX_TEMPFAIL)."""
_EMPTY = b"\x80"
"""An empty map."""


class Durable:
    """Of the one agent of this process."""

    __slots__ = (
        "_birth_socket",
        "_inc",
        "_last_key",
        "_lock",
        "_packed",
        "agent",
        "door",
        "is_taking",
        "known",
        "mail",
        "on_door",
        "sends",
        "waits",
    )

    def __init__(self, inc: str, birth_socket: socket) -> None:
        self._inc, self._birth_socket = inc, birth_socket
        self.agent: Agent | None = None
        self.door: Door | None = None
        self.on_door: Callable[[Door], None] | None = None
        """Called once, when there is one."""
        self._lock = threading.Lock()
        self._packed: bytes | None = None
        """The state as it was committed last; None before it is loaded."""
        self._last_key = 0
        self.sends: list[Sending] = []
        """Of the turn in hand."""
        self.known: set[str] = set()
        self.mail: Mail | None = None
        """Leased, and its turn has not begun."""
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

    def load_state(self) -> Any:
        """Blocks until the journal has said it, once."""
        if self._packed is None:
            from agenthost.protocol import mail

            door = self.open()
            answer = door.wait(door.ask(mail.Load), time.monotonic() + LOAD_S)
            if isinstance(answer, mail.Refused):
                raise self.error(answer)
            self._packed = answer.state if answer.state is not None else _EMPTY
        return unpack_body(self._packed)

    def changed_state(self) -> bytes | None:
        """Packed, if it is not what was committed last. ``TypeError`` names what cannot be kept."""
        there = self.agent.__dict__ if self.agent is not None else {}
        if "state" not in there:
            return None
        try:
            packed = pack_body(there["state"])
        except TypeError as error:
            raise TypeError(str(error).replace("cannot send body", "cannot keep state", 1)) from None
        if packed == self._packed:
            return None
        if len(packed) > STATE_BYTES:
            raise UsageError(
                f"cannot keep a state of {len(packed)} bytes: the limit is {STATE_BYTES}",
                hint="keep large things in files, and their names in the state",
            )
        return packed

    def revert(self) -> None:
        """The turn has failed: nothing of it stays. What was never loaded is loaded when it is wanted."""
        self.sends.clear()
        if self.agent is not None:
            self.agent.__dict__.pop("state", None)

    # ---- a turn's end

    @property
    def is_used(self) -> bool:
        """A turn may have something to commit."""
        return bool(self.sends) or (self.agent is not None and "state" in self.agent.__dict__)

    def new_key(self) -> str:
        """Ours alone, for what may have to be said twice."""
        self._last_key += 1
        return f"{self._inc}:{self._last_key}"

    def committed(self, state: bytes | None) -> None:
        if state is not None:
            self._packed = state
        self.sends.clear()

    def error(self, refused: Refused) -> AgenthostError:
        """``SystemExit`` for one that has a successor: nothing that it does counts any more."""
        if refused.code == "stale":
            raise SystemExit(FENCED)
        return from_wire(refused.code, refused.why, refused.hint or None)
