"""A tree as a case of the suite wants it, and the two things it becomes: a spec for the core, a config for a host.

Durations are seconds. ``strict`` means ``otp_strict: true`` everywhere; without it restarts are immediate all the same,
so that a test of another deviation does not wait for back-off (D1).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

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

Grace = float | Literal["kill", "infinity"]
ConfigOfChild = Callable[[], dict[str, Any]]
"""The keys that say what a worker is, of one form: agent or command."""

BACKOFF = Backoff()


@dataclass(frozen=True)
class Child:
    name: str
    restart: str = "permanent"
    shutdown: Grace = 5.0
    significant: bool = False
    start_timeout_s: float | None = None
    backoff: bool = False
    """Without ``otp_strict``: the usual back-off instead of none."""


@dataclass(frozen=True)
class Sup:
    name: str
    children: tuple[Child | Sup, ...] = ()
    strategy: str = "one_for_one"
    intensity: int = 5
    period_s: float = 30.0
    restart: str = "permanent"
    significant: bool = False
    auto_shutdown: str = "never"
    template: Child | Sup | None = None
    """Of the members, if it is a pool."""


Shape = Child | Sup


def sup(*children: Shape, name: str = "s", **options: Any) -> Sup:
    """The supervisor under test; those inside it need a ``name``."""
    return Sup(name, children, **options)


def pool(template: Shape, *, name: str = "s", **options: Any) -> Sup:
    return Sup(name, template=template, **options)


# ---- for the core


def spec_of(shape: Shape, *, strict: bool = True) -> ChildSpec:
    if isinstance(shape, Child):
        return WorkerSpec(
            shape.name,
            restart=Restart(shape.restart),
            shutdown=_shutdown(shape.shutdown),
            start_timeout_s=shape.start_timeout_s,
            backoff=BACKOFF if shape.backoff else None,
            significant=shape.significant,
        )
    return SupervisorSpec(
        shape.name,
        tuple(spec_of(child, strict=strict) for child in shape.children),
        strategy=Strategy(shape.strategy),
        intensity=shape.intensity,
        period_s=shape.period_s,
        restart=Restart(shape.restart),
        otp_strict=strict,
        backoff=None,
        significant=shape.significant,
        auto_shutdown=AutoShutdown(shape.auto_shutdown),
        template=spec_of(shape.template, strict=strict) if shape.template is not None else None,
    )


def above(shape: Sup, *, strict: bool = True) -> SupervisorSpec:
    """A tree in which ``shape`` is started by hand, as ``/t/NAME``, and never started again: who calls start_link."""
    member = spec_of(replace(shape, restart="temporary"), strict=strict)
    starter = SupervisorSpec("t", intensity=1000, otp_strict=strict, backoff=None, template=member)
    return SupervisorSpec("/", (starter,), otp_strict=strict, backoff=None)


def _shutdown(grace: Grace) -> Shutdown:
    if grace == "kill":
        return Shutdown(0.0, brutal=True)
    return Shutdown(None if grace == "infinity" else float(grace))


# ---- for a host


def config_of(shape: Shape, worker: ConfigOfChild, *, strict: bool = True) -> dict[str, Any]:
    keys: dict[str, Any] = {"name": shape.name, "restart": shape.restart}
    if shape.significant:
        keys["significant"] = True
    if isinstance(shape, Child):
        keys |= worker() | {"shutdown": shape.shutdown if isinstance(shape.shutdown, str) else _text(shape.shutdown)}
        if shape.start_timeout_s is not None:
            keys["start_timeout"] = _text(shape.start_timeout_s)
        return keys | ({} if shape.backoff else {"backoff": "none"})
    keys |= {"intensity": shape.intensity, "period": _text(shape.period_s), "otp_strict": strict, "backoff": "none"}
    if shape.template is not None:
        return keys | {"pool": _nameless(config_of(shape.template, worker, strict=strict))}
    keys |= {"strategy": shape.strategy, "auto_shutdown": shape.auto_shutdown}
    return keys | {"children": [config_of(child, worker, strict=strict) for child in shape.children]}


def config_above(shape: Sup, worker: ConfigOfChild, *, strict: bool = True) -> dict[str, Any]:
    """As ``above``."""
    member = _nameless(config_of(replace(shape, restart="temporary"), worker, strict=strict))
    starter = {"name": "t", "pool": member, "intensity": 1000, "otp_strict": strict}
    return {"children": [starter], "otp_strict": strict}


def config_beside(shape: Sup, worker: ConfigOfChild, *, strict: bool = True) -> dict[str, Any]:
    """A tree in which ``shape`` stands as ``/NAME`` from the start."""
    return {"children": [config_of(shape, worker, strict=strict)], "otp_strict": strict}


def _nameless(keys: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in keys.items() if key not in ("name", "significant")}


def _text(seconds: float) -> str:
    return f"{seconds * 1000:.0f}ms"
