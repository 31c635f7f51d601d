"""What a changed config would do to a running tree, and why: one line a node. Pure; nothing is done here.

A child is known by its path. What did not change is not touched; a renamed child is one removed and one added; what
supervises (types, strategies, limits of patience) changes in place (U1, U4), what a process was born with needs a new
one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Literal

from agenthost.core.spec import ChildSpec, Shutdown, SupervisorSpec, WorkerSpec

What = Literal["nothing", "live", "restart", "replace", "add", "remove"]


@dataclass(frozen=True, slots=True)
class Change:
    """``what`` happens to ``path``: "live" in place, "restart" of its process, "replace" by what is of another kind,
    "add" or "remove" with all below."""

    path: str
    what: What
    why: str = ""


def plan(old: SupervisorSpec, new: SupervisorSpec) -> list[Change]:
    """In the order of the new tree, removed ones behind their siblings."""
    return list(_supervisor("/", old, new))


def _supervisor(path: str, old: SupervisorSpec, new: SupervisorSpec) -> Iterator[Change]:
    yield _in_place(path, [(old, new, name) for name in _changed(old, new, {"children", "template"})])
    if members := _of_template(old.template, new.template):
        yield Change(path, "live", f"members, from the next start of each: {members}")
    before = {child.name: child for child in old.children}
    kept = [child.name for child in new.children if child.name in before]
    if kept != [name for name in before if name in kept]:
        yield Change(path, "live", f"the order of its children: {', '.join(kept)}")
    for child in new.children:
        below = path.rstrip("/") + "/" + child.name
        known = before.pop(child.name, None)
        if known is None:
            yield Change(below, "add", "it is new")
        else:
            yield from _child(below, known, child)
    for name in before:
        yield Change(path.rstrip("/") + "/" + name, "remove", "it is no longer in the config")


def _child(path: str, old: ChildSpec, new: ChildSpec) -> Iterator[Change]:
    if not same_kind(old, new):
        yield Change(path, "replace", f"it was {_kind(old)} and is {_kind(new)}")
    elif isinstance(old, SupervisorSpec) and isinstance(new, SupervisorSpec):
        yield from _supervisor(path, old, new)
    elif isinstance(old, WorkerSpec) and isinstance(new, WorkerSpec):
        of_birth = _of_birth(old.birth, new.birth)
        if set(of_birth) <= set(getattr(new.birth, "LIVE", ())):
            changed = [(old, new, name) for name in _changed(old, new, {"birth"})]
            yield _in_place(path, [*changed, *((old.birth, new.birth, name) for name in of_birth)])
        else:
            yield Change(path, "restart", f"changed: {', '.join(map(_in_config, of_birth))}")


def _of_template(old: ChildSpec | None, new: ChildSpec | None) -> str:
    """What holds from each member's next start (U4, U6), in words."""
    if old == new or old is None or new is None:
        return ""
    if not isinstance(old, WorkerSpec) or not isinstance(new, WorkerSpec):
        return "another template"
    of_birth = _of_birth(old.birth, new.birth)
    if of_birth == [_ALL]:
        return "another template"
    changed = [(old, new, name) for name in _changed(old, new, {"name", "birth"})]
    return _words([*changed, *((old.birth, new.birth, name) for name in of_birth)])


def same_kind(old: ChildSpec, new: ChildSpec) -> bool:
    """Whether one can become the other in place. A pool and a supervisor with children cannot (U6)."""
    return _kind(old) == _kind(new)


def _kind(spec: ChildSpec) -> str:
    if isinstance(spec, WorkerSpec):
        return "a worker"
    return "a supervisor with children" if spec.template is None else "a pool"


def _in_place(path: str, changed: list[tuple[Any, Any, str]]) -> Change:
    return Change(path, "live", _words(changed)) if changed else Change(path, "nothing")


def _words(changed: list[tuple[Any, Any, str]]) -> str:
    """``changed``: (before, after, name of the field)."""
    return ", ".join(
        f"{_in_config(name)} {_word(getattr(a, name))} -> {_word(getattr(b, name))}" for a, b, name in changed
    )


def _changed(old: Any, new: Any, left_out: set[str]) -> list[str]:
    names = [field.name for field in fields(new) if field.name not in left_out]
    return [name for name in names if getattr(old, name) != getattr(new, name)]


_IN_CONFIG = {"argv": "command", "silence_s": "turn.silence", "start_timeout_s": "start_timeout", "period_s": "period"}
_IN_CONFIG |= {"turn_s": "turn.timeout", "progress_s": "turn.progress", "interrupt_s": "turn.interrupt"}
_IN_CONFIG |= {"hibernate_s": "hibernate_after"}
_IN_CONFIG |= {"env_files": "env_file", "no_new_privileges": "no_new_privs"}


def _in_config(name: str) -> str:
    """What the config calls a field."""
    return _IN_CONFIG.get(name, name)


_ALL = "what is started"


def _of_birth(old: Any, new: Any) -> list[str]:
    if old == new:
        return []
    if type(old) is not type(new) or not is_dataclass(new):
        return [_ALL]
    return _changed(old, new, set())


def _word(value: Any) -> str:
    if isinstance(value, Shutdown):
        return "kill" if value.brutal else "infinity" if value.grace_s is None else f"{value.grace_s:g} s"
    text = "none" if value is None else str(value)
    return text if len(text) <= 40 else "..."
