"""What a child is that an agent asks for in plain data: its spec, and each worker by its names for ``may.start``.

Leaves to ``core.rights`` who may, and to ``config.plain`` what can be written. The rule: a worker is named by what it
is, never by how that was written.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from agenthost.config.agents import Agents
from agenthost.config.births import COMMAND_AGENT, Usual
from agenthost.config.plain import Noting, OwnCode, read_child
from agenthost.core.birth import AgentBirth
from agenthost.core.rights import Asked, Owner, refusal
from agenthost.core.spec import ChildSpec, WorkerSpec
from agenthost.core.tree import Worker
from agenthost.errors import NotPermitted, UsageError
from agenthost.protocol import wishes as wish


class AskedFor:
    """``folder`` is that of the config: what is relative is so to it."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._agents = Agents(folder, lasting=True)

    def read(self, owner: Worker, wanted: wish.Begin) -> tuple[ChildSpec, list[Asked]]:
        """The child, and each of its workers as the patterns know it. Raises what is wrong with the wish."""
        birth: AgentBirth = owner.spec.birth
        may = replace(birth.may, depth=max(0, birth.may.depth - 1))
        usual = Usual(
            cwd=birth.cwd,
            env=dict(birth.env),
            silence_s=birth.silence_s,
            may=may,
            user=birth.user,
            reap=birth.reap,
            of_agent=True,
        )
        agents = OwnCode(birth.agent) if wanted.code else Noting(self._agents)
        spec = read_child(wanted.name, wanted.spec, self._folder, agents, usual)
        _check_users(owner, spec)
        if wanted.code:
            assert isinstance(spec, WorkerSpec)
            spec = replace(spec, birth=replace(spec.birth, code=wanted.code, search_path=birth.search_path))
            return spec, [Asked(("function",), spec.birth.limits)]
        short = agents.short if isinstance(agents, Noting) else {}
        return spec, [Asked(self._names(one.birth, short, birth), one.birth.limits) for one in _workers(spec)]

    def refusal_of_one(self, owner: Worker, asked: list[Asked]) -> NotPermitted | None:
        """Whether its owner may still have it, of an earlier host's. How many there are was looked at then."""
        birth: AgentBirth = owner.spec.birth
        return refusal(asked, [Owner(owner.path, birth.may, (), is_configured=owner.parent is not None, between=0)])

    def _names(self, birth: Any, short: dict[str, str], owner: AgentBirth) -> tuple[str, ...]:
        """What a worker is, for the patterns of ``may.start``: never as it was written, for ``a/../b.py`` is b.py. A
        program without ``/`` is its word, if it is looked for where the owner's are (PATH); else what it is there."""
        if not isinstance(birth, AgentBirth):
            return self._program_names(birth.argv[0], dict(birth.env), birth.cwd, owner)
        if birth.agent == COMMAND_AGENT and birth.args.get("argv"):
            args = birth.args
            return self._program_names(args["argv"][0], args["env"], args["cwd"], owner)
        names = [short[birth.agent]] if birth.agent in short else []
        if birth.agent.startswith(self._folder.rstrip("/") + "/"):
            names.append(os.path.relpath(birth.agent, self._folder))
        return (*names, birth.agent)

    def _program_names(self, word: str, env: dict[str, str], cwd: str, owner: AgentBirth) -> tuple[str, ...]:
        if "/" not in word:
            path = env.get("PATH")
            if path == dict(owner.env).get("PATH"):
                return (word,)
            places = [os.path.join(cwd, folder, word) for folder in (path or "").split(os.pathsep)]
            found = next((one for one in places if os.access(one, os.X_OK) and os.path.isfile(one)), places[0])
        else:
            found = os.path.join(cwd, word)
        # to the kernel, "link/.." is not where the link stands (path_resolution(7))
        found = os.path.realpath(found) if ".." in found.split("/") else os.path.normpath(found)
        if found.startswith(self._folder.rstrip("/") + "/"):
            return (os.path.relpath(found, self._folder), found)
        return (found,)


def _check_users(owner: Worker, spec: ChildSpec) -> None:
    """Only who is root, as the host, could become somebody else without us."""
    uid = owner.spec.birth.user
    for one in _workers(spec) if uid is not None else ():
        if one.birth.user != uid:
            raise NotPermitted(
                f"not permitted: {owner.path} runs as uid {uid} and asked for a child of another user",
                hint="leave out 'user': a child has its owner's",
            )


def _workers(spec: ChildSpec) -> Iterator[WorkerSpec]:
    if isinstance(spec, WorkerSpec):
        yield spec
        return
    if spec.template is not None:
        raise UsageError(f"cannot start the pool {spec.name!r}: who would start its members?", hint="start them")
    for child in spec.children:
        yield from _workers(child)
