"""What is told of what happened: a record, and its sentence for people."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from agenthost.observe.printable import printable, said, span
from agenthost.observe.question import how_to_answer


class Record(msgspec.Struct, frozen=True):
    """``offset`` counts from 1 since the host started; ``at`` is seconds since 1970 UTC."""

    offset: int
    at: float
    name: str
    path: str
    fields: dict[str, Any]

    @property
    def level(self) -> str:
        """ "error", "warning", "good" or "info"; what a terminal colours by."""
        if self.name in _ERRORS:
            return "error"
        if self.name == "agent.exited":
            return "info" if self.ended_well else "warning"
        if self.name in _WARNINGS:
            return "warning"
        return "good" if self.name in _GOOD else "info"

    @property
    def ended_well(self) -> bool:
        """Of a record with a ``reason``: it is one that nobody needs to look into (``core.reason``)."""
        return str(self.fields.get("reason", "")).startswith(_WELL)

    def sentence(self) -> str:
        """ "ready (pid 312, 3.0 ms)", without time and path; one line, fit for a terminal."""
        known = _SENTENCES.get(self.name)
        if known is None:
            shown = (f"{key}={value}" for key, value in self.fields.items() if value not in ("", None))
            return printable(" ".join([self.name, *shown]))
        return printable(known(self.fields)).strip()

    def line(self) -> str:
        """One event with fields, for logs: ``agent.ready path=/a incarnation=7.3 pid=312``."""
        fields = [f"{key}={_quoted(value)}" for key, value in self.fields.items() if value not in ("", None)]
        return " ".join([self.name, f"path={_quoted(self.path)}", *fields])


_WELL = ("ended normally", "stopped", "had nothing to do", "fell asleep")
_ERRORS = frozenset({"supervisor.gave_up", "agent.gave_up", "agent.stuck", "host.failed"})
_WARNINGS = frozenset(
    {
        "agent.restarting",
        "agent.unwell",
        "supervisor.restarting",
        "host.stray",
        "host.recovered",
        "host.limit_unheld",
        "router.lost",
        "journal.lost",
        "journal.trouble",
        "mail.dead_letter",
        "mail.failed",
        "mail.asks",
        "agent.garbled",
    }
)
_GOOD = frozenset({"agent.ready", "supervisor.ready", "host.ready"})


def _quoted(value: Any) -> str:
    """As it is if it is one plain word, else as a JSON string: whoever reads the line can split and decode it."""
    text = str(value)
    if text and text.isprintable() and not any(mark in text for mark in " =\"'\\"):
        return text
    return json.dumps(text)


def _ready(fields: dict[str, Any]) -> str:
    parts = [f"pid {fields['pid']}"] if fields.get("pid") else []
    if fields.get("after_ms") is not None:
        parts.append(span(fields["after_ms"] / 1000))
    return f"ready ({', '.join(parts)})" if parts else "ready"


def _later(fields: dict[str, Any]) -> str:
    return f" in {span(fields['pause_s'])}" if fields.get("pause_s") else ""


def _asking(fields: dict[str, Any]) -> str:
    """Where a person is asked, what he is to say."""
    if not (nth := fields.get("question")):
        return ""
    return f"; it waits for a person: {how_to_answer(int(fields.get('message', 0)), int(nth))}"


def _restarting(fields: dict[str, Any]) -> str:
    wait = f"in {span(fields['delay_s'])}" if fields.get("delay_s") else "at once"
    warning = f"; {fields['warning']}" if fields.get("warning") else ""
    return f"restarting {wait}{warning}"


def _regrouping(fields: dict[str, Any]) -> str:
    group = fields.get("group") or []
    return f"restarts {', '.join(map(str, group))} together: {fields.get('failed', '')} failed"


_SENTENCES: dict[str, Any] = {
    "agent.starting": lambda fields: f"starting, incarnation {fields.get('incarnation', '')}",
    "agent.ready": _ready,
    "agent.frozen": lambda fields: "frozen",
    "agent.interrupted": lambda fields: f"interrupted: {fields.get('text', '')} ({fields.get('why', '')})",
    "turn.overran": lambda fields: f"{fields.get('text', '')}: it is interrupted",
    "agent.examined": lambda fields: f"looked at: {fields.get('text', '')}",
    "agent.thawed": lambda fields: f"thawed after {fields.get('after_s')} s",
    "agent.unwell": lambda fields: f"unwell: {fields.get('text', '')}",
    "agent.asked": lambda fields: f"asked to stop: {fields.get('why', '')}",
    "agent.terminating": lambda fields: "does not stop: TERM to everything it started",
    "agent.stuck": lambda fields: "stuck: KILL did not empty its cell; it is not started again until that is empty",
    "agent.exited": lambda fields: said(fields.get("reason")),
    "agent.ended": lambda fields: "nothing of it is left",
    "agent.asleep": lambda fields: "asleep, until somebody wants something of it",
    "agent.waking": lambda fields: f"waking: {fields.get('by', '')}",
    "agent.not_woken": lambda fields: said(fields.get("why")),
    "agent.restarting": _restarting,
    "agent.gave_up": lambda fields: f"set aside: {said(fields.get('reason'))}",
    "agent.garbled": lambda fields: f"said something malformed: {fields.get('error', '')}",
    "supervisor.starting": lambda fields: "starting its children",
    "supervisor.ready": lambda fields: "all children are up",
    "supervisor.stopping": lambda fields: f"stopping its children: {said(fields.get('why'))}",
    "supervisor.ended": lambda fields: f"ended: {said(fields.get('reason'))}",
    "supervisor.restarting": _restarting,
    "supervisor.regrouping": _regrouping,
    "supervisor.gave_up": lambda fields: f"gave up: {said(fields.get('reason'))}",
    "command.start": lambda fields: f"start, by {fields.get('by', '')}",
    "command.stop": lambda fields: f"stop, by {fields.get('by', '')}",
    "command.restart": lambda fields: f"restart, by {fields.get('by', '')}",
    "command.interrupt": lambda fields: f"interrupt, by {fields.get('by', '')}",
    "command.kill": lambda fields: f"kill, by {fields.get('by', '')}",
    "journal.lost": lambda fields: f"lost: {fields.get('why', '')}",
    "journal.trouble": lambda fields: f"nothing durable can be done: {fields.get('why', '')}",
    "journal.well": lambda fields: "durable work goes on",
    "journal.no_door": lambda fields: f"cannot be given a door to the journal: {fields.get('why', '')}",
    "mail.failed": lambda fields: (
        f"message {fields.get('message')} failed: {fields.get('reason', '')}; {fields.get('remedy')}"
        f"{_later(fields)} ({fields.get('why', '')}){_asking(fields)}"
    ),
    "mail.asks": lambda fields: f"message {fields.get('message')}: {fields.get('reason', '')}{_asking(fields)}",
    "mail.answered": lambda fields: f"message {fields.get('message')}: {fields.get('answer')}, by {fields.get('by')}",
    "mail.dead_letter": lambda fields: (
        f"message {fields.get('message')} of {fields.get('sender')} is a dead letter: {fields.get('reason', '')}"
    ),
    "router.lost": lambda fields: f"lost: {fields.get('why', '')}",
    "reload.begun": lambda fields: f"reload, by {fields.get('by', '')}: {fields.get('changes', '')}",
    "reload.done": lambda fields: f"reloaded: {fields.get('changes', '')}",
    "reload.undone": lambda fields: f"reload undone: {fields.get('reason', '')}",
    "reload.refused": lambda fields: f"cannot reload: {fields.get('reason', '')}",
    "agent.reloaded": lambda fields: "its config has changed",
    "command.add": lambda fields: f"added, by {fields.get('by', '')}",
    "command.delete": lambda fields: f"deleted, by {fields.get('by', '')}",
    "host.ready": lambda fields: f"{fields.get('text', '')}",
    "host.halting": lambda fields: f"stopping: {fields.get('why', '')}",
    "host.hurrying": lambda fields: f"in a hurry: {fields.get('why', '')}",
    "host.ended": lambda fields: f"nothing is left; exit status {fields.get('status', '')}",
    "host.failed": lambda fields: f"failed: {said(fields.get('reason'))}",
    "host.recovered": lambda fields: (
        f"boot {fields.get('before')} of this host was cut off: {fields.get('ended', '')}; everything is started again"
    ),
    "host.stray": lambda fields: (
        f"stray of an earlier life{', ended' if fields.get('ended') else ''}: {fields.get('text', '')}"
    ),
    "host.containment": lambda fields: f"{fields.get('text', '')}",
    "host.limit_unheld": lambda fields: f"limits: {fields.get('text', '')}",
}
