"""What clients may ask of the host: the operations of ``protocol/operations.py``, one method each.

Every request is answered once; the same request again (a lost answer) gets the same answer, and never acts twice.
"""

from __future__ import annotations

import asyncio
import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Literal, Protocol

from agenthost.core import effects as do
from agenthost.core import events as on
from agenthost.core.birth import AgentBirth
from agenthost.core.tree import State, Supervisor, Worker
from agenthost.core.view import shown
from agenthost.errors import AgenthostError, TimedOut, UsageError, from_wire
from agenthost.host.budget_operations import BudgetOperations
from agenthost.host.chronicle import Chronicle
from agenthost.host.explaining import Explaining
from agenthost.host.following import Following, Question
from agenthost.host.incarnation import Incarnation
from agenthost.host.journaling import Journaling
from agenthost.host.mail_operations import MailOperations
from agenthost.host.record_operations import RecordOperations
from agenthost.host.reloading import Reloading
from agenthost.host.session_operations import SessionOperations
from agenthost.host.status import Status
from agenthost.host.time_operations import TimeOperations
from agenthost.protocol import operations as ask
from agenthost.protocol.codec import encode
from agenthost.protocol.control import Refused, Request, Response

REMEMBERED, REMEMBERED_BYTES = 4096, 4096
"""Answers kept in case they were lost, and how long they may be: longer ones only looked, and can look again."""

BOXES_S = 0.5
"""How long ``status`` waits for the journal: without it the rest is told."""


class HostSelf(Protocol):
    """What operators ask of the host as a whole."""

    boot: int

    def describe(self) -> dict[str, Any]: ...

    def own_processes(self) -> list[dict[str, Any]]: ...

    def doctor(self) -> list[dict[str, Any]]: ...

    def counters(self) -> dict[str, int]: ...

    def halt(self, how: str, by: str) -> None: ...


class Owner(Protocol):
    """Of some operations."""

    def work(self, wanted: ask.Operation, by: str) -> Awaitable[Any] | None:
        """None: it is no operation of these. ``by`` is "uid 1000"."""


class Operators:
    """``send(peer, frame)`` says; ``tell`` reaches the core."""

    def __init__(
        self,
        *,
        host: HostSelf,
        state: State,
        status: Status,
        present: Callable[[str], Incarnation | None],
        chronicle: Chronicle,
        reloading: Reloading,
        journaling: Journaling,
        refresh: Callable[[AgentBirth], Awaitable[bool]],
        send: Callable[[bytes, bytes], None],
        tell: Callable[[on.Event], None],
    ) -> None:
        self._host, self._state, self._status, self._present = host, state, status, present
        self._refresh = refresh
        self._journal = journaling.asking
        self._mail = MailOperations(journaling.asking)
        self._times = TimeOperations(journaling.asking)
        self._budgets = BudgetOperations(journaling.asking)
        self._sessions = SessionOperations(state, present, journaling.asking, self._commanded)
        clock = asyncio.get_running_loop().time
        explaining = Explaining(state, present, chronicle, journaling, clock, host.describe)
        self._recorded = RecordOperations(journaling.asking, explaining)
        self._reloading, self._send, self._tell = reloading, send, tell
        self._answers: OrderedDict[Question, bytes] = OrderedDict()
        self._open: set[Question] = set()
        self._commands: dict[int, tuple[Question, str]] = {}
        self._steps: dict[int, asyncio.Future[str]] = {}
        """Commands that are steps of a longer operation."""
        self._results: dict[int, list[dict[str, Any]]] = {}
        """Of reloads under way: what they change."""
        self.others: list[Owner] = []
        """Who else knows how to do something."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._last_op = 0
        self._following = Following(chronicle, state, self._stream)

    def asked(self, peer: bytes, uid: int, request: Request) -> None:
        question = (peer, request.id)
        if (frame := self._answers.get(question)) is not None:
            self._send(peer, frame)
            return
        if question in self._open:
            return
        try:
            wanted = ask.read_arguments(request.op, request.args)
            self._open.add(question)
            self._do(question, wanted, f"uid {uid}")
        except Exception as error:  # whoever asks gets an answer, and a bug of one operation is not the host's end
            self._refuse(question, _as_ours(error))

    def answered(self, effect: do.Answer) -> None:
        """The core has decided and it is done."""
        if (step := self._steps.pop(effect.op, None)) is not None:
            if step.done():
                return  # whoever waited for it was cancelled
            if effect.error is None:
                step.set_result(effect.text)
            else:
                step.set_exception(from_wire(effect.error, effect.text))
            return
        asked = self._commands.pop(effect.op, None)
        if asked is None:
            return
        question, path = asked
        changes = self._results.pop(effect.op, None)
        if effect.error is not None:
            self._refuse(question, from_wire(effect.error, effect.text))
        elif changes is not None:
            self._respond(question, {"changes": changes, "text": effect.text})
        else:
            self._respond(question, self._brief(path, effect.text))

    def gone(self, peer: bytes) -> None:
        """A follower that cannot be reached asks again when it is back."""
        self._open.difference_update(self._following.gone(peer))

    def close(self) -> None:
        self._following.close()
        for task in self._tasks:
            task.cancel()

    # ---- the operations

    def _do(self, question: Question, wanted: ask.Operation, by: str) -> None:
        match wanted:
            case ask.Ping(journal=journal):
                boot = self._host.boot
                self._respond(question, {"boot": boot, "journal": self._journal.slow} if journal else boot)
            case ask.Status():
                self._later(question, self._show(question, wanted))
            case ask.Ps():
                self._respond(question, self._host.own_processes())
            case ask.Start() | ask.Restart():
                self._later(question, self._with_present_code(question, wanted, by))
            case ask.Stop() | ask.Kill() | ask.Interrupt() | ask.Freeze() | ask.Thaw():
                self._command(question, wanted, by)
            case ask.Events(start=start, follow=follow):
                self._events(question, start, follow)
            case ask.Wait():
                self._wait(question, wanted)
            case ask.Plan():
                self._later(question, self._plan(question))
            case ask.Reload():
                self._later(question, self._reload(question, wanted, by))
            case ask.Halt(how=how):
                self._respond(question, None)
                self._host.halt(how, by)
            case ask.Doctor():
                self._later(question, self._examine(question))
            case ask.Counters():
                self._respond(question, self._host.counters())
            case _:
                self._elsewhere(question, wanted, by)

    def _elsewhere(self, question: Question, wanted: ask.Operation, by: str) -> None:
        owners: list[Owner] = [self._mail, self._times, self._sessions, self._recorded, self._budgets, *self.others]
        for owner in owners:
            if (work := owner.work(wanted, by)) is not None:
                self._later(question, self._answer_with(question, work))
                return
        raise UsageError(f"cannot do {type(wanted).__name__.lower()!r}: this host does not know how")

    # ---- looking

    async def _show(self, question: Question, wanted: ask.Status) -> None:
        tree = self._status.rows(wanted.paths, members=wanted.members)
        boxes = await self._journal.mailboxes(BOXES_S)
        asleep = await self._journal.asleep(BOXES_S) if any(row.get("pool") for row in tree) else None
        for row in tree:
            if row["kind"] == "worker":
                row["mailbox"] = None if boxes is None else boxes.get(row["path"], 0)
            elif row["pool"]:
                row["asleep"] = None if asleep is None else asleep.get(row["path"], 0)
        self._respond(question, {"host": self._host.describe(), "tree": tree})

    async def _examine(self, question: Question) -> None:
        await self._journal.mailboxes(BOXES_S)  # whether it answers shows in what is said of it
        self._respond(question, self._host.doctor())

    async def _answer_with(self, question: Question, work: Awaitable[Any]) -> None:
        self._respond(question, await work)

    async def _with_present_code(self, question: Question, wanted: ask.Start | ask.Restart, by: str) -> None:
        """By hand means: with the code that is there now. If it does not import, the old goes on running."""
        for birth in self._births_below("/" + wanted.path.strip("/")):
            await self._refresh(birth)
        self._command(question, wanted, by)

    def _births_below(self, path: str) -> list[AgentBirth]:
        inside = path.rstrip("/") + "/"
        nodes = [node for at, node in self._state.nodes.items() if at == path or at.startswith(inside)]
        return [
            node.spec.birth for node in nodes if isinstance(node, Worker) and isinstance(node.spec.birth, AgentBirth)
        ]

    def _command(self, question: Question, wanted: ask.OnPath, by: str) -> None:
        self._last_op += 1
        op, path = self._last_op, "/" + wanted.path.strip("/")
        self._commands[op] = (question, path)
        if wanted.timeout_s is not None:
            asyncio.get_running_loop().call_later(wanted.timeout_s, self._too_late, op, wanted.timeout_s)
        who = f"{by} ({wanted.reason})" if wanted.reason else by
        pool = self._pool_above(path) if isinstance(wanted, ask.Start) else None
        if pool is not None:
            self._tell(on.Add(op, pool.path, _member_name(path), None, who))
        else:
            verb = type(wanted).__name__.lower()
            self._tell(on.Command(op, verb, path, who))  # type: ignore[arg-type]
        if not wanted.wait and self._commands.pop(op, None) is not None:
            self._respond(question, self._brief(path, "under way"))

    async def _commanded(self, verb: Literal["start", "stop"], path: str, by: str) -> str:
        """What it led to, in words; what the core refuses is raised."""
        self._last_op += 1
        step: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._steps[self._last_op] = step
        pool = self._pool_above(path) if verb == "start" else None
        if pool is not None:
            self._tell(on.Add(self._last_op, pool.path, _member_name(path), None, by))
        else:
            self._tell(on.Command(self._last_op, verb, path, by))
        return await step

    def _pool_above(self, path: str) -> Supervisor | None:
        """The pool that would get a member of that path; None if the path is known, or no pool stands above it."""
        parent = self._state.nodes.get(path.rpartition("/")[0] or "/")
        is_new = path not in self._state.nodes
        return parent if is_new and isinstance(parent, Supervisor) and parent.is_pool else None

    # ---- reading the config again

    def _later(self, question: Question, work: Coroutine[Any, Any, None]) -> None:
        """Something that cannot be answered at once; what it raises is the answer."""

        async def answer() -> None:
            try:
                await work
            except Exception as error:  # as in ``asked``
                self._refuse(question, _as_ours(error))

        task = asyncio.get_running_loop().create_task(answer())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _plan(self, question: Question) -> None:
        fresh = await self._reloading.read()
        self._respond(question, self._reloading.changes(self._state.root.spec, fresh))

    async def _reload(self, question: Question, wanted: ask.Reload, by: str) -> None:
        fresh = await self._reloading.read()
        changes = self._reloading.changes(self._state.root.spec, fresh)
        self._last_op += 1
        op = self._last_op
        self._commands[op] = (question, "/")
        self._results[op] = changes
        if wanted.timeout_s is not None:
            asyncio.get_running_loop().call_later(wanted.timeout_s, self._too_late, op, wanted.timeout_s)
        self._tell(on.Reload(op, fresh.tree, by))

    def _too_late(self, op: int, timeout_s: float) -> None:
        asked = self._commands.pop(op, None)
        self._results.pop(op, None)
        if asked is not None:
            text = f"cannot wait any longer: {asked[1]} is {self._shown(asked[1])} after {timeout_s:g} s"
            self._refuse(asked[0], TimedOut(text, hint="it goes on all the same"))

    def _events(self, question: Question, start: int | None, follow: bool) -> None:
        *earlier, last = self._following.batches(start)
        for batch in earlier:
            self._stream(question, batch)
        if follow:
            self._stream(question, last)
            self._following.follow(question)
        else:
            self._respond(question, last)

    def _wait(self, question: Question, wanted: ask.Wait) -> None:
        path = "/" + wanted.path.strip("/")

        def ended(error: TimedOut | None) -> None:
            if error is None:
                self._respond(question, self._brief(path, ""))
            else:
                self._refuse(question, error)

        self._following.wait(question, path, wanted.state, wanted.timeout_s, ended)

    # ---- answering

    def _shown(self, path: str) -> str:
        node = self._state.nodes.get(path)
        return shown(node) if node is not None else "gone"

    def _brief(self, path: str, text: str) -> dict[str, Any]:
        incarnation = self._present(path)
        name = incarnation.name if incarnation is not None else None
        return {"path": path, "state": self._shown(path), "incarnation": name, "text": text}

    def _stream(self, question: Question, result: Any) -> None:
        self._send(question[0], encode(Response(id=question[1], result=result, more=True)))

    def _respond(self, question: Question, result: Any) -> None:
        self._settle(question, encode(Response(id=question[1], result=result)))

    def _refuse(self, question: Question, error: AgenthostError) -> None:
        refused = Refused(id=question[1], code=error.code, why=error.message, hint=error.hint)
        self._settle(question, encode(refused))

    def _settle(self, question: Question, frame: bytes) -> None:
        self._open.discard(question)
        if len(frame) <= REMEMBERED_BYTES:
            self._answers[question] = frame
        while len(self._answers) > REMEMBERED:
            self._answers.popitem(last=False)
        self._send(question[0], frame)


def _member_name(path: str) -> str:
    """``UsageError``: it is not fit for a path. The rule is the config's."""
    name = path.rpartition("/")[2]
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", name):
        raise UsageError(
            f"cannot name a member {name!r}: a name has letters, digits, '_', '.', '-', at most 64",
            hint="begin it with a letter or digit",
        )
    return name


def _as_ours(error: Exception) -> AgenthostError:
    return error if isinstance(error, AgenthostError) else AgenthostError(f"{type(error).__name__}: {error}")
