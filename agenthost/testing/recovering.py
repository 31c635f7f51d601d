"""The ladder of an agent in a test without a host: what becomes of a message whose turn has failed.

It is decided by the code that decides in a host (``journal.remedies``), from the same words of the config. Pauses are
noted, not waited for; nobody is asked, the test answers.
"""

from __future__ import annotations

import os
import random
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from agenthost.agent.agent import Message
from agenthost.agent.blame import Inapplicable, failure_of
from agenthost.agent.loops import Brake
from agenthost.config.births import Usual
from agenthost.config.plain import OwnCode, read_child
from agenthost.core.birth import AgentBirth
from agenthost.core.remedy.failure import Failure
from agenthost.core.spec import WorkerSpec
from agenthost.errors import ProtocolError, Refuse, UsageError
from agenthost.journal import ops, remedies, values
from agenthost.protocol import mail
from agenthost.testing.shelf import Killed

Status = Literal["waiting", "asked", "moved", "dead_letter"]
_STATUS: dict[type, Status] = {
    ops.BackOff: "waiting",
    ops.Park: "asked",
    ops.Move: "moved",
    ops.DeadLetter: "dead_letter",
}
_WHAT = {ops.BackOff: "backed_off", ops.Park: "parked", ops.Move: "moved", ops.DeadLetter: "dead_letter"}


class Remedied(msgspec.Struct, frozen=True):
    """What was decided after an attempt. ``rung`` as in ``ctx.attempt.rung``; ``why`` that one; ``reason`` why the
    attempt ended. ``pause_s`` would be waited in a host. ``escalates``: the process ends for it."""

    attempt: int
    fingerprint: str
    rung: str
    why: str
    reason: str
    pause_s: float
    escalates: bool


def birth_of(config: Mapping[str, Any]) -> AgentBirth:
    """``config`` as an agent has it in the file. ``ConfigError``."""
    folder = os.getcwd()
    spec = read_child("test", dict(config), folder, OwnCode("test:Agent"), Usual(cwd=folder))
    assert isinstance(spec, WorkerSpec) and isinstance(spec.birth, AgentBirth)
    return spec.birth


class Recovering:
    """Of the message in hand, or the last one. ``path`` is who has it."""

    def __init__(self, path: str, config: Mapping[str, Any]) -> None:
        from agenthost.host.receivers import terms_of

        self.path = path
        self.birth = birth_of(config)
        self.terms = terms_of(self.birth)
        self.status: Status = "waiting"
        self.decided: list[Remedied] = []
        self.question = ""
        self._held: values.Mail | None = None
        self._history: list[values.Failure] = []
        self._now_ms = 0

    def begin(self, message: Message) -> None:
        """Its first attempt."""
        if message.attempt == 1:
            self._history.clear()
            self.decided.clear()
        self.status, self.question = "waiting", ""
        self._held = values.Mail(message.id, 0, self.path, message.sender, "", "leased", message.attempt, 0, b"")

    def remedy(self) -> mail.Remedy | None:
        """Of the attempt that begins now."""
        return remedies.for_attempt(self._history)

    def failed(self, error: BaseException, spent: float = 0.0, brake: Brake | None = None) -> None:
        """``spent`` is what the message has cost so far; ``brake`` counts turns that fail, as others of its agent."""
        held = self._held
        assert held is not None
        chance = random.randrange(2**31)
        if isinstance(error, Inapplicable):
            verdict = remedies.instead(held, str(error), self._history, self.terms, self._now_ms, chance)
        else:
            final = isinstance(error, Refuse | ProtocolError)
            failure = _failure(error)
            if brake is not None:
                failure, why = brake.failed_turn(failure, failure.text)
                failure = msgspec.structs.replace(failure, text=why)
            history, now_ms = self._history, self._now_ms
            verdict = remedies.after_failure(
                held, failure, history, self.terms, now_ms, chance, final=final, spent=spent
            )
        if why := remedies.falls_on_itself(verdict, self.path):
            verdict = remedies.instead_of(verdict, why, held, self._history, self.terms, self._now_ms, chance)
        self._note(held, verdict)

    def answer(self, text: str, *, yes: bool) -> None:
        if self.status != "asked" or self._held is None:
            raise UsageError("cannot answer: nothing was asked", hint="its ladder has an ask, and has come there?")
        op = remedies.answer_of(self._held, yes=yes, text=text, by="the test", history=self._history)
        kept = op.mark
        what = "answered" if isinstance(op, ops.Resume) else "dead_letter"
        self._append(self._held.attempt, what, op.reason, kept)
        self.status, self.question = ("waiting" if yes else "dead_letter"), ""

    def _note(self, held: values.Mail, verdict: remedies.Verdict) -> None:
        op = verdict.op
        pause_s = (op.until_ms - self._now_ms) / 1000 if isinstance(op, ops.BackOff) else 0.0
        self._append(held.attempt, _WHAT[type(op)], op.reason, op.mark)
        self._now_ms += round(pause_s * 1000)
        self.status = _STATUS[type(op)]
        rung = verdict.remedy.label
        self.question = getattr(verdict.remedy.rung, "question", "")
        why, reason, escalates = verdict.remedy.why, op.reason, verdict.escalates
        self.decided.append(Remedied(held.attempt, verdict.fingerprint, rung, why, reason, pause_s, escalates))

    def _append(self, attempt: int, what: str, reason: str, mark: ops.Mark) -> None:
        number = self._held.id if self._held is not None else 0
        line = values.Failure(number, attempt, self._now_ms, what, reason, mark.fingerprint, mark.rung, mark.remedy)
        self._history.append(line)


def _failure(error: BaseException) -> Failure:
    if isinstance(error, Killed):
        return Failure("signal", "SIGKILL", text="killed by SIGKILL")
    return msgspec.structs.replace(failure_of(error), text=str(error) or type(error).__name__)
