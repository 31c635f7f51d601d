"""``ctx.scope()``: a nursery of processes. None outlives the block, however it is left.

It ends its children by End and waits until their cells are empty: politely if the block ends as planned, by KILL if it
is left by an exception, if its time is over, or if a child has failed. A temporary child that ends badly fails the
scope, unless a call to it has said so already: then it is for the caller to judge. What has another restart type is
its supervisor's business. Its time (``timeout``) is also told to the host, which kills the children then, even if we
compute in C.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from types import TracebackType
from typing import Any, Self

from agenthost.agent.bell import Bell
from agenthost.agent.birth import Birth, How, end_all
from agenthost.agent.blocking import finish
from agenthost.agent.children import AsyncChild, Child
from agenthost.agent.deadlines import LONGEST_S, within
from agenthost.agent.kin import Kin
from agenthost.agent.monitor import Ended
from agenthost.agent.wanted import What, wanted
from agenthost.errors import AgenthostError, Down, HandlerFailed, TimedOut, UsageError
from agenthost.transport.caller import Call

NEW, OPEN, OVER = range(3)
_LATE_S = 10.0
"""How long Down of a child that had ended before may take, repetitions included, while the host answers."""


class AsyncScope:
    """``async with ctx.scope() as scope``."""

    def __init__(self, kin: Kin, timeout: float | None) -> None:
        self._kin, self._timeout_s = kin, timeout
        self._state = NEW
        self._deadline: float | None = None
        self._outer: float | None = None
        self._births: list[Birth] = []
        self._failing = Bell()
        self._incarnations: dict[str, str] = {}
        """Of its children, by path: a name may be used again."""
        self._excused: set[str] = set()
        """Incarnations whose end is known to whoever uses the scope."""
        self._failure: Ended | None = None
        self._cause: AgenthostError | None = None
        """What the scope has failed of."""

    # ---- the block

    async def __aenter__(self) -> Self:
        if self._state != NEW:
            raise UsageError("cannot enter a scope twice", hint="ask ctx.scope() for a new one")
        self._state = OPEN
        self._outer = self._deadline = within.get()
        if self._timeout_s is not None:
            due = time.monotonic() + min(self._timeout_s, LONGEST_S)
            self._deadline = due if self._outer is None else min(due, self._outer)
        within.set(self._deadline)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        within.set(self._outer)
        if self._state == OPEN:
            self._kin.look()  # what has failed by now counts
        is_over, self._state = self._state == OVER, OVER
        problem: AgenthostError | None = None
        if error is None or isinstance(error, AgenthostError):
            # the end of a child by the host's clock is our own time's, and so is a call that could not be made any more
            problem = None if is_over else self._problem() if error is None else self._overdue()
        births, well = self._births.copy(), error is None and problem is None
        await self._end_all("stop" if well else "kill")
        if well and not is_over:
            await self._judge_late(births)
            problem = self._problem() if self._failure is not None else None
        if problem is not None and not isinstance(error, TimedOut):
            raise problem from error

    async def start(
        self,
        what: What,
        *,
        name: str | None = None,
        args: dict[str, Any] | None = None,
        timeout: float | None = None,
        **keys: Any,
    ) -> AsyncChild:
        """As ``ctx.start``; the child ends with the block."""
        await self._check("start")
        thing = wanted(what, name, args, keys)
        if thing.spec.get("persist"):
            raise UsageError(f"cannot let {thing.name} persist: it ends with its scope", hint="use ctx.start")
        birth = Birth(self._kin, thing, self._deadline, self._heard)
        self._births.append(birth)
        try:
            incarnation = await birth.wait_ready(self._kin.limit(timeout))
            self._incarnations[birth.path] = incarnation
            return AsyncChild(self._kin, birth, incarnation, self)
        except BaseException as error:  # also a cancelled task, a signal's handler: nobody would know of the child
            self._kin.monitors.cancel(birth.watch)  # its end is ours; no Forget: its Down is seen and dropped
            await end_all(self._kin, [birth], "kill")
            if birth in self._births:
                self._births.remove(birth)
            if isinstance(error, AgenthostError):
                await self._raise_overdue()
            raise

    async def call(self, path: str, body: Any, timeout: float | None) -> Any:
        """Behind ``child.call``."""
        await self._check("call")
        outcomes, error = await self._exchange([(path, body)], timeout)
        if error is not None:
            await self._raise_overdue()
            raise error
        return outcomes[0]

    async def gather(self, wishes: Iterable[tuple[AsyncChild | Child, Any]], timeout: float | None = None) -> list[Any]:
        """Call several children at once; the replies in the order of ``wishes``.

        The first error, in time, ends all children of the scope and is raised when they are gone.
        """
        await self._check("gather")
        outcomes, error = await self._exchange([(child.path, body) for child, body in wishes], timeout)
        if error is not None:
            await self._raise_overdue()
            await self._fail(error)
        return outcomes

    async def cancel(self) -> None:
        """Kill all children of the scope now; returns when they are gone. Nothing can be started in it any more."""
        self._state = OVER
        await self._end_all("kill")

    def excuse(self, path: str) -> None:
        """The end of this child is no failure of the scope."""
        self._excused.add(self._incarnations.get(path, ""))

    # ---- calls

    async def _exchange(
        self, wishes: list[tuple[str, Any]], timeout: float | None
    ) -> tuple[list[Any], AgenthostError | None]:
        """Outcomes and the first error in time, which is not waited beyond: what is open then is abandoned. If the
        scope fails meanwhile, that is raised."""
        kin, deadline = self._kin, self._kin.limit(timeout)
        calls: list[Call] = []
        left = len(wishes)
        first: AgenthostError | None = None
        bell = Bell()

        def heard(call: Call) -> None:
            nonlocal left, first
            left -= 1
            if isinstance(call.outcome, AgenthostError):
                first = call.outcome if first is None else first
                if isinstance(call.outcome, Down | HandlerFailed):
                    self.excuse(call.link.path)
            if not left or first is not None:
                bell.ring()

        why = "interrupted"
        self._failing.hang(bell.ring)
        try:
            for path, body in wishes:
                calls.append(kin.call(path, body, deadline, heard))
            await kin.until(lambda: not left or first is not None or self._failure is not None, deadline, bell)
            why = "its time is over" if first is None else "another call failed"
            has_failed = first is None and left > 0 and self._failure is not None
        finally:
            self._failing.unhang(bell.ring)
            for call in calls:
                if call.outcome is None:
                    kin.abandon(call, why)
        if has_failed:
            await self._check("call")
        outcomes = [call.decoded() for call in calls]
        return outcomes, first or next((one for one in outcomes if isinstance(one, AgenthostError)), None)

    # ---- what goes wrong

    def _heard(self, ended: Ended) -> None:
        if self._state != OVER:  # then it is ended by us
            self._judge(ended)

    def _judge(self, ended: Ended) -> None:
        if self._failure is None and not ended.well and ended.incarnation and ended.incarnation not in self._excused:
            self._failure = ended
            self._failing.ring()

    async def _judge_late(self, births: list[Birth]) -> None:
        """Who had ended before the block did, though that was not yet heard here."""
        for birth in births:
            if birth.had_ended and birth.is_temporary:
                watch = birth.watch
                await self._kin.until(lambda w=watch: w.ended is not None, time.monotonic() + _LATE_S, watch.bell)  # type: ignore[misc]
                if watch.ended is not None:
                    self._judge(watch.ended)

    def _overdue(self) -> TimedOut | None:
        if self._deadline is None or time.monotonic() < self._deadline:
            return None
        took = "" if self._timeout_s is None else f" of {self._timeout_s:g} s"
        return TimedOut(f"cannot go on in this scope of {self._kin.path}: its time{took} is over")

    def _problem(self) -> AgenthostError | None:
        overdue, ended = self._overdue(), self._failure
        if overdue is not None or ended is None:
            return overdue
        return Down(
            f"cannot go on in this scope of {self._kin.path}: its child {ended.path} has ended ({ended.reason})",
            path=ended.path,
            incarnation=ended.incarnation,
            reason=ended.reason,
        )

    async def _check(self, verb: str) -> None:
        """Raise what has gone wrong, after all children are gone."""
        if self._state == NEW:
            raise UsageError(f"cannot {verb} in a scope that is not entered", hint="write: with ctx.scope() as scope")
        if self._state == OVER:
            if self._cause is not None:
                await self._fail(self._cause)
            raise UsageError(f"cannot {verb} in this scope: it is over, its children have ended")
        self._kin.look()
        problem = self._problem()
        if problem is not None:
            await self._fail(problem)

    async def _raise_overdue(self) -> None:
        overdue = self._overdue()
        if overdue is not None:
            await self._fail(overdue)

    async def _fail(self, error: AgenthostError) -> None:
        """End all children by KILL, then raise."""
        self._state, self._cause = OVER, error
        await self._end_all("kill")
        raise error

    async def _end_all(self, how: How) -> None:
        """Several tasks may come here; each returns when all is gone."""
        await end_all(self._kin, self._births, how)
        self._births.clear()


class Scope:
    """``with ctx.scope() as scope``, of an agent whose handler is a plain function."""

    def __init__(self, twin: AsyncScope) -> None:
        self._twin = twin

    def __enter__(self) -> Self:
        finish(self._twin.__aenter__())
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        finish(self._twin.__aexit__(kind, error, tb))

    def start(
        self,
        what: What,
        *,
        name: str | None = None,
        args: dict[str, Any] | None = None,
        timeout: float | None = None,
        **keys: Any,
    ) -> Child:
        """As in :class:`AsyncScope`."""
        return Child(finish(self._twin.start(what, name=name, args=args, timeout=timeout, **keys)))

    def gather(self, wishes: Iterable[tuple[Child, Any]], timeout: float | None = None) -> list[Any]:
        """As in :class:`AsyncScope`."""
        return finish(self._twin.gather(wishes, timeout))

    def cancel(self) -> None:
        """As in :class:`AsyncScope`."""
        finish(self._twin.cancel())
