"""A host as a unit of systemd: the text of ``NAME.service``. PURE; ``docs/systemd.md`` says what each line is for.

Two rules of systemd.service(5) shape it. ``KillMode=mixed`` lets the guardian alone hear the TERM, so that the tree
stops in its order, and then has systemd end whoever is left in the unit's cgroup. ``Restart=on-failure`` takes over
where the guardian gives up, but not for what another try cannot mend (``errors``: 2, 75, 77, 78).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from agenthost.core.spec import ChildSpec, SupervisorSpec
from agenthost.errors import UsageError

NO_RESTART = (2, 75, 77, 78)
WATCHDOG_S = 60
"""More than the guardian itself ever waits: 10 s for a birth, 5 s between two starts."""
_STOP_SLACK_S = 10
_SHORTEST_STOP_S, _LONGEST_STOP_S = 30, 600
_PLAIN = re.compile(r"[A-Za-z0-9_@+=:,./-]+")
_USER = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*|[0-9]+")


@dataclass(frozen=True, slots=True)
class Unit:
    """``command`` runs the host in the foreground. ``of_user``: for ``systemd --user``. ``user``: whose host a unit of
    the system is, None root's."""

    name: str
    command: Sequence[str]
    folder: str
    stop_s: int
    of_user: bool = False
    user: str | None = None

    def __post_init__(self) -> None:
        if self.of_user and self.user:
            raise UsageError(
                f"cannot run a unit of systemd --user as {self.user}: it runs as the user whose systemd it is",
                hint="leave one of them out",
            )
        if self.user is not None and not _USER.fullmatch(self.user):
            raise UsageError(f"cannot run a unit as {self.user!r}: give the name or number of a user")

    def text(self) -> str:
        return "\n".join(self._lines()) + "\n"

    def _lines(self) -> Iterator[str]:
        yield "[Unit]"
        yield f"Description=agenthost: {_specifiers(self.name)}"
        if not self.of_user:
            yield "After=network.target"
        yield "StartLimitIntervalSec=5min"
        yield "StartLimitBurst=5"
        yield ""
        yield "[Service]"
        yield "Type=notify"
        yield "NotifyAccess=main"
        if self.user is not None:
            yield f"User={self.user}"
        yield f"WorkingDirectory={_specifiers(_one_line(self.folder))}"
        yield f"ExecStart={' '.join(map(quoted, self.command))}"
        yield "ExecReload=/bin/kill -HUP $MAINPID"
        yield "Restart=on-failure"
        yield "RestartSec=1s"
        yield f"RestartPreventExitStatus={' '.join(map(str, NO_RESTART))}"
        yield "TimeoutStartSec=infinity"
        yield f"TimeoutStopSec={self.stop_s}s"
        yield f"WatchdogSec={WATCHDOG_S}s"
        yield "WatchdogSignal=SIGKILL"
        yield "KillMode=mixed"
        yield "Delegate=yes"
        yield "OOMPolicy=continue"
        yield "TasksMax=infinity"
        yield "LimitNICE=-5"
        if not self.of_user:
            yield "OOMScoreAdjust=-500"
        yield ""
        yield "[Install]"
        yield f"WantedBy={'default' if self.of_user else 'multi-user'}.target"


def longest_stop_s(tree: SupervisorSpec) -> int:
    """How long systemd waits after its TERM: each child's grace one after the other, and some room; within bounds, for
    a machine that goes down does not wait for ever. Children of run time are not known here."""
    return int(min(max(_grace_s(tree) + _STOP_SLACK_S, _SHORTEST_STOP_S), _LONGEST_STOP_S))


def _grace_s(spec: ChildSpec) -> float:
    if isinstance(spec, SupervisorSpec):  # a pool's members are stopped all at once (S5)
        return _grace_s(spec.template) if spec.template else sum(map(_grace_s, spec.children))
    if spec.shutdown.brutal:
        return 0.0
    return _LONGEST_STOP_S if spec.shutdown.grace_s is None else spec.shutdown.grace_s


def quoted(word: str) -> str:
    """One word of a command line in a unit: quotes, ``%`` specifiers and ``$`` variables (systemd.service(5))."""
    word = _specifiers(_one_line(word)).replace("$", "$$")
    if _PLAIN.fullmatch(word):
        return word
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _specifiers(text: str) -> str:
    return text.replace("%", "%%")


def _one_line(text: str) -> str:
    if any(ord(letter) < 32 for letter in text):
        raise UsageError(f"cannot write {text!r} into a unit: it has a control character", hint="rename the file")
    return text
