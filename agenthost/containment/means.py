"""What holds each limit here, and how well: by which a limit that cannot be held is told, or under ``strict`` refused.

Leaves the doing to ``allotment`` (cgroups) and to the host (rlimits). The rule: what does less than the config's words
say is not ``whole``, and says why, and what to do about it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from agenthost.core.birth import Limits

BY_RLIMIT = "rlimit"
BY_V1, BY_V2 = "cgroup v1", "cgroup v2"

FIELDS = {
    "memory": "memory_bytes",
    "cpu": "cpu_cores",
    "cpu_weight": "cpu_weight",
    "processes": "processes",
    "open_files": "open_files",
    "file_size": "file_size_bytes",
}
"""What the config calls a limit, and its field in ``Limits``."""
CONTROLLER_OF = {"memory": "memory", "cpu": "cpu", "cpu_weight": "cpu", "processes": "pids"}


@dataclass(frozen=True, slots=True)
class Mean:
    """``by`` is empty where nothing holds it. ``whole``: it holds for the agent and all it starts, as it is meant."""

    by: str
    whole: bool
    why: str = ""
    """Not better than that, and what to do."""

    def sentence(self, limit: str) -> str:
        return self.how(limit) if self.whole else f"{self.how(limit)}: {self.why}"

    def how(self, limit: str) -> str:
        if self.whole:
            return f"{limit} by {self.by}"
        return f"{limit} by rlimit only, for each process alone" if self.by else f"{limit} not limited"


Means = Mapping[str, Mean]
"""By what the config calls a limit."""


def means(v2: Iterable[str], v1: Iterable[str], missing: Mapping[str, str], otherwise: str) -> Means:
    """``v2`` and ``v1``: the controllers that are had from there. ``missing``: why one is not, else ``otherwise``."""
    v2, v1 = frozenset(v2), frozenset(v1)
    found = {limit: Mean(BY_RLIMIT, True) for limit in ("open_files", "file_size")}
    for limit, controller in CONTROLLER_OF.items():
        why = missing.get(controller, otherwise)
        if controller in v2:
            found[limit] = Mean(BY_V2, True)
        elif controller in v1:
            found[limit] = Mean(BY_V1, True)
        elif controller == "cpu":
            found[limit] = Mean("", False, why)
        elif controller == "pids" and os.geteuid() == 0:
            found[limit] = Mean(BY_RLIMIT, False, f"{why} (and no rlimit binds root: setrlimit(2), RLIMIT_NPROC)")
        else:
            found[limit] = Mean(BY_RLIMIT, False, why)
    return found


def set_limits(limits: Limits) -> list[str]:
    """Those that are set, as the config calls them."""
    return [limit for limit, field in FIELDS.items() if getattr(limits, field) is not None]


def not_whole(limits: Limits, had: Means) -> list[str]:
    """Of those that are set, which are not held as they are meant."""
    return [limit for limit in set_limits(limits) if not had[limit].whole]


def sentences(had: Means) -> list[str]:
    """What is held by what: what is held alike, or is not for the same reason, in one sentence."""
    alike: dict[Mean, list[str]] = {}
    for limit in FIELDS:
        alike.setdefault(had[limit], []).append(limit)
    by_reason: dict[str, list[str]] = {}
    for mean, limits in alike.items():
        by_reason.setdefault("" if mean.whole else mean.why, []).append(mean.how(", ".join(limits)))
    return [f"{', '.join(parts)}: {why}" if why else "; ".join(parts) for why, parts in by_reason.items()]
