"""The matrix: what an agent has below it, how it is ended, in which tier; which of its fields are empty, and why."""

from __future__ import annotations

import functools
import os
import shutil
from collections.abc import Iterator
from typing import NamedTuple

from agenthost.containment import tiers
from tests.chaos.awkward import PROGRAMS

WALLS = {"cgroup": ("cgroup", "auto"), "pidns": ("pidns", "auto"), "walk": ("walk", "never")}
"""A tier's name in the matrix: ``containment`` and ``namespace`` of the host. Walking alone, without another wall."""

BARE = {"cgroup_bare": ("cgroup", "never"), "pidns_bare": ("pidns", "never"), "walk_inside": ("walk", "auto")}
"""The others, which differ only where a part of the host ends."""

OF_AGENT = ("stop", "kill", "restart", "crash", "reload", "frozen_stop", "frozen_kill", "silence")
OF_HOST = ("host", "guardian", "both")
OF_TURN = ("interrupt", "turn_timeout", "turn_end", "reap")
"""Of these the agent's process goes on: "reap" is of what a turn left in the agent's own cell, the others of a tool."""

WHATS = [name for name in PROGRAMS if not name.startswith("crowd")]
QUICK_WHATS = ("plain", "session", "daemon", "deaf", "stopped", "relay", "vfork", "traced", "headless")

probe = functools.lru_cache(maxsize=1)(tiers.probe)


class Field(NamedTuple):
    what: str
    how: str
    tier: str

    @property
    def walls(self) -> tuple[str, str]:
        """Both can be outlived only by a PID namespace, of the host or of each agent: walking has one here too."""
        containment, namespace = (WALLS | BARE)[self.tier]
        return containment, "auto" if self.how == "both" and self.tier in WALLS else namespace

    def __str__(self) -> str:
        return f"{self.what}-{self.how}-{self.tier}"


def fields() -> Iterator[Field]:
    for tier in (*WALLS, *BARE):
        for how in hows(tier):
            for what in WHATS:
                yield Field(what, how, tier)


def hows(tier: str) -> tuple[str, ...]:
    if tier in WALLS:
        return (*OF_AGENT, *OF_TURN, *OF_HOST)
    return OF_HOST if tier == "pidns_bare" else ("host", "guardian")


def why_empty(field: Field) -> str:
    """Empty text: it is not."""
    if field.what == "bomb_1500" and field.tier.startswith("walk"):
        return "walking does not claim to end a fork bomb of hundreds"
    if field.what == "setuid" and os.geteuid() != 0:
        return "only root can make a program that is another user's and set-user-ID"
    missing = [name for name in PROGRAMS[field.what].needs if shutil.which(name) is None]
    if missing:
        return f"{', '.join(missing)} is not installed"
    tier = next(one for one in probe() if one.name == field.walls[0])
    return "" if tier.available else f"tier {tier.name}: {tier.why}"


def is_quick(field: Field) -> bool:
    """Each program once, each tier and each end a few times: a diagonal."""
    if field.tier not in WALLS or field.what not in QUICK_WHATS:
        return False
    tried = [how for how in (*OF_AGENT, *OF_HOST) if how != "silence"]
    at = QUICK_WHATS.index(field.what)
    return tried[at % len(tried)] == field.how and list(WALLS)[at % len(WALLS)] == field.tier
