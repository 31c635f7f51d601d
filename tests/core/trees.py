"""Short ways to write trees."""

from __future__ import annotations

from typing import Any

from agenthost.core.spec import AutoShutdown, ChildSpec, Restart, Strategy, SupervisorSpec, WorkerSpec


def worker(name: str, **options: Any) -> WorkerSpec:
    """Without back-off, so that restarts are immediate unless a test says otherwise."""
    return WorkerSpec(name, **{"backoff": None, **_typed(options)})


def supervisor(name: str, *children: ChildSpec, **options: Any) -> SupervisorSpec:
    return SupervisorSpec(name, tuple(children), **{"backoff": None, **_typed(options)})


def pool(name: str, template: ChildSpec, **options: Any) -> SupervisorSpec:
    return supervisor(name, template=template, **options)


def _typed(options: dict[str, Any]) -> dict[str, Any]:
    if "restart" in options:
        options["restart"] = Restart(options["restart"])
    if "auto_shutdown" in options:
        options["auto_shutdown"] = AutoShutdown(options["auto_shutdown"])
    if "strategy" in options:
        options["strategy"] = Strategy(options["strategy"])
    return options
