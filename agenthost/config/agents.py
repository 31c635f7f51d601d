"""What ``agent:`` names: a class of an installed package, of a module, or of a file. Looked at, never imported:
an author's code runs in agents and zygotes only.
"""

from __future__ import annotations

import ast
import importlib.metadata
import os
import stat
import warnings
from dataclasses import dataclass, field

from agenthost.config.problem import Refused, nearest

GROUP = "agenthost.agents"
"""The entry-point group by which an installed package offers agents under short names."""

MAX_SOURCE_BYTES = 16 * 1024 * 1024
LASTING_SOURCE_BYTES = 256 * 1024
"""Parsing that takes 50 ms, in which a running host does nothing else."""
LASTING_FILES = 1000
"""Remembered by a running host."""


@dataclass(frozen=True, slots=True)
class _Names:
    """What a file defines at its top level. ``open``: it may define more (``import *``, ``__getattr__``)."""

    classes: frozenset[str]
    functions: frozenset[str]
    others: frozenset[str]
    open: bool


_ANY = _Names(frozenset(), frozenset(), frozenset(), open=True)


@dataclass(slots=True)
class Agents:
    """Resolves names for one config; every file is parsed once. With ``lasting`` it serves a host that runs: a file is
    looked at again when it has changed, and one that is long is not parsed at all, its class is then seen at birth."""

    folder: str
    lasting: bool = False
    _files: dict[str, _Names | Refused] = field(default_factory=dict)
    _stamps: dict[str, tuple[int, ...]] = field(default_factory=dict)
    _known: dict[str, str | Refused] = field(default_factory=dict)
    _installed: dict[str, str] | None = None

    def resolve(self, text: str) -> str:
        """``module:Class`` or ``/absolute/file.py:Class``. ``Refused`` says what is not there, and what is."""
        if self.lasting:
            return self._resolve(text)
        known = self._known.get(text)
        if known is None:
            try:
                known = self._resolve(text)
            except Refused as refused:
                known = refused
            self._known[text] = known
        if isinstance(known, Refused):
            raise known
        return known

    def check_function(self, path: str, name: str) -> None:
        """``Refused`` if the file is not there, or has no function of that name for certain."""
        names = self._names(path)
        if name not in names.functions | names.classes | names.others and not names.open:
            hint = nearest(name, names.functions) if names.functions else "it has no function at all"
            raise Refused(f"there is no function {name!r} in {path}", hint)

    def _resolve(self, text: str) -> str:
        if ":" not in text:
            return self._short(text)
        place, name = text.rsplit(":", 1)
        if place.endswith(".py") or "/" in place:
            path = os.path.normpath(os.path.join(self.folder, os.path.expanduser(place)))
            self._check_class(path, name)
            return f"{path}:{name}"
        parts = place.split(".")
        if not all(part.isidentifier() for part in parts):
            raise Refused(f"{place!r} is no name of a module", "write module:Class, or path/file.py:Class")
        self._check_beside(parts, name)
        return text

    def _short(self, name: str) -> str:
        if self._installed is None:
            self._installed = installed()
        found = self._installed.get(name)
        if found is None:
            near = nearest(name, self._installed) if self._installed else "none is installed"
            raise Refused(
                f"no installed agent is called {name!r}", f"{near}; or write module:Class or path/file.py:Class"
            )
        return found

    def _check_beside(self, parts: list[str], name: str) -> None:
        """Where the module is a file beside the config, its class can be checked; elsewhere it is seen at birth."""
        base = os.path.join(self.folder, *parts)
        for path in (f"{base}.py", os.path.join(base, "__init__.py")):
            if os.path.isfile(path):
                self._check_class(path, name)
                return

    def _names(self, path: str) -> _Names:
        stamp = _stamp(path) if self.lasting else ()
        found = self._files.get(path)
        if found is None or self._stamps.get(path) != stamp:
            if self.lasting and len(self._files) >= LASTING_FILES:
                self._files.clear()
            try:
                found = _names_of(path, LASTING_SOURCE_BYTES if self.lasting else MAX_SOURCE_BYTES)
            except Refused as refused:
                found = refused
            self._files[path], self._stamps[path] = found, stamp
        if isinstance(found, Refused):
            raise found
        return found

    def _check_class(self, path: str, name: str) -> None:
        names = self._names(path)
        if name in names.classes or name in names.others or names.open:
            return
        if name in names.functions:
            raise Refused(f"{name!r} in {path} is a function, not a class", nearest(name, names.classes))
        hint = nearest(name, names.classes) if names.classes else "it has no class at all"
        raise Refused(f"there is no class {name!r} in {path}", hint)


def installed() -> dict[str, str]:
    """Short name to ``module:Class`` of every agent that an installed package offers."""
    found: dict[str, str] = {}
    for point in importlib.metadata.entry_points(group=GROUP):
        found.setdefault(point.name, f"{point.module}:{point.attr}")
    return found


def _stamp(path: str) -> tuple[int, ...]:
    try:
        found = os.stat(path)
    except OSError:
        return ()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _names_of(path: str, most_bytes: int) -> _Names:
    try:
        # a FIFO would hold up whoever opens it until somebody writes
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise Refused(f"cannot read {path}: it is no file", "the path is relative to the config's folder")
            source = file.read(most_bytes + 1)
    except OSError as error:
        raise Refused(f"cannot read {path}: {error.strerror}", "the path is relative to the config's folder") from None
    if len(source) > most_bytes:
        return _ANY
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # SyntaxWarning of the author's code is not ours to print
            tree = ast.parse(source, path)
    except SyntaxError as error:
        raise Refused(f"cannot parse {path}: line {error.lineno}: {error.msg}") from None
    except (ValueError, RecursionError, MemoryError) as error:  # NUL bytes; nesting too deep for the parser
        raise Refused(f"cannot parse {path}: {str(error) or type(error).__name__}") from None
    classes: set[str] = set()
    functions: set[str] = set()
    others: set[str] = set()
    more = False
    pending: list[ast.stmt] = list(tree.body)
    while pending:
        statement = pending.pop()
        if isinstance(statement, ast.ClassDef):
            classes.add(statement.name)
        elif isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)):
            functions.add(statement.name)
            more |= statement.name == "__getattr__"
        elif isinstance(statement, (ast.Import, ast.ImportFrom)):
            more |= any(alias.name == "*" for alias in statement.names)
            others.update(alias.asname or alias.name.partition(".")[0] for alias in statement.names)
        elif isinstance(statement, (ast.Assign, ast.AnnAssign)):
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            others.update(node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name))
        else:  # if, try, with, match: what they hold is top level too
            for _, value in ast.iter_fields(statement):
                for part in value if isinstance(value, list) else []:
                    if isinstance(part, ast.stmt):
                        pending.append(part)
                    elif isinstance(part, (ast.ExceptHandler, ast.match_case)):
                        pending.extend(part.body)
    return _Names(frozenset(classes), frozenset(functions), frozenset(others), more)
