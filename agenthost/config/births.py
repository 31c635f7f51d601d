"""How a worker's process is wanted, from the keys of its section: ``AgentBirth`` or ``ProgramBirth``.

What a worker does not say is as ``Usual`` says: nothing special for one of the file, as its owner's for what an agent
starts.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Protocol

from agenthost.config import keys, users
from agenthost.config.answer_kinds import Named, schema_of
from agenthost.config.budget_kinds import budget_of
from agenthost.config.document import Node
from agenthost.config.kinds import Reading
from agenthost.config.problem import Refused
from agenthost.config.reach import check_reach
from agenthost.config.recovery_kinds import Fall, Rungs
from agenthost.config.sections import Found
from agenthost.config.surroundings import any_birth
from agenthost.core.birth import AgentBirth, Limits, MailTerms, May, ProgramBirth, ReadyCheck
from agenthost.core.remedy.rungs import LADDER_ATTEMPTS, Authors, Ladder

COMMAND_AGENT = "agenthost_workers.command:Command"
"""The agent that speaks ``protocol: lines`` to a program."""


class Resolver(Protocol):
    """``config.agents``, or what stands in for it."""

    def resolve(self, text: str) -> str: ...

    def check_function(self, path: str, name: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Usual:
    """What a worker has that does not say."""

    cwd: str
    env: dict[str, str] = field(default_factory=dict)
    """Said ones are added to these."""
    silence_s: float = 60.0
    reap: bool = False
    may: May = field(default_factory=May)
    user: int | None = None
    of_agent: bool = False
    """It is an agent that says what its children are: what the host reads or grants for them it may not name."""


@dataclass(frozen=True, slots=True)
class Births:
    """``folder`` is the config's: relative paths begin there."""

    reading: Reading
    folder: str
    agents: Resolver
    usual: Usual
    falls: list[tuple[Ladder, Fall]] = field(default_factory=list)
    """Where failed work is given to, to be checked when the whole tree is read."""
    judges: list[Named] = field(default_factory=list)
    """Who is asked about answers, to be checked then too."""

    def read(self, found: Found) -> AgentBirth | ProgramBirth:
        given = found.get("limits")
        limits = _limits(given) if given else Limits()
        env = tuple(sorted((self.usual.env | found.get("env", {})).items()))
        cwd = os.path.normpath(os.path.join(self.folder, found.get("cwd", self.usual.cwd)))
        turn = found.get("turn")
        progress_s = turn.get("progress") if turn else None
        silence_s = self.usual.silence_s if progress_s is None else progress_s
        silence_s = turn.get("silence", silence_s) if turn else silence_s
        group = found.get("group", "")
        more = any_birth(found, self.folder, self.reading, of_agent=self.usual.of_agent)
        more["user"] = self._user(found)
        if turn:  # programs have none
            more["turn_s"], more["progress_s"] = turn.get("timeout"), progress_s
        if given := found.get("mail"):
            more["mail"] = _mail(given)
        if (given := found.get("recovery")) is not None:
            more["recovery"] = self._ladder(found, given)
        if "schema" in found.keys:
            more["schema"] = schema_of(found, self.folder, self.reading, of_agent=self.usual.of_agent)
        if (named := found.get("judge")) is not None:
            more["judge"] = named.judge
            self.judges.append(named)
        if (allowed := found.get("loops")) is not None:
            more["loops"] = allowed.loops
        if (given := found.get("budget")) is not None:
            more["budget"] = budget_of(given)
        if crons := found.get("cron"):
            more["cron"] = crons
        if "agent" in found.keys:
            agent, args, may = self._agent(found), found.get("args", {}), self._may(found)
            more["reap"] = turn.get("reap", self.usual.reap) if turn else self.usual.reap
            return AgentBirth(agent, args, env, cwd, (self.folder,), limits, silence_s, group=group, may=may, **more)
        argv = found.get("command", ())
        if found.get("protocol") == "lines":
            if turn and turn.get("reap"):
                what = "would end the program itself after its first turn"
                self.reading.say(turn.nodes["reap"], f"{turn.where}.reap", f"reap {what}", "leave it out")
            # One zygote births them all: what the program needs travels as arguments.
            args = {"argv": list(argv), "env": dict(env), "cwd": cwd}
            folder = self.folder
            home = folder if more["user"] is None else cwd  # another user may not enter the folder of the config
            return AgentBirth(COMMAND_AGENT, args, (), home, (folder,), limits, silence_s, group=group, **more)
        given = found.get("ready")
        ready = _ready(given) if given else None
        stop_signal = keys.STOP_SIGNALS[found.get("stop_signal", "TERM")]
        return ProgramBirth(argv, env, cwd, limits, ready, stop_signal, found.get("pty", False), **more)

    def _ladder(self, found: Found, given: Rungs) -> Ladder:
        mail = found.get("mail")
        places = list(zip(given.rungs, given.places, strict=True))
        rungs = tuple(self._resolved(rung, *at) if isinstance(rung, Authors) else rung for rung, at in places)
        of_mail = mail.get("attempts") if mail else None
        if mail and of_mail and given.attempts and of_mail != given.attempts:
            what = f"'recovery' says {given.attempts} attempts, and that is what counts"
            self.reading.say(mail.nodes["attempts"], f"{mail.where}.attempts", what, "remove one of them")
        attempts = given.attempts or of_mail or LADDER_ATTEMPTS
        check_reach([(rung, *at) for rung, at in places], attempts, self.reading)
        ladder = Ladder(rungs, attempts, given.spend)
        self.falls.extend((ladder, fall) for fall in given.falls)
        return ladder

    def _resolved(self, rung: Authors, node: Node, where: str) -> Authors:
        """A file is named as one of an agent is, from the folder of the config."""
        file, _, name = rung.name.rpartition(":")
        if not file.endswith(".py"):
            return rung
        path = os.path.normpath(os.path.join(self.folder, os.path.expanduser(file)))
        try:
            self.agents.check_function(path, name)
        except Refused as refused:
            self.reading.say(node, where, refused.what, refused.hint)
        return Authors(f"{path}:{name}", rung.parameters, "" if path == file else rung.name)

    def _user(self, found: Found) -> int | None:
        uid = found.get("user")
        if uid is None:
            return self.usual.user
        if (why := users.refusal(uid)) is not None:
            self.reading.say(found.nodes["user"], f"{found.where}.user", *why)
        return None if uid == os.geteuid() else int(uid)

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
        cpu_weight=found.get("cpu_weight"),
        strict=found.get("strict", False),
    )


def _mail(found: Found) -> MailTerms:
    usual = MailTerms()
    return MailTerms(
        attempts=found.get("attempts", usual.attempts),
        initial_s=found.get("initial", usual.initial_s),
        max_s=max(found.get("max", usual.max_s), found.get("initial", 0.0) if "max" not in found.values else 0.0),
        limit=found.get("limit", usual.limit),
        when_full=found.get("when_full", usual.when_full),
    )


def _ready(found: Found) -> ReadyCheck | None:
    for kind in ("http", "tcp", "line"):
        target = found.get(kind)
        if target is not None:
            return ReadyCheck(kind, target, found.get("interval", 0.1))
    if "notify" in found.values:
        return ReadyCheck("notify")
    return ReadyCheck("fd", str(found.values["fd"])) if "fd" in found.values else None
