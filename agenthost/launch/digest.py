"""One digest for the code a release brought in: it tells whether two zygotes run the same version.

The author's files count by their content; what is installed below the interpreter's prefixes counts by size and time,
for it may be gigabytes.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable

try:
    from _blake2 import blake2b as blake2b  # hashlib would bring OpenSSL into every agent: 0.5 MB and 16 mappings
except ImportError:  # a Python that is built without it
    from hashlib import blake2b as blake2b


def digest(names: Iterable[str]) -> tuple[str, int]:
    """Hex digest of the files of the loaded modules ``names``, and how many files that were."""
    files = set()
    for name in names:
        file = getattr(sys.modules.get(name), "__file__", None)
        if isinstance(file, str):
            files.add(file)
    total = blake2b()
    installed = tuple({os.path.join(prefix, "") for prefix in (sys.prefix, sys.base_prefix)})
    for file in sorted(files):
        total.update(os.fsencode(file) + b"\0")
        try:
            total.update(_stamp(file) if _is_installed(file, installed) else _content(file))
        except OSError as error:  # a loader need not have a file on disk (zip archives)
            total.update(str(error.errno).encode())
    return total.hexdigest()[:16], len(files)


def _is_installed(file: str, prefixes: tuple[str, ...]) -> bool:
    return file.startswith(prefixes) and ("/site-packages/" in file or "/lib/python" in file or "/lib-dynload/" in file)


def _content(file: str) -> bytes:
    with open(file, "rb") as source:
        return blake2b(source.read()).digest()


def _stamp(file: str) -> bytes:
    status = os.stat(file)
    return f"{status.st_size} {status.st_mtime_ns}".encode()
