"""Runs an agent's own methods in the test's process, with the context that they have in a host.

::

    with AgentHarness(Clerk, args={"currency": "EUR"}, answers={"/tools/search": lambda body: {"hits": 3}}) as clerk:
        assert clerk.call({"item": "rope"}) == {"price": 3}
        assert clerk.calls == [("/tools/search", {"q": "rope"})]

No process, no socket: calls go to ``answers``, children that the agent starts live in the test's process too. Bodies
and replies are packed and unpacked as on the wire, so what could not be sent fails here too, and a tuple arrives as a
list. What a handler raises, the test gets; the state is then as it was before that turn.

``send`` is durable mail. If its turn fails, ``again`` is the next attempt; ``die_in`` lets the process end in a call::

    clerk.die_in("/pay")
    with pytest.raises(Killed):
        clerk.send({"order": 7})
    with pytest.raises(OutcomeUnknown):
        clerk.again()

With ``config`` its ladder is climbed as in a host, by ``again``, or by ``climb`` to its end::

    with AgentHarness(Clerk, config={"recovery": ["retry", {"compact": {"keep_last": 4}}]}) as clerk:
        assert clerk.climb({"order": 7}) == "done"
        assert [one.rung for one in clerk.remedies] == ["retry", "compact keep_last=4"]
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

import msgspec

from agenthost.agent.agent import IGNORE, Agent, Message
from agenthost.agent.blame import Inapplicable
from agenthost.agent.loading import is_async
from agenthost.core.budget.prices import Price, Prices
from agenthost.errors import TurnInterrupted, UsageError
from agenthost.protocol.codec import pack_body
from agenthost.testing.family import Answer, Family, travelled
from agenthost.testing.scrutiny import Scrutiny
from agenthost.testing.session_log import Entry
from agenthost.testing.shelf import Killed, Shelf, Spend

if TYPE_CHECKING:
    from agenthost.testing.recovering import Recovering, Remedied

_FAILED = (Exception, TurnInterrupted, Killed)


class AgentHarness:
    """``state``, ``calls`` and ``sent`` may be looked at and changed between turns.

    ``ignored`` is True if ``on_start`` returned IGNORE. Set ``stopping`` to let a turn see that it should end.
    """

    def __init__(
        self,
        kind: type[Agent],
        *,
        args: dict[str, Any] | None = None,
        answers: Mapping[str, Answer] | None = None,
        groups: Mapping[str, list[str]] | None = None,
        path: str = "/test",
        incarnation: str = "1.1",
        state: Any = None,
        state_version: int | None = None,
        config: Mapping[str, Any] | None = None,
        prices: Mapping[str, tuple[float, float]] | None = None,
    ) -> None:
        """``groups``: name to paths, which have their answers in ``answers``. ``state``: what an earlier process has
        left, as that ``state_version`` had it (the class's own). ``config``: what else its entry in the config file
        says, as ``{"recovery": [...]}``; without it no remedy is applied. ``prices``: of a million tokens in and out,
        by model or glob; what a message may cost is a bound of its ladder."""
        self.answers = dict(answers or {})
        self._prices = Prices(tuple(Price(model, *pair) for model, pair in (prices or {}).items()))
        self._before = 0
        """Entries of ``spent`` that are of earlier messages."""
        self._recovering = None if config is None else _recovering(path, config)
        self.path, self.incarnation = path, incarnation
        self._family = Family(self.answers, groups or {}, incarnation)
        self.calls = self._family.calls
        """(path, body) of every call that was made."""
        self.sent = self._family.sent
        """(path, body) of every message that was sent."""
        self.later = self._family.later.delayed
        """What was sent for later and not cancelled: values with ``path``, ``body``, ``key``, ``due`` (seconds since
        1970) and ``sender``."""
        self.schedules = self._family.later.schedules
        """Periodic messages by the path of who has scheduled them and their name: (cron, path, body)."""
        self._runner = asyncio.Runner() if is_async(kind) else None
        packed = None if state is None else pack_body(state)
        shelf = Shelf(packed, kind.state_version if state_version is None else state_version)
        self._member = self._family.add(kind, {"args": args or {}}, path, incarnation, shelf)
        if self._recovering is not None:
            self._member.scrutiny = Scrutiny(self._recovering.birth)
        try:
            self.ignored = self._run(self.agent.on_start, None) is IGNORE
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    @property
    def agent(self) -> Agent:
        """Another object after it was killed or has crashed, and tries its message again."""
        return self._member.agent

    @property
    def state(self) -> dict[str, Any]:
        state: dict[str, Any] = self.agent.state
        return state

    @property
    def log(self) -> list[Entry]:
        """Of its session: what ``ctx.emit`` and ``ctx.stream`` have told, and what ``say`` has said, in order. Values
        with ``type``, ``fields`` and ``broken``, which is True of a turn that failed."""
        return self._member.shelf.log.entries

    @property
    def spent(self) -> list[Spend]:
        """What ``ctx.spend`` was told, in order: tuples of tokens in and out, model, and cost."""
        return self._member.shelf.spent

    @property
    def children(self) -> list[str]:
        """Paths of all that run below it, in start order."""
        return [path for path in self._family.members if path.startswith(self.path.rstrip("/") + "/")]

    @property
    def stopping(self) -> bool:
        return self._family.stopping

    @stopping.setter
    def stopping(self, value: bool) -> None:
        self._family.stopping = value

    def call(self, body: Any = None, *, sender: str = "client:0", timeout: float | None = None) -> Any:
        """One turn; returns the reply as its caller would get it."""
        return travelled(self._turn(body, sender, timeout, "call"))

    def send(self, body: Any = None, *, sender: str = "client:0") -> None:
        """One turn of durable mail, its first attempt."""
        self._member.shelf.log.in_session = False
        self._first(body, sender)

    def say(self, body: Any = None, *, sender: str = "client:0") -> None:
        """As ``send``, in its session: ``log`` has the message and what ``handle`` returns, and equal answers in a row
        are counted."""
        log = self._member.shelf.log
        log.in_session = True
        log.said(body, sender)
        self._first(body, sender)

    def _first(self, body: Any, sender: str) -> None:
        recovering = self._recovering
        if recovering is None:
            self._turn(body, sender, None, "send")
            return
        recovering.decided.clear()
        self._before = len(self.spent)
        try:
            self._turn(body, sender, None, "send")
        except BaseException as error:  # as in _attempt
            if (message := self._member.shelf.message) is not None:
                recovering.begin(message)
                recovering.failed(error, self._cost(), self._member.scrutiny.brake)
            raise

    def again(self) -> None:
        """The next attempt of the message of ``send`` whose turn has failed, and what is known of those before. After a
        crash, or ``Killed``, in a new object: its ``on_start`` runs first. With a ``config``: what is done about the
        failure there is done before; a remedy that cannot be applied is passed over, and ``UsageError`` says that no
        attempt is left."""
        shelf, recovering = self._member.shelf, self._recovering
        if shelf.message is None:
            raise UsageError("cannot try again: the last message was handled, or there was none", hint="send() one")
        if recovering is not None and recovering.status != "waiting":
            raise UsageError(f"cannot try again: the message is {recovering.status}", hint="see remedies")
        message = msgspec.structs.replace(shelf.message, attempt=shelf.message.attempt + 1)
        self._renew_if_crashed()
        while True:
            try:
                self._attempt(message)
                return
            except Inapplicable:
                assert recovering is not None
                if recovering.status != "waiting":
                    return
                message = msgspec.structs.replace(message, attempt=message.attempt + 1)

    def climb(self, body: Any = None, *, sender: str = "client:0") -> str:
        """A message of durable mail, tried until it is "done", a "dead_letter", "moved" to another agent, or "asked":
        then it waits for ``answer``. What its turns raise is in ``remedies``."""
        if self._recovering is None:
            raise UsageError("cannot climb: there is no ladder", hint="give AgentHarness a config=")
        try:
            self.send(body, sender=sender)
        except _FAILED:
            pass  # it is noted
        return self.climb_on()

    def climb_on(self) -> str:
        """As ``climb``, of the message that has failed, or was answered."""
        recovering = self._recovering
        while self._member.shelf.message is not None and recovering is not None and recovering.status == "waiting":
            try:
                self.again()
            except _FAILED:
                continue  # it is noted
        return "done" if recovering is None or self._member.shelf.message is None else recovering.status

    @property
    def remedies(self) -> list[Remedied]:
        """What was decided after each failed attempt of the last message, with a ``config``."""
        return [] if self._recovering is None else list(self._recovering.decided)

    @property
    def question(self) -> str:
        """What a person is asked, "" if nobody is."""
        return "" if self._recovering is None else self._recovering.question

    def answer(self, text: str = "", *, yes: bool = True) -> None:
        """What a person says to ``question``; ``again``, or ``climb_on``, is the attempt that gets it."""
        if self._recovering is None:
            raise UsageError("cannot answer: there is no ladder", hint="give AgentHarness a config=")
        self._recovering.answer(text, yes=yes)

    def _cost(self) -> float:
        """Of all attempts at the message in hand."""
        priced = (
            (one, self._prices.cost(one.model, one.tokens_in, one.tokens_out)) for one in self.spent[self._before :]
        )
        return sum((price or 0.0) if one.cost is None else one.cost for one, price in priced)

    def _renew_if_crashed(self) -> None:
        shelf, member, recovering = self._member.shelf, self._member, self._recovering
        escalates = recovering is not None and bool(recovering.decided) and recovering.decided[-1].escalates
        if shelf.has_crashed or escalates:
            ended = shelf.ended
            member.renew()
            self._run(member.agent.on_start, None)
            shelf.ended, shelf.has_crashed = ended, False

    def _attempt(self, message: Message) -> None:
        recovering = self._recovering
        remedy = None
        if recovering is not None:
            recovering.begin(message)
            remedy = recovering.remedy()
        try:
            self._finish(lambda: self._member.turn_again(message, remedy))
        except BaseException as error:  # as a host: whatever ends it is a failure of the attempt
            if recovering is not None:
                recovering.failed(error, self._cost(), self._member.scrutiny.brake)
            raise
        self._tell_downs()

    def die_in(self, tool: str) -> None:
        """The process ends (``Killed``) in the next recorded call of ``tool``, a path, "run" or "popen": it is made,
        and its outcome is never known."""
        self._member.shelf.dies_in = tool

    @property
    def checkpoints(self) -> list[str]:
        """Names of those that were kept, oldest first."""
        return list(self._member.shelf.checkpoints)

    def end(self, path: str, reason: str, *, well: bool = False) -> None:
        """Let the agent at ``path`` end, a child or one of ``answers``: DOWN for whoever monitors it."""
        self._family.end(path, reason, well=well)
        self.answers.pop(path, None)
        self._tell_downs()

    def stop(self) -> None:
        """An orderly stop: runs ``on_stop``. Its children end with it."""
        self.stopping = True
        self._run(self.agent.on_stop, None)
        for path in self.children:
            self._family.end(path, "its owner has ended", well=True)

    def close(self) -> None:
        """End the event loop of an async agent; nothing of the agent's own runs. Safe to call twice."""
        self._family.close()
        if self._runner is not None:
            self._runner.close()

    def _turn(self, body: Any, sender: str, timeout: float | None, kind: Literal["call", "send"]) -> Any:
        deadline = None if timeout is None else time.monotonic() + timeout

        value = self._finish(lambda: self._member.turn(body, sender, deadline, kind))
        self._tell_downs()
        return value

    def _tell_downs(self) -> None:
        """What nobody has asked its monitor for goes to ``on_down``, between turns."""
        while (down := self._member.kin.take_down()) is not None:
            self._run(self.agent.on_down, None, down)  # type: ignore[attr-defined]  # or it would not be kept

    def _run(self, method: Callable[..., Any], deadline: float | None, *arguments: Any) -> Any:
        return self._finish(lambda: self._member.run(method, deadline, *arguments))

    def _finish(self, deed: Callable[[], Any]) -> Any:
        if self._runner is None:
            return deed()

        async def main() -> Any:
            value = deed()
            return await value if inspect.isawaitable(value) else value

        return self._runner.run(main())


def _recovering(path: str, config: Mapping[str, Any]) -> Recovering:
    """Imported where it is wanted: it knows the config and the journal."""
    from agenthost.testing.recovering import Recovering

    return Recovering(path, config)
