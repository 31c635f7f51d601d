"""Running commands, as root or as the ordinary user of the machine."""

from __future__ import annotations

import json
import subprocess
from typing import Any

AGENTHOST = "/opt/agenthost/bin/agenthost"
USER, UID = "agent", 1500
PATIENCE_S = 300.0
"""How long any one fact may take: everything is ten to twenty times slower without KVM."""

_AS_USER = (
    "runuser",
    "-u",
    USER,
    "--",
    "env",
    f"HOME=/home/{USER}",
    f"XDG_RUNTIME_DIR=/run/user/{UID}",
    f"DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/{UID}/bus",
)


class Failed(Exception):
    """A command that ended with another status than was wanted, with all it said."""


def run(*words: str, user: bool = False, status: int | None = 0) -> str:
    """What it printed. ``status``: the one it must end with; None for any."""
    command = [*_AS_USER, *words] if user else list(words)
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE_S)
    if status is not None and done.returncode != status:
        raise Failed(f"{' '.join(words)} ended with {done.returncode}, not {status}:\n{done.stdout}{done.stderr}")
    return done.stdout


def agenthost(*words: str, user: bool = False, status: int | None = 0) -> str:
    return run(AGENTHOST, *words, user=user, status=status)


def asked(*words: str, user: bool = False, status: int | None = 0) -> Any:
    """The answer of a command of agenthost that speaks JSON."""
    return json.loads(agenthost(*words, "-o", "json", user=user, status=status))
