"""From what the config wants of a process to the order that the launcher carries out."""

from __future__ import annotations

import os
import resource
from dataclasses import replace

from agenthost.containment.cell import CellOrder, Containment
from agenthost.containment.means import BY_RLIMIT, Means
from agenthost.core.birth import AgentBirth, Limits, ProgramBirth
from agenthost.host.doors import Doors
from agenthost.host.incarnation import Incarnation
from agenthost.host.outputs import WriteEnds
from agenthost.host.private_values import NOTHING, Private
from agenthost.host.pseudo_terminal import FOREIGN, TERM
from agenthost.host.signs import NO_MARKS, Marks
from agenthost.launch.account import Account, account_of
from agenthost.launch.launcher import Order, Program, Release, Rlimits
from agenthost.protocol.birth import Certificate

BEAT_S, GROUP_BEAT_S = 1.0, 0.05
BEATS_PER_TURN = 4
"""At least, in a turn that takes as long as it may, or stands still for as long: what the host knows of a turn it knows
by its beats."""
SCHEMAS = "agenthost.agent.schemas"
"""For the zygote of agents with a schema: what that needs is large, and so it is shared."""


def make_order(
    incarnation: Incarnation,
    ends: WriteEnds,
    containment: Containment,
    doors: Doors,
    private: Private = NOTHING,
    marks: Marks = NO_MARKS,
) -> Order:
    """``StartFailed``: its user has no account."""
    wanted, tier = incarnation.birth, containment.tier
    endpoint, data_folder = doors.endpoint(wanted.user), doors.data_folder(wanted.user)
    return Order(
        path=incarnation.path,
        incarnation=incarnation.name,
        cell=_cell_order(incarnation, tier),
        stdout=ends.stdout,
        stderr=ends.stderr,
        rlimits=_rlimits(wanted.limits, containment.means),
        hold=is_held(wanted, tier),
        release=release_of(wanted) if isinstance(wanted, AgentBirth) else None,
        certificate=(
            _certificate(incarnation, wanted, endpoint, data_folder) if isinstance(wanted, AgentBirth) else None
        ),
        program=_program(wanted) if isinstance(wanted, ProgramBirth) else None,
        no_new_privileges=wanted.no_new_privileges,
        stdin=ends.stdin,
        private=_private(wanted, private, marks),
        files=private.files,
        terminal=isinstance(wanted, ProgramBirth) and wanted.pty,
        ready=marks.ready,
    )


def is_held(wanted: AgentBirth | ProgramBirth, tier: str) -> bool:
    """Whether it waits until the host has put it where it belongs, before foreign code runs: where only the births file
    finds strays; and where another user's zygote may not give birth into a cgroup."""
    return tier == "walk" or (tier == "cgroup" and isinstance(wanted, AgentBirth) and wanted.user is not None)


def _cell_order(incarnation: Incarnation, tier: str) -> CellOrder:
    """What the zygote of another user cannot do as root would, is done by the host, or with a user namespace."""
    order = incarnation.cell.order()
    if incarnation.birth.user is None or not isinstance(incarnation.birth, AgentBirth):
        return order
    if tier == "cgroup":
        return replace(order, cgroup_fd=None, join=())
    return replace(order, new_user_namespace=order.new_pid_namespace)


def release_of(wanted: AgentBirth) -> Release:
    """``StartFailed``: its user has no account."""
    module = wanted.agent.rpartition(":")[0]
    account = None if wanted.user is None else account_of(wanted.user)
    modules = (module,) if wanted.schema is None else (module, SCHEMAS)
    return Release(modules, wanted.search_path, wanted.env, wanted.cwd, account)


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
        reap=wanted.reap,
        beat_s=beat_s_of(wanted),
        drowsy_s=incarnation.drowsy_s,
        expected=tuple(incarnation.expected),
        schema=wanted.schema,
        judge=wanted.judge,
        loops=wanted.loops,
    )


def beat_s_of(wanted: AgentBirth) -> float:
    """How often it beats in a turn."""
    if wanted.group:
        return GROUP_BEAT_S  # who sends to a group wants the least busy: that must be known early
    bounds = [bound for bound in (wanted.turn_s, wanted.progress_s) if bound is not None]
    return min([BEAT_S, *(max(GROUP_BEAT_S, bound / BEATS_PER_TURN) for bound in bounds)])


def _private(wanted: AgentBirth | ProgramBirth, private: Private, marks: Marks) -> tuple[tuple[bytes, bytes], ...]:
    """What its zygote never has. ``env`` of the config is above its env files, and below all else."""
    said = dict(wanted.env)
    below = [(name, value) for name, value in private.env if name not in said]
    return tuple((os.fsencode(name), os.fsencode(value)) for name, value in (*below, *marks.env)) + private.secrets


def _program(wanted: ProgramBirth) -> Program:
    account = None if wanted.user is None else account_of(wanted.user)
    if wanted.streams:  # its owner gives it its environment
        return Program(wanted.argv, (), wanted.cwd, account)
    env = host_environment(account)
    if wanted.pty:
        env = {name: value for name, value in env.items() if name not in FOREIGN} | {"TERM": TERM}
    return Program(wanted.argv, tuple(sorted((env | dict(wanted.env)).items())), wanted.cwd, account)


def host_environment(account: Account | None) -> dict[str, str]:
    """The host's own, as a program of that user gets it. Variables that are not UTF-8 are left out: they cannot be
    written down in an order."""
    ours = {name: value for name, value in os.environ.items() if _is_text(name) and _is_text(value)}
    return ours if account is None else account.environment(ours)


def _is_text(value: str) -> bool:
    return value.isascii() or not any("\ud800" <= mark <= "\udfff" for mark in value)


def _rlimits(limits: Limits, means: Means) -> Rlimits:
    """The floor that needs no cgroups; memory and processes too, for want of anything better."""
    wishes = [(resource.RLIMIT_NOFILE, limits.open_files), (resource.RLIMIT_FSIZE, limits.file_size_bytes)]
    if means["memory"].by == BY_RLIMIT:
        wishes.append((resource.RLIMIT_DATA, limits.memory_bytes))
    if means["processes"].by == BY_RLIMIT:
        wishes.append((resource.RLIMIT_NPROC, limits.processes))
    values = []
    for number, wanted in wishes:
        if wanted is not None:
            _, hard = resource.getrlimit(number)
            bound = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
            values.append((number, bound, bound))
    return Rlimits(tuple(values))
