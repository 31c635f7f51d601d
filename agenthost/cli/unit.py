"""``unit``: a config as a service of systemd. Prints it, and leaves where to put it to its reader (docs/systemd.md)."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from agenthost.cli.running import Config


def unit(
    config: Config,
    user: Annotated[bool, typer.Option("--user", help="For systemd --user, not for the system's own.")] = False,
    run_as: Annotated[
        str | None, typer.Option("--run-as", metavar="USER", help="Whose host it is; root's otherwise.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Another name for this host than the config's.")
    ] = None,
) -> None:
    """Print a unit that runs a config as a service of systemd.

    agenthost unit team.yaml > /etc/systemd/system/team.service makes one of the system, agenthost unit --user team.yaml
    > ~/.config/systemd/user/team.service one of your own. Then: systemctl [--user] daemon-reload, and start it.
    """
    from agenthost.config.load import load
    from agenthost.systemd.unit import Unit, longest_stop_s
    from agenthost.transport.places import Places

    loaded = load(config)
    named = ["--name", Places(name).name] if name else []
    made = Unit(
        name=name or loaded.name,
        command=[*_agenthost(), "run", *named, str(loaded.file)],
        folder=str(loaded.folder),
        stop_s=longest_stop_s(loaded.tree),
        of_user=user,
        user=run_as,
    )
    print(made.text(), end="")


def _agenthost() -> list[str]:
    """The command that stands beside our interpreter; where there is none, the interpreter with our module."""
    command = Path(sys.executable).with_name("agenthost")
    if os.access(command, os.X_OK):
        return [str(command)]
    return [sys.executable, "-P", "-m", "agenthost.cli"]


COMMANDS = {"unit": unit}
