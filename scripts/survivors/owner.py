"""Whose host it is: ourselves, or, for root, an ordinary user as well, who owns nothing and has no home."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from dataclasses import dataclass, field
from pathlib import Path

from survivors.waiting import PATIENCE_S

ROOT = Path(__file__).resolve().parents[2]
NOBODY = 60_124
"""Not 65534, for which the host makes no user namespace."""


@dataclass(frozen=True)
class Owner:
    """``uid`` is None for ourselves; ``python`` and ``environment``: an interpreter that finds agenthost."""

    name: str
    uid: int | None
    python: str
    environment: dict[str, str] = field(default_factory=dict)

    def tiers(self) -> dict[str, str]:
        """What this machine offers the owner, as ``agenthost doctor`` says it: why not, or empty, for each tier.

        ``OSError`` or ``CalledProcessError`` if the owner cannot run it.
        """
        done = subprocess.run(
            [self.python, "-m", "agenthost.cli", "doctor", "-o", "json"],
            env={**os.environ, **self.environment},
            cwd="/",
            user=self.uid,
            group=self.uid,
            extra_groups=None if self.uid is None else [],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=True,
            timeout=PATIENCE_S,
        )
        said = {one["subject"]: "" if one["ok"] else one["text"] for one in json.loads(done.stdout)}
        return {subject.removeprefix("tier "): why for subject, why in said.items() if subject.startswith("tier ")}


def ourselves() -> Owner:
    places = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return Owner("root" if os.getuid() == 0 else "user", None, sys.executable, {"PYTHONPATH": places})


def ordinary_user() -> tuple[Owner | None, str]:
    """One that can run agenthost, or why there is none. The virtual environment's Python may lie in root's home."""
    why = ""
    environment = {"PYTHONPATH": os.pathsep.join([str(ROOT), sysconfig.get_path("purelib")]), "HOME": "/"}
    for python in (sys.executable, "/usr/bin/python3"):
        owner = Owner("user", NOBODY, python, environment)
        try:
            owner.tiers()
        except (OSError, subprocess.SubprocessError) as error:
            why = f"uid {NOBODY} cannot run agenthost: {getattr(error, 'stderr', None) or error}".strip()
            continue
        return owner, ""
    return None, why
