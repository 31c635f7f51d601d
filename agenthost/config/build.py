"""Sections to specs: what the keys of a tree mean together. Problems are noted, and reading goes on.

What the core refuses gets its place here. ``elsewhere`` says why a key is not for a child of this form.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from agenthost.config import keys
from agenthost.config.births import Births
from agenthost.config.budget_kinds import tree_budget_of
from agenthost.config.document import Mapping, Node, Sequence, kind_of, line_of
from agenthost.config.elsewhere import ELSEWHERE
from agenthost.config.kinds import Reading
from agenthost.config.problem import Refused, nearest
from agenthost.config.sections import Found, Section
from agenthost.config.significant import is_significant
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

_DEFAULT_BACKOFF = Backoff()
_DEFAULT_START_S = 30.0
_DEFAULT_INTERRUPT_S = 5.0

_BODIES = {"pool": keys.POOL, "children": keys.SUPERVISOR, "agent": keys.AGENT_WORKER, "command": keys.PROGRAM_WORKER}
"""The one key that says what a child is."""
_KEYS = frozenset(key.name for section in keys.CHILDREN for key in section.keys)
_SUPERVISOR_KEYS = frozenset(keys.SUPERVISOR.key_names) - {key.name for s in keys.WORKERS for key in s.keys}


@dataclass(slots=True)
class Builder:
    """Builds one tree, or one child for an agent."""

    reading: Reading
    births: Births
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

    def begun(self, node: Node, where: str, name: str) -> ChildSpec | None:
        """What an agent starts, by the rules of a child in the file. None, or anything, after a problem was noted."""
        if not isinstance(node, Mapping):
            self.reading.say(node, where, f"a map is wanted here, not {kind_of(node)}")
            return None
        form = self._form(node, where, keys.NOT_OF_MEMBERS)
        if form is None:
            return None
        if form[0] is keys.POOL:
            self.reading.say(node, where, "an agent cannot start a pool", "start what its members would be")
            return None
        section = keys.BEGUN[form[0].name]
        found = section.find(form[1], where, self.reading, also=ELSEWHERE[section.name])
        return self._made(name, form[0], found, strict=False, depth=1, restart="temporary")

    def _supervisor(
        self, name: str, found: Found, *, strict: bool, depth: int, significant: bool = False, restart: str = ""
    ) -> SupervisorSpec:
        strict = bool(found.get("otp_strict", strict))
        return SupervisorSpec(
            name=name,
            children=self._children(found, strict=strict, depth=depth),
            strategy=Strategy(found.get("strategy", "one_for_one")),
            intensity=found.get("intensity", 1 if strict else 5),
            period_s=found.get("period", 5.0 if strict else 30.0),
            restart=Restart(found.get("restart", restart or "permanent")),
            otp_strict=strict,
            backoff=self._backoff(found, strict=strict),
            significant=significant,
            auto_shutdown=AutoShutdown(found.get("auto_shutdown", "never")),
            template=self._template(name, found, strict=strict, depth=depth),
            live=self._live(found),
            persist=bool(found.get("persist", False)),
            budget=tree_budget_of(found.get("budget")),
        )

    def _children(self, found: Found, *, strict: bool, depth: int) -> tuple[ChildSpec, ...]:
        listed = found.get("children")
        if not isinstance(listed, Sequence) or not self._is_shallow(listed, found, depth):
            return ()
        made: dict[str, ChildSpec] = {}
        lines: dict[str, str] = {}
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
                what = f"the name {child.name!r} is taken by a sibling{lines[child.name]}"
                self.reading.say(at, f"{where}.name", what, "names are paths: choose another")
                continue
            made[child.name], lines[child.name] = child, line_of(place.nodes["name"])
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

    def _live(self, found: Found) -> int | None:
        """What is put to sleep must come back as it was."""
        live, node = found.get("live"), found.get("pool")
        if live is not None and isinstance(node, Mapping) and "agent" not in node.entries:
            what = "live is for a pool whose members are agents in Python: nothing else can sleep"
            self.reading.say(found.nodes["live"], f"{found.where}.live", what, "remove it")
            return None
        return None if live is None else int(live)

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
        self,
        name: str,
        section: Section,
        found: Found,
        *,
        strict: bool,
        depth: int,
        significant: bool = False,
        restart: str = "",
    ) -> ChildSpec | None:
        """None, with a problem at the child's place, for what only the core knows to refuse. ``restart`` is what it is
        where it does not say: permanent without this."""
        try:
            if section is keys.SUPERVISOR or section is keys.POOL:
                below = depth + 1
                return self._supervisor(
                    name, found, strict=strict, depth=below, significant=significant, restart=restart
                )
            return self._worker(name, found, strict=strict, significant=significant, restart=restart)
        except ConfigError as error:
            self.reading.say(found.node, found.where, error.message, error.hint or "")
            return None

    def _worker(self, name: str, found: Found, *, strict: bool, significant: bool, restart: str) -> WorkerSpec:
        self._check_window(found, strict=strict)
        turn = found.get("turn")
        return WorkerSpec(
            name=name,
            restart=Restart(found.get("restart", restart or "permanent")),
            shutdown=_shutdown(found.get("shutdown", 5.0)),
            start_timeout_s=self._start_timeout(found, strict=strict),
            backoff=self._backoff(found, strict=strict),
            birth=self.births.read(found),
            significant=significant,
            intensity=found.get("intensity"),
            period_s=found.get("period", 30.0),
            interrupt_s=turn.get("interrupt", _DEFAULT_INTERRUPT_S) if turn else _DEFAULT_INTERRUPT_S,
            hibernate_s=found.get("hibernate_after"),
            persist=bool(found.get("persist", False)),
        )

    def _check_window(self, found: Found, *, strict: bool) -> None:
        """A window of its own is deviation D10."""
        for name in ("intensity", "period") if strict else ():
            if name in found.keys:
                what = f"a worker has no {name!r} of its own under 'otp_strict': in OTP its supervisor counts"
                self.reading.say(found.keys[name], found.where, what, "remove it, or 'otp_strict'")
        if not strict and "period" in found.keys and "intensity" not in found.keys:
            what = "'period' means nothing here without 'intensity'"
            self.reading.say(found.keys["period"], found.where, what, "write 'intensity' beside it")

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


def _protocol(node: Mapping) -> str:
    entry = node.entries.get("protocol")
    text = getattr(entry[1], "text", "") if entry else ""
    return str(text)


def _shutdown(value: float | str) -> Shutdown:
    if value == "kill":
        return Shutdown(grace_s=0.0, brutal=True)
    return Shutdown(grace_s=None if isinstance(value, str) else value)
