"""How a worker's process is wanted: the values behind ``WorkerSpec.birth``. The core carries them unread."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal


@dataclass(frozen=True, slots=True)
class Limits:
    """None means unlimited. ``cpu_cores`` is a share of one core: 0.5 is half of one."""

    memory_bytes: int | None = None
    cpu_cores: float | None = None
    processes: int | None = None
    open_files: int | None = None
    file_size_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class May:
    """What an agent may start at run time. ``start`` are globs over what a child is: its agent as written or resolved,
    the first word of its command, "function" for code that was sent. ``limits`` bounds the sum of its children's own.
    """

    start: tuple[str, ...] = ("*",)
    children: int = 100
    """At one time, with all that they start themselves."""
    depth: int = 3
    """1: its children may start none."""
    limits: Limits = Limits()


@dataclass(frozen=True, slots=True)
class ReadyCheck:
    """When a program can work: ``target`` is a URL that answers below 400, "host:port", or a regular expression
    that a line of its output matches."""

    kind: Literal["http", "tcp", "line"]
    target: str
    interval_s: float = 0.1


@dataclass(frozen=True, slots=True)
class AgentBirth:
    """A Python agent, forked from a zygote."""

    agent: str
    """"module:Class", or "/absolute/file.py:Class"."""
    args: dict[str, Any] = field(default_factory=dict)
    env: tuple[tuple[str, str], ...] = ()
    """Added to the host's own environment."""
    cwd: str = "/"
    search_path: tuple[str, ...] = ()
    limits: Limits = Limits()
    silence_s: float = 60.0
    """A turn without a beat for this long ends the incarnation (config: ``turn.progress``)."""
    code: bytes = b""
    """A class or function as dill wrote it: then that is the agent, and ``agent`` names the code it was written in."""
    group: str = ""
    may: May = May()

    LIVE: ClassVar = ("silence_s", "group", "may")
    """What the host alone looks at: a reload changes it without a new process."""


@dataclass(frozen=True, slots=True)
class ProgramBirth:
    """A program that knows nothing of agenthost. Without ``ready`` it is ready once exec has succeeded."""

    argv: tuple[str, ...]
    env: tuple[tuple[str, str], ...] = ()
    cwd: str = "/"
    limits: Limits = Limits()
    ready: ReadyCheck | None = None
    stop_signal: int = 15
