"""Paths of agents to names of log files, and back. One flat folder, whatever the tree looks like.

``/crew/planner`` is ``crew~planner.log``. Other characters than letters, digits, ``_``, ``.``, ``-`` are written
``%XX``. A name that a file system would not take is cut and ends in ``~~`` and a digest; its file begins with a line
that has the path. Rotation adds ``.1``, ``.2``.
"""

from __future__ import annotations

import hashlib
import os
import re
from urllib.parse import unquote

SUFFIX = ".log"
HEADER = "# path "
MAX_NAME_BYTES = 200

_ODD = re.compile(rb"[^A-Za-z0-9_.-]")


def log_name(path: str) -> str:
    """The name of the newest log file of ``path``."""
    parts = path.removeprefix("/").split("/")
    name = "~".join(_ODD.sub(lambda odd: b"%%%02X" % odd[0][0], part.encode()).decode() for part in parts)
    if name.startswith("."):
        name = "%2E" + name[1:]
    if len(name) > MAX_NAME_BYTES:
        name = f"{name[:140]}~~{hashlib.blake2b(path.encode(), digest_size=16).hexdigest()}"
    return (name or "~") + SUFFIX


def is_cut(name: str) -> bool:
    return "~~" in name


def path_of(folder: str, name: str) -> str | None:
    """The agent's path of a file in ``folder``; None if it is no log's newest file."""
    if not name.endswith(SUFFIX):
        return None
    stem = name.removesuffix(SUFFIX)
    if stem == "~":
        return "/"
    if not is_cut(stem):
        return "/" + unquote(stem.replace("~", "/"))
    try:
        with open(os.path.join(folder, name), encoding="utf-8", errors="replace") as file:
            first = file.readline(4096)
    except OSError:
        return None
    return first.removeprefix(HEADER).rstrip("\n") if first.startswith(HEADER) else None
