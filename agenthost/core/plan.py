"""What a changed config would do to a running tree, and why: one line a node. Pure; nothing is done here.

A child is known by its path. What did not change is not touched; a renamed child is one removed and one added; what
supervises (types, strategies, limits of patience) changes in place (U1, U4), what a process was born with needs a new
one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any, Literal

from agenthost.core.spec import ChildSpec, Shutdown, SupervisorSpec, WorkerSpec

What = Literal["nothing", "live", "restart", "replace", "add", "remove"]


@dataclass(frozen=True, slots=True)
class Change:
    """``what`` happens to ``path``: "live" in place, "restart" of its process, "replace" of a worker by a supervisor or
    the other way round, "add" or "remove" with all below."""

    path: str
    what: What
    why: str = ""


def plan(old: SupervisorSpec, new: SupervisorSpec) -> list[Change]:
    """In the order of the new tree, removed ones behind their siblings."""
    return list(_supervisor("/", old, new))


def _supervisor(path: str, old: SupervisorSpec, new: SupervisorSpec) -> Iterator[Change]:
    yield _in_place(path, old, new, _changed(old, new, {"children"}))
    before = {child.name: child for child in old.children}
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
    if isinstance(old, SupervisorSpec) and isinstance(new, SupervisorSpec):
        yield from _supervisor(path, old, new)
    elif isinstance(old, WorkerSpec) and isinstance(new, WorkerSpec):
        if old.birth != new.birth:
            yield Change(path, "restart", f"changed: {', '.join(_of_birth(old.birth, new.birth))}")
        else:
            yield _in_place(path, old, new, _changed(old, new, {"birth"}))
    else:
        yield Change(path, "replace", "it was a worker and is a supervisor, or the other way round")


def _in_place(path: str, old: ChildSpec, new: ChildSpec, changed: list[str]) -> Change:
    if not changed:
        return Change(path, "nothing")
    words = ", ".join(
        f"{_IN_CONFIG.get(name, name)} {_word(getattr(old, name))} -> {_word(getattr(new, name))}" for name in changed
    )
    return Change(path, "live", words)


def _changed(old: Any, new: Any, left_out: set[str]) -> list[str]:
    names = [field.name for field in fields(new) if field.name not in left_out]
    return [name for name in names if getattr(old, name) != getattr(new, name)]


_IN_CONFIG = {"argv": "command", "silence_s": "turn.progress", "start_timeout_s": "start_timeout", "period_s": "period"}
"""What the config calls a field."""


def _of_birth(old: Any, new: Any) -> list[str]:
    if type(old) is not type(new):
        return ["what is started"]
    return [_IN_CONFIG.get(name, name) for name in _changed(old, new, set())]


def _word(value: Any) -> str:
    if isinstance(value, Shutdown):
        return "kill" if value.brutal else "infinity" if value.grace_s is None else f"{value.grace_s:g} s"
    text = "none" if value is None else str(value)
    return text if len(text) <= 40 else "..."
