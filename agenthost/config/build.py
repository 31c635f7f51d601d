"""Sections to specs: what the keys of a tree mean together. Problems are noted, and reading goes on.

What the core refuses gets its place here. ``elsewhere`` says why a key is not for a child of this form.
"""

from __future__ import annotations

import difflib
import os
from dataclasses import dataclass
from typing import Any

from agenthost.config import keys
from agenthost.config.agents import Agents
from agenthost.config.document import Mapping, Node, Sequence, kind_of
from agenthost.config.elsewhere import ELSEWHERE
from agenthost.config.kinds import Reading
from agenthost.config.problem import Refused, nearest
from agenthost.config.sections import Found, Section
from agenthost.config.significant import is_significant
from agenthost.core.birth import AgentBirth, Limits, ProgramBirth, ReadyCheck
from agenthost.core.spec import (
    AutoShutdown,
    Backoff,
    ChildSpec,
    Restart,
    Shutdown,
    Strategy,
    SupervisorSpec,
    WorkerSpec,
)
from agenthost.errors import ConfigError

MAX_DEPTH = 32
MAX_CHILDREN = 100_000
COMMAND_AGENT = "agenthost_workers.command:Command"
"""The agent that speaks ``protocol: lines`` to a program."""

_DEFAULT_BACKOFF = Backoff()
_DEFAULT_START_S = 30.0

_BODIES = {"pool": keys.POOL, "children": keys.SUPERVISOR, "agent": keys.AGENT_WORKER, "command": keys.PROGRAM_WORKER}
"""The one key that says what a child is."""
_KEYS = frozenset(key.name for section in keys.CHILDREN for key in section.keys)
_SUPERVISOR_KEYS = frozenset(keys.SUPERVISOR.key_names) - {key.name for s in keys.WORKERS for key in s.keys}


@dataclass(slots=True)
class Builder:
    """Builds one tree. ``folder`` is the config's."""

    reading: Reading
    folder: str
    agents: Agents
    _count: int = 0

    def tree(self, node: Node) -> SupervisorSpec:
        """The whole tree; one without children after a problem was noted."""
        try:
            found = keys.TREE.find(node, "tree", self.reading, also=ELSEWHERE["tree"])
            return self._supervisor("/", found, strict=False, depth=1)
        except Refused as refused:
            self.reading.say(node, "tree", refused.what, refused.hint)
        except ConfigError as error:
            self.reading.say(node, "tree", error.message, error.hint or "")
        return SupervisorSpec("/")

    def _supervisor(
        self, name: str, found: Found, *, strict: bool, depth: int, significant: bool = False
    ) -> SupervisorSpec:
        strict = bool(found.get("otp_strict", strict))
        return SupervisorSpec(
            name=name,
            children=self._children(found, strict=strict, depth=depth),
            strategy=Strategy(found.get("strategy", "one_for_one")),
            intensity=found.get("intensity", 1 if strict else 5),
            period_s=found.get("period", 5.0 if strict else 30.0),
            restart=Restart(found.get("restart", "permanent")),
            otp_strict=strict,
            backoff=self._backoff(found, strict=strict),
            significant=significant,
            auto_shutdown=AutoShutdown(found.get("auto_shutdown", "never")),
            template=self._template(name, found, strict=strict, depth=depth),
        )

    def _children(self, found: Found, *, strict: bool, depth: int) -> tuple[ChildSpec, ...]:
        listed = found.get("children")
        if not isinstance(listed, Sequence) or not self._is_shallow(listed, found, depth):
            return ()
        made: dict[str, ChildSpec] = {}
        lines: dict[str, int] = {}
        for number, node in enumerate(listed.items):
            where = f"{found.where}.children[{number}]"
            self._count += 1
            if self._count > MAX_CHILDREN:
                if self._count == MAX_CHILDREN + 1:
                    self.reading.say(node, where, f"cannot have more than {MAX_CHILDREN} children in one file")
                break
            child, place = self._child(node, where, found, strict=strict, depth=depth)
            if child is None or place is None:
                continue
            if child.name in made:
                at = place.nodes["name"]
                what = f"the name {child.name!r} is taken by a sibling at line {lines[child.name]}"
                self.reading.say(at, f"{where}.name", what, "names are paths: choose another")
                continue
            made[child.name], lines[child.name] = child, place.nodes["name"].line
        return tuple(made.values())

    def _template(self, name: str, found: Found, *, strict: bool, depth: int) -> ChildSpec | None:
        """Of a pool; it bears the pool's name until a member is started."""
        node = found.get("pool")
        if node is None or not self._is_shallow(node, found, depth):
            return None
        where = f"{found.where}.pool"
        form = self._form(node, where, keys.NOT_OF_MEMBERS)
        if form is None:
            return None
        section, node = keys.MEMBERS[form[0].name], form[1]
        member = section.find(node, where, self.reading, also=ELSEWHERE[section.name])
        return self._made(name, form[0], member, strict=strict, depth=depth)

    def _is_shallow(self, node: Node, found: Found, depth: int) -> bool:
        if depth > MAX_DEPTH:
            self.reading.say(node, found.where, f"cannot nest supervisors deeper than {MAX_DEPTH}")
        return depth <= MAX_DEPTH

    def _child(
        self, node: Node, where: str, above: Found, *, strict: bool, depth: int
    ) -> tuple[ChildSpec | None, Found | None]:
        """None for what has no usable name; its problems are noted."""
        if not isinstance(node, Mapping):
            self.reading.say(node, where, f"a map is wanted here, not {kind_of(node)}", "begin it with '- name: ...'")
            return None, None
        form = self._form(node, where)
        if form is None:
            return None, None
        section, node = form
        found = section.find(node, where, self.reading, also=ELSEWHERE[section.name])
        name = found.get("name")
        significant = is_significant(found, above, self.reading)
        child = self._made(name or "?", section, found, strict=strict, depth=depth, significant=significant)
        return (child, found) if name and child else (None, None)

    def _form(self, node: Mapping, where: str, without: tuple[str, ...] = ()) -> tuple[Section, Mapping] | None:
        """What a child is, and it without keys that would make it something else as well. None if it is nothing."""
        there = node.entries.keys()
        main = [name for name in _BODIES if name in there]
        if not main and there & _SUPERVISOR_KEYS:  # a slip in 'pool' is one in 'pool'
            main = ["pool" if difflib.get_close_matches("pool", there - _KEYS, n=1) else "children"]
        if not main:
            self._nothing_to_be(node, where, without)
            return None
        for extra in main[1:]:
            what = f"cannot have {extra!r} beside {main[0]!r}"
            self.reading.say(node.entries[extra][0], where, what, "keep one of them")
        if main[1:]:  # said now, once
            entries = {name: entry for name, entry in node.entries.items() if name not in main[1:]}
            node = Mapping(node.line, node.column, entries)
        if main[0] == "command":
            return (keys.LINES_WORKER if _protocol(node) == "lines" else keys.PROGRAM_WORKER), node
        return _BODIES[main[0]], node

    def _nothing_to_be(self, node: Mapping, where: str, without: tuple[str, ...]) -> None:
        """Neither worker nor supervisor; the reason may be a slip in the one key that says so."""
        hint = "a worker has agent or command, a supervisor children or pool"
        self.reading.say(node, where, "one of agent, command, children, pool is missing", hint)
        for name, (key, _) in node.entries.items():
            if name not in _KEYS:
                self.reading.say(key, where, f"unknown key {name!r}", nearest(name, _KEYS.difference(without)))

    def _made(
        self, name: str, section: Section, found: Found, *, strict: bool, depth: int, significant: bool = False
    ) -> ChildSpec | None:
        """None, with a problem at the child's place, for what only the core knows to refuse."""
        try:
            if section is keys.SUPERVISOR or section is keys.POOL:
                return self._supervisor(name, found, strict=strict, depth=depth + 1, significant=significant)
            return self._worker(name, found, strict=strict, significant=significant)
        except ConfigError as error:
            self.reading.say(found.node, found.where, error.message, error.hint or "")
            return None

    def _worker(self, name: str, found: Found, *, strict: bool, significant: bool) -> WorkerSpec:
        return WorkerSpec(
            name=name,
            restart=Restart(found.get("restart", "permanent")),
            shutdown=_shutdown(found.get("shutdown", 5.0)),
            start_timeout_s=self._start_timeout(found, strict=strict),
            backoff=self._backoff(found, strict=strict),
            birth=self._birth(found),
            significant=significant,
        )

    def _start_timeout(self, found: Found, *, strict: bool) -> float | None:
        ready = found.get("ready")
        in_ready = ready.get("timeout") if isinstance(ready, Found) else None
        if isinstance(ready, Found) and "timeout" in ready.keys and "start_timeout" in found.keys:
            at, where = ready.keys["timeout"], ready.where
            self.reading.say(at, where, "cannot have 'timeout' beside 'start_timeout'", "keep one of them")
        usual = None if strict else _DEFAULT_START_S
        value = in_ready if in_ready is not None else found.get("start_timeout", usual)
        return None if value == "infinity" else value

    def _backoff(self, found: Found, *, strict: bool) -> Backoff | None:
        given = found.get("backoff")
        if given is None:
            return None if strict else _DEFAULT_BACKOFF
        if given == "none":
            return None
        usual = _DEFAULT_BACKOFF
        made = Backoff(
            initial_s=given.get("initial", min(usual.initial_s, given.get("max", usual.max_s))),
            factor=given.get("factor", usual.factor),
            max_s=given.get("max", max(usual.max_s, given.get("initial", 0.0))),
            jitter=given.get("jitter", usual.jitter),
            calm_s=given.get("calm", usual.calm_s),
        )
        if made.initial_s > made.max_s:
            self.reading.say(given.keys["initial"], given.where, "'initial' is more than 'max'", "make it less")
        return made

    def _birth(self, found: Found) -> AgentBirth | ProgramBirth:
        given = found.get("limits")
        limits = _limits(given) if given else Limits()
        env = tuple(sorted(found.get("env", {}).items()))
        cwd = os.path.normpath(os.path.join(self.folder, found.get("cwd", ".")))
        turn = found.get("turn")
        silence_s = turn.get("progress", 60.0) if turn else 60.0
        if "agent" in found.keys:
            agent = self._agent(found)
            return AgentBirth(agent, found.get("args", {}), env, cwd, (self.folder,), limits, silence_s)
        argv = found.get("command", ())
        if found.get("protocol") == "lines":
            # One zygote births them all: what the program needs travels as arguments.
            args: dict[str, Any] = {"argv": list(argv), "env": dict(env), "cwd": cwd}
            return AgentBirth(COMMAND_AGENT, args, (), self.folder, (self.folder,), limits, silence_s)
        given = found.get("ready")
        stop_signal = keys.STOP_SIGNALS[found.get("stop_signal", "TERM")]
        return ProgramBirth(argv, env, cwd, limits, _ready(given) if given else None, stop_signal)

    def _agent(self, found: Found) -> str:
        text = found.get("agent")
        if text is None:
            return ""
        try:
            return self.agents.resolve(text)
        except Refused as refused:
            self.reading.say(found.nodes["agent"], f"{found.where}.agent", refused.what, refused.hint)
            return ""


def _protocol(node: Mapping) -> str:
    entry = node.entries.get("protocol")
    text = getattr(entry[1], "text", "") if entry else ""
    return str(text)


def _shutdown(value: float | str) -> Shutdown:
    if value == "kill":
        return Shutdown(grace_s=0.0, brutal=True)
    return Shutdown(grace_s=None if isinstance(value, str) else value)


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
