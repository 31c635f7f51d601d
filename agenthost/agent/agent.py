"""What an author of an agent writes: a subclass of :class:`Agent`; and what it is handed: :class:`Message`.

::

    class Clerk(Agent):
        def on_start(self, ctx):            # optional
            self.prices = load(self.args["prices"])

        def handle(self, message, ctx):     # def or async def; one turn at a time
            if message.body["item"] not in self.prices:
                raise Refuse(f"no such item: {message.body['item']}")
            return {"price": self.prices[message.body["item"]]}

What a handler raises decides what happens:

* ``Refuse`` or any other ``AgenthostError``: the caller gets it, the agent goes on. A call of one's own that fails is
  such an error, so it travels on to the caller if it is not caught.
* any other exception is a crash: the caller gets ``HandlerFailed``, the traceback goes to stderr, the process ends
  with status 1, and the supervisor starts a clean one. Let it crash; do not catch what you cannot repair.
* ``SystemExit``: the same for the caller, and the process ends with the status it names.

A reply that is no plain data (msgpack) is a crash too. What is returned for a ``send`` is dropped.

An agent may have ``check(self, reply)``: why an answer is no good, None if it is (``health``); and ``compact(self,
state, ...)``, which makes a state smaller (``remedying``). ``def`` or as ``handle`` is.

An agent that monitors others (``ctx.monitor``) may have ``on_down(self, down, ctx)``, ``def`` or as ``handle`` is: a
turn for each end that it has not asked the monitor for.
"""

from __future__ import annotations

import enum
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from agenthost.errors import UsageError

if TYPE_CHECKING:
    from agenthost.agent.durable import Durable


class _Ignore(enum.Enum):
    IGNORE = "ignore"


IGNORE: Final = _Ignore.IGNORE
"""Returned by ``on_start``: there is nothing to do here (OTP ``ignore``, rule S3). The process ends, not missed."""


class Message(msgspec.Struct, frozen=True):
    """What a turn is about. ``sender`` is the path of an agent, or "client:UID"; the host vouches for it."""

    body: Any
    sender: str
    id: int
    kind: Literal["call", "send"]
    deadline: float | None = None
    """When the caller stops waiting, on the clock of ``time.monotonic``; None if nobody waits."""
    attempt: int = 1
    """Of durable mail: how often it has been given to an incarnation, this time included."""


class _State:
    """Loads the state when it is touched first; then it is a plain attribute of the agent."""

    def __get__(self, agent: Agent | None, kind: type[Agent]) -> Any:
        if agent is None:
            return self
        durable = agent.__dict__.get("_durable")
        state = agent.__dict__["state"] = {} if durable is None else durable.load_state()
        return state


class Agent(ABC):
    """``args`` come from the config, before ``__init__`` runs.

    ``state`` is what msgpack can carry, a dict at first. It is loaded when it is touched first, and saved at the end of
    every turn that has changed it; a turn that fails leaves it as it was before.
    """

    args: dict[str, Any]
    state_version: int = 0
    """Kept with the state: raise it when what stands in the state changes, and write ``migrate``."""
    if TYPE_CHECKING:
        state: Any
    else:
        state = _State()

    def on_start(self, ctx: Any) -> Any:
        """Runs before the agent counts as ready; what it raises is "failed to start". May return ``IGNORE``."""

    @abstractmethod
    def handle(self, message: Message, ctx: Any) -> Any:
        """One turn. What it returns is the reply to a call."""

    def on_stop(self, ctx: Any) -> Any:
        """Runs after the last turn of an orderly stop, and only then."""

    def migrate(self, state: Any, from_version: int) -> Any:
        """Returns the state as this class has it, of one that an older ``state_version`` has left. Called when it is
        loaded; it is kept with the turn. What it raises fails the turn, and leaves what is kept as it is."""
        raise UsageError(
            f"cannot open a state of version {from_version}: {type(self).__qualname__} has state_version "
            f"{self.state_version} and no migrate(state, from_version)"
        )


def create(kind: type[Agent], args: dict[str, Any], durable: Durable | None = None) -> Agent:
    """An object of ``kind`` whose ``__init__``, if it has one, finds ``args`` and ``state`` in place. Without
    ``durable`` its state begins empty and is in memory alone."""
    agent = kind.__new__(kind)
    agent.args = args
    if durable is not None:
        durable.agent = agent
        agent.__dict__["_durable"] = durable
    agent.__init__()  # type: ignore[misc]  # so that an author's __init__ needs no call of ours
    return agent
