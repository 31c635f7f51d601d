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


MOST_SOURCES = 1000
"""More are not watched: what is told of them must fit into a packet."""

Source = tuple[str, int, int]
"""A file of the author's: path, size in bytes, time of its last change in ns."""


def digest(names: Iterable[str]) -> tuple[str, tuple[Source, ...]]:
    """Hex digest of the files of the loaded modules ``names``, and those of them that are the author's."""
    files = set()
    for name in names:
        file = getattr(sys.modules.get(name), "__file__", None)
        if isinstance(file, str):
            files.add(file)
    total = blake2b()
    installed = tuple({os.path.join(prefix, "") for prefix in (sys.prefix, sys.base_prefix)})
    sources = []
    for file in sorted(files):
        total.update(os.fsencode(file) + b"\0")
        try:
            if _is_installed(file, installed):
                total.update(_stamp(file))
            else:
                sources.append(source(file))
                total.update(_content(file))
        except OSError as error:  # a loader need not have a file on disk (zip archives)
            total.update(str(error.errno).encode())
    return total.hexdigest()[:16], tuple(sources[:MOST_SOURCES])


def source(file: str) -> Source:
    """``OSError`` if it cannot be looked at."""
    status = os.stat(file)
    return file, status.st_size, status.st_mtime_ns


def has_changed(sources: Iterable[Source]) -> bool:
    """Whether any of them is no longer what was loaded."""
    try:
        return any(source(known[0]) != known for known in sources)
    except OSError:
        return True


def _is_installed(file: str, prefixes: tuple[str, ...]) -> bool:
    return file.startswith(prefixes) and ("/site-packages/" in file or "/lib/python" in file or "/lib-dynload/" in file)


def _content(file: str) -> bytes:
    with open(file, "rb") as source:
        return blake2b(source.read()).digest()


def _stamp(file: str) -> bytes:
    status = os.stat(file)
    return f"{status.st_size} {status.st_mtime_ns}".encode()
