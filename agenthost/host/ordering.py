"""From what the config wants of a process to the order that the launcher carries out."""

from __future__ import annotations

import os
import resource

from agenthost.core.birth import AgentBirth, Limits, ProgramBirth
from agenthost.host.incarnation import Incarnation
from agenthost.host.outputs import WriteEnds
from agenthost.launch.launcher import Order, Program, Release, Rlimits
from agenthost.protocol.birth import Certificate

BEAT_S, GROUP_BEAT_S = 1.0, 0.05


def make_order(incarnation: Incarnation, ends: WriteEnds, tier: str, endpoint: str, data_folder: str) -> Order:
    """``endpoint`` is the control plane's, ``data_folder`` where the agent may bind its data socket."""
    wanted = incarnation.birth
    return Order(
        path=incarnation.path,
        incarnation=incarnation.name,
        cell=incarnation.cell.order(),
        stdout=ends.stdout,
        stderr=ends.stderr,
        rlimits=_rlimits(wanted.limits, by_process=tier != "cgroup"),
        # Where only the births file finds strays, it is written before foreign code runs.
        hold=tier == "walk",
        release=release_of(wanted) if isinstance(wanted, AgentBirth) else None,
        certificate=(
            _certificate(incarnation, wanted, endpoint, data_folder) if isinstance(wanted, AgentBirth) else None
        ),
        program=_program(wanted) if isinstance(wanted, ProgramBirth) else None,
    )


def release_of(wanted: AgentBirth) -> Release:
    module = wanted.agent.rpartition(":")[0]
    return Release((module,), wanted.search_path, wanted.env, wanted.cwd)


def awaited_line(wanted: AgentBirth | ProgramBirth) -> str:
    """The pattern of a ``line`` readiness check, or nothing."""
    ready = wanted.ready if isinstance(wanted, ProgramBirth) else None
    return ready.target if ready is not None and ready.kind == "line" else ""


def _certificate(incarnation: Incarnation, wanted: AgentBirth, endpoint: str, data_folder: str) -> Certificate:
    return Certificate(
        path=incarnation.path,
        inc=incarnation.name,
        token=incarnation.token,
        endpoint=endpoint,
        data_folder=data_folder,
        agent=wanted.agent,
        args=wanted.args,
        code=wanted.code,
        # who sends to a group wants the least busy: that must be known early
        beat_s=GROUP_BEAT_S if wanted.group else BEAT_S,
    )


def _program(wanted: ProgramBirth) -> Program:
    """Variables of the host that are not UTF-8 are left out: they cannot be written down in an order."""
    ours = {name: value for name, value in os.environ.items() if _is_text(name) and _is_text(value)}
    return Program(wanted.argv, tuple(sorted((ours | dict(wanted.env)).items())), wanted.cwd)


def _is_text(value: str) -> bool:
    return value.isascii() or not any("\ud800" <= mark <= "\udfff" for mark in value)


def _rlimits(limits: Limits, *, by_process: bool) -> Rlimits:
    """The floor that needs no cgroups. ``by_process``: memory and processes too, for want of anything better."""
    wishes = [(resource.RLIMIT_NOFILE, limits.open_files), (resource.RLIMIT_FSIZE, limits.file_size_bytes)]
    if by_process:
        wishes += [(resource.RLIMIT_DATA, limits.memory_bytes), (resource.RLIMIT_NPROC, limits.processes)]
    values = []
    for number, wanted in wishes:
        if wanted is not None:
            _, hard = resource.getrlimit(number)
            bound = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
            values.append((number, bound, bound))
    return Rlimits(tuple(values))
