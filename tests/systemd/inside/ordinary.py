"""agenthost run by an ordinary user who was given nothing: no cgroup of his own, and at last no user namespace either.

The unit around it lends only its cgroup, to count by: it ends nobody (``KillMode=process``).
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.systemd.inside.service import SOME, Service, awkward, kill
from tests.systemd.inside.shell import AGENTHOST, PATIENCE_S, USER, run
from tests.systemd.inside.witness import Id
from tests.waiting import wait_until

Facts = dict[str, Any]

NAMESPACES = Path("/proc/sys/user/max_user_namespaces")


class Plain(Service):
    """No unit of ours: ``agenthost run`` and nothing else."""

    def install(self, *lines: str) -> Plain:
        super().install()
        shipped = ("Delegate=no", "KillMode=process", "Restart=no", "Type=exec", "WatchdogSec=0", "TimeoutStopSec=100s")
        text = self.drop_in.read_text()
        command = f"{AGENTHOST} run {self.config}"
        self.drop_in.write_text("\n".join([text, *shipped, "ExecStart=", f"ExecStart={command}", *lines, ""]))
        self.systemctl("daemon-reload")
        return self

    def start(self) -> Plain:
        """Until the tree is ready: here nobody tells systemd."""
        super().start()
        wait_until(self._is_ready, PATIENCE_S, "every agent is ready")
        return self

    def _is_ready(self) -> bool:
        """``host.ready`` is said once for each start of a host."""
        since = self.show("InvocationID")
        said = run("journalctl", f"_SYSTEMD_INVOCATION_ID={since}", "-o", "cat", "--no-pager")
        return " host.ready " in said


def _show_ends(tier: str, facts: Facts, *hows: str) -> None:
    """``stop``, or who is killed: ``host``, ``guardian`` or ``both``. The service is started anew for each."""
    with Plain(f"plain-{tier}", *awkward(*SOME), run_as=USER).install() as service:
        for how in hows:
            service.start()
            if how == hows[0]:
                found = service.findings()
                facts["found"] = found
                assert f"host {service.name}, cells ({tier})" in found, found
            guardian, pid = int(service.show("MainPID")), service.host_pid()
            assert pid
            if how == "host":
                _show_host_killed(service, guardian, pid)
            before = service.look()
            assert len(before) > len(SOME)
            if how in ("stop", "host"):
                service.systemctl("stop", service.name)
            else:
                kill(guardian, *([pid] if how == "both" else []))
            wait_until(functools.partial(_is_over, service, frozenset(before)), PATIENCE_S, f"{how}: nothing is left")
            facts[how] = len(before)


def _is_over(service: Service, known: frozenset[Id]) -> bool:
    return not service.look(known)


def _show_host_killed(service: Service, guardian: int, pid: int) -> None:
    """It is started again, and then nothing of the first is left."""
    known = frozenset(one for one in service.look() if one[0] != guardian)
    kill(pid)

    def is_ready_again() -> bool:
        said = run("journalctl", "--unit", service.name, "-o", "cat", "--no-pager")
        return " host.ready " in said.rpartition("starting it again")[2]

    wait_until(is_ready_again, PATIENCE_S, "the next host is ready")
    left = [str(one) for id_, one in service.look(known).items() if id_ in known]
    assert not left, f"left: {left}"


@contextmanager
def no_user_namespaces() -> Iterator[None]:
    before = NAMESPACES.read_text()
    NAMESPACES.write_text("0")
    try:
        yield
    finally:
        NAMESPACES.write_text(before)


def an_ordinary_user_has_a_namespace_of_processes_for_every_agent(facts: Facts) -> None:
    _show_ends("pidns", facts, "host", "guardian", "both", "stop")


def without_user_namespaces_agents_are_hunted_and_found(facts: Facts) -> None:
    """Both killed at once is what this tier does not claim."""
    with no_user_namespaces():
        _show_ends("walk", facts, "host", "guardian", "stop")


CASES = [
    an_ordinary_user_has_a_namespace_of_processes_for_every_agent,
    without_user_namespaces_agents_are_hunted_and_found,
]
