"""Reading the config again: what a changed file would do (``plan``) and doing it (``reload``).

The file is read in a thread, for ten thousand workers take a second; the core decides. What only a new host can change
is told and left alone.
"""

from __future__ import annotations

import asyncio
import functools
from dataclasses import asdict
from typing import Any

from agenthost.config.load import load
from agenthost.config.model import HostConfig
from agenthost.containment import unheld
from agenthost.containment.means import Means
from agenthost.core.plan import Change, plan
from agenthost.core.spec import SupervisorSpec
from agenthost.errors import ConfigError
from agenthost.host.private_values import environment_of_config, hide_variables

_OF_THE_HOST = ("containment", "namespace", "operators", "strays")


class Reloading:
    """``running`` is the config that the host began with, ``name`` what that file called it; what was reloaded since is
    in the core's tree. ``had``: what holds limits here."""

    def __init__(self, running: HostConfig, name: str, had: Means) -> None:
        self._running, self._name, self._had = running, name, had

    async def read(self) -> HostConfig:
        """``ConfigError``: it is not good, or is the config of another host."""
        read = functools.partial(load, self._running.file, environment=environment_of_config())
        fresh = await asyncio.get_running_loop().run_in_executor(None, read)
        hide_variables(fresh.tree)
        if fresh.name != self._name:
            raise ConfigError(
                f"cannot reload {fresh.file}: it names the host {fresh.name!r}, and it was {self._name!r}",
                hint="stop this host and run the config anew",
            )
        unheld.check(fresh.tree, self._had)
        return fresh

    def changes(self, now: SupervisorSpec, fresh: HostConfig) -> list[dict[str, Any]]:
        """One map a node, with ``path``, ``what`` and ``why``; nodes to which nothing happens are left out."""
        of_tree = [asdict(one) for one in plan(now, fresh.tree) if one.what != "nothing"]
        return [*of_tree, *map(asdict, self._of_host(fresh))]

    def _of_host(self, fresh: HostConfig) -> list[Change]:
        told = []
        for name in _OF_THE_HOST:
            before, after = getattr(self._running, name), getattr(fresh, name)
            if before != after:
                told.append(Change("host", "nothing", f"{name} {before} -> {after} takes a new host"))
        return told
