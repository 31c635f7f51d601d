"""A config that is good: what the host runs by."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from agenthost.core.spec import SupervisorSpec

Containment = Literal["auto", "cgroup", "pidns", "walk"]
Namespace = Literal["auto", "never", "require"]
Strays = Literal["end", "report"]
Durability = Literal["process", "power"]


@dataclass(frozen=True, slots=True)
class HostConfig:
    name: str
    file: Path
    """Absolute, symbolic links kept."""
    folder: Path
    """Of the file; what relative paths are relative to."""
    tree: SupervisorSpec
    """Its name is "/". Every ``WorkerSpec.birth`` is an ``AgentBirth`` or a ``ProgramBirth``."""
    containment: Containment = "auto"
    namespace: Namespace = "auto"
    operators: tuple[int, ...] = ()
    """Uids, besides root's and the host's own."""
    strays: Strays = "end"
    durability: Durability = "process"
