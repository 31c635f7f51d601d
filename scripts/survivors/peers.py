"""circus and supervisord from the package registry, in a virtual environment that is kept for the next time."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

PACKAGES = ("circus", "supervisor")
INSTALL_S = 300.0


class NoPeers(Exception):
    """They cannot be installed. Says why, in one line."""


def default_folder() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(cache, "agenthost", "peers")


def installed(folder: Path) -> dict[str, str]:
    """The version of each of ``PACKAGES``, which are in ``folder`` then. ``NoPeers``."""
    if versions := _versions(folder):
        return versions
    is_new = not folder.exists()
    try:
        _run(sys.executable, "-m", "venv", str(folder))
        _run(str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", *PACKAGES)
    except (OSError, subprocess.SubprocessError) as error:
        if is_new:
            shutil.rmtree(folder, ignore_errors=True)
        said = (getattr(error, "stderr", None) or str(error)).strip().splitlines()
        raise NoPeers(f"cannot install {' and '.join(PACKAGES)} into {folder}: {said[-1] if said else error}") from None
    if not (versions := _versions(folder)):
        raise NoPeers(f"cannot use {' and '.join(PACKAGES)} in {folder}: remove that folder, then try again")
    return versions


def _versions(folder: Path) -> dict[str, str]:
    """Empty if one is missing."""
    code = f"import importlib.metadata as m, json; print(json.dumps({{p: m.version(p) for p in {PACKAGES!r}}}))"
    try:
        found: dict[str, str] = json.loads(_run(str(folder / "bin" / "python"), "-c", code))
    except (OSError, subprocess.SubprocessError):
        return {}
    return found


def _run(*words: str) -> str:
    return subprocess.run(
        words, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True, timeout=INSTALL_S
    ).stdout
