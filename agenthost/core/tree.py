"""What is: the nodes of the tree, and the state that ``step`` changes in place.

A node belongs to one supervisor and is named by its path. ``Doing`` of a supervisor says which stretch of work it is
in; its lists ``to_stop`` and ``to_start`` are what is left of that work, and one child at most is in hand (S1, S4).
"""

from __future__ import annotations

import enum
from collections import deque
from dataclasses import dataclass, field
from typing import cast

from agenthost.core.backoff import Chance
from agenthost.core.effects import Effect
from agenthost.core.intensity import Window
from agenthost.core.life import WITH_PROCESS, Life
from agenthost.core.plan import Change
from agenthost.core.reason import Reason
from agenthost.core.rules import Rule
from agenthost.core.spec import ChildSpec, SupervisorSpec, WorkerSpec


class Doing(enum.StrEnum):
    """What a supervisor is doing."""

    NOTHING = "down"
    STARTING = "starting"  # its children, in order, for the first time (S1)
    SERVING = "ready"
    REGROUPING = "regrouping"  # stopping and starting a group (T2, T3)
    STOPPING = "stopping"  # everything, in reverse (S4); nothing restarts any more (S11)


class Wish(enum.StrEnum):
    """What somebody wants of a node that is on its way down."""

    NONE = "none"
    STAY_DOWN = "stay_down"
    COME_BACK = "come_back"
    VANISH = "vanish"  # it is no longer in the config
    REPLACE = "replace"  # it comes back as what the config says it is now


@dataclass(slots=True, eq=False)
class Node:
    path: str
    parent: Supervisor | None
    since: float = 0.0
    reason: Reason | None = None
    """Why it last ended."""
    restarts: int = 0
    """Restarts by its supervisor since the host started."""
    attempt: int = 0
    """Restarts since it was last calm; the rung of the back-off."""
    up_at: float | None = None
    """When it last became ready; None once that has been used."""
    due_at: float | None = None
    """When the back-off it waits in ends."""
    held: bool = False
    """An operator stopped it: group restarts leave it down (D4)."""
    by_hand: bool = False
    """An operator has started it and it is not up yet; under ``otp_strict`` it stays down if that fails (section 8)."""
    wish: Wish = Wish.NONE
    is_new: bool = False
    """Added at run time and not yet up: if it does not come up, nothing of it is kept."""
    ops: list[tuple[int, str]] = field(default_factory=list)
    """Commands (op, verb) to be answered when it is up or down."""

    @property
    def name(self) -> str:
        return self.path.rsplit("/", 1)[1]


@dataclass(slots=True, eq=False)
class Inquiry:
    """An operator's command to interrupt, answered when all that were interrupted for it have come back."""

    op: int
    path: str
    of_many: bool
    left: int = 0
    hits: int = 0
    """So many had a turn in hand."""
    told: list[str] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Interruption:
    """Of the turn in hand (``interrupting``)."""

    why: str
    late: Reason
    """With what the incarnation is ended if it does not come back."""
    inquiries: list[Inquiry] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Kept:
    """A child that persists (D6). ``below``: what persists below it, and the ``kept`` of its node while it has one."""

    spec: ChildSpec
    below: dict[str, Kept] = field(default_factory=dict)


@dataclass(slots=True, eq=False, kw_only=True)
class Worker(Node):
    spec: WorkerSpec
    life: Life = Life.DOWN
    n: int = 0
    """Number of its current or last incarnation; 0 before the first."""
    cause: Reason | None = None
    """Why we end it; outranks what its exit status will say."""
    why_asked: str = ""
    """What it was told when it was asked to end."""
    climbed: list[tuple[str, float]] = field(default_factory=list)
    """How far the stop ladder was climbed: (word, time)."""
    brood: Supervisor | None = None
    """Over the children that this incarnation has started (``brood``)."""
    kept: dict[str, Kept] = field(default_factory=dict)
    """Those of them that persist, also while it has none (``persisting``)."""
    has_left: bool = False
    """Its main process is gone, as it was asked, and its children are asked to end."""
    is_emptied: bool = False
    """Its cell is empty, and its children have not all told of their end."""
    deadlines: dict[str, float] = field(default_factory=dict)
    """Its timers that run, or stand still while it is frozen: kind to when."""
    frozen_at: float | None = None
    interruption: Interruption | None = None
    """It was told that its turn is over, and has not come back yet."""
    window: Window | None = None
    """Of its own, if its spec has an intensity (D10)."""
    idle_at: float | None = None
    """Since when it has nothing to do, as it has said; None while it has (``sleeping``)."""
    dozing: bool = False
    """It was asked to sleep, and has not answered yet."""
    sleeping: bool = False
    """It has said that it does, and ends."""

    @property
    def alive(self) -> bool:
        return self.life in WITH_PROCESS

    @property
    def below(self) -> list[AnyNode]:
        """The children it has started, in order."""
        return [] if self.brood is None else self.brood.below

    def adopt(self, spec: WorkerSpec) -> None:
        """Be what ``spec`` says from now on. A worker in back-off keeps the window that waits with it."""
        self.spec = spec
        if spec.intensity is not None and self.window is not None:
            self.window.adjust(spec.intensity, spec.period_s, whole_seconds=False)
        elif self.due_at is None:
            self.window = None if spec.intensity is None else Window(spec.intensity, spec.period_s)


@dataclass(slots=True, eq=False, kw_only=True)
class Supervisor(Node):
    spec: SupervisorSpec
    window: Window
    children: dict[str, AnyNode] = field(default_factory=dict)
    doing: Doing = Doing.NOTHING
    waiting: bool = False
    """It has ended and its own supervisor lets it wait in back-off."""
    resting: Life = Life.DOWN
    """How it is shown while it does nothing: down, done or gave_up."""
    to_stop: deque[str] = field(default_factory=deque)
    to_start: deque[str] = field(default_factory=deque)
    in_hand: str | None = None
    """The one child it waits for, to end if ``stopping_in_hand``, else to come up."""
    stopping_in_hand: bool = False
    waits_for: str | None = None
    """The child in back-off that a group restart waits with."""
    failed: list[str] = field(default_factory=list)
    """Children that ended while something else was in hand; looked at when that is over."""
    end: Reason | None = None
    """With what it ends once everything is stopped."""
    still: int = 0
    """Members of a pool that have not ended yet while it stops."""
    owner: Worker | None = None
    """Whose brood this is; then it has no parent and is in no listing."""
    kept: dict[str, Kept] = field(default_factory=dict)
    """Children of run time that persist, by name; of a brood its owner's."""
    idle: dict[str, None] = field(default_factory=dict)
    """Members of a pool that have nothing to do, the one used longest ago first."""
    leaving: set[str] = field(default_factory=set)
    """Those that were asked to sleep, until they have ended or declined."""
    waking: dict[str, list[tuple[int, str]]] = field(default_factory=dict)
    """Names for which there is no room yet, in order: the commands (op, verb) that wait for each."""

    @property
    def alive(self) -> bool:
        return self.doing is not Doing.NOTHING

    @property
    def below(self) -> list[AnyNode]:
        """Its children, in order."""
        return list(self.children.values())

    @property
    def is_pool(self) -> bool:
        return self.spec.template is not None


AnyNode = Worker | Supervisor


def owner_of(node: AnyNode) -> Worker | None:
    """The agent that has started it, or a supervisor above it; None for what stands in the config."""
    above = node.parent
    while above is not None and above.owner is None:
        above = above.parent
    return above.owner if above is not None else None


@dataclass(slots=True)
class UnderWay:
    """A reload whose new children are not all up yet."""

    op: int
    by: str
    spec: SupervisorSpec
    changes: list[Change]
    added: dict[str, AnyNode] = field(default_factory=dict)
    """The new children by path; each is in the tree unless nothing of it is kept."""
    not_up: list[AnyNode] = field(default_factory=list)
    """Those of them not yet seen up. Looked at from its end alone: a move costs the same however many there are."""
    gone: list[str] = field(default_factory=list)
    """Those that have left without having been up or having said that there is nothing to do."""


class State:
    """Everything the core knows. ``prefix`` is put before every path, "" for the users' tree."""

    def __init__(self, spec: SupervisorSpec, *, seed: int = 0, prefix: str = "") -> None:
        self.nodes: dict[str, AnyNode] = {}
        self.chance = Chance(seed)
        self.last_n = 0
        self.halting = False
        self.reloading: UnderWay | None = None
        self.crowded: dict[str, Supervisor] = {}
        """Pools in which somebody waits for room, or that have more members than they may (``waking``)."""
        self.root = self._supervisor(spec, prefix or "/", None)

    def plant(self, spec: ChildSpec, parent: Supervisor) -> AnyNode:
        """Put a child, and all below it, into the tree."""
        path = parent.path.rstrip("/") + "/" + spec.name
        if isinstance(spec, SupervisorSpec):
            return self._supervisor(spec, path, parent)
        node = Worker(path=path, parent=parent, spec=spec)
        node.adopt(spec)
        self.nodes[path] = node
        return node

    def plant_kept(self, kept: Kept, parent: Supervisor) -> AnyNode:
        """With what persists below it."""
        node = self.plant(kept.spec, parent)
        node.kept = kept.below
        return node

    def replant(self, sup: Supervisor) -> None:
        """Back to the children of its spec: what was added goes, what was deleted or forgotten returns (T8). What
        persists stays, after those (D6)."""
        wanted = {child.name for child in sup.spec.children} | sup.kept.keys()
        for child in [child for name, child in sup.children.items() if name not in wanted]:
            self.drop(child)
        children = {spec.name: sup.children.get(spec.name) or self.plant(spec, sup) for spec in sup.spec.children}
        for name, kept in sup.kept.items():
            children[name] = sup.children.get(name) or self.plant_kept(kept, sup)
        sup.children = children

    def renew(self, node: AnyNode) -> AnyNode:
        """A fresh node from its supervisor's spec, in the same place among its siblings."""
        parent = node.parent
        assert parent is not None
        names = list(parent.children)
        self.drop(node)
        spec = next(child for child in parent.spec.children if child.name == node.name)
        parent.children[node.name] = fresh = self.plant(spec, parent)
        parent.children = {name: parent.children[name] for name in names}
        return fresh

    def drop(self, node: AnyNode) -> None:
        """Forget a child and its spec (R3)."""
        if isinstance(node, Supervisor):
            for child in list(node.children.values()):
                self.drop(child)
        if node.parent is not None:
            node.parent.children.pop(node.name, None)
        self.nodes.pop(node.path, None)
        if self.reloading is not None and node.is_new and self.reloading.added.get(node.path) is node:
            self.reloading.gone.append(node.path)

    def _supervisor(self, spec: SupervisorSpec, path: str, parent: Supervisor | None) -> Supervisor:
        window = Window(spec.intensity, spec.period_s, whole_seconds=spec.otp_strict)
        node = Supervisor(path=path, parent=parent, spec=spec, window=window)
        self.nodes[path] = node
        for child in spec.children:
            node.children[child.name] = self.plant(child, node)
        return node


class Turn:
    """One move: the state, the time, and the effects so far."""

    __slots__ = ("effects", "marks", "now", "state")

    def __init__(self, state: State, now: float) -> None:
        self.state, self.now, self.effects = state, now, cast(list[Effect], [])
        self.marks = cast(list[tuple[int, Rule]], [])
        """From which effect on it was which rule."""

    def because(self, rule: Rule) -> None:
        """What follows is decided by ``rule``."""
        self.marks.append((len(self.effects), rule))
