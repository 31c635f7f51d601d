"""What is told of what happened: a record, and its sentence for people."""

from __future__ import annotations

from typing import Any

import msgspec


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
        if self.name in _ERRORS or (self.name == "agent.ended" and not self.fields.get("well", True)):
            return "error"
        if self.name in _WARNINGS:
            return "warning"
        return "good" if self.name in _GOOD else "info"

    def sentence(self) -> str:
        """ "ready (pid 312, 3 ms)", without time and path."""
        known = _SENTENCES.get(self.name)
        if known is None:
            return " ".join([self.name, *(f"{key}={value}" for key, value in self.fields.items() if value != "")])
        return str(known(self.fields)).strip()

    def line(self) -> str:
        """One event with fields, for logs: ``agent.ready path=/a incarnation=7.3 pid=312``."""
        fields = [f"{key}={_quoted(value)}" for key, value in self.fields.items() if value not in ("", None)]
        return " ".join([self.name, f"path={self.path}", *fields])


_ERRORS = frozenset({"supervisor.gave_up", "agent.gave_up", "agent.stuck", "host.failed", "agent.start_failed"})
_WARNINGS = frozenset({"agent.exited", "agent.restarting", "supervisor.restarting", "agent.killing", "host.stray"})
_GOOD = frozenset({"agent.ready", "supervisor.ready", "host.ready"})


def _quoted(value: Any) -> str:
    text = str(value)
    return repr(text) if any(mark in text for mark in " =\"'\n\t") else text


def _ready(fields: dict[str, Any]) -> str:
    parts = [f"pid {fields['pid']}"] if fields.get("pid") else []
    if fields.get("after_ms") is not None:
        parts.append(f"{fields['after_ms']} ms")
    return f"ready ({', '.join(parts)})" if parts else "ready"


def _restarting(fields: dict[str, Any]) -> str:
    wait = f"in {fields['delay_s']:g} s" if fields.get("delay_s") else "at once"
    warning = f"; {fields['warning']}" if fields.get("warning") else ""
    return f"restarting {wait} ({fields.get('strategy', '')}){warning}"


_SENTENCES: dict[str, Any] = {
    "agent.starting": lambda fields: f"starting, incarnation {fields.get('incarnation', '')}",
    "agent.ready": _ready,
    "agent.asked": lambda fields: f"asked to stop: {fields.get('why', '')}",
    "agent.terminating": lambda fields: "TERM to everything it started",
    "agent.stuck": lambda fields: "stuck: KILL did not empty its cell; it is not started again until that is empty",
    "agent.exited": lambda fields: f"{fields.get('reason', '')}",
    "agent.ended": lambda fields: "nothing of it is left",
    "agent.restarting": _restarting,
    "agent.gave_up": lambda fields: f"set aside: {fields.get('reason', '')}",
    "supervisor.starting": lambda fields: "starting its children",
    "supervisor.ready": lambda fields: "all children are up",
    "supervisor.stopping": lambda fields: f"stopping its children: {fields.get('why', '')}",
    "supervisor.ended": lambda fields: f"ended: {fields.get('reason', '')}",
    "supervisor.restarting": _restarting,
    "supervisor.regrouping": lambda fields: f"restarts the group of {fields.get('failed', '')}",
    "supervisor.gave_up": lambda fields: f"gave up: {fields.get('reason', '')}",
    "command.start": lambda fields: f"start, by {fields.get('by', '')}",
    "command.stop": lambda fields: f"stop, by {fields.get('by', '')}",
    "command.restart": lambda fields: f"restart, by {fields.get('by', '')}",
    "command.kill": lambda fields: f"kill, by {fields.get('by', '')}",
    "host.ready": lambda fields: f"{fields.get('text', '')}",
    "host.halting": lambda fields: f"stopping: {fields.get('why', '')}",
    "host.stray": lambda fields: f"stray of an earlier life: {fields.get('text', '')}",
    "host.containment": lambda fields: f"{fields.get('text', '')}",
}
