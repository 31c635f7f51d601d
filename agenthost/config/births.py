"""How a worker's process is wanted, from the keys of its section: ``AgentBirth`` or ``ProgramBirth``.

What a worker does not say is as ``Usual`` says: nothing special for one of the file, as its owner's for what an agent
starts.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Protocol

from agenthost.config import keys
from agenthost.config.kinds import Reading
from agenthost.config.problem import Refused
from agenthost.config.sections import Found
from agenthost.core.birth import AgentBirth, Limits, May, ProgramBirth, ReadyCheck

COMMAND_AGENT = "agenthost_workers.command:Command"
"""The agent that speaks ``protocol: lines`` to a program."""


class Resolver(Protocol):
    """``config.agents``, or what stands in for it."""

    def resolve(self, text: str) -> str: ...


@dataclass(frozen=True, slots=True)
class Usual:
    """What a worker has that does not say."""

    cwd: str
    env: dict[str, str] = field(default_factory=dict)
    """Said ones are added to these."""
    silence_s: float = 60.0
    may: May = field(default_factory=May)


@dataclass(frozen=True, slots=True)
class Births:
    """``folder`` is the config's: relative paths begin there."""

    reading: Reading
    folder: str
    agents: Resolver
    usual: Usual

    def read(self, found: Found) -> AgentBirth | ProgramBirth:
        given = found.get("limits")
        limits = _limits(given) if given else Limits()
        env = tuple(sorted((self.usual.env | found.get("env", {})).items()))
        cwd = os.path.normpath(os.path.join(self.folder, found.get("cwd", self.usual.cwd)))
        turn = found.get("turn")
        silence_s = turn.get("progress", self.usual.silence_s) if turn else self.usual.silence_s
        group = found.get("group", "")
        if "agent" in found.keys:
            agent, args, may = self._agent(found), found.get("args", {}), self._may(found)
            return AgentBirth(agent, args, env, cwd, (self.folder,), limits, silence_s, group=group, may=may)
        argv = found.get("command", ())
        if found.get("protocol") == "lines":
            # One zygote births them all: what the program needs travels as arguments.
            args = {"argv": list(argv), "env": dict(env), "cwd": cwd}
            return AgentBirth(COMMAND_AGENT, args, (), self.folder, (self.folder,), limits, silence_s, group=group)
        given = found.get("ready")
        stop_signal = keys.STOP_SIGNALS[found.get("stop_signal", "TERM")]
        return ProgramBirth(argv, env, cwd, limits, _ready(given) if given else None, stop_signal)

    def _may(self, found: Found) -> May:
        given, usual = found.get("may"), self.usual.may
        if given is None:
            return usual
        limits = given.get("limits")
        return May(
            start=given.get("start", usual.start),
            children=given.get("children", usual.children),
            depth=given.get("depth", usual.depth),
            limits=_limits(limits) if limits else usual.limits,
        )

    def _agent(self, found: Found) -> str:
        text = found.get("agent")
        if text is None:
            return ""
        try:
            return self.agents.resolve(text)
        except Refused as refused:
            self.reading.say(found.nodes["agent"], f"{found.where}.agent", refused.what, refused.hint)
            return ""


def _limits(found: Found) -> Limits:
    return Limits(
        memory_bytes=found.get("memory"),
        cpu_cores=found.get("cpu"),
        processes=found.get("processes"),
        open_files=found.get("open_files"),
        file_size_bytes=found.get("file_size"),
    )


def _ready(found: Found) -> ReadyCheck | None:
    for kind in ("http", "tcp", "line"):
        target = found.get(kind)
        if target is not None:
            return ReadyCheck(kind, target, found.get("interval", 0.1))
    return None
