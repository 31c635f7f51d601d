"""Sections to specs: what the keys of a tree mean together. Problems are noted, and reading goes on."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

from agenthost.config import keys
from agenthost.config.agents import Agents
from agenthost.config.document import Mapping, Node, Sequence, kind_of
from agenthost.config.kinds import Reading
from agenthost.config.problem import Refused, nearest
from agenthost.config.sections import Found
from agenthost.core.birth import AgentBirth, Limits, ProgramBirth, ReadyCheck
from agenthost.core.spec import Backoff, Restart, Shutdown, Strategy, SupervisorSpec, WorkerSpec

MAX_DEPTH = 32
MAX_CHILDREN = 100_000
COMMAND_AGENT = "agenthost_workers.command:Command"
"""The agent that speaks ``protocol: lines`` to a program."""

_DEFAULT_BACKOFF = Backoff()
_DEFAULT_START_S = 30.0
_AGENT_ONLY = "it is for agents and for commands with 'protocol: lines'"
_PROGRAM_ONLY = "it is for commands without a protocol"
_SUPERVISOR_ONLY = "it is for supervisors, which have 'children'"
_WORKER_ONLY = "it is for workers, which have 'agent' or 'command'"
_AGENTS = "it is for agents"
_COMMANDS = "it is for commands"


def _elsewhere() -> dict[str, dict[str, str]]:
    """For every form of child: keys that others have, and whose they are."""
    worker = {key.name for section in keys.WORKERS for key in section.keys}
    supervisor = set(keys.SUPERVISOR.key_names)
    agent, lines, program = (set(s.key_names) for s in (keys.AGENT_WORKER, keys.LINES_WORKER, keys.PROGRAM_WORKER))
    why = dict.fromkeys(supervisor - worker, _SUPERVISOR_ONLY)
    return {
        "supervisor": dict.fromkeys(worker - supervisor, _WORKER_ONLY),
        "tree": dict.fromkeys(worker - supervisor, _WORKER_ONLY)
        | {
            "name": "the tree has none, 'name' stands above it",
            "restart": "nothing restarts the whole tree",
            "backoff": "nothing restarts the whole tree",
        },
        "agent": why | dict.fromkeys(program - agent, _COMMANDS) | dict.fromkeys(program - lines, _PROGRAM_ONLY),
        "lines": why | {"args": _AGENTS} | dict.fromkeys(program - lines, _PROGRAM_ONLY),
        "program": why | {"args": _AGENTS} | dict.fromkeys(lines - program, _AGENT_ONLY),
    }


_ELSEWHERE = _elsewhere()


@dataclass(slots=True)
class Builder:
    """Builds one tree. ``folder`` is the config's."""

    reading: Reading
    folder: str
    agents: Agents
    _count: int = 0
    _supervisor_keys: frozenset[str] = field(
        default=frozenset(keys.SUPERVISOR.key_names) - {key.name for s in keys.WORKERS for key in s.keys}
    )

    def tree(self, node: Node) -> SupervisorSpec:
        try:
            found = keys.TREE.find(node, "tree", self.reading, also=_ELSEWHERE["tree"])
        except Refused as refused:
            self.reading.say(node, "tree", refused.what, refused.hint)
            return SupervisorSpec("/")
        return self._supervisor("/", found, strict=False, depth=1)

    def _supervisor(self, name: str, found: Found, *, strict: bool, depth: int) -> SupervisorSpec:
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
        )

    def _children(self, found: Found, *, strict: bool, depth: int) -> tuple[WorkerSpec | SupervisorSpec, ...]:
        listed = found.get("children")
        if not isinstance(listed, Sequence):
            return ()
        if depth > MAX_DEPTH:
            self.reading.say(listed, found.where, f"cannot nest supervisors deeper than {MAX_DEPTH}")
            return ()
        made: dict[str, WorkerSpec | SupervisorSpec] = {}
        lines: dict[str, int] = {}
        for number, node in enumerate(listed.items):
            where = f"{found.where}.children[{number}]"
            self._count += 1
            if self._count > MAX_CHILDREN:
                if self._count == MAX_CHILDREN + 1:
                    self.reading.say(node, where, f"cannot have more than {MAX_CHILDREN} children in one file")
                break
            child, place = self._child(node, where, strict=strict, depth=depth)
            if child is None or place is None:
                continue
            if child.name in made:
                at = place.nodes["name"]
                what = f"the name {child.name!r} is taken by a sibling at line {lines[child.name]}"
                self.reading.say(at, f"{where}.name", what, "names are paths: choose another")
                continue
            made[child.name], lines[child.name] = child, place.nodes["name"].line
        return tuple(made.values())

    def _child(
        self, node: Node, where: str, *, strict: bool, depth: int
    ) -> tuple[WorkerSpec | SupervisorSpec | None, Found | None]:
        """None for what has no usable name; its problems are noted."""
        if not isinstance(node, Mapping):
            self.reading.say(node, where, f"a map is wanted here, not {kind_of(node)}", "begin it with '- name: ...'")
            return None, None
        there = node.entries.keys()
        main = [name for name in ("children", "agent", "command") if name in there]
        if not main and there & self._supervisor_keys:
            main = ["children"]
        if not main:
            self._nothing_to_be(node, where)
            return None, None
        for extra in main[1:]:
            what = f"cannot have {extra!r} beside {main[0]!r}"
            self.reading.say(node.entries[extra][0], where, what, "keep one of them")
        if main[0] == "children":
            section = keys.SUPERVISOR
        elif main[0] == "agent":
            section = keys.AGENT_WORKER
        else:
            section = keys.LINES_WORKER if _protocol(node) == "lines" else keys.PROGRAM_WORKER
        also = {name: why for name, why in _ELSEWHERE[section.name].items() if name not in main[1:]}
        if main[1:]:  # said above, once
            entries = {name: entry for name, entry in node.entries.items() if name not in main[1:]}
            node = Mapping(node.line, node.column, entries)
        found = section.find(node, where, self.reading, also=also)
        name = found.get("name")
        child: WorkerSpec | SupervisorSpec
        if section is keys.SUPERVISOR:
            child = self._supervisor(name or "?", found, strict=strict, depth=depth + 1)
        else:
            child = self._worker(name or "?", found, strict=strict)
        return (child, found) if name else (None, None)

    def _nothing_to_be(self, node: Mapping, where: str) -> None:
        """Neither worker nor supervisor; the reason may be a slip in the one key that says so."""
        every = keys.SUPERVISOR.key_names + tuple(key.name for section in keys.WORKERS for key in section.keys)
        hint = "a worker has agent or command, a supervisor children"
        self.reading.say(node, where, "one of agent, command, children is missing", hint)
        for name, (key, _) in node.entries.items():
            if name not in every:
                self.reading.say(key, where, f"unknown key {name!r}", nearest(name, every))

    def _worker(self, name: str, found: Found, *, strict: bool) -> WorkerSpec:
        return WorkerSpec(
            name=name,
            restart=Restart(found.get("restart", "permanent")),
            shutdown=_shutdown(found.get("shutdown", 5.0)),
            start_timeout_s=self._start_timeout(found, strict=strict),
            backoff=self._backoff(found, strict=strict),
            birth=self._birth(found),
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
