"""What is wanted: the tree of supervisors and workers, as frozen values. Refuses what OTP refuses (rules F1 to F9)."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Any

from agenthost.core.budget.budget import Budget
from agenthost.core.budget.prices import Prices
from agenthost.errors import ConfigError


class Restart(enum.StrEnum):
    """Restart type (R1 to R3)."""

    PERMANENT = "permanent"
    TRANSIENT = "transient"
    TEMPORARY = "temporary"


class Strategy(enum.StrEnum):
    """What one child's failure means for its siblings (T1 to T3)."""

    ONE_FOR_ONE = "one_for_one"
    ONE_FOR_ALL = "one_for_all"
    REST_FOR_ONE = "rest_for_one"


class AutoShutdown(enum.StrEnum):
    """When a supervisor stops itself because significant children have ended (A3, A4)."""

    NEVER = "never"
    ANY_SIGNIFICANT = "any_significant"
    ALL_SIGNIFICANT = "all_significant"


@dataclass(frozen=True, slots=True)
class Shutdown:
    """How a child is stopped: asked, TERM after two fifths of ``grace_s``, KILL after all of it (S6 to S8).

    ``grace_s`` None waits for ever (OTP ``infinity``); ``brutal`` kills at once.
    """

    grace_s: float | None = 5.0
    brutal: bool = False

    TERM_SHARE = 0.4


@dataclass(frozen=True, slots=True)
class Backoff:
    """Waiting before a restart (deviation D1). The first restart after a calm spell is immediate."""

    initial_s: float = 0.25
    factor: float = 2.0
    max_s: float = 30.0
    jitter: float = 0.2
    """Up to this share of the delay is added at random."""
    calm_s: float = 10.0
    """A child that was ready this long starts again at the bottom."""


@dataclass(frozen=True, slots=True)
class WorkerSpec:
    """A leaf. ``birth`` says how its process is born; the core does not look into it.

    With an ``intensity`` its restarts are counted in a window of its own (deviation D10) instead of its supervisor's:
    beyond it, it alone is given up and set aside; ``period_s`` means nothing without it.
    """

    name: str
    restart: Restart = Restart.PERMANENT
    shutdown: Shutdown = Shutdown()
    start_timeout_s: float | None = 30.0
    backoff: Backoff | None = Backoff()
    birth: Any = None
    significant: bool = False
    intensity: int | None = None
    period_s: float = 30.0
    interrupt_s: float = 5.0
    """Who was interrupted has this long to come back; then the incarnation is ended."""
    of_turn: bool = False
    """It belongs to its owner's turn in hand, and is killed when that is interrupted."""
    hibernate_s: float | None = None
    """With nothing to do for so long it falls asleep; None: never, unless its pool needs the room."""
    persist: bool = False
    """Added at run time it comes back with its supervisor, and with the next host (D6)."""

    def __post_init__(self) -> None:
        _check_significant(self)
        if self.intensity is not None:
            _check_window(self.intensity, self.period_s)
        if self.hibernate_s is not None and not 0 < self.hibernate_s < float("inf"):
            raise ConfigError(f"cannot use hibernate_after {self.hibernate_s}: it must be more than 0 and finite")


@dataclass(frozen=True, slots=True)
class SupervisorSpec:
    """An inner node. ``intensity`` restarts within ``period_s`` are borne, one more is not (I1).

    With a ``template`` it is a pool (OTP simple_one_for_one): it begins empty, its members are started at run time from
    the template and stopped all at once (S5).
    """

    name: str
    children: tuple[WorkerSpec | SupervisorSpec, ...] = ()
    strategy: Strategy = Strategy.ONE_FOR_ONE
    intensity: int = 5
    period_s: float = 30.0
    restart: Restart = Restart.PERMANENT
    otp_strict: bool = False
    """True turns every deviation of OTP_SEMANTICS section 13 off below this supervisor's own decisions."""
    backoff: Backoff | None = field(default=Backoff())
    significant: bool = False
    auto_shutdown: AutoShutdown = AutoShutdown.NEVER
    template: WorkerSpec | SupervisorSpec | None = None
    live: int | None = None
    """So many members of a pool may run at a time; the one that was used longest ago sleeps for the next."""
    persist: bool = False
    """As of a worker."""
    budget: Budget | None = None
    """What all below it may use together; the core does not look into it."""
    prices: Prices | None = None
    """Of the root alone: what tokens cost."""

    def __post_init__(self) -> None:
        _check_significant(self)
        if self.template is not None:
            _check_pool(self)
        if self.live is not None:
            _check_live(self)
        for child in self.children:
            check_child(self, child)
        _check_window(self.intensity, self.period_s)
        names = [child.name for child in self.children]
        twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) != len(names) else []
        if twice:
            raise ConfigError(f"cannot have two children named {twice[0]!r} under {self.name!r}: names are paths")


ChildSpec = WorkerSpec | SupervisorSpec


def check_child(parent: SupervisorSpec, child: ChildSpec) -> None:
    """A1, at init and later: ``ConfigError`` for a significant child where nothing would come of it."""
    if child.significant and parent.auto_shutdown is AutoShutdown.NEVER:
        raise ConfigError(
            f"cannot make {child.name!r} significant: auto_shutdown of {parent.name!r} is never",
            hint="set auto_shutdown to any_significant or all_significant",
        )


def _check_significant(spec: ChildSpec) -> None:
    if spec.significant and spec.restart is Restart.PERMANENT:
        raise ConfigError(  # A2
            f"cannot make {spec.name!r} significant: it is permanent and never ends for good",
            hint="make it transient or temporary",
        )


def _check_window(intensity: int, period_s: float) -> None:
    if intensity < 0:
        raise ConfigError(f"cannot use intensity {intensity}: it must be 0 or more")
    if not 0 < period_s < float("inf"):
        raise ConfigError(f"cannot use period {period_s}: it must be more than 0 and finite")


def _check_pool(spec: SupervisorSpec) -> None:
    if spec.children:
        raise ConfigError(f"cannot give the pool {spec.name!r} children: it has one template", hint="F10")
    if spec.strategy is not Strategy.ONE_FOR_ONE:
        raise ConfigError(f"cannot use {spec.strategy} for the pool {spec.name!r}: a pool is one_for_one")
    if spec.auto_shutdown is not AutoShutdown.NEVER:  # A10
        raise ConfigError(f"cannot use auto_shutdown {spec.auto_shutdown} for the pool {spec.name!r}")


def _check_live(spec: SupervisorSpec) -> None:
    if not isinstance(spec.template, WorkerSpec):
        raise ConfigError(f"cannot use live for {spec.name!r}: it is for a pool whose members are agents")
    if spec.live is not None and spec.live < 1:
        raise ConfigError(f"cannot use live {spec.live}: it must be 1 or more")
