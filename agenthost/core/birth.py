"""How a worker's process is wanted: the values behind ``WorkerSpec.birth``. The core carries them unread."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from agenthost.core.answers import Judge
from agenthost.core.budget.budget import Budget
from agenthost.core.loops import USUAL as USUAL_LOOPS
from agenthost.core.loops import Loops
from agenthost.core.remedy.rungs import Ladder


@dataclass(frozen=True, slots=True)
class Limits:
    """None means unlimited. ``cpu_cores`` is a share of one core: 0.5 is half of one. ``cpu_weight`` is what it gets
    beside its siblings when all want more than there is, 100 as usual. ``strict``: what cannot be held is an error."""

    memory_bytes: int | None = None
    cpu_cores: float | None = None
    processes: int | None = None
    open_files: int | None = None
    file_size_bytes: int | None = None
    cpu_weight: int | None = None
    strict: bool = False


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
    that a line of its output matches. "notify" and "fd" are heard from the program itself: sd_notify(3)'s READY=1, or a
    newline written to the descriptor whose number ``target`` is."""

    kind: Literal["http", "tcp", "line", "notify", "fd"]
    target: str = ""
    interval_s: float = 0.1


@dataclass(frozen=True, slots=True)
class LivenessCheck:
    """What must go on while it is ready. ``target`` is a URL or "host:port"; ``argv`` a program that ends with 0;
    "notify" wants WATCHDOG=1 (sd_notify(3)) at least every ``interval_s``."""

    kind: Literal["http", "tcp", "command", "notify"]
    target: str = ""
    argv: tuple[str, ...] = ()
    interval_s: float = 10.0
    timeout_s: float = 5.0
    failures: int = 3
    """In a row; so many end the incarnation."""


@dataclass(frozen=True, slots=True)
class EnvFile:
    """A file of KEY=VALUE lines, read anew at every start. ``optional``: it need not be there."""

    path: str
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Secret:
    """Where a value comes from that only the process itself may know; the value is in no spec. ``source`` is a path,
    the name of a variable of the host's environment, or a command that prints it."""

    name: str
    kind: Literal["file", "env", "command"]
    source: str | tuple[str, ...]
    as_file: bool = False
    """The variable holds the path of a file with the value, not the value."""


@dataclass(frozen=True, slots=True)
class LogKeeping:
    """What is kept of its output: ``keep`` files of ``max_bytes``; which streams at all."""

    max_bytes: int = 10 * 1024 * 1024
    keep: int = 3
    stdout: bool = True
    stderr: bool = True


@dataclass(frozen=True, slots=True)
class MailTerms:
    """How durable mail for an agent is treated. ``attempts`` of a turn until its message is a dead letter; pauses
    between them from ``initial_s``, twice as long each time up to ``max_s``. ``limit``: open messages in its mailbox, 0
    is the most there may be; ``when_full`` says what becomes of one more."""

    attempts: int = 3
    initial_s: float = 1.0
    max_s: float = 60.0
    limit: int = 0
    when_full: Literal["refuse", "drop_oldest", "spill"] = "refuse"


@dataclass(frozen=True, slots=True)
class Periodic:
    """A message that an agent gets again and again; ``cron`` as in ``agenthost.cron``."""

    name: str
    cron: str
    body: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class AnyBirth:
    """What programs and Python agents have alike."""

    env_files: tuple[EnvFile, ...] = ()
    """Below ``env``: what is said there wins."""
    secrets: tuple[Secret, ...] = ()
    liveness: LivenessCheck | None = None
    log: LogKeeping = LogKeeping()
    no_new_privileges: bool = True
    """PR_SET_NO_NEW_PRIVS: no set-uid program gives it or its children more rights."""
    user: int | None = None
    """The uid it runs as, with that user's groups; None: the host's own."""


@dataclass(frozen=True, slots=True)
class AgentBirth(AnyBirth):
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
    """A turn without a beat for this long ends the incarnation (config: ``turn.silence``)."""
    code: bytes = b""
    """A class or function as dill wrote it: then that is the agent, and ``agent`` names the code it was written in."""
    turn_s: float | None = None
    """A turn that takes longer is interrupted (config: ``turn.timeout``)."""
    progress_s: float | None = None
    """So is one that has not got on for so long (config: ``turn.progress``)."""
    group: str = ""
    may: May = May()
    reap: bool = False
    """What a turn leaves behind in the agent's own cell is killed (config: ``turn.reap``)."""
    mail: MailTerms = MailTerms()
    cron: tuple[Periodic, ...] = ()
    recovery: Ladder | None = None
    """What becomes of failed work; None: as ``mail`` says."""
    budget: Budget | None = None
    """What it may use, besides what those above it may."""

    schema: Any = None
    """What its answers must be like, a JSON schema; None: nothing is asked of them."""
    judge: Judge | None = None
    """Whom it asks about its answers."""
    loops: Loops | None = USUAL_LOOPS
    """How often a turn may repeat itself; None: as often as it likes."""

    LIVE: ClassVar = ("silence_s", "turn_s", "progress_s", "group", "may", "mail", "cron", "recovery", "budget")
    """What the host alone looks at: a reload changes it without a new process."""


@dataclass(frozen=True, slots=True)
class ProgramBirth(AnyBirth):
    """A program that knows nothing of agenthost. Without ``ready`` it is ready once exec has succeeded."""

    argv: tuple[str, ...]
    env: tuple[tuple[str, str], ...] = ()
    cwd: str = "/"
    limits: Limits = Limits()
    ready: ReadyCheck | None = None
    stop_signal: int = 15
    pty: bool = False
    """Its standard streams are a terminal, its controlling one; what it writes there is its stdout."""
    streams: int = 0
    """Number of the standard streams and the environment that its owner has given it, a tool; 0 is none."""
